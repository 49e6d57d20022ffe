//! The tree and the canonical form of an excerpt with one of everything.

mod common;

use common::{comments, said, tree};
use netwright_grammar::format;

const EXCERPT: &str = include_str!("excerpt.arch");

#[test]
fn tree_of_an_excerpt() {
    assert_eq!(said(EXCERPT), "");
    insta::assert_snapshot!(tree(EXCERPT));
}

#[test]
fn canonical_form_of_an_excerpt() {
    let once = format(EXCERPT).expect("the excerpt has no errors");
    assert_eq!(tree(EXCERPT), tree(&once));
    assert_eq!(comments(EXCERPT), comments(&once));
    assert_eq!(format(&once).as_deref(), Ok(once.as_str()));
    insta::assert_snapshot!(once);
}

#[test]
fn what_is_kept_of_lines_that_cannot_be_read() {
    let text = include_str!("thirty.arch");
    assert!(!said(text).is_empty());
    insta::assert_snapshot!(tree(text));
}

/// A name may begin with a word that elsewhere starts a line.
#[test]
fn names_of_tensors_that_begin_with_a_word_of_the_language() {
    let text = "network t {\n  weights a {\n    blocks: block{n+1}, table{s}.x\n    head:   set{i} when head else drop{n}\n  }\n}\n";
    assert_eq!(said(text), "");
    assert!(said("network t {\n  weights a {\n    blocks: block {\n").contains('}'));
}
