//! Lines of files, blocks and networks, and rows of tables.

use super::{FILE_WORDS, Item, ItemKind, NETWORK_WORDS, Place, Scanner, one_of};
use crate::ast::Span;
use crate::brackets::KEYWORDS;
use crate::diagnostic::Diagnostic;
use crate::lexer::Kind;

impl Scanner<'_> {
    /// One past the last token of the line that starts at `start`.
    pub(super) fn line_end(&self, start: usize) -> usize {
        let mut at = start;
        let mut end = start;
        while at < self.tokens.len() {
            if self.kind(at) == Some(Kind::Newline) {
                let next = self.solid(at);
                if self.text(next) == "->" || self.goes_on(end, next) {
                    at = next;
                    continue;
                }
                break;
            }
            if matches!(self.text(at), "{" | "}") && !self.brackets.is_hole(at) {
                break;
            }
            if self.tokens[at].is_solid() {
                at = self.brackets.partner(at).filter(|p| *p > at).unwrap_or(at);
                end = at + 1;
            }
            at += 1;
        }
        end
    }

    /// Whether a line whose last token stands before `end` waits for more, and `next` is that.
    fn goes_on(&self, end: usize, next: usize) -> bool {
        let Some(last) = end.checked_sub(1) else { return false };
        let waits = matches!(
            self.text(last),
            "->" | "+" | "-" | "*" | "/" | "^" | "&&" | "||" | "=" | "==" | "," | "<" | ">"
        );
        let fresh = self.kind(next) == Some(Kind::Word)
            && (matches!(self.text(next + 1), "=" | ":" | ",")
                || KEYWORDS.contains(&self.text(next)));
        waits && !fresh && !matches!(self.text(next), "" | "}" | "|" | "||")
    }

    /// A line of a file, a block or a network, with its body if it has one.
    pub(super) fn line(&mut self, place: Place) -> Item {
        let start = self.at;
        let kind = self.classify(place);
        let end = self.line_end(start).max(start + usize::from(self.text(start) != "{"));
        self.at = end;
        let inner = match kind {
            ItemKind::Block => Some(Place::Block),
            ItemKind::Network => Some(Place::Network),
            ItemKind::Variants | ItemKind::Table => Some(Place::Table),
            ItemKind::Weights => Some(Place::Rules),
            _ => None,
        };
        match inner {
            Some(inner) => self.section(kind, start..end, inner),
            None => {
                self.surplus_brace(kind);
                Item { kind, head: start..end, open: None, body: Vec::new(), close: None }
            }
        }
    }

    /// Skips a `{ ... }` where none belongs.
    pub(super) fn surplus_brace(&mut self, kind: ItemKind) {
        if self.text(self.at) != "{" {
            return;
        }
        if kind != ItemKind::Unknown {
            self.problems.push(
                Diagnostic::error("E0006", self.span(self.at), "a `{` does not belong here")
                    .label("this line has no body")
                    .help("remove the braces"),
            );
        }
        self.at = self.brackets.partner(self.at).unwrap_or(self.at) + 1;
    }

    /// What the line at hand is.
    fn classify(&mut self, place: Place) -> ItemKind {
        let (at, place_name) = match place {
            Place::Block => return ItemKind::Statement,
            Place::Network => (self.at, "network"),
            _ => (self.at, "file"),
        };
        let word = self.text(at).to_string();
        let labels = matches!(self.text(at + 1), "=" | ",");
        let kind = if labels { None } else { keyword(&word) };
        let fits = |kind| match place {
            Place::Network => !matches!(kind, ItemKind::Use | ItemKind::Network),
            _ => FILE_WORDS.contains(&word.as_str()),
        };
        match kind {
            Some(kind) if fits(kind) => {
                if place == Place::Network && kind == ItemKind::Block {
                    self.problems.push(
                        Diagnostic::error(
                            "E0010",
                            self.span(at),
                            "a block stands outside networks",
                        )
                        .label("inside a network")
                        .help("move it above the network"),
                    );
                }
                return kind;
            }
            Some(kind) => {
                let (home, help) = if FILE_WORDS.contains(&word.as_str()) {
                    ("file", "move it out of the network")
                } else {
                    ("network", "move it between the braces of the network")
                };
                self.problems.push(
                    Diagnostic::error(
                        "E0010",
                        self.span(at),
                        format!("`{word}` belongs directly in a {home}, not in a {place_name}"),
                    )
                    .label(format!("not a line of a {place_name}"))
                    .help(help),
                );
                // Its inside is still read, for its own errors.
                return kind;
            }
            None => {}
        }
        let is_word = self.kind(at) == Some(Kind::Word);
        let near = is_word.then(|| self.near(&word, place)).flatten().filter(|_| !labels);
        if place == Place::Network && near.is_none() && (labels || self.text(at + 1) != "{") {
            return ItemKind::Statement;
        }
        let words: &[&str] = if place == Place::File {
            &FILE_WORDS
        } else {
            &["table", "variants", "weights", "column", "operator", "expect", "a label with `=`"]
        };
        let found = match self.kind(at) {
            Some(Kind::Stray | Kind::Text { .. }) => "this".to_string(),
            _ => format!("`{word}`"),
        };
        let mut problem = Diagnostic::error(
            "E0010",
            self.span(at),
            format!("{found} does not start a line of a {place_name}"),
        )
        .label(format!("expected {}", one_of(words)));
        if let Some(near) = near {
            problem = problem.help(format!("did you mean `{near}`?"));
        } else if labels {
            problem = problem.help("lines such as `label = value` stand inside a block");
        }
        self.problems.push(problem);
        near.and_then(keyword).unwrap_or(ItemKind::Unknown)
    }

    /// The word of this place that `word` may be a misspelling of.
    fn near(&self, word: &str, place: Place) -> Option<&'static str> {
        let words: Vec<&'static str> = match place {
            Place::Network => NETWORK_WORDS.into_iter().chain(["operator", "setting"]).collect(),
            _ => FILE_WORDS.to_vec(),
        };
        words.into_iter().find(|w| distance(w, word) <= if w.len() > 4 { 2 } else { 1 })
    }

    /// A row, a separator, or something that is neither.
    pub(super) fn table_line(&mut self) -> Item {
        let start = self.at;
        let mut end = start;
        let mut bars = false;
        let opens =
            |s: &Self, t: usize| s.text(t) == "{" && s.brackets.partner(t).is_some_and(|p| p > t);
        while end < self.tokens.len() && self.tokens[end].is_solid() {
            let closes = self.text(end) == "}" && self.brackets.partner(end).is_some();
            if closes || opens(self, end) {
                break;
            }
            bars |= matches!(self.text(end), "|" | "||");
            end += 1;
        }
        let rule = self.kind(start) == Some(Kind::Rule);
        let kind = match (rule, bars) {
            (true, false) => ItemKind::Separator,
            (_, true) => ItemKind::Row,
            _ => ItemKind::Unknown,
        };
        if kind == ItemKind::Separator && end > start + 1 {
            self.problems.push(
                Diagnostic::error(
                    "E0009",
                    self.span(start + 1),
                    "nothing follows `---` on its line",
                )
                .label("remove this, or give it a line of its own"),
            );
        }
        if kind == ItemKind::Unknown {
            self.problems.push(
                Diagnostic::error(
                    "E0009",
                    Span { end: self.span(end.max(start + 1) - 1).end, ..self.span(start) },
                    "a line of a table is a row or `---`",
                )
                .label("not a row")
                .help("a row is `| cell | cell |`; comments start with `//`"),
            );
        }
        self.at = end;
        if end == start || opens(self, end) {
            // The loop stopped at a brace of something that does not belong in a table.
            self.at = self.brackets.partner(end).filter(|p| *p > end).unwrap_or(end) + 1;
        }
        Item { kind, head: start..end.max(start + 1), open: None, body: Vec::new(), close: None }
    }
}

/// The item that a word starts.
fn keyword(word: &str) -> Option<ItemKind> {
    Some(match word {
        "use" => ItemKind::Use,
        "setting" => ItemKind::Setting,
        "operator" => ItemKind::Operator,
        "block" => ItemKind::Block,
        "network" => ItemKind::Network,
        "variants" => ItemKind::Variants,
        "table" => ItemKind::Table,
        "heading" => ItemKind::Heading,
        "carried" => ItemKind::Carried,
        "column" => ItemKind::Column,
        "expect" => ItemKind::Expect,
        "output" => ItemKind::Output,
        "weights" => ItemKind::Weights,
        _ => return None,
    })
}

/// How many letters must be changed, added or left out to make `a` of `b`.
fn distance(a: &str, b: &str) -> usize {
    // Names of any length may come along; only short ones can be near a keyword.
    if a.len().abs_diff(b.len()) > 2 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
