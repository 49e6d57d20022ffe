//! Which bracket closes which, found in one pass over the tokens, and robust against mistakes: an
//! unclosed `(` reaches no further than its statement, so that it hides nothing below.

use crate::lexer::{Kind, Token};

/// Deepest nesting of brackets and braces in a file.
pub(crate) const MAX_DEPTH: usize = 64;

/// A hole `{...}` of a name pattern is short: no more tokens than this are looked at.
const MAX_HOLE: usize = 200;

/// Words that start a line of a file, a block, a network or a dialect.
pub(crate) const KEYWORDS: [&str; 18] = [
    "use",
    "setting",
    "operator",
    "block",
    "network",
    "variants",
    "table",
    "heading",
    "carried",
    "column",
    "expect",
    "output",
    "weights",
    "param",
    "require",
    "set",
    "drop",
    "preprocess",
];

/// The brackets of a file.
pub(crate) struct Brackets {
    /// For each token the one it is paired with.
    partner: Vec<Option<u32>>,
    /// For each token whether it opens or closes a hole of a name pattern.
    hole: Vec<bool>,
}

/// What the pass keeps.
struct Pass<'a> {
    source: &'a str,
    tokens: &'a [Token],
    found: Brackets,
    /// Open brackets, as indices of tokens.
    open: Vec<usize>,
}

impl Brackets {
    /// Pairs the brackets of `tokens`.
    ///
    /// # Errors
    /// The token that goes deeper than [`MAX_DEPTH`].
    pub fn find(source: &str, tokens: &[Token]) -> Result<Self, usize> {
        let found = Brackets { partner: vec![None; tokens.len()], hole: vec![false; tokens.len()] };
        let mut pass = Pass { source, tokens, found, open: Vec::new() };
        pass.run()?;
        Ok(pass.found)
    }

    /// The bracket that belongs to the one at `token`.
    pub fn partner(&self, token: usize) -> Option<usize> {
        self.partner.get(token).copied().flatten().map(|p| p as usize)
    }

    /// Whether `token` is a brace of a hole such as `{s}`.
    pub fn is_hole(&self, token: usize) -> bool {
        self.hole.get(token).copied().unwrap_or(false)
    }
}

impl Pass<'_> {
    fn text(&self, token: usize) -> &str {
        self.tokens.get(token).map_or("", |t| t.text(self.source))
    }

    fn run(&mut self) -> Result<(), usize> {
        let mut at = 0;
        let mut line_starts = true;
        while at < self.tokens.len() {
            if line_starts && matches!(self.text(at), "|" | "||") {
                at = self.row(at)?;
                continue;
            }
            let kind = self.tokens[at].kind;
            line_starts = kind == Kind::Newline;
            if kind == Kind::Newline && self.statement_follows(at) {
                self.forget_parentheses();
            }
            if kind == Kind::Mark {
                self.mark(at)?;
            }
            at += 1;
        }
        Ok(())
    }

    /// A row of a table: its brackets concern nobody outside it, but a `}` at its end may close the
    /// table. Returns where the row ends.
    fn row(&mut self, start: usize) -> Result<usize, usize> {
        self.forget_parentheses();
        let mut at = start;
        let mut braces = 0usize;
        while at < self.tokens.len() && self.tokens[at].is_solid() {
            match self.text(at) {
                "{" => braces += 1,
                "}" if braces > 0 => braces -= 1,
                "(" | "[" | ")" | "]" | "}" => self.mark(at)?,
                _ => {}
            }
            at += 1;
        }
        self.forget_parentheses();
        Ok(at)
    }

    /// A mark outside rows.
    fn mark(&mut self, at: usize) -> Result<(), usize> {
        match self.text(at) {
            "(" | "[" => self.open(at)?,
            "{" => match self.hole_end(at) {
                Some(end) => {
                    self.pair(at, end);
                    self.found.hole[at] = true;
                    self.found.hole[end] = true;
                }
                // Part of a name, without an end: what reads the name will say so.
                None if self.ends_in_mark(at) => self.found.hole[at] = true,
                None => {
                    self.forget_parentheses();
                    self.open(at)?;
                }
            },
            ")" => self.close(at, "("),
            "]" => self.close(at, "["),
            "}" if !self.found.hole[at] => {
                self.forget_parentheses();
                self.close(at, "{");
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, at: usize) -> Result<(), usize> {
        self.open.push(at);
        if self.open.len() > MAX_DEPTH { Err(at) } else { Ok(()) }
    }

    fn pair(&mut self, open: usize, close: usize) {
        // A file has at most a million tokens (`parse_file` bounds its bytes), so they fit.
        self.found.partner[open] = Some(close as u32);
        self.found.partner[close] = Some(open as u32);
    }

    /// Pairs the closing bracket `at` with the innermost `wanted` of the same brace; the brackets
    /// in between stay alone.
    fn close(&mut self, at: usize, wanted: &str) {
        let inner = self.open.iter().rposition(|o| self.text(*o) == "{").unwrap_or(0);
        if let Some(place) = self.open[inner..].iter().rposition(|o| self.text(*o) == wanted) {
            let open = self.open[inner + place];
            self.open.truncate(inner + place);
            self.pair(open, at);
        }
    }

    /// Drops the `(` and `[` that are open in the innermost brace.
    fn forget_parentheses(&mut self) {
        let kept = self.open.iter().rposition(|o| self.text(*o) == "{").map_or(0, |b| b + 1);
        self.open.truncate(kept);
    }

    /// The `}` of a hole that starts at `at`: in a name, and with an expression inside.
    fn hole_end(&self, at: usize) -> Option<usize> {
        let before = at.checked_sub(1)?;
        let touches = self.tokens[before].end == self.tokens[at].start;
        let inside_name = touches
            && (matches!(self.tokens[before].kind, Kind::Word | Kind::Number)
                || matches!(self.text(before), "." | "}" | "/" | "-" | "*"));
        let name_follows = |at: usize| matches!(self.text(at), ":" | "," | "(" | "else");
        // `table {` opens a section, but `blocks: block{n}` goes on with a name.
        let keyword = KEYWORDS.contains(&self.text(before))
            && !(inside_name && before.checked_sub(1).is_some_and(name_follows));
        if !(inside_name || name_follows(before)) || keyword {
            return None;
        }
        for end in at + 1..(at + MAX_HOLE).min(self.tokens.len()) {
            match self.text(end) {
                "}" => return (end > at + 1).then_some(end),
                ":" | "{" | "=" | "|" => return None,
                _ if !self.tokens[end].is_solid() => return None,
                _ => {}
            }
        }
        None
    }

    /// Whether the brace `at` touches a name that goes on, such as `blocks.`.
    fn ends_in_mark(&self, at: usize) -> bool {
        let touches =
            |t: usize| t.checked_sub(1).is_some_and(|b| self.tokens[b].end == self.tokens[t].start);
        touches(at) && touches(at - 1) && matches!(self.text(at - 1), "." | "/" | "-")
    }

    /// Whether the line after the line end `at` starts something new although a bracket is open.
    fn statement_follows(&self, at: usize) -> bool {
        if self.open.last().is_none_or(|o| self.text(*o) == "{") {
            return false;
        }
        let last = self.tokens[..at].iter().rev().find(|t| t.kind != Kind::Comment);
        let goes_on = last.is_some_and(|t| {
            t.kind == Kind::Mark && !matches!(t.text(self.source), ")" | "]" | "}")
        });
        let next = at + 1;
        let after = self.text(next + 1);
        let follows = self.tokens.get(next + 1).map(|t| t.kind);
        self.tokens.get(next).is_some_and(|t| t.kind == Kind::Word)
            && (KEYWORDS.contains(&self.text(next))
                && (matches!(follows, Some(Kind::Word | Kind::Text { .. })) || after == "{")
                || !goes_on && matches!(after, "=" | ":"))
            || self.tokens.get(next).is_some_and(|t| t.kind == Kind::Rule)
    }
}
