//! Whole specs through the expander.

use super::{Expanded, Request, check_spec, expand};
use crate::spec::Spec;
use netwright_grammar::render;

fn rendered(text: &str) -> String {
    let spec = Spec::from_text("test.arch", text);
    render(&spec.sources, &check_spec(&spec), false)
}

#[test]
fn mistakes() {
    let found = rendered(include_str!("tests/mistakes.arch"));
    insta::assert_snapshot!(found);
}

#[allow(dead_code)]
fn expanded(text: &str) -> Expanded {
    let spec = Spec::from_text("test.arch", text);
    expand(&spec, &Request::default()).unwrap_or_else(|errors| panic!("{}", render(&spec.sources, &errors, false)))
}
