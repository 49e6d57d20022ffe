//! What `fmt` prints, line by line: the items of an outline with the comments between them.

use std::ops::Range;

use super::spacing::{self, Style};
use crate::lexer::{Kind, Token, is_blank};
use crate::outline::{Item, ItemKind};
use crate::table;

/// A line, or a section with its lines.
pub(crate) struct Entry {
    /// An empty line comes before it.
    pub blank: bool,
    pub body: Body,
    /// A comment at the end of its (last) line.
    pub trailing: Option<String>,
}

/// What a line holds.
pub(crate) enum Body {
    /// A comment on a line of its own.
    Comment(String),
    /// Items that share a line; mostly one.
    Line(Vec<Line>),
    /// A row of a table.
    Row { cells: Vec<String>, when: Option<String> },
    /// `---`
    Separator,
    /// `head {`, a comment after it, lines.
    Section { head: Line, comment: Option<String>, entries: Vec<Entry> },
}

/// A line in the parts that are aligned with its neighbours'.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub kind: ItemKind,
    /// Label, keyword or labels of a rule; perhaps nothing.
    pub parts: Vec<String>,
    /// The rest.
    pub rest: String,
    /// `when ...` of a statement.
    pub when: Option<String>,
}

impl Line {
    /// A line without parts to align.
    fn plain(kind: ItemKind, rest: String) -> Self {
        Line { kind, parts: Vec::new(), rest, when: None }
    }

    /// The line, not aligned with anything.
    pub fn text(&self) -> String {
        let parts = self.parts.iter().map(String::as_str).chain([self.rest.as_str()]);
        let parts: Vec<&str> =
            parts.chain(self.when.as_deref()).filter(|p| !p.is_empty()).collect();
        parts.join(" ")
    }
}

/// Collects entries.
pub(crate) struct Collector<'a> {
    pub source: &'a str,
    pub tokens: &'a [Token],
}

/// What stands between two items.
struct Gap {
    /// At least one empty line at its end.
    blank: bool,
    /// No line end at all.
    same_line: bool,
}

impl Collector<'_> {
    /// The entries of `items`, which stand among the tokens of `range`; and the comment on the line
    /// on which the range starts.
    pub fn entries(&self, items: &[Item], range: Range<usize>) -> (Vec<Entry>, Option<String>) {
        let mut entries: Vec<Entry> = Vec::new();
        let mut opening = None;
        let mut at = range.start;
        let mut seen_row = false;
        for item in items {
            let gap = self.gap(at..item.head.start, range.start, &mut entries, &mut opening);
            let headings = item.kind == ItemKind::Row && !seen_row;
            seen_row |= headings;
            let body = self.body(item, headings);
            at = item.close.map_or(item.head.end, |close| close + 1);
            match (body, entries.last_mut()) {
                (Body::Line(line), Some(Entry { body: Body::Line(lines), .. }))
                    if gap.same_line =>
                {
                    lines.extend(line);
                }
                (body, last) => {
                    let blank = gap.blank && last.is_some();
                    entries.push(Entry { blank, body, trailing: None });
                }
            }
        }
        self.gap(at..range.end, range.start, &mut entries, &mut opening);
        (entries, opening)
    }

    /// Comments between items become entries, or go to the end of the line before.
    fn gap(
        &self,
        range: Range<usize>,
        start: usize,
        entries: &mut Vec<Entry>,
        opening: &mut Option<String>,
    ) -> Gap {
        // A file starts with a fresh line, a section on the line of its brace.
        let mut line_ends = usize::from(range.start == 0);
        for at in range.clone() {
            let token = &self.tokens[at];
            match token.kind {
                Kind::Newline => line_ends += 1,
                Kind::Comment => {
                    let text = token.text(self.source).to_string();
                    if line_ends > 0 {
                        let blank = line_ends > 1 && !entries.is_empty();
                        entries.push(Entry { blank, body: Body::Comment(text), trailing: None });
                    } else {
                        let slot = match entries.last_mut() {
                            Some(entry) if range.start > start => &mut entry.trailing,
                            _ => &mut *opening,
                        };
                        *slot = Some(match slot.take() {
                            Some(other) => format!("{other} {text}"),
                            None => text,
                        });
                    }
                    line_ends = 0;
                }
                _ => {}
            }
        }
        Gap { blank: line_ends > 1, same_line: line_ends == 0 && range.start > start }
    }

    fn slice(&self, item: &Item) -> &[Token] {
        self.tokens.get(item.head.clone()).unwrap_or_default()
    }

    fn body(&self, item: &Item, headings: bool) -> Body {
        match item.kind {
            ItemKind::Separator => return Body::Separator,
            ItemKind::Row => return self.row(item, headings),
            _ => {}
        }
        let head = self.line(item);
        let (Some(open), Some(close)) = (item.open, item.close) else {
            return Body::Line(vec![head]);
        };
        let (entries, comment) = self.entries(&item.body, open + 1..close);
        let one_line = (open..close).all(|t| self.tokens[t].is_solid());
        let table = matches!(item.kind, ItemKind::Table | ItemKind::Variants);
        if one_line && !table {
            return Body::Line(vec![one_liner(head, &entries)]);
        }
        let before = self.tokens[item.head.end..open].iter().filter(|t| t.kind == Kind::Comment);
        let comments: Vec<String> =
            before.map(|t| t.text(self.source).to_string()).chain(comment).collect();
        let comment = (!comments.is_empty()).then(|| comments.join(" "));
        Body::Section { head, comment, entries }
    }

    /// A row; the headings, which come first, stay as they are.
    fn row(&self, item: &Item, headings: bool) -> Body {
        let tokens = self.slice(item);
        let (Some(first), Some(last)) = (tokens.first(), tokens.last()) else {
            return Body::Separator;
        };
        let text = &self.source[first.start..last.end];
        let row = table::split(text);
        let cells = row.cells.iter().map(|c| &text[c.clone()]);
        let cells = cells
            .map(|c| if headings { c.trim_matches(is_blank).to_string() } else { cell(c) })
            .collect();
        let when = row.when.map(|when| {
            let piece = &text[when];
            spacing::write(piece, &crate::lexer::tokens(piece), Style::Code)
        });
        Body::Row { cells, when }
    }

    /// A line in its parts.
    fn line(&self, item: &Item) -> Line {
        let tokens = self.slice(item);
        let kind = item.kind;
        let code = |range: Range<usize>| spacing::write(self.source, &tokens[range], Style::Code);
        let text = |t: usize| tokens.get(t).map_or("", |t| t.text(self.source));
        match kind {
            ItemKind::Rule => {
                let names = |r: Range<usize>| spacing::write(self.source, &tokens[r], Style::Names);
                let colon = (0..tokens.len()).find(|t| text(*t) == ":").map_or(0, |c| c + 1);
                Line {
                    kind,
                    parts: vec![names(0..colon)],
                    rest: names(colon..tokens.len()),
                    when: None,
                }
            }
            // Variants may be called `m-` or `1.4`.
            ItemKind::Drop | ItemKind::Table => {
                Line::plain(kind, spacing::write(self.source, tokens, Style::Names))
            }
            ItemKind::Statement if matches!(text(0), "param" | "require") && text(1) != "=" => {
                Line::plain(kind, code(0..tokens.len()))
            }
            ItemKind::Statement | ItemKind::PreprocessItem => {
                let Some(equals) = self.top(tokens, 0, "=") else {
                    return Line::plain(kind, code(0..tokens.len()));
                };
                let when = self.top(tokens, equals, "when").unwrap_or(tokens.len());
                let arrow = self.top(tokens, equals, "->").filter(|a| *a < when);
                let value = arrow.unwrap_or(when);
                let mut parts = vec![code(0..equals)];
                let mut steps = value;
                if let Some(arrow) = arrow {
                    parts.push(format!("= {}", code(equals + 1..arrow)));
                    // The first step of several is aligned too.
                    if let Some(next) = self.top(tokens, arrow + 1, "->").filter(|n| *n < when) {
                        parts.push(code(arrow..next));
                        steps = next;
                    }
                }
                let rest = match arrow {
                    Some(_) => code(steps..when),
                    None => format!("= {}", code(equals + 1..value)),
                };
                let split = [equals, when, value, steps]
                    .iter()
                    .any(|t| tokens.get(*t).is_some() && *t > 0 && !tokens[*t - 1].is_solid());
                // A line break between the parts would be lost.
                if split || equals + 1 < tokens.len() && !tokens[equals + 1].is_solid() {
                    let rest = code(equals..tokens.len());
                    return Line { kind, parts: vec![code(0..equals)], rest, when: None };
                }
                let when = (when < tokens.len()).then(|| code(when..tokens.len()));
                Line { kind, parts, rest, when }
            }
            ItemKind::Setting
            | ItemKind::Operator
            | ItemKind::Column
            | ItemKind::Expect
            | ItemKind::Output
            | ItemKind::Heading => match self.top(tokens, 0, "=") {
                Some(equals) if equals > 1 => {
                    let parts = vec![code(0..1), code(1..equals)];
                    Line { kind, parts, rest: code(equals..tokens.len()), when: None }
                }
                _ => Line::plain(kind, code(0..tokens.len())),
            },
            _ => Line::plain(kind, code(0..tokens.len())),
        }
    }

    /// Where `mark` stands outside brackets, from `from` on.
    fn top(&self, tokens: &[Token], from: usize, mark: &str) -> Option<usize> {
        let mut depth = 0usize;
        for (at, token) in tokens.iter().enumerate().skip(from) {
            match token.text(self.source) {
                "(" | "[" | "{" => depth += 1,
                ")" | "]" | "}" => depth = depth.saturating_sub(1),
                text if depth == 0 && text == mark => return Some(at),
                _ => {}
            }
        }
        None
    }
}

/// `head { items }` on one line.
fn one_liner(head: Line, entries: &[Entry]) -> Line {
    let mut inner: Vec<String> = Vec::new();
    for entry in entries {
        if let Body::Line(lines) = &entry.body {
            inner.extend(lines.iter().map(Line::text));
        }
    }
    let inner = inner.join("  ");
    let body = if inner.is_empty() { "{ }".to_string() } else { format!("{{ {inner} }}") };
    let rest = if head.rest.is_empty() { body } else { format!("{} {body}", head.rest) };
    Line { rest, ..head }
}

/// A cell in its one spelling: whole sizes as papers print them (`14²×64`), single blanks and `±` in
/// other text, which is the paper's. Texts in quotes stay.
pub(crate) fn cell(text: &str) -> String {
    let text = text.trim_matches(is_blank);
    if let Some(size) = whole_size(text) {
        return size;
    }
    let mut plain = String::with_capacity(text.len());
    let mut quoted = false;
    let mut escaped = false;
    for c in text.chars() {
        if quoted {
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            plain.push(c);
            continue;
        }
        quoted = c == '"';
        match c {
            c if is_blank(c) => {
                if !plain.ends_with(' ') {
                    plain.push(' ');
                }
            }
            '-' if plain.ends_with(" +") => {
                plain.pop();
                plain.push('±');
            }
            c => plain.push(c),
        }
    }
    plain
}

/// A cell that is nothing but a size, with `×` and `²`.
fn whole_size(text: &str) -> Option<String> {
    let mut size = String::with_capacity(text.len());
    let mut sides = 0;
    let mut rest = text;
    let mut square = false;
    loop {
        let digits = rest.bytes().take_while(|b| b.is_ascii_digit() || *b == b'_').count();
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        size.push_str(&rest[..digits]);
        rest = &rest[digits..];
        sides += 1;
        if let Some(after) = rest.strip_prefix('²').or_else(|| rest.strip_prefix("^2")) {
            size.push('²');
            square = true;
            rest = after;
        }
        let next = rest.trim_start_matches(is_blank);
        if next.is_empty() {
            return (sides > 1 || square).then_some(size);
        }
        let next = next.strip_prefix('×').or_else(|| next.strip_prefix('x'))?;
        size.push('×');
        rest = next.trim_start_matches(is_blank);
    }
}
