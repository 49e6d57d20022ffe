//! From text to syntax tree. Pieces that cannot be read cost one finding each; what can be known of
//! them (a label, a name) stays in the tree, with [`ExprKind::Error`] for the rest.

use pest::iterators::Pair;

use crate::Sources;
use crate::ast::{
    Argument, Block, Expr, ExprKind, File, Name, Operator, Parameter, Setting, Span, Statement,
};
use crate::build::{Builder, is_expr, unquote};
use crate::diagnostic::Diagnostic;
use crate::lexer::{Kind, Token};
use crate::network::empty_network;
use crate::outline::{self, Item, ItemKind};
use crate::piece::{self, Piece, Rule};

/// Largest file, in bytes.
pub const MAX_BYTES: usize = 1 << 20;

/// Most findings of one file; a file with more is something else than a spec.
pub(crate) const MAX_PROBLEMS: usize = 200;

/// Reads a file: adds `text` to the sources under `path` and gives its syntax tree, as much of it as
/// can be read, with everything that is wrong with its syntax, in the order of the text.
///
/// Cells of tables are not complained about here: whether a cell is to be an expression depends on
/// its column, so [`crate::ast::Cell::value`] keeps the error for whoever wants the value.
pub fn parse_file(
    sources: &mut Sources,
    path: impl Into<String>,
    text: impl Into<String>,
) -> (File, Vec<Diagnostic>) {
    let file = sources.add(path, text);
    parse_source(sources.text(file), file)
}

/// As [`parse_file`], for a text that is in the sources already, as number `file`.
pub fn parse_source(text: &str, file: u32) -> (File, Vec<Diagnostic>) {
    if text.len() > MAX_BYTES {
        let span = Span { file, start: 0, end: 0 };
        let problem = Diagnostic::error("E0601", span, "the file is larger than 1 MiB")
            .label(format!("it has {} bytes", text.len()))
            .help("a spec is a table and a few lines; is this one?");
        return (File::default(), vec![problem]);
    }
    let outline = outline::outline(text, file);
    let mut reader =
        Reader { text, file, tokens: &outline.tokens, problems: outline.problems.clone() };
    let mut tree = File::default();
    for item in &outline.items {
        reader.top(item, &mut tree);
    }
    let mut problems = reader.problems;
    problems.sort_by_key(|p| (p.span.start, p.span.end));
    if problems.len() > MAX_PROBLEMS {
        let span = problems[MAX_PROBLEMS].span;
        problems.truncate(MAX_PROBLEMS);
        problems.push(Diagnostic::error("E0605", span, "too many errors; the rest is not shown"));
    }
    (tree, problems)
}

/// Reads one expression: an argument of an operator cell, a value from the command line.
///
/// `base` is where `text` starts in its file (its end does not matter); the spans of the result
/// point there.
///
/// # Errors
/// What is wrong with it, with its place.
pub fn parse_expression(text: &str, base: Span) -> Result<Expr, Diagnostic> {
    let piece = Piece { text, file: base.file, start: base.start };
    let built = piece::read(Rule::expression, piece).and_then(|pair| {
        let builder = Builder::new(piece);
        match pair.into_inner().find(|p| is_expr(p.as_rule())) {
            Some(pair) => builder.expr(pair),
            None => Ok(Expr { kind: ExprKind::Error, span: piece.span(0, text.len()) }),
        }
    });
    built.map_err(|problem| *problem)
}

/// Reads arguments as between the parentheses of a call: `1x1, k=3, NBN`; there may be none.
///
/// # Errors
/// What is wrong with them, with its place.
pub fn parse_arguments(text: &str, base: Span) -> Result<Vec<Argument>, Diagnostic> {
    let piece = Piece { text, file: base.file, start: base.start };
    let built = piece::read(Rule::argument_list, piece)
        .and_then(|pair| Builder::new(piece).arguments(pair, 0));
    built.map_err(|problem| *problem)
}

/// Reads items of an outline.
pub(crate) struct Reader<'a> {
    text: &'a str,
    file: u32,
    tokens: &'a [Token],
    problems: Vec<Diagnostic>,
}

impl<'a> Reader<'a> {
    pub(crate) fn problem(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    /// The head of an item without what follows it.
    pub(crate) fn bare(&self, item: &Item) -> Piece<'a> {
        let start = self.tokens.get(item.head.start).map_or(self.text.len(), |t| t.start);
        let end = item.head.end.checked_sub(1).and_then(|l| self.tokens.get(l));
        let end = end.map_or(start, |t| t.end).max(start);
        Piece { text: &self.text[start..end], file: self.file, start: start as u32 }
    }

    /// The head of an item and the comment after it (which may have been meant as a division).
    pub(crate) fn head(&self, item: &Item) -> Piece<'a> {
        let piece = self.bare(item);
        match self.tokens.get(item.head.end) {
            Some(next) if next.kind == Kind::Comment => {
                Piece { text: &self.text[piece.start as usize..next.end], ..piece }
            }
            _ => piece,
        }
    }

    pub(crate) fn head_span(&self, item: &Item) -> Span {
        let piece = self.bare(item);
        piece.span(0, piece.text.len())
    }

    /// From the head's start to the closing brace.
    pub(crate) fn item_span(&self, item: &Item) -> Span {
        let head = self.head_span(item);
        let inner = item.body.last().map(|i| self.item_span(i).end);
        let close = item.close.and_then(|c| self.tokens.get(c)).map(|t| t.end as u32);
        Span { end: close.or(inner).unwrap_or(head.end), ..head }
    }

    /// The piece by a rule, or a finding.
    pub(crate) fn read(&mut self, rule: Rule, piece: Piece<'a>) -> Option<Pair<'a, Rule>> {
        // What would be found now is not shown any more.
        if self.problems.len() > MAX_PROBLEMS {
            return None;
        }
        match piece::read(rule, piece) {
            Ok(pair) => Some(pair),
            Err(problem) => {
                self.problem(*problem);
                None
            }
        }
    }

    /// What could be built, or a finding.
    pub(crate) fn keep<T>(&mut self, built: Result<T, Box<Diagnostic>>) -> Option<T> {
        match built {
            Ok(value) => Some(value),
            Err(problem) => {
                self.problem(*problem);
                None
            }
        }
    }

    /// The expression of a pair; [`ExprKind::Error`], and a finding, if it cannot be built.
    pub(crate) fn expr(&mut self, builder: &Builder, pair: Pair<Rule>) -> Expr {
        let span = builder.span(&pair);
        let built = builder.expr(pair);
        self.keep(built).unwrap_or(Expr { kind: ExprKind::Error, span })
    }

    /// The first expression of a piece; [`ExprKind::Error`], and a finding, if it cannot be read.
    pub(crate) fn first_expr(&mut self, rule: Rule, piece: Piece<'a>) -> Expr {
        let lost = Expr { kind: ExprKind::Error, span: piece.span(0, piece.text.len()) };
        let Some(pair) = self.read(rule, piece) else { return lost };
        match pair.into_inner().find(|p| is_expr(p.as_rule())) {
            Some(pair) => self.expr(&Builder::new(piece), pair),
            None => lost,
        }
    }

    /// The words of a head that cannot be read, from the second on: names, as far as they can be
    /// known.
    pub(crate) fn words(&self, item: &Item) -> Vec<Name> {
        let tokens = self.tokens.get(item.head.clone()).unwrap_or_default();
        tokens
            .iter()
            .skip(1)
            .filter(|t| matches!(t.kind, Kind::Word | Kind::Text { .. }))
            .map(|t| self.token_name(t))
            .collect()
    }

    fn token_name(&self, token: &Token) -> Name {
        let text = token.text(self.text);
        let text = match token.kind {
            Kind::Text { .. } => unquote(text),
            _ => text.to_string(),
        };
        let span = Span { file: self.file, start: token.start as u32, end: token.end as u32 };
        Name { text, span }
    }

    pub(crate) fn lost(&self, item: &Item) -> Expr {
        Expr { kind: ExprKind::Error, span: self.head_span(item) }
    }

    /// A line or section of a file.
    fn top(&mut self, item: &Item, tree: &mut File) {
        match item.kind {
            ItemKind::Use => tree.uses.extend(self.use_line(item)),
            ItemKind::Setting => tree.settings.extend(self.setting(item)),
            ItemKind::Operator => tree.operators.extend(self.operators(item)),
            ItemKind::Block => tree.blocks.extend(self.block(item)),
            ItemKind::Network => {
                let network = self.network(item, tree);
                tree.networks.push(network);
            }
            // Misplaced, which has been said: read for the errors inside.
            _ => {
                let mut nowhere =
                    empty_network(Name { text: String::new(), span: Span::default() });
                self.network_item(item, &mut nowhere, tree);
            }
        }
    }

    pub(crate) fn use_line(&mut self, item: &Item) -> Option<Name> {
        let piece = self.head(item);
        match self.read(Rule::use_line, piece) {
            Some(pair) => pair
                .into_inner()
                .find(|p| p.as_rule() == Rule::string)
                .map(|p| Builder::new(piece).name(&p)),
            None => {
                // Whatever it names is opened all the same, so that its blocks are known.
                let bare = self.bare(item);
                let path = bare.text.strip_prefix("use")?.trim();
                let path = path.trim_matches(|c| "\"'“”‘’".contains(c));
                let span = bare.span(0, bare.text.len());
                (!path.is_empty()).then(|| Name { text: path.to_string(), span })
            }
        }
    }

    pub(crate) fn setting(&mut self, item: &Item) -> Option<Setting> {
        let piece = self.head(item);
        let Some(pair) = self.read(Rule::setting_line, piece) else {
            let name = self.words(item).into_iter().next()?;
            return Some(Setting { name, value: self.lost(item) });
        };
        let builder = Builder::new(piece);
        let setting = pair.into_inner().find(|p| p.as_rule() == Rule::setting)?;
        let (name, value) = self.name_and_value(&builder, setting);
        Some(Setting { name: name?, value: value? })
    }

    /// `name = value` of any rule that has the two.
    pub(crate) fn name_and_value(
        &mut self,
        builder: &Builder,
        pair: Pair<Rule>,
    ) -> (Option<Name>, Option<Expr>) {
        let mut name = None;
        let mut value = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name | Rule::string | Rule::set_name => name = Some(builder.name(&part)),
                Rule::column_name => {
                    name = part.into_inner().next().map(|p| builder.name(&p));
                }
                rule if is_expr(rule) => value = Some(self.expr(builder, part)),
                _ => {}
            }
        }
        (name, value)
    }

    pub(crate) fn operators(&mut self, item: &Item) -> Vec<Operator> {
        let piece = self.head(item);
        let Some(pair) = self.read(Rule::operator_line, piece) else {
            return self
                .declared(item)
                .into_iter()
                .map(|(pattern, quoted)| Operator { pattern, quoted, callee: self.lost(item) })
                .collect();
        };
        let builder = Builder::new(piece);
        let mut operators = Vec::new();
        for part in pair.into_inner().filter(|p| p.as_rule() == Rule::operator) {
            let quoted = part.clone().into_inner().any(|p| p.as_rule() == Rule::string);
            if let (Some(pattern), Some(callee)) = self.name_and_value(&builder, part) {
                operators.push(Operator { pattern, quoted, callee });
            }
        }
        operators
    }

    /// The names that a line of `name = value, name = value` gives values to, although it cannot be
    /// read; and whether each is quoted.
    pub(crate) fn declared(&self, item: &Item) -> Vec<(Name, bool)> {
        let tokens = self.tokens.get(item.head.clone()).unwrap_or_default();
        let mut names = Vec::new();
        let mut depth = 0usize;
        for (index, token) in tokens.iter().enumerate().skip(1) {
            match token.text(self.text) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let assigns = tokens.get(index + 1).is_some_and(|t| t.text(self.text) == "=");
            let quoted = matches!(token.kind, Kind::Text { .. });
            if (quoted || token.kind == Kind::Word) && (index == 1 || depth == 0 && assigns) {
                names.push((self.token_name(token), quoted));
            }
        }
        names
    }

    pub(crate) fn block(&mut self, item: &Item) -> Option<Block> {
        let head = self.section_head(Rule::block_head, item);
        let body = self.statements(&item.body);
        let (name, params) = head?;
        Some(Block { name, params, body, span: self.item_span(item) })
    }

    /// Name and parameters of a block or a network.
    pub(crate) fn section_head(
        &mut self,
        rule: Rule,
        item: &Item,
    ) -> Option<(Name, Vec<Parameter>)> {
        let piece = self.head(item);
        let Some(pair) = self.read(rule, piece) else { return self.rough_head(item) };
        let builder = Builder::new(piece);
        let mut name = None;
        let mut params = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => name = Some(builder.name(&part)),
                Rule::params => {
                    for parameter in part.into_inner().filter(|p| p.as_rule() == Rule::parameter) {
                        let built = builder.parameter(parameter);
                        params.extend(self.keep(built).flatten());
                    }
                }
                _ => {}
            }
        }
        Some((name?, params))
    }

    /// Name and parameters of a head that the grammar does not take: what can be seen of them, so
    /// that uses of the block are not complained about in turn.
    fn rough_head(&self, item: &Item) -> Option<(Name, Vec<Parameter>)> {
        let tokens = self.tokens.get(item.head.clone()).unwrap_or_default();
        let name = tokens.get(1).filter(|t| t.kind == Kind::Word)?;
        let mut params = Vec::new();
        let mut depth = 0usize;
        let mut expected = true;
        for (index, token) in tokens.iter().enumerate().skip(2) {
            match token.text(self.text) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                "," if depth <= 1 => expected = true,
                _ if token.kind == Kind::Word && expected && depth <= 1 => {
                    expected = false;
                    let name = self.token_name(token);
                    let assigns = tokens.get(index + 1).is_some_and(|t| t.text(self.text) == "=");
                    let default = assigns.then(|| self.lost(item));
                    params.push(Parameter { name, default });
                }
                _ => {}
            }
        }
        Some((self.token_name(name), params))
    }

    fn statements(&mut self, items: &[Item]) -> Vec<Statement> {
        items
            .iter()
            .filter(|i| i.kind == ItemKind::Statement)
            .filter_map(|i| self.statement(i))
            .collect()
    }

    pub(crate) fn statement(&mut self, item: &Item) -> Option<Statement> {
        let piece = self.head(item);
        let span = self.head_span(item);
        let Some(pair) = self.read(Rule::statement, piece) else {
            return self.rough_statement(item);
        };
        let builder = Builder::new(piece);
        let line = pair.into_inner().find(|p| p.as_rule() != Rule::EOI)?;
        match line.as_rule() {
            Rule::param_line => {
                let mut name = None;
                let mut dims = Vec::new();
                for part in line.into_inner() {
                    match part.as_rule() {
                        Rule::name => name = Some(builder.name(&part)),
                        Rule::dims => {
                            let built = builder.exprs(part, 0);
                            dims = self.keep(built).unwrap_or_else(|| vec![self.lost(item)]);
                        }
                        _ => {}
                    }
                }
                Some(Statement::Param { name: name?, dims, span })
            }
            Rule::require_line => {
                let mut parts = self.exprs_of(&builder, line).into_iter();
                Some(Statement::Require { condition: parts.next()?, message: parts.next(), span })
            }
            _ => {
                let labels = line
                    .clone()
                    .into_inner()
                    .filter(|p| p.as_rule() == Rule::name)
                    .map(|p| builder.name(&p))
                    .collect();
                let mut parts = self.exprs_of(&builder, line).into_iter();
                Some(Statement::Let {
                    labels,
                    value: parts.next()?,
                    when: parts.next(),
                    otherwise: parts.next(),
                    span,
                })
            }
        }
    }

    pub(crate) fn exprs_of(&mut self, builder: &Builder, pair: Pair<Rule>) -> Vec<Expr> {
        pair.into_inner().filter(|p| is_expr(p.as_rule())).map(|p| self.expr(builder, p)).collect()
    }

    /// The labels of a line that cannot be read, so that they are known below.
    fn rough_statement(&self, item: &Item) -> Option<Statement> {
        let tokens = self.tokens.get(item.head.clone()).unwrap_or_default();
        let span = self.head_span(item);
        let first = tokens.first()?;
        match first.text(self.text) {
            "require" => return None,
            "param" => {
                let name = tokens.get(1).filter(|t| t.kind == Kind::Word)?;
                let dims = vec![self.lost(item)];
                return Some(Statement::Param { name: self.token_name(name), dims, span });
            }
            _ => {}
        }
        let mut labels = Vec::new();
        for token in tokens {
            match token.kind {
                Kind::Word if labels.is_empty() => labels.push(self.token_name(token)),
                Kind::Word if token.text(self.text) != "when" => {
                    labels.push(self.token_name(token));
                }
                _ if token.text(self.text) == "," => continue,
                _ => break,
            }
        }
        // Without a `=` only the first word is known to be a label.
        let assigns = tokens.iter().any(|t| t.text(self.text) == "=");
        if !assigns {
            labels.truncate(1);
        }
        (!labels.is_empty()).then(|| Statement::Let {
            labels,
            value: self.lost(item),
            when: None,
            otherwise: None,
            span,
        })
    }
}
