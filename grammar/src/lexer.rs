//! Splits text into tokens, comments and line ends included. Never fails: what belongs nowhere
//! becomes [`Kind::Stray`]. The outline, the formatter and the messages about syntax work on these;
//! the grammar proper (`arch.pest`) reads the text itself.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// End of a line.
    Newline,
    /// `// ...` without its line end.
    Comment,
    /// `"..."`; `closed` is false if the line ends first.
    Text { closed: bool },
    /// A name or a keyword.
    Word,
    /// A number or a size, with its suffix.
    Number,
    /// An operator or a bracket.
    Mark,
    /// `---` or longer.
    Rule,
    /// A character that the language does not have.
    Stray,
}

/// A token: its kind and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it is.
    pub kind: Kind,
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Token {
    /// Its text.
    pub fn text<'a>(&self, source: &'a str) -> &'a str {
        &source[self.start..self.end]
    }

    /// Whether it carries meaning (is neither a comment nor a line end).
    pub fn is_solid(&self) -> bool {
        !matches!(self.kind, Kind::Newline | Kind::Comment)
    }
}

/// Blanks other than a line end; the odd ones come along when a table is copied from a PDF.
pub(crate) fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\u{A0}' | '\u{2009}' | '\u{202F}' | '\u{FEFF}')
}

/// Marks of two characters.
const PAIRS: [&str; 9] = ["->", "==", "!=", "<=", ">=", "&&", "||", "+-", "**"];

/// Marks of one character.
const SINGLES: &str = "+-*/%^=!<>.,:()[]{}|#±²×✓✗–—";

/// Splits `source` into tokens.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(c) = source[at..].chars().next() {
        if is_blank(c) {
            at += c.len_utf8();
            continue;
        }
        let rest = &source[at..];
        let (kind, length) = token(rest, c);
        found.push(Token { kind, start: at, end: at + length });
        at += length;
    }
    found
}

/// The token that `rest` starts with (its first character is `first`, no blank).
fn token(rest: &str, first: char) -> (Kind, usize) {
    if first == '\n' {
        (Kind::Newline, 1)
    } else if rest.starts_with("//") {
        let line = rest.find('\n').unwrap_or(rest.len());
        (Kind::Comment, rest[..line].trim_end().len())
    } else if first == '"' {
        text(rest)
    } else if first.is_ascii_alphabetic() || first == '_' {
        (Kind::Word, word_length(rest))
    } else if first.is_ascii_digit() {
        (Kind::Number, number_length(rest))
    } else if rest.starts_with("---") {
        (Kind::Rule, rest.bytes().take_while(|b| *b == b'-').count())
    } else if PAIRS.iter().any(|pair| rest.starts_with(pair)) {
        (Kind::Mark, 2)
    } else if SINGLES.contains(first) {
        (Kind::Mark, first.len_utf8())
    } else {
        (Kind::Stray, first.len_utf8())
    }
}

/// Length of the letters, digits and underscores that `rest` starts with.
pub(crate) fn word_length(rest: &str) -> usize {
    rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

/// A quoted text, up to its closing quote or to the end of the line.
fn text(rest: &str) -> (Kind, usize) {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == '\n' {
            return (Kind::Text { closed: false }, rest[..at].trim_end().len());
        } else if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == '"' {
            return (Kind::Text { closed: true }, at + 1);
        }
    }
    (Kind::Text { closed: false }, rest.trim_end().len())
}

/// Length of a number, or of a size written without blanks, with what sticks to it.
fn number_length(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let digits = |mut at: usize| {
        while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || *b == b'_') {
            at += 1;
        }
        at
    };
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = digits(0);
    if bytes.get(at) == Some(&b'.') && is_digit(at + 1) {
        at = digits(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        if is_digit(at + 1 + sign) {
            at = digits(at + 1 + sign);
        }
    }
    loop {
        if rest[at..].starts_with('²') {
            at += '²'.len_utf8();
        }
        let times = ["x", "×"].iter().find(|t| rest[at..].starts_with(**t));
        match times {
            Some(times) if is_digit(at + times.len()) => at = digits(at + times.len()),
            _ => break,
        }
    }
    at + word_length(&rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(source: &str) -> Vec<&str> {
        tokens(source).iter().map(|t| t.text(source)).collect()
    }

    #[test]
    fn sizes_and_numbers_are_one_token() {
        assert_eq!(
            texts("224²×3 3x3 1e-3 300M 0.39B 3_504_872"),
            ["224²×3", "3x3", "1e-3", "300M", "0.39B", "3_504_872"]
        );
    }

    #[test]
    fn texts_end_with_their_line() {
        let source = "a = \"b // c\" // d\n\"e\nf";
        assert_eq!(texts(source), ["a", "=", "\"b // c\"", "// d", "\n", "\"e", "\n", "f"]);
        let kinds: Vec<Kind> = tokens(source).iter().map(|t| t.kind).collect();
        assert_eq!(kinds[2], Kind::Text { closed: true });
        assert_eq!(kinds[5], Kind::Text { closed: false });
    }

    #[test]
    fn what_belongs_nowhere_is_one_character() {
        assert_eq!(texts("a “b” → c"), ["a", "“", "b", "”", "→", "c"]);
    }
}
