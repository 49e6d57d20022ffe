//! Every spec of the repository is read without a complaint, and `fmt` keeps its meaning.

mod common;

use common::{comments, specs, tree};
use netwright_grammar::{Sources, format, parse_file};

#[test]
fn specs_have_no_syntax_errors() {
    for (path, text) in specs() {
        let mut sources = Sources::default();
        let (tree, problems) = parse_file(&mut sources, path.as_str(), text);
        let said: Vec<String> = problems
            .iter()
            .map(|p| format!("{}: {} ({})", sources.place(p.span), p.message, p.label))
            .collect();
        assert!(problems.is_empty(), "{}", said.join("\n"));
        assert!(!tree.blocks.is_empty() || !tree.networks.is_empty(), "{path}");
    }
}

#[test]
fn formatted_specs_mean_the_same_and_stay_as_they_are() {
    for (path, text) in specs() {
        let once = format(&text).expect("specs have no syntax errors");
        assert_eq!(tree(&text), tree(&once), "{path}: another tree");
        assert_eq!(comments(&text), comments(&once), "{path}: comments");
        assert_eq!(format(&once).as_deref(), Ok(once.as_str()), "{path}: not idempotent");
    }
}
