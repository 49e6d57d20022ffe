//! The texts that spans point into.

use crate::ast::Span;

/// The text of files, by index; what spans point into.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Path as the user wrote it, and text.
    pub files: Vec<(String, String)>,
}

/// A place as people count: from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Sources {
    /// Adds a file and gives its index.
    ///
    /// # Panics
    /// Never in practice: only with more than four thousand million files.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> u32 {
        self.files.push((path.into(), text.into()));
        u32::try_from(self.files.len() - 1).expect("as many files do not fit into memory")
    }

    /// The path of a file as it was given; empty if there is no such file.
    pub fn path(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |(path, _)| path)
    }

    /// The text of a file; empty if there is no such file.
    pub fn text(&self, file: u32) -> &str {
        self.files.get(file as usize).map_or("", |(_, text)| text)
    }

    /// The text that a span covers; empty if the span points nowhere.
    pub fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// Where a span starts.
    pub fn position(&self, span: Span) -> Position {
        let text = self.text(span.file);
        let before = &text[..floor_char(text, span.start as usize)];
        let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |n| n + 1);
        Position { line, column: before[start..].chars().count() + 1 }
    }

    /// `path:line:column` of a span's start.
    pub fn place(&self, span: Span) -> String {
        let at = self.position(span);
        format!("{}:{}:{}", self.path(span.file), at.line, at.column)
    }
}

/// The largest boundary of a character that is not after `at`.
pub(crate) fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_from_one() {
        let mut sources = Sources::default();
        let file = sources.add("a.arch", "x\n224²×3 y\n");
        let span = Span { file, start: 11, end: 12 };
        assert_eq!(sources.slice(span), "y");
        assert_eq!(sources.position(span), Position { line: 2, column: 8 });
        assert_eq!(sources.place(span), "a.arch:2:8");
    }

    #[test]
    fn spans_that_point_nowhere_are_harmless() {
        let sources = Sources::default();
        let span = Span { file: 3, start: 5, end: 2 };
        assert_eq!((sources.slice(span), sources.place(span).as_str()), ("", ":1:1"));
    }
}
