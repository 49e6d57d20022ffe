//! The architecture language: from text to syntax tree, and back to text.
//!
//! [`parse_file`] gives a syntax tree ([`ast::File`]) and every syntax error at once; [`parse_expression`]
//! and [`parse_arguments`] read pieces that only later passes know to be expressions. A file is read in
//! three steps: `lexer` splits it into tokens; `outline` finds sections, lines, rows and rules, whose
//! boundaries no mistake inside them moves; each piece is then read by a rule of the grammar
//! (`arch.pest`). So one mistake costs one error and hides no other.
//!
//! ```
//! use netwright_grammar::{Sources, dump, parse_file, render};
//!
//! let mut sources = Sources::default();
//! let text = "block f(x) {\n  a = x -> bn -> relu\n  b = a + x when x.c = 8\n}\n";
//! let (tree, problems) = parse_file(&mut sources, "f.arch", text);
//! assert_eq!(dump(&tree), "block f(x)\n  a = (x -> bn -> relu)\n  b = <error>\n");
//! assert!(render(&sources, &problems, false).starts_with("error[E0012]: `=` does not compare"));
//! ```
//!
//! Codes of findings: E0001 something else was expected, E0002 `=` is missing, E0003 an unclosed and E0004 a surplus
//! bracket, E0005 an unclosed or missing and E0006 a surplus brace, E0007 an unclosed text, E0008 a character that
//! the language does not have, E0009 rows of tables, E0010 a line in the wrong place or of an unknown kind, E0011 what is
//! no step after `->`, E0012 `=` that should compare, E0013 operators spelled as words; E0601 the file, E0602 the nesting,
//! E0603 a table and E0604 an expression are too large, E0605 too many errors.
//!
//! All of this takes linear time, and memory in proportion to the text: files are at most
//! [`MAX_BYTES`] long, and nesting is bounded before anything recurses into it.

pub mod ast;
mod brackets;
mod build;
pub mod diagnostic;
mod dialect;
mod dump;
mod explain;
mod format;
mod lexer;
mod network;
mod outline;
mod parse;
mod piece;
mod render;
mod sources;
mod table;
mod width;

pub use ast::Span;
pub use diagnostic::{Diagnostic, Severity};
pub use dump::{dump, expr as dump_expr};
pub use format::format;
pub use parse::{MAX_BYTES, parse_arguments, parse_expression, parse_file, parse_source};
pub use render::{render, render_one};
pub use sources::{Position, Sources};
