//! Whole specs through the expander.

use super::{Expanded, Request, check_spec, expand};
use crate::spec::Spec;
use netwright_grammar::{Diagnostic, render};
use netwright_ir::{Op, Source, count};

mod blocks;
mod limits;
mod networks;
mod tables;

fn found(text: &str) -> (Spec, Vec<Diagnostic>) {
    let spec = Spec::from_text("test.arch", text);
    let found = check_spec(&spec);
    (spec, found)
}

fn rendered(text: &str) -> String {
    let (spec, found) = found(text);
    render(&spec.sources, &found, false)
}

fn codes(text: &str) -> Vec<&'static str> {
    found(text).1.iter().map(|diagnostic| diagnostic.code).collect()
}

fn expanded(text: &str) -> Expanded {
    expanded_with(text, &Request::default())
}

fn expanded_with(text: &str, request: &Request) -> Expanded {
    let spec = Spec::from_text("test.arch", text);
    expand(&spec, request)
        .unwrap_or_else(|errors| panic!("{}", render(&spec.sources, &errors, false)))
}

/// A network of these lines.
fn lines(body: &str) -> String {
    format!("network test(resolution = 8) {{\n{body}\n}}\n")
}

fn output(expanded: &Expanded) -> &[usize] {
    expanded.graph.shape(expanded.graph.outputs[0].1)
}

#[test]
fn every_mistake_once() {
    let text = include_str!("tests/mistakes.arch");
    let (spec, found) = found(text);
    assert_eq!(found.len(), 32);
    insta::assert_snapshot!(render(&spec.sources, &found, false));
}
