//! Turns what the grammar recognised in a piece into expressions of the syntax tree.

use pest::iterators::Pair;

use crate::ast::{Argument, BinaryOp, Expr, ExprKind, Name, Parameter, Span, UnaryOp};
use crate::diagnostic::Diagnostic;
use crate::piece::{Piece, Rule};

/// Deepest tree of an expression: long chains count, since `a + b + c` nests too.
const MAX_TREE: usize = 256;

/// Builds from the pairs of one piece.
pub(crate) struct Builder<'a> {
    piece: Piece<'a>,
}

type Built<T> = Result<T, Box<Diagnostic>>;

impl<'a> Builder<'a> {
    /// A builder for the pairs of `piece`.
    pub fn new(piece: Piece<'a>) -> Self {
        Builder { piece }
    }

    /// The place of a pair.
    pub fn span(&self, pair: &Pair<Rule>) -> Span {
        let span = pair.as_span();
        self.piece.span(span.start(), span.end())
    }

    /// The pair's text as a name; quotes are removed.
    pub fn name(&self, pair: &Pair<Rule>) -> Name {
        let text = match pair.as_rule() {
            Rule::string => unquote(pair.as_str()),
            _ => pair.as_str().to_string(),
        };
        Name { text, span: self.span(pair) }
    }

    /// An expression of any rule that stands for one.
    ///
    /// # Errors
    /// If its tree would be deeper than [`MAX_TREE`].
    pub fn expr(&self, pair: Pair<Rule>) -> Built<Expr> {
        self.nested(pair, 0)
    }

    fn nested(&self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::expr_pm => return self.plus_minus(pair, depth),
            Rule::expr => return self.pipe(pair, depth),
            Rule::chain => return self.chain(pair, depth),
            Rule::step => return self.step(pair, depth),
            Rule::cond | Rule::cell_value | Rule::preprocess_value => {
                return self.only(pair, depth);
            }
            Rule::if_expr => self.if_expr(pair, depth)?,
            Rule::paren => return self.paren(pair, depth),
            Rule::list => ExprKind::List(self.exprs(pair, depth)?),
            Rule::free_param => self.free_param(pair, depth)?,
            Rule::grid => self.grid(pair, depth)?,
            Rule::size | Rule::cell_square => ExprKind::Size(size(pair)),
            Rule::percent => {
                let number = pair.into_inner().next();
                let value = number.map_or(Ok(Expr { kind: ExprKind::Error, span }), |n| {
                    self.nested(n, depth + 1)
                })?;
                ExprKind::Percent(Box::new(value))
            }
            Rule::number => ExprKind::Number(number(pair.as_str())),
            Rule::string => ExprKind::Text(unquote(pair.as_str())),
            Rule::yes_no => ExprKind::Bool(matches!(pair.as_str(), "yes" | "true" | "✓")),
            Rule::cell_no => ExprKind::Bool(false),
            Rule::absent | Rule::dash => ExprKind::Absent,
            Rule::name | Rule::ordinal => ExprKind::Name(pair.as_str().to_string()),
            // The grammar gives no other rule where an expression stands.
            _ => ExprKind::Error,
        };
        Ok(Expr { kind, span })
    }

    /// The one expression inside a pair.
    fn only(&self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let span = self.span(&pair);
        match pair.into_inner().find(|p| is_expr(p.as_rule())) {
            Some(inner) => self.nested(inner, depth),
            None => Ok(Expr { kind: ExprKind::Error, span }),
        }
    }

    /// All expressions inside a pair, in order.
    pub fn exprs(&self, pair: Pair<Rule>, depth: usize) -> Built<Vec<Expr>> {
        pair.into_inner()
            .filter(|p| is_expr(p.as_rule()))
            .map(|p| self.nested(p, depth + 1))
            .collect()
    }

    fn plus_minus(&self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let span = self.span(&pair);
        let mut parts = self.exprs(pair, depth)?.into_iter();
        let first = parts.next().unwrap_or(Expr { kind: ExprKind::Error, span });
        Ok(match parts.next() {
            Some(second) => {
                let span = join(first.span, second.span);
                Expr { kind: ExprKind::PlusMinus(Box::new(first), Box::new(second)), span }
            }
            None => first,
        })
    }

    fn pipe(&self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let mut parts = pair.into_inner().filter(|p| is_expr(p.as_rule()));
        // `expr` is a condition, then steps.
        let Some(first) = parts.next() else {
            return Ok(Expr { kind: ExprKind::Error, span: self.piece.span(0, 0) });
        };
        let first = self.nested(first, depth)?;
        let steps: Vec<Expr> =
            parts.map(|p| self.nested(p, depth + 1)).collect::<Built<Vec<Expr>>>()?;
        Ok(match steps.last() {
            Some(last) => {
                let span = join(first.span, last.span);
                Expr { kind: ExprKind::Pipe(Box::new(first), steps), span }
            }
            None => first,
        })
    }

    fn if_expr(&self, pair: Pair<Rule>, depth: usize) -> Built<ExprKind> {
        let mut parts = self.exprs(pair, depth)?.into_iter().map(Box::new);
        Ok(match (parts.next(), parts.next(), parts.next()) {
            (Some(condition), Some(yes), Some(no)) => ExprKind::If(condition, yes, no),
            _ => ExprKind::Error,
        })
    }

    fn paren(&self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let span = self.span(&pair);
        let list = pair.clone().into_inner().any(|p| p.as_rule() == Rule::comma);
        let mut parts = self.exprs(pair, depth)?;
        match parts.pop() {
            Some(only) if !list => Ok(only),
            Some(last) => {
                parts.push(last);
                Ok(Expr { kind: ExprKind::List(parts), span })
            }
            None => Ok(Expr { kind: ExprKind::Error, span }),
        }
    }

    fn free_param(&self, pair: Pair<Rule>, depth: usize) -> Built<ExprKind> {
        let mut name = None;
        let mut dims = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => name = Some(self.name(&part)),
                Rule::dims => dims = self.exprs(part, depth)?,
                _ => {}
            }
        }
        Ok(name.map_or(ExprKind::Error, |name| ExprKind::Param(name, dims)))
    }

    fn grid(&self, pair: Pair<Rule>, depth: usize) -> Built<ExprKind> {
        let mut binders = Vec::new();
        let mut body = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::binder => {
                    let name = part.clone().into_inner().find(|p| p.as_rule() == Rule::name);
                    let bound = part.into_inner().find(|p| p.as_rule() == Rule::expr);
                    if let (Some(name), Some(bound)) = (name, bound) {
                        binders.push((self.name(&name), self.nested(bound, depth + 1)?));
                    }
                }
                Rule::expr => body = Some(self.nested(part, depth + 1)?),
                _ => {}
            }
        }
        Ok(body.map_or(ExprKind::Error, |body| ExprKind::Grid(binders, Box::new(body))))
    }

    /// A step after `->`.
    fn step(&self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let parts: Vec<Pair<Rule>> = pair.into_inner().collect();
        self.length(&parts, depth)?;
        Climb { builder: self, parts: parts.into_iter().peekable(), depth: depth + 1 }.operand()
    }

    fn chain(&self, pair: Pair<Rule>, depth: usize) -> Built<Expr> {
        let parts: Vec<Pair<Rule>> = pair.into_inner().collect();
        let length = self.length(&parts, depth)?;
        Climb { builder: self, parts: parts.into_iter().peekable(), depth: length }.climb(0)
    }

    /// The depth that `parts` reach at most, as a chain at `depth`.
    fn length(&self, parts: &[Pair<Rule>], depth: usize) -> Built<usize> {
        let deep = depth + parts.len();
        if deep <= MAX_TREE {
            return Ok(deep);
        }
        let span = parts.first().map_or(self.piece.span(0, 0), |p| self.span(p));
        Err(Box::new(
            Diagnostic::error("E0604", span, "the expression is too long")
                .label(format!("more than {MAX_TREE} operators and operands, one in another"))
                .help("give parts of it lines of their own"),
        ))
    }

    /// Arguments of a call or of an operator cell.
    pub fn arguments(&self, pair: Pair<Rule>, depth: usize) -> Built<Vec<Argument>> {
        pair.into_inner()
            .filter(|p| p.as_rule() == Rule::argument)
            .map(|argument| {
                let mut name = None;
                let mut value = Expr { kind: ExprKind::Error, span: self.span(&argument) };
                for part in argument.into_inner() {
                    if part.as_rule() == Rule::arg_name {
                        name = part.into_inner().next().map(|n| self.name(&n));
                    } else {
                        value = self.nested(part, depth + 1)?;
                    }
                }
                Ok(Argument { name, value })
            })
            .collect()
    }

    /// `name` or `name = default`.
    pub fn parameter(&self, pair: Pair<Rule>) -> Built<Option<Parameter>> {
        let mut name = None;
        let mut default = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => name = Some(self.name(&part)),
                rule if is_expr(rule) => default = Some(self.expr(part)?),
                _ => {}
            }
        }
        Ok(name.map(|name| Parameter { name, default }))
    }
}

/// Precedence climbing over the flat list of a chain's operands and operators.
struct Climb<'a, 'p, I: Iterator<Item = Pair<'p, Rule>>> {
    builder: &'a Builder<'a>,
    parts: std::iter::Peekable<I>,
    depth: usize,
}

impl<'p, I: Iterator<Item = Pair<'p, Rule>>> Climb<'_, 'p, I> {
    /// An expression of operators that bind at least as tightly as `least`.
    fn climb(&mut self, least: u8) -> Built<Expr> {
        let mut left = self.prefixed()?;
        while let Some((operator, power)) = self.parts.peek().and_then(|p| binary(p.as_rule())) {
            if power < least {
                break;
            }
            self.parts.next();
            // `^` groups from the right, the others from the left.
            let right = self.climb(if operator == BinaryOp::Pow { power } else { power + 1 })?;
            let span = join(left.span, right.span);
            left = Expr { kind: ExprKind::Binary(operator, Box::new(left), Box::new(right)), span };
        }
        Ok(left)
    }

    /// An operand with what stands before it: `-a^2` is `-(a^2)`.
    fn prefixed(&mut self) -> Built<Expr> {
        let operator = match self.parts.peek().map(|p| p.as_rule()) {
            Some(Rule::neg) => UnaryOp::Neg,
            Some(Rule::not) => UnaryOp::Not,
            _ => return self.operand(),
        };
        let start = self.parts.next().map(|p| self.builder.span(&p));
        let value = self.climb(POWER)?;
        let span = start.map_or(value.span, |s| join(s, value.span));
        Ok(Expr { kind: ExprKind::Unary(operator, Box::new(value)), span })
    }

    /// An operand with its fields, indices and calls.
    fn operand(&mut self) -> Built<Expr> {
        let Some(first) = self.parts.next() else {
            // The grammar has an operand wherever one is asked for.
            return Ok(Expr { kind: ExprKind::Error, span: self.builder.piece.span(0, 0) });
        };
        let start = self.builder.span(&first);
        let mut value = self.builder.nested(first, self.depth)?;
        while let Some(part) =
            self.parts.next_if(|p| matches!(p.as_rule(), Rule::args | Rule::index | Rule::field))
        {
            let span = join(start, self.builder.span(&part));
            let inner = Box::new(value);
            let kind = match part.as_rule() {
                Rule::args => ExprKind::Call(inner, self.builder.arguments(part, self.depth)?),
                Rule::index => {
                    ExprKind::Index(inner, Box::new(self.builder.only(part, self.depth)?))
                }
                _ => match part.into_inner().next() {
                    Some(name) => ExprKind::Field(inner, self.builder.name(&name)),
                    None => ExprKind::Error,
                },
            };
            value = Expr { kind, span };
        }
        Ok(value)
    }
}

/// How tightly `^` binds.
const POWER: u8 = 7;

/// An operator and how tightly it binds.
fn binary(rule: Rule) -> Option<(BinaryOp, u8)> {
    Some(match rule {
        Rule::or => (BinaryOp::Or, 1),
        Rule::and => (BinaryOp::And, 2),
        Rule::same => (BinaryOp::Eq, 3),
        Rule::differs => (BinaryOp::Ne, 3),
        Rule::lt => (BinaryOp::Lt, 3),
        Rule::le => (BinaryOp::Le, 3),
        Rule::gt => (BinaryOp::Gt, 3),
        Rule::ge => (BinaryOp::Ge, 3),
        Rule::add => (BinaryOp::Add, 4),
        Rule::sub => (BinaryOp::Sub, 4),
        Rule::mul => (BinaryOp::Mul, 5),
        Rule::div => (BinaryOp::Div, 5),
        Rule::rem => (BinaryOp::Rem, 5),
        Rule::pow => (BinaryOp::Pow, POWER),
        _ => return None,
    })
}

/// Whether a rule stands for an expression.
pub(crate) fn is_expr(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::expr_pm
            | Rule::expr
            | Rule::cond
            | Rule::if_expr
            | Rule::chain
            | Rule::step
            | Rule::cell_value
            | Rule::cell_square
            | Rule::cell_no
            | Rule::preprocess_value
            | Rule::dash
    )
}

/// From the start of one place to the end of another.
pub(crate) fn join(first: Span, last: Span) -> Span {
    Span { file: first.file, start: first.start.min(last.start), end: first.end.max(last.end) }
}

/// The text between quotes, `\"` and `\\` resolved.
pub(crate) fn unquote(text: &str) -> String {
    let inner = text.strip_prefix('"').unwrap_or(text);
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

/// The value of a number: the suffix is a decimal exponent, so that `0.39B` is exact.
fn number(text: &str) -> f64 {
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let suffix = match digits.chars().last() {
        Some('K') => 3,
        Some('M') => 6,
        Some('B' | 'G') => 9,
        Some('T') => 12,
        _ => 0,
    };
    // What the grammar takes for a number, Rust does too; too large a one becomes infinite, which
    // whoever uses the number must refuse anyway.
    if suffix == 0 {
        return digits.parse().unwrap_or(f64::NAN);
    }
    let digits = &digits[..digits.len() - 1];
    if digits.contains(['e', 'E']) {
        return digits.parse::<f64>().unwrap_or(f64::NAN) * 10f64.powi(suffix);
    }
    format!("{digits}e{suffix}").parse().unwrap_or(f64::NAN)
}

/// The numbers of a size; `²` doubles one.
fn size(pair: Pair<Rule>) -> Vec<f64> {
    let mut sizes = Vec::new();
    let square = pair.as_rule() == Rule::cell_square;
    for part in pair.into_inner() {
        let value = match part.as_rule() {
            Rule::square => part.clone().into_inner().next().map_or("", |d| d.as_str()),
            _ => part.as_str(),
        };
        let value = number(value);
        sizes.push(value);
        if square || part.as_rule() == Rule::square {
            sizes.push(value);
        }
    }
    sizes
}
