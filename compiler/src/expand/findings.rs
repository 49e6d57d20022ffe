//! The diagnostics of one expansion, collected so that one mistake gives one error.
//!
//! A block is expanded once for each row that uses it. When something in it goes wrong for every
//! such row, the block is at fault and the error stands there, once. When other rows get through
//! the same block, the rows that do not are at fault, and each has its own error.

use super::codes;
use crate::spec::BlockId;
use crate::value::is_silent;
use netwright_grammar::{Diagnostic, Span};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// A row of a table while it is expanded: its number among all rows, and its operator cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowPlace {
    pub number: usize,
    pub span: Span,
}

#[derive(Clone, Debug)]
struct Finding {
    diagnostic: Diagnostic,
    row: Option<RowPlace>,
    block: Option<BlockId>,
}

/// What makes two findings of one row the same.
type Key = (&'static str, Span, Option<usize>);

impl Finding {
    fn key(&self) -> Key {
        (self.diagnostic.code, self.diagnostic.span, self.row.map(|row| row.number))
    }
}

/// Where a trial began, to forget what it found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

#[derive(Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
    known: HashSet<Key>,
    visits: BTreeMap<BlockId, BTreeSet<usize>>,
}

impl Findings {
    pub fn add(&mut self, diagnostic: Diagnostic, row: Option<RowPlace>, block: Option<BlockId>) {
        if is_silent(&diagnostic) {
            return;
        }
        let finding = Finding { diagnostic, row, block };
        if self.known.insert(finding.key()) {
            self.found.push(finding);
        }
    }

    /// Notes that a row goes through a block.
    pub fn visit(&mut self, block: BlockId, row: Option<RowPlace>) {
        if let Some(row) = row {
            self.visits.entry(block).or_default().insert(row.number);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub fn mark(&self) -> Mark {
        Mark(self.found.len())
    }

    /// Whether anything was found since the mark.
    pub fn since(&self, mark: Mark) -> bool {
        self.found.len() > mark.0
    }

    pub fn forget(&mut self, mark: Mark) {
        for finding in self.found.drain(mark.0.min(self.found.len())..) {
            self.known.remove(&finding.key());
        }
    }

    /// The errors, each mistake once, in the order of the text.
    pub fn finish(self) -> Vec<Diagnostic> {
        let mut groups: Vec<Vec<Finding>> = Vec::new();
        let mut places: HashMap<(&str, Span), usize> = HashMap::new();
        for finding in self.found {
            let key = (finding.diagnostic.code, finding.diagnostic.span);
            let at = *places.entry(key).or_insert(groups.len());
            match groups.get_mut(at) {
                Some(group) => group.push(finding),
                None => groups.push(vec![finding]),
            }
        }
        let mut all = Vec::new();
        for group in groups {
            let failed: BTreeSet<usize> =
                group.iter().filter_map(|finding| Some(finding.row?.number)).collect();
            let others_pass = group[0].block.is_some_and(|block| {
                self.visits.get(&block).is_some_and(|rows| !rows.is_subset(&failed))
            });
            let of_the_row = others_pass
                && depends_on_arguments(group[0].diagnostic.code)
                && group.iter().all(|finding| finding.row.is_some());
            if of_the_row {
                all.extend(group.into_iter().map(blame_row));
            } else {
                all.extend(group.into_iter().next().map(blame_block));
            }
        }
        all.sort_by_key(|diagnostic| {
            (diagnostic.span.file, diagnostic.span.start, diagnostic.code)
        });
        all
    }
}

/// Whether a code is about values, which rows give, rather than about the text of a block.
fn depends_on_arguments(code: &str) -> bool {
    matches!(code.as_bytes(), [b'E', b'0', b'3', ..])
        || matches!(code, "E0210" | "E0211" | "E0212" | "E0215" | "E0216" | "E0217" | "E0218")
        || [
            codes::REQUIRE,
            codes::NOT_CALLABLE,
            codes::NO_TENSOR,
            codes::NO_FIELD,
            codes::TOO_MANY_REPEATS,
            codes::TOO_LARGE,
        ]
        .contains(&code)
}

fn blame_row(finding: Finding) -> Diagnostic {
    let mut diagnostic = finding.diagnostic;
    if let Some(row) = finding.row {
        let label = std::mem::take(&mut diagnostic.label);
        let place = if label.is_empty() { "found here".to_string() } else { label };
        diagnostic.related.insert(0, (diagnostic.span, place));
        diagnostic.span = row.span;
        diagnostic.label = "in this row".into();
    }
    diagnostic
}

fn blame_block(finding: Finding) -> Diagnostic {
    let mut diagnostic = finding.diagnostic;
    if let (Some(row), Some(_), true) =
        (finding.row, finding.block, depends_on_arguments(diagnostic.code))
        && diagnostic.span != row.span
    {
        diagnostic.related.push((row.span, "expanded for this row".into()));
    }
    diagnostic
}
