//! The outline of a file: sections, lines, rows and rules, each with the tokens that it consists of.
//!
//! Where a piece begins and ends is decided here, from line ends, braces and the words that start a
//! line, and never fails: a missing or surplus brace costs one error and the rest is read as its
//! author meant it. What stands inside a piece is the business of the grammar (`arch.pest`).

mod lines;
mod rules;

use std::ops::Range;

use crate::ast::Span;
use crate::brackets::{Brackets, KEYWORDS, MAX_DEPTH};
use crate::diagnostic::Diagnostic;
use crate::lexer::{self, Kind, Token};
use crate::parse::MAX_PROBLEMS;

/// What an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ItemKind {
    Use,
    Setting,
    Operator,
    Block,
    Network,
    Variants,
    Table,
    Heading,
    Carried,
    Column,
    Expect,
    Output,
    Weights,
    /// `label = value`, `param name[dims]`, `require ...`
    Statement,
    /// A row of a table.
    Row,
    /// `---` in a table.
    Separator,
    Set,
    Drop,
    /// `block NAME { rules }` in a dialect.
    BlockRules,
    Preprocess,
    PreprocessItem,
    Rule,
    /// Something that has been reported.
    Unknown,
}

/// An item of a file or of a section.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub kind: ItemKind,
    /// Its tokens up to the brace: the first and the last carry meaning.
    pub head: Range<usize>,
    /// The `{`.
    pub open: Option<usize>,
    /// What is inside.
    pub body: Vec<Item>,
    /// The `}`.
    pub close: Option<usize>,
}

/// The outline of a file.
pub(crate) struct Outline {
    pub tokens: Vec<Token>,
    pub items: Vec<Item>,
    pub problems: Vec<Diagnostic>,
}

/// Where an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    File,
    Block,
    Network,
    Table,
    Rules,
    /// Rules inside a rule.
    Inner,
    Preprocess,
}

/// Words that start a line of a network and of nothing that surrounds it.
const NETWORK_WORDS: [&str; 8] =
    ["variants", "table", "heading", "carried", "column", "expect", "output", "weights"];

/// Words that start a line of a file.
const FILE_WORDS: [&str; 5] = ["use", "setting", "operator", "block", "network"];

/// How many sections that lack their `{` may enclose each other.
const MAX_UNOPENED: usize = 4;

struct Scanner<'a> {
    source: &'a str,
    file: u32,
    tokens: Vec<Token>,
    brackets: Brackets,
    at: usize,
    problems: Vec<Diagnostic>,
    /// Whether some `{` has no `}`: only then does indentation say where sections end.
    unbalanced: bool,
    /// Blanks before the line that a token is on, for each token.
    indents: Vec<usize>,
    /// Indentation of the first lines of the sections that the scanner is in.
    margins: Vec<usize>,
    /// Where an unclosed section was last noticed; what surrounds it says nothing more.
    unclosed_at: Option<usize>,
    /// Sections without a `{` that the scanner is in: few, as they nest without using up brackets.
    unopened: usize,
}

/// Finds the outline of `source`.
pub(crate) fn outline(source: &str, file: u32) -> Outline {
    let tokens = lexer::tokens(source);
    let brackets = match Brackets::find(source, &tokens) {
        Ok(brackets) => brackets,
        Err(deep) => {
            let span = span_of(file, &tokens[deep]);
            let problem = Diagnostic::error(
                "E0602",
                span,
                format!("brackets are nested more than {MAX_DEPTH} deep"),
            )
            .label("this one goes too deep")
            .help("give the inner parts lines of their own");
            return Outline { tokens, items: Vec::new(), problems: vec![problem] };
        }
    };
    let unbalanced =
        (0..tokens.len()).any(|t| tokens[t].text(source) == "{" && brackets.partner(t).is_none());
    let indents = indents(source, &tokens);
    let mut scanner = Scanner {
        source,
        file,
        tokens,
        brackets,
        at: 0,
        problems: Vec::new(),
        unbalanced,
        indents,
        margins: Vec::new(),
        unclosed_at: None,
        unopened: 0,
    };
    let (items, _) = scanner.body(Place::File);
    Outline { tokens: scanner.tokens, items, problems: scanner.problems }
}

/// Blanks before the line that each token is on.
fn indents(source: &str, tokens: &[Token]) -> Vec<usize> {
    let mut line = 0;
    let mut starts = true;
    tokens
        .iter()
        .map(|token| {
            if starts && token.kind != Kind::Newline {
                let blank = source[..token.start].chars().rev().take_while(|c| lexer::is_blank(*c));
                line = blank.count();
            }
            starts = token.kind == Kind::Newline;
            line
        })
        .collect()
}

fn span_of(file: u32, token: &Token) -> Span {
    Span { file, start: token.start as u32, end: token.end as u32 }
}

impl Scanner<'_> {
    fn text(&self, token: usize) -> &str {
        self.tokens.get(token).map_or("", |t| t.text(self.source))
    }

    fn kind(&self, token: usize) -> Option<Kind> {
        self.tokens.get(token).map(|t| t.kind)
    }

    fn span(&self, token: usize) -> Span {
        let end = self.source.len() as u32;
        self.tokens
            .get(token)
            .map_or(Span { file: self.file, start: end, end }, |t| span_of(self.file, t))
    }

    /// The first token from `from` on that carries meaning.
    fn solid(&self, from: usize) -> usize {
        (from..self.tokens.len()).find(|t| self.tokens[*t].is_solid()).unwrap_or(self.tokens.len())
    }

    fn starts_line(&self, token: usize) -> bool {
        token == 0 || !self.tokens[token - 1].is_solid()
    }

    /// Blanks before the line that `token` is on.
    fn indent(&self, token: usize) -> usize {
        self.indents.get(token).copied().unwrap_or(0)
    }

    /// The items up to the `}` that closes this place, and that `}`.
    fn body(&mut self, place: Place) -> (Vec<Item>, Option<usize>) {
        let mut items = Vec::new();
        // Whether the section's first line is indented more than its head.
        let mut tidy = None;
        loop {
            self.at = self.solid(self.at);
            if self.problems.len() > MAX_PROBLEMS {
                // What would be found now is not shown any more.
                self.at = self.tokens.len();
            }
            if self.at == self.tokens.len() {
                return (items, None);
            }
            if self.unbalanced
                && self.starts_line(self.at)
                && let Some(margin) = self.margins.last()
            {
                let indent = self.indent(self.at);
                let brace = self.text(self.at) == "}";
                if *tidy.get_or_insert(indent > *margin)
                    && (indent < *margin || indent == *margin && !brace)
                {
                    return (items, None);
                }
            }
            if self.text(self.at) == "}" && !self.brackets.is_hole(self.at) {
                let close = self.at;
                self.at += 1;
                if place == Place::File {
                    self.problems.push(
                        Diagnostic::error("E0006", self.span(close), "this `}` closes nothing")
                            .label("no `{` is open here")
                            .help("remove it, or look for a missing `{` above"),
                    );
                } else if self.closes_too_early(place, close) {
                    self.problems.push(
                        Diagnostic::error("E0006", self.span(close), "there is one `}` too many")
                            .label("this one ends the section")
                            .related(self.span(self.solid(close + 1)), "but this belongs inside it")
                            .help("remove the `}`"),
                    );
                } else {
                    return (items, Some(close));
                }
                continue;
            }
            if place != Place::File && self.belongs_outside(place) {
                return (items, None);
            }
            let item = match place {
                Place::Table => self.table_line(),
                Place::Rules | Place::Inner => self.rule(),
                Place::Preprocess => self.preprocess_item(),
                _ => self.line(place),
            };
            items.push(item);
        }
    }

    /// Whether what follows the `}` at `close` can only belong in front of it.
    fn closes_too_early(&self, place: Place, close: usize) -> bool {
        let next = self.solid(close + 1);
        if next == self.tokens.len() || !self.starts_line(next) {
            return false;
        }
        let (word, after) = (self.text(next), self.text(next + 1));
        let is_word = self.kind(next) == Some(Kind::Word);
        match place {
            Place::Block => {
                is_word && matches!(after, "=" | ",") && !FILE_WORDS.contains(&word)
                    || matches!(word, "param" | "require") && after != "="
            }
            Place::Network => {
                NETWORK_WORDS.contains(&word) && !matches!(after, "=" | "," | "(" | ":")
            }
            Place::Table => matches!(word, "|" | "||") || self.kind(next) == Some(Kind::Rule),
            Place::Rules => {
                is_word && after == ":"
                    || matches!(word, "drop" | "preprocess") && !matches!(after, "=" | ",")
            }
            Place::Preprocess => is_word && after == "=",
            // What follows may as well belong to the rules around it.
            Place::File | Place::Inner => false,
        }
    }

    /// Whether the line at hand can only stand outside this place, so that its `}` is missing.
    fn belongs_outside(&self, place: Place) -> bool {
        if !self.starts_line(self.at) || self.kind(self.at) != Some(Kind::Word) {
            return false;
        }
        let (word, after) = (self.text(self.at), self.text(self.at + 1));
        let after_that = self.text(self.at + 2);
        let named = self.kind(self.at + 1) == Some(Kind::Word);
        let top = named && word == "block" && after_that == "("
            || named && word == "network" && matches!(after_that, "(" | "{")
            || word == "use" && matches!(self.kind(self.at + 1), Some(Kind::Text { .. }));
        let plain = matches!(after, "=" | "," | ":" | "|");
        match place {
            Place::File => false,
            // A block that is written inside a network, deliberately, is indented.
            Place::Network => top && self.indent(self.at) == 0,
            Place::Block => top || named && word == "operator" || named && word == "setting",
            Place::Table => {
                top || !plain && (NETWORK_WORDS.contains(&word) || FILE_WORDS.contains(&word))
            }
            Place::Inner if word == "preprocess" && after == "{" => {
                self.margins.last().is_some_and(|m| self.indent(self.at) <= *m)
            }
            Place::Rules | Place::Inner => top || !plain && NETWORK_WORDS.contains(&word),
            Place::Preprocess => {
                top || !plain && KEYWORDS.contains(&word) || after == ":" || after == ","
            }
        }
    }

    /// The braces of a section whose head is `head`.
    fn section(&mut self, kind: ItemKind, head: Range<usize>, inner: Place) -> Item {
        let brace = self.solid(self.at);
        let open = (self.text(brace) == "{").then_some(brace);
        match open {
            Some(open) => self.at = open + 1,
            None => {
                let last = head.end - 1;
                let end = self.span(last).end;
                let span = Span { file: self.file, start: end, end };
                self.problems.push(
                    Diagnostic::error("E0005", span, "expected `{` and the section's lines")
                        .label("the `{` is missing")
                        .related(self.span(head.start), "this starts a section"),
                );
            }
        }
        self.unopened += usize::from(open.is_none());
        self.margins.push(self.indent(head.start));
        let (body, close) =
            if self.unopened > MAX_UNOPENED { (Vec::new(), None) } else { self.body(inner) };
        self.unopened -= usize::from(open.is_none());
        self.margins.pop();
        if let (Some(open), None) = (open, close) {
            self.unclosed(open, &head);
        }
        Item { kind, head, open, body, close }
    }

    fn unclosed(&mut self, open: usize, head: &Range<usize>) {
        if self.unclosed_at == Some(self.at) {
            return;
        }
        self.unclosed_at = Some(self.at);
        let problem = Diagnostic::error("E0005", self.span(open), "this `{` is never closed")
            .label("no `}` for it");
        let problem = if self.at == self.tokens.len() {
            problem.related(self.span(head.start), "the file ends inside this")
        } else if self.text(self.at) == "}" {
            problem.related(self.span(self.at), "by its indentation, this closes something else")
        } else {
            problem.related(self.span(self.at), "this does not belong inside, so it ends above")
        };
        self.problems.push(problem.help("add a `}` on a line of its own"));
    }
}

/// `a`, `a or b`, `a, b or c`, with backquotes around words.
pub(crate) fn one_of(words: &[&str]) -> String {
    let quoted: Vec<String> = words
        .iter()
        .map(|w| if w.contains(' ') || w.contains('`') { w.to_string() } else { format!("`{w}`") })
        .collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
