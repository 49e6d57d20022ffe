//! Blanks between the tokens of a piece.

use crate::lexer::{Kind, Token};

/// How a piece is spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Expressions: blanks around operators.
    Code,
    /// Names of tensors: what touches goes on touching.
    Names,
}

/// Writes the tokens of a piece with canonical blanks. Line breaks stay where they are (at the end of
/// a line comment they must), without indentation.
pub(crate) fn write(source: &str, tokens: &[Token], style: Style) -> String {
    let mut text = String::new();
    let mut before: Option<usize> = None;
    let mut broken = false;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Newline => broken = true,
            Kind::Comment => {
                if broken && !text.is_empty() {
                    text.push('\n');
                } else if !text.is_empty() {
                    text.push_str("  ");
                }
                text.push_str(token.text(source));
                broken = true;
            }
            _ => {
                if broken && !text.is_empty() {
                    text.push('\n');
                } else if let Some(before) = before
                    && blank_between(source, tokens, before, at, style)
                {
                    text.push(' ');
                }
                text.push_str(&canonical(source, tokens, at, style));
                before = Some(at);
                broken = false;
            }
        }
    }
    text
}

/// A token in its one spelling: sizes have `x` between their sides, unless a `²` asks for `×`.
fn canonical(source: &str, tokens: &[Token], at: usize, style: Style) -> String {
    let token = &tokens[at];
    let text = token.text(source);
    match token.kind {
        Kind::Number if style == Style::Code => size(text),
        Kind::Mark if text == "+-" => "±".to_string(),
        Kind::Mark if text == "×" && style == Style::Code => "x".to_string(),
        _ => text.to_string(),
    }
}

/// A size in its one spelling.
pub(crate) fn size(text: &str) -> String {
    if text.contains('²') { text.replace('x', "×") } else { text.replace('×', "x") }
}

/// Words before a parenthesis that are no callees.
fn is_keyword(text: &str) -> bool {
    matches!(text, "if" | "then" | "else" | "when" | "require")
}

/// Whether the mark at `at` stands before its operand, so that nothing comes in between.
fn is_prefix(source: &str, tokens: &[Token], at: usize) -> bool {
    let text = tokens[at].text(source);
    if !matches!(text, "-" | "!") {
        return false;
    }
    let before = tokens[..at].iter().rev().find(|t| t.is_solid());
    before.is_none_or(|b| {
        let text = b.text(source);
        match b.kind {
            Kind::Mark => !matches!(text, ")" | "]" | "}" | "²" | "✓" | "✗"),
            Kind::Word => is_keyword(text),
            _ => false,
        }
    })
}

/// Whether the `%` at `at` makes a percentage of the number that it touches.
fn is_percent(source: &str, tokens: &[Token], at: usize) -> bool {
    let touches = |a: usize, b: usize| match (tokens.get(a), tokens.get(b)) {
        (Some(a), Some(b)) => a.end == b.start,
        _ => false,
    };
    tokens[at].text(source) == "%"
        && at > 0
        && tokens[at - 1].kind == Kind::Number
        && touches(at - 1, at)
        && !(touches(at, at + 1)
            && (matches!(tokens[at + 1].kind, Kind::Word | Kind::Number)
                || tokens[at + 1].text(source) == "("))
}

/// Whether a blank stands between the tokens `before` and `at`.
fn blank_between(source: &str, tokens: &[Token], before: usize, at: usize, style: Style) -> bool {
    let (left, right) = (tokens[before].text(source), tokens[at].text(source));
    let touching = tokens[before].end == tokens[at].start;
    match (left, right) {
        (_, "," | ")" | "]") | ("(" | "[", _) => return false,
        (",", _) => return true,
        _ => {}
    }
    if style == Style::Names {
        return match (left, right) {
            (_, ":") => false,
            (":", _) => true,
            _ => !touching,
        };
    }
    match (left, right) {
        (_, ".") | (".", _) | ("{", _) | (_, "}") => false,
        ("^", _) | (_, "^") => false,
        ("×", _) | (_, "×") => false,
        (_, "{") => !touching,
        ("#", _) => !touching,
        _ if is_prefix(source, tokens, before) => false,
        (_, "%") if is_percent(source, tokens, at) => false,
        (_, "(" | "[") => {
            let called = tokens[before].kind == Kind::Word && !is_keyword(left);
            !(called || matches!(left, ")" | "]"))
        }
        _ => true,
    }
}
