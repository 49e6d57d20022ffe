//! `netwright fmt`: the one way to write a spec.
//!
//! - Two blanks of indentation; at most one empty line in a row; comments stay where they are.
//! - Columns of tables are aligned, by the room that characters take on a screen.
//! - In a block, labels, first operands and `when` are aligned; in a network, names; in a dialect,
//!   the names that rules give. Alignment ends at an empty line.
//! - A cell that is a size is written as papers print it, `14²×64`; in expressions a size is `3x3`.
//!   Headings, texts in quotes and the words of other cells are the paper's and stay as they are.
//! - Items that share a line, and sections on one line, stay so: two blanks separate them.
//! - Line breaks inside a line stay; what follows them is indented by four.

mod entry;
mod print;
mod spacing;

pub(crate) use entry::cell as canonical_cell;

use crate::diagnostic::{Diagnostic, Severity};
use crate::outline;
use crate::parse::parse_source;

/// Formats a file.
///
/// # Errors
/// Syntax errors: what cannot be read is not formatted. Their spans are of file 0.
pub fn format(text: &str) -> Result<String, Vec<Diagnostic>> {
    let (_, problems) = parse_source(text, 0);
    if problems.iter().any(|p| p.severity == Severity::Error) {
        return Err(problems);
    }
    let outline = outline::outline(text, 0);
    let collector = entry::Collector { source: text, tokens: &outline.tokens };
    let (entries, _) = collector.entries(&outline.items, 0..outline.tokens.len());
    Ok(print::print(&entries))
}
