//! Rows of tables: where their cells are, and what stands in them.

use std::ops::Range;

use crate::ast::{Cell, Expr, ExprKind, Name, Row, Table};
use crate::build::{Builder, is_expr, join, unquote};
use crate::diagnostic::Diagnostic;
use crate::lexer::is_blank;
use crate::outline::{Item, ItemKind};
use crate::parse::Reader;
use crate::piece::{self, Piece, Rule};

/// Most cells of a row.
const MAX_COLUMNS: usize = 256;

/// Most rows of a table.
const MAX_ROWS: usize = 10_000;

/// The cells of a row's text, as ranges of its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    /// Trimmed; an empty cell is the blank between its bars.
    pub cells: Vec<Range<usize>>,
    /// Whether the row starts with a bar.
    pub opened: bool,
    /// Whether a bar ends the last cell.
    pub closed: bool,
    /// `when cond` after the last bar.
    pub when: Option<Range<usize>>,
}

/// Finds the cells of a row. Bars in texts and in brackets separate nothing.
pub(crate) fn split(text: &str) -> Split {
    let (bars, balanced) = bars(text, true);
    let bars = if balanced { bars } else { self::bars(text, false).0 };
    let mut row = Split { opened: text.starts_with('|'), ..Split::default() };
    let mut start = usize::from(row.opened);
    for bar in bars {
        if bar == 0 {
            continue;
        }
        row.cells.push(trim(text, start..bar));
        start = bar + 1;
    }
    let tail = trim(text, start..text.len());
    let tail_text = &text[tail.clone()];
    row.closed = true;
    if starts_with_word(tail_text, "when") {
        row.when = Some(tail);
    } else if !tail_text.trim().is_empty() {
        row.closed = false;
        match find_word(tail_text, "when") {
            Some(at) if at > 0 => {
                row.cells.push(trim(text, tail.start..tail.start + at));
                row.when = Some(tail.start + at..tail.end);
            }
            _ => row.cells.push(tail),
        }
    }
    row
}

/// The bars that separate cells, and whether all brackets were closed.
fn bars(text: &str, brackets: bool) -> (Vec<usize>, bool) {
    let mut found = Vec::new();
    let mut depth = 0usize;
    let mut quoted = false;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => quoted = true,
            '(' | '[' => depth += 1,
            ')' | ']' => depth = depth.saturating_sub(1),
            '|' if depth == 0 || !brackets => {
                found.push(at);
                // A condition may hold `||`.
                if starts_with_word(text[at + 1..].trim_start_matches(is_blank), "when") {
                    return (found, true);
                }
            }
            _ => {}
        }
    }
    (found, depth == 0)
}

fn trim(text: &str, range: Range<usize>) -> Range<usize> {
    let inner = &text[range.clone()];
    let kept = inner.trim_matches(is_blank);
    if kept.is_empty() {
        return range;
    }
    let start = range.start + (inner.len() - inner.trim_start_matches(is_blank).len());
    start..start + kept.len()
}

fn starts_with_word(text: &str, word: &str) -> bool {
    text.strip_prefix(word)
        .is_some_and(|rest| !rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
}

/// Where `word` stands by itself between blanks.
fn find_word(text: &str, word: &str) -> Option<usize> {
    text.match_indices(word)
        .map(|(at, _)| at)
        .find(|at| text[..*at].ends_with(is_blank) && text[at + word.len()..].starts_with(is_blank))
}

impl<'a> Reader<'a> {
    /// A pipe table.
    pub(crate) fn table(&mut self, item: &Item) -> Table {
        let variants = self.table_variants(item);
        let span = self.item_span(item);
        let mut table = Table { variants, header: Vec::new(), rows: Vec::new(), span };
        let mut header = false;
        let mut starts_stage = false;
        let mut rows = 0usize;
        for line in &item.body {
            match line.kind {
                ItemKind::Separator => starts_stage = true,
                ItemKind::Row if !header => {
                    header = true;
                    table.header = self.header(line);
                }
                ItemKind::Row => {
                    rows += 1;
                    if rows > MAX_ROWS {
                        self.problem(
                            Diagnostic::error(
                                "E0603",
                                self.item_span(line),
                                format!("a table has at most {MAX_ROWS} rows"),
                            )
                            .label("this row is too much"),
                        );
                        break;
                    }
                    let starts = starts_stage && !table.rows.is_empty();
                    if let Some(row) = self.row(line, table.header.len(), starts) {
                        table.rows.push(row);
                        starts_stage = false;
                    }
                }
                _ => {}
            }
        }
        if !header && item.open.is_some() && !item.body.iter().any(|l| l.kind == ItemKind::Unknown)
        {
            self.problem(
                Diagnostic::error("E0009", self.head_span(item), "the table is empty")
                    .label("no row of headings inside")
                    .help("the first row names the columns: `| input | operator | n | s |`"),
            );
        }
        table
    }

    fn table_variants(&mut self, item: &Item) -> Vec<Name> {
        let rule =
            if item.kind == ItemKind::Variants { Rule::variants_head } else { Rule::table_head };
        let piece = self.head(item);
        let builder = Builder::new(piece);
        match self.read(rule, piece) {
            Some(pair) => pair
                .into_inner()
                .filter(|p| p.as_rule() == Rule::variant)
                .filter_map(|p| p.into_inner().next())
                .map(|p| builder.name(&p))
                .collect(),
            None => Vec::new(),
        }
    }

    /// The split row, its shape complained about.
    fn cells(&mut self, item: &Item) -> (Split, Piece<'a>) {
        let piece = self.bare(item);
        let row = split(piece.text);
        if !row.opened {
            let span = piece.span(0, piece.text.chars().next().map_or(0, char::len_utf8));
            self.problem(
                Diagnostic::error("E0009", span, "the row does not start with `|`")
                    .label("a `|` is missing in front of this")
                    .help("a row is `| cell | cell |`"),
            );
        } else if !row.closed {
            let end = row.cells.last().map_or(piece.text.len(), |c| c.end);
            let span = piece.span(end, end);
            let place = if row.when.is_some() { "before `when`" } else { "at its end" };
            self.problem(
                Diagnostic::error("E0009", span, format!("the row lacks a `|` {place}"))
                    .label("the `|` is missing here")
                    .help("a row is `| cell | cell |`, perhaps with `when condition` after it"),
            );
        }
        if row.cells.len() > MAX_COLUMNS {
            let span = piece.span(0, piece.text.len());
            self.problem(
                Diagnostic::error("E0603", span, format!("a row has at most {MAX_COLUMNS} cells"))
                    .label(format!("this one has {}", row.cells.len())),
            );
            return (Split { cells: row.cells[..MAX_COLUMNS].to_vec(), ..row }, self.bare(item));
        }
        (row, self.bare(item))
    }

    fn header(&mut self, item: &Item) -> Vec<Name> {
        let (row, piece) = self.cells(item);
        let header = row
            .cells
            .iter()
            .map(|c| Name {
                text: heading(piece.text[c.clone()].trim_matches(is_blank)),
                span: piece.span(c.start, c.end),
            })
            .collect();
        if let Some(when) = row.when {
            let span = piece.span(when.start, when.end);
            self.problem(
                Diagnostic::error("E0009", span, "the row of headings has no condition")
                    .label("remove this"),
            );
        }
        header
    }

    fn row(&mut self, item: &Item, columns: usize, starts_stage: bool) -> Option<Row> {
        let (row, piece) = self.cells(item);
        let span = piece.span(0, piece.text.len());
        let dashes = |c: &Range<usize>| {
            let text = piece.text[c.clone()].trim_matches(is_blank);
            text.len() > 1 && text.bytes().all(|b| matches!(b, b'-' | b':'))
        };
        if !row.cells.is_empty() && row.cells.iter().all(dashes) {
            self.problem(
                Diagnostic::error("E0009", span, "a row of dashes means nothing here")
                    .label("remove this row")
                    .help("a line `---` starts a stage; nothing separates the headings"),
            );
            return None;
        }
        // What follows the last bar has been complained about: it is no cell too many.
        let kept = if row.closed { row.cells.len() } else { columns };
        let cells = row.cells.iter().take(kept).map(|c| cell(piece, c.clone())).collect();
        let when = row.when.map(|when| {
            let piece = Piece {
                text: &piece.text[when.clone()],
                start: piece.start + when.start as u32,
                ..piece
            };
            self.first_expr(Rule::row_when, piece)
        });
        Some(Row { starts_stage, cells, when, span })
    }
}

fn heading(text: &str) -> String {
    if text.len() > 1 && text.starts_with('"') && text.ends_with('"') {
        unquote(text)
    } else {
        text.to_string()
    }
}

/// The cell at `range` of a row.
fn cell(row: Piece, range: Range<usize>) -> Cell {
    let text = row.text[range.clone()].trim_matches(is_blank);
    let span = row.span(range.start, range.end);
    let piece = Piece { text, file: row.file, start: span.start };
    if text.is_empty() {
        return Cell { text: String::new(), exempt: false, value: Ok(None), span };
    }
    let mut exempt = false;
    let value = piece::read(Rule::cell, piece).and_then(|pair| {
        let builder = Builder::new(piece);
        let mut values: Vec<Expr> = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::exempt => exempt = true,
                rule if is_expr(rule) => values.push(builder.expr(part)?),
                _ => {}
            }
        }
        // `96, 192` in a cell is a list; `-` leaves nothing.
        let last = values.pop();
        Ok(match (values.first(), last) {
            (Some(first), Some(last)) => {
                let span = join(first.span, last.span);
                values.push(last);
                Some(Expr { kind: ExprKind::List(values), span })
            }
            (_, last) => last.filter(|e| e.kind != ExprKind::Absent),
        })
    });
    // An exempt cell that cannot be read is still one.
    exempt |= value.is_err() && text.starts_with('!');
    Cell { text: text.to_string(), exempt, value, span }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(row: &str) -> Vec<&str> {
        split(row).cells.into_iter().map(|c| row[c].trim()).collect()
    }

    #[test]
    fn bars_in_texts_and_brackets_separate_nothing() {
        assert_eq!(texts("| a | f(x || y) | \"b|c\" |"), ["a", "f(x || y)", "\"b|c\""]);
        assert_eq!(texts("| a || b |"), ["a", "", "b"]);
    }

    #[test]
    fn an_open_bracket_takes_no_bars() {
        assert_eq!(texts("| a | f(x | b |"), ["a", "f(x", "b"]);
    }

    #[test]
    fn a_condition_follows_the_last_bar() {
        let row = "| a | b | when c || d";
        let found = split(row);
        assert!(found.closed);
        assert_eq!(found.when.map(|w| &row[w]), Some("when c || d"));
        assert_eq!(texts(row), ["a", "b"]);
    }

    #[test]
    fn a_missing_bar_loses_no_cell() {
        assert_eq!(texts("| a | b"), ["a", "b"]);
        let row = "| a | b when c";
        assert_eq!(texts(row), ["a", "b"]);
        assert!(!split(row).closed);
        assert_eq!(split(row).when.map(|w| &row[w]), Some("when c"));
    }
}
