//! What `summary` shows: rows and lines with the nodes and parameters that they made.

use netwright_grammar::Span;
use std::ops::Range;

/// A row of a table or a labelled line, in the order of the text, outer ones first.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// Labels from the network down, joined by dots: the beginning of its nodes' names.
    pub path: String,
    /// How deep it is: 0 for rows (and for the lines of a network without a table).
    pub depth: usize,
    /// What the spec writes there.
    pub operator: String,
    /// Where.
    pub span: Span,
    /// The nodes that it made: a range of indices into the graph's nodes.
    pub nodes: Range<usize>,
    /// The parameters that it made: a range of indices into the graph's parameters.
    pub params: Range<usize>,
    /// Shape of what comes out, if that is one tensor.
    pub output: Option<Vec<usize>>,
}
