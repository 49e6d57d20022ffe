//! Says in a sentence why a piece could not be read: what was expected, what was found, and what its
//! author probably meant.

use pest::error::{Error, ErrorVariant, InputLocation};

use crate::diagnostic::Diagnostic;
use crate::lexer::{self, Kind, Token};
use crate::outline::one_of;
use crate::piece::{Piece, Rule};

/// The tokens of a piece that failed, and where it did.
struct Failure<'a> {
    rule: Rule,
    piece: Piece<'a>,
    /// Tokens that carry meaning.
    tokens: Vec<Token>,
    /// Whether a comment ends the piece.
    comment: Option<Token>,
    /// The token that could not be read; one past the last if the piece ended too early.
    at: usize,
}

/// The finding for `error`, which `rule` gave for `piece`.
pub(crate) fn explain(rule: Rule, piece: Piece, error: &Error<Rule>) -> Diagnostic {
    let all = lexer::tokens(piece.text);
    let comment = all.iter().rev().find(|t| t.kind == Kind::Comment).copied();
    let tokens: Vec<Token> = all.into_iter().filter(Token::is_solid).collect();
    let byte = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let at = tokens.iter().position(|t| t.end > byte).unwrap_or(tokens.len());
    let failure = Failure { rule, piece, tokens, comment, at };
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { .. } => &[],
    };
    failure
        .stray()
        .or_else(|| failure.brackets())
        .or_else(|| failure.habit(expected))
        .unwrap_or_else(|| failure.plain(expected))
}

impl Failure<'_> {
    fn text(&self, token: usize) -> &str {
        self.tokens.get(token).map_or("", |t| t.text(self.piece.text))
    }

    fn before(&self) -> &str {
        self.at.checked_sub(1).map_or("", |b| self.text(b))
    }

    fn kind(&self, token: usize) -> Option<Kind> {
        self.tokens.get(token).map(|t| t.kind)
    }

    fn error(&self, code: &'static str, token: usize, message: impl Into<String>) -> Diagnostic {
        let span = match self.tokens.get(token) {
            Some(t) => self.piece.span(t.start, t.end),
            None => {
                let end = self.tokens.last().map_or(0, |t| t.end);
                self.piece.span(end, end)
            }
        };
        Diagnostic::error(code, span, message)
    }

    /// Characters that the language does not have, and texts that do not end.
    fn stray(&self) -> Option<Diagnostic> {
        for (index, token) in self.tokens.iter().enumerate() {
            let text = token.text(self.piece.text);
            match token.kind {
                Kind::Text { closed: false } => {
                    return Some(
                        self.error("E0007", index, "the text does not end on its line")
                            .label("the closing `\"` is missing")
                            .help("add a `\"` where the text ends"),
                    );
                }
                Kind::Stray => {
                    return Some(
                        self.error("E0008", index, format!("`{text}` is not used here"))
                            .label(format!("U+{:04X}", text.chars().next().map_or(0, u32::from)))
                            .help(stray_help(text)),
                    );
                }
                _ => {}
            }
        }
        None
    }

    /// Brackets without partners.
    fn brackets(&self) -> Option<Diagnostic> {
        let mut open: Vec<usize> = Vec::new();
        for index in 0..self.tokens.len() {
            let text = self.text(index);
            let opening = match text {
                "(" | "[" | "{" => {
                    open.push(index);
                    continue;
                }
                ")" => "(",
                "]" => "[",
                "}" => "{",
                _ => continue,
            };
            match open.pop() {
                Some(other) if self.text(other) == opening => {}
                Some(other) => {
                    return Some(
                        self.error("E0004", index, format!("`{text}` closes another bracket"))
                            .label(format!("expected `{}`", closing(self.text(other))))
                            .related(
                                self.error("E0004", other, "").span,
                                "the bracket that is open here",
                            ),
                    );
                }
                None => {
                    return Some(
                        self.error("E0004", index, format!("`{text}` closes nothing"))
                            .label(format!("no `{opening}` is open here"))
                            .help(format!("remove it, or add the missing `{opening}`")),
                    );
                }
            }
        }
        let open = open.pop()?;
        let close = closing(self.text(open));
        let error = self
            .error("E0003", open, format!("`{}` is never closed", self.text(open)))
            .label(format!("the `{close}` for this one is missing"));
        // Only a comment that would have closed the bracket can have been meant as a division.
        let closes = |comment: &Token| comment.text(self.piece.text).contains(close);
        Some(match self.comment.filter(closes) {
            Some(comment) => {
                let span = self.piece.span(comment.start, comment.end);
                error.related(span, "`//` starts a comment").help(format!(
                    "add `{close}`; a quotient that is rounded down is written `floor(a / b)`"
                ))
            }
            None => error.help(format!("add `{close}`")),
        })
    }

    /// What other languages would write here.
    fn habit(&self, expected: &[Rule]) -> Option<Diagnostic> {
        let found = self.text(self.at);
        let before = self.before();
        let asks = (0..self.at)
            .rev()
            .find(|t| matches!(self.text(*t), "when" | "require" | "if" | "else" | "then"));
        let in_condition = asks.is_some_and(|t| matches!(self.text(t), "when" | "require" | "if"));
        let error = |code, token, message: &str| self.error(code, token, message);
        if let Some((word, mark)) = spelled(found, before) {
            let token = if found == word { self.at } else { self.at - 1 };
            return Some(
                error("E0013", token, &format!("`{word}` is not an operator"))
                    .label(format!("write `{mark}`"))
                    .help("conditions are joined by `&&` and `||` and negated by `!`"),
            );
        }
        if found == "=" && in_condition {
            return Some(
                error("E0012", self.at, "`=` does not compare")
                    .label("write `==`")
                    .help("`==` compares two values; `=` gives a name to one"),
            );
        }
        if found == "=" && expected.iter().any(|r| binary_mark(*r)) {
            return Some(
                error("E0001", self.at, "a second `=` on this line")
                    .label("a line gives names to one value")
                    .help("write `==` to compare, or start a new line"),
            );
        }
        if found == "**" || found == "*" && before == "*" {
            return Some(error("E0001", self.at, "`**` is not an operator").label("write `^`"));
        }
        if found == "×" {
            return Some(
                error("E0001", self.at, "`×` joins the numbers of a size only")
                    .label("write `*` to multiply"),
            );
        }
        if let Some(number) = self.bad_number() {
            return Some(number);
        }
        if expected.contains(&Rule::kw_then) {
            return Some(
                error("E0001", self.at, "expected `then`")
                    .label("`then` is missing before this")
                    .help("a choice is `if condition then value else value`"),
            );
        }
        if let Some(arrow) = self.arrow_before()
            && (expected.contains(&Rule::arrow) && starts_operator(found)
                || before == "->" && expected.iter().any(|r| matches!(r, Rule::step | Rule::name)))
        {
            let (problem, help) = if before == "->" {
                (
                    "a name or a call is expected after `->`",
                    "a step is a name or a call, such as `bn` or `conv(c, 3x3)`",
                )
            } else {
                (
                    "only steps follow a `->`",
                    "a step is a name or a call; give the sum a line of its own, or put the \
                     steps in parentheses: `(x -> f) + y`",
                )
            };
            return Some(
                self.error("E0011", self.at, problem)
                    .label("not part of a step")
                    .related(self.error("E0011", arrow, "").span, "the value flows from here")
                    .help(help),
            );
        }
        None
    }

    /// Letters that stick to a number.
    fn bad_number(&self) -> Option<Diagnostic> {
        let number = [Some(self.at), self.at.checked_sub(1)].into_iter().flatten().find(|t| {
            let text = self.text(*t);
            self.kind(*t) == Some(Kind::Number)
                && text.ends_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && !(text.ends_with(['K', 'M', 'B', 'G', 'T'])
                    && text[..text.len() - 1].ends_with(|c: char| c.is_ascii_digit()))
        })?;
        Some(
            self.error("E0001", number, format!("`{}` is not a number", self.text(number)))
                .label("letters stick to the digits")
                .help(
                    "a number may end in K, M, B, G or T; sizes are `3x3` or `224²×3`; a product \
                     is written with `*`",
                ),
        )
    }

    /// The `->` in the same brackets before the failing token.
    fn arrow_before(&self) -> Option<usize> {
        let mut depth = 0usize;
        for token in (0..self.at).rev() {
            match self.text(token) {
                ")" | "]" => depth += 1,
                "(" | "[" => depth = depth.checked_sub(1)?,
                "when" | "else" | "=" | "," if depth == 0 => return None,
                "->" if depth == 0 => return Some(token),
                _ => {}
            }
        }
        None
    }

    /// The general case.
    fn plain(&self, expected: &[Rule]) -> Diagnostic {
        let wanted = wanted(expected, self.rule);
        let has_equals = (0..self.tokens.len()).any(|t| self.text(t) == "=");
        let keyword = self.rule == Rule::statement && matches!(self.text(0), "param" | "require");
        if expected.contains(&Rule::eq) && !has_equals && self.rule != Rule::cell && !keyword {
            let label = if self.at == self.tokens.len() {
                "the line ends without it".to_string()
            } else {
                "expected `=` before this".to_string()
            };
            let named = matches!(self.kind(0), Some(Kind::Word)) || self.rule != Rule::statement;
            let form = match self.rule {
                Rule::statement if named => "a line of a block is `label = value`",
                Rule::statement => "a line starts with its label: `label = value`",
                Rule::setting_line => "a setting is `setting name = value`",
                Rule::operator_line => "an operator is `operator name = block(arguments)`",
                Rule::column_line => "a column rule is `column name = value`",
                Rule::heading_line => "a heading is `heading \"as printed\" = name`",
                Rule::expect_line => "an expectation is `expect params = 3_504_872`",
                Rule::output_line => "an output is `output name = label`",
                Rule::set_line => "a dialect sets `set name = value`",
                _ => "write `name = value`",
            };
            return self.error("E0002", self.at, "`=` is missing").label(label).help(form);
        }
        if self.at == self.tokens.len() {
            let problem = self.error("E0001", self.at, format!("{} too early", self.ends()));
            let problem = match wanted.as_str() {
                "" => problem,
                wanted => problem.label(format!("expected {wanted}")),
            };
            return match self.help(false, expected) {
                Some(help) => problem.help(help),
                None => problem,
            };
        }
        let adjacent = expected.contains(&Rule::comma)
            && matches!(self.kind(self.at), Some(Kind::Word | Kind::Number | Kind::Text { .. }));
        let found = match self.kind(self.at) {
            Some(Kind::Text { .. }) => "this text".to_string(),
            _ => format!("`{}`", self.text(self.at)),
        };
        let problem = self.error("E0001", self.at, format!("{found} is not expected here")).label(
            match wanted.as_str() {
                "" => "not expected".to_string(),
                wanted => format!("expected {wanted}"),
            },
        );
        match self.help(adjacent, expected) {
            Some(help) => problem.help(help),
            None => problem,
        }
    }

    fn ends(&self) -> &'static str {
        match self.rule {
            Rule::cell => "the cell ends",
            Rule::expression | Rule::argument_list => "the expression ends",
            _ => "the line ends",
        }
    }

    fn help(&self, adjacent: bool, expected: &[Rule]) -> Option<String> {
        let found = self.text(self.at);
        let label = self.rule == Rule::statement && self.at == 0;
        if reserved(found) && (label || expected.contains(&Rule::name)) {
            return Some(format!("`{found}` is a word of the language and cannot be a name"));
        }
        if self.rule == Rule::naming && expected.contains(&Rule::colon) {
            return Some("a rule is `label: name` or `label, label: name, name`".to_string());
        }
        if expected.contains(&Rule::arrow)
            && expected.contains(&Rule::EOI)
            && !starts_operator(found)
        {
            return Some("is `->` or an operator missing in front of it?".to_string());
        }
        if matches!(self.rule, Rule::operator_line | Rule::carried_line | Rule::column_line)
            && matches!(found, "-" | "#" | "/")
        {
            return Some(
                "a name with other letters than `a-z`, `0-9` and `_` is quoted".to_string(),
            );
        }
        if adjacent {
            return Some("is a comma or an operator missing in front of it?".to_string());
        }
        match (self.rule, expected) {
            (Rule::statement, _) if self.text(0) == "param" => {
                Some("a free parameter is `param name[size, size]`".into())
            }
            (Rule::statement, _) if self.text(0) == "require" => {
                Some("a requirement is `require condition, \"message\"`".into())
            }
            (Rule::use_line, _) => Some("a file is named in quotes: `use \"blocks.arch\"`".into()),
            (Rule::block_head, _) => Some("a block starts `block name(x, a, b = 1) {`".into()),
            (Rule::network_head, _) => Some("a network starts `network name(a, b = 1) {`".into()),
            (Rule::heading_line, _) => {
                Some("a heading is `heading \"as printed\" = name`, in quotes".into())
            }
            _ => None,
        }
    }
}

fn closing(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        _ => "}",
    }
}

fn reserved(word: &str) -> bool {
    matches!(
        word,
        "if" | "then" | "else" | "when" | "param" | "yes" | "no" | "true" | "false" | "none"
    )
}

/// The mark for an operator that was spelled out; the word is `found` or `before`.
fn spelled<'a>(found: &'a str, before: &'a str) -> Option<(&'a str, &'static str)> {
    let mark = |word: &str| match word {
        "and" => Some("&&"),
        "or" => Some("||"),
        "not" => Some("!"),
        _ => None,
    };
    match (mark(found), mark(before)) {
        (Some(mark), _) => Some((found, mark)),
        (None, Some(mark)) if !found.is_empty() => Some((before, mark)),
        _ => None,
    }
}

fn stray_help(text: &str) -> &'static str {
    match text {
        "“" | "”" | "„" | "«" | "»" | "‟" => {
            "texts stand between straight quotes: `\"text\"`"
        }
        "‘" | "’" | "'" | "`" | "´" => "texts stand between double quotes: `\"text\"`",
        "→" | "⟶" | "➔" | "➜" => "write `->`",
        "−" | "‐" | "‑" | "‒" => "write `-`, the sign on the keyboard",
        "≤" => "write `<=`",
        "≥" => "write `>=`",
        "≠" => "write `!=`",
        "∗" | "·" | "⋅" | "✕" | "✖" => "write `*` to multiply, `×` inside a size",
        "÷" => "write `/`",
        "³" => "write `^3`",
        ";" => "lines need no `;`; remove it",
        "&" => "write `&&`",
        "~" | "≈" => "write `±` for a tolerance",
        "?" => "a choice is `if condition then value else value`",
        "\\" => {
            "a line goes on without a sign inside brackets, or when the next one starts with `->`"
        }
        "✔" => "write `✓` or `yes`",
        "✘" => "write `✗` or `no`",
        "@" | "$" => "names consist of letters, digits and `_`",
        _ => "remove it; names consist of letters, digits and `_`",
    }
}

fn starts_operator(found: &str) -> bool {
    matches!(
        found,
        "+" | "-" | "*" | "/" | "%" | "^" | "<" | ">" | "<=" | ">=" | "==" | "!=" | "&&" | "||"
    )
}

fn binary_mark(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::pow
            | Rule::mul
            | Rule::div
            | Rule::rem
            | Rule::le
            | Rule::ge
            | Rule::lt
            | Rule::gt
            | Rule::same
            | Rule::differs
            | Rule::and
            | Rule::or
            | Rule::add
            | Rule::sub
    )
}

/// What the rules would have taken, as a list in words.
fn wanted(expected: &[Rule], rule: Rule) -> String {
    let mut words: Vec<&str> = Vec::new();
    let mut add = |word: &'static str| {
        if !words.contains(&word) {
            words.push(word);
        }
    };
    // That a name could have been called or indexed is never the point where it could have ended.
    let could_end = expected.iter().any(|r| {
        matches!(r, Rule::EOI | Rule::comma | Rule::arrow | Rule::kw_then | Rule::kw_else)
    });
    for rule_word in expected {
        if could_end
            && matches!(rule_word, Rule::open_paren | Rule::open_bracket | Rule::args | Rule::index)
        {
            continue;
        }
        if let Some(word) = word(*rule_word, rule) {
            add(word);
        }
    }
    words.sort_by_key(|w| rank(w));
    // A value may be a name or start with a bracket: saying both says nothing.
    if words.contains(&"a value") {
        words.retain(|w| !matches!(*w, "a name" | "a text in quotes" | "an argument" | "(" | "["));
    }
    one_of(&words)
}

/// Values first, ends last.
fn rank(word: &str) -> u8 {
    match word {
        "a value" | "a name" => 0,
        "an operator" => 2,
        w if w.starts_with("the end") => 4,
        w if w.len() <= 2 => 1,
        _ => 3,
    }
}

/// What a rule of the grammar is called, or nothing if naming it would not help.
fn word(expected: Rule, whole: Rule) -> Option<&'static str> {
    Some(match expected {
        rule if binary_mark(rule) => "an operator",
        Rule::EOI => match whole {
            Rule::cell => "the end of the cell",
            Rule::expression | Rule::argument_list => "the end",
            _ => "the end of the line",
        },
        Rule::expr
        | Rule::expr_pm
        | Rule::cond
        | Rule::chain
        | Rule::if_expr
        | Rule::paren
        | Rule::list
        | Rule::number
        | Rule::size
        | Rule::percent
        | Rule::yes_no
        | Rule::absent
        | Rule::free_param
        | Rule::grid
        | Rule::ordinal
        | Rule::digits
        | Rule::square
        | Rule::cell_value
        | Rule::cell_absent
        | Rule::cell_no
        | Rule::preprocess_value => "a value",
        Rule::argument | Rule::arg_name | Rule::dash => "an argument",
        Rule::name | Rule::set_name | Rule::variant_name => "a name",
        Rule::column_name => "a column's name",
        Rule::step => "a step",
        Rule::field_name => "a field",
        Rule::string => "a text in quotes",
        Rule::label | Rule::labels => "a label",
        Rule::target
        | Rule::target_name
        | Rule::target_cat
        | Rule::target_rows
        | Rule::name_text
        | Rule::hole => "a tensor's name",
        Rule::drop_pattern => "a pattern of tensor names",
        Rule::params => "parameters in parentheses",
        Rule::parameter => "a parameter",
        Rule::binder => "`name < bound`",
        Rule::variant => "a variant",
        Rule::let_line | Rule::param_line | Rule::require_line => "a label",
        Rule::heading => "a heading in quotes",
        Rule::operator => "an operator's name",
        Rule::column => "a column's name",
        Rule::setting => "a setting's name",
        Rule::dims | Rule::open_bracket => "[",
        Rule::open_paren => "(",
        Rule::close_paren => ")",
        Rule::close_bracket => "]",
        Rule::close_brace => "}",
        Rule::comma => ",",
        Rule::colon => ":",
        Rule::eq => "=",
        Rule::below => "<",
        Rule::arrow => "->",
        Rule::plus_minus => "±",
        Rule::kw_when => "when",
        Rule::kw_else => "else",
        Rule::kw_then => "then",
        Rule::kw_like => "like",
        _ => return None,
    })
}
