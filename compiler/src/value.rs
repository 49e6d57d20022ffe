//! Values of the architecture language.

use netwright_grammar::ast::Argument;
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::NodeId;
use std::fmt;
use std::rc::Rc;

/// What an expression stands for.
#[derive(Clone, Debug)]
pub enum Value {
    /// A number; a shape or count must be a whole one.
    Number(f64),
    /// Yes or no.
    Bool(bool),
    /// Text.
    Text(Rc<str>),
    /// A list or size; `3x3` is two numbers.
    List(Rc<Vec<Value>>),
    /// `-`, `none`.
    Absent,
    /// A tensor of the graph under construction.
    Tensor(NodeId),
    /// Something that can be called.
    Callable(Rc<Callable>),
    /// The value of something that already has an error: everything made from it is silent.
    Poison,
}

/// A block, primitive or number function, perhaps with some arguments given already.
#[derive(Clone, Debug)]
pub struct Callable {
    /// Which.
    pub target: Target,
    /// Arguments given so far: name (if by name), value, and the source they came from.
    pub given: Vec<(Option<String>, Value, Argument)>,
}

/// What a [`Callable`] calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A block of the spec or of `std.arch`, by name.
    Block(String),
    /// A primitive or number function, by name.
    Primitive(String),
}

/// Largest whole number that a value may be where a count, size or index is needed (2^40).
pub const MAX_WHOLE: i64 = 1 << 40;

/// The code of the diagnostic that stands for "there is already an error about this". Whoever
/// collects diagnostics drops it: see [`is_silent`].
pub const SILENT: &str = "E0000";

/// Whether a diagnostic only says that a [`Value::Poison`] was used, so that it is not shown.
pub fn is_silent(diagnostic: &Diagnostic) -> bool {
    diagnostic.code == SILENT
}

/// The diagnostic that stands for the use of a [`Value::Poison`].
pub fn silent(span: Span) -> Diagnostic {
    Diagnostic::error(SILENT, span, "an earlier error makes this unknown")
}

impl Value {
    /// Text.
    pub fn text(text: &str) -> Value {
        Value::Text(Rc::from(text))
    }

    /// A list.
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Rc::new(items))
    }

    /// A list of numbers, such as a size.
    pub fn numbers(items: impl IntoIterator<Item = f64>) -> Value {
        Value::list(items.into_iter().map(Value::Number).collect())
    }

    /// What kind of value it is, for messages: "a number".
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Number(_) => "a number",
            Value::Bool(_) => "yes or no",
            Value::Text(_) => "text",
            Value::List(_) => "a list",
            Value::Absent => "nothing (`-`)",
            Value::Tensor(_) => "a tensor",
            Value::Callable(_) => "something to call",
            Value::Poison => "unknown",
        }
    }

    /// Whether it is `-` or `none`.
    pub fn is_absent(&self) -> bool {
        matches!(self, Value::Absent)
    }

    /// Whether it, or anything in it, stands for something that already has an error.
    pub fn is_poison(&self) -> bool {
        match self {
            Value::Poison => true,
            Value::List(items) => items.iter().any(Value::is_poison),
            _ => false,
        }
    }

    /// Whether it is, or holds, a tensor.
    pub fn has_tensor(&self) -> bool {
        match self {
            Value::Tensor(_) => true,
            Value::List(items) => items.iter().any(Value::has_tensor),
            _ => false,
        }
    }

    /// What a condition makes of it: `no`, `0` and `none` are false, everything else is true.
    ///
    /// # Errors
    /// A tensor: its elements are not known when the network is built.
    pub fn truth(&self, span: Span) -> Result<bool, Diagnostic> {
        match self {
            Value::Bool(yes) => Ok(*yes),
            Value::Number(number) => Ok(*number != 0.0),
            Value::Absent => Ok(false),
            Value::Text(_) | Value::List(_) | Value::Callable(_) => Ok(true),
            Value::Tensor(_) => Err(Diagnostic::error("E0210", span, "a tensor is no condition")
                .help("compare its shape, as in `x.c == 64`: the elements are not known yet")),
            Value::Poison => Err(silent(span)),
        }
    }

    /// The number, where `what` names the argument or cell: "the argument `stride`".
    ///
    /// # Errors
    /// Anything but a number.
    pub fn as_number(&self, what: &str, span: Span) -> Result<f64, Diagnostic> {
        match self {
            Value::Number(number) => Ok(*number),
            Value::Poison => Err(silent(span)),
            other => Err(wrong_kind(what, "a number", other, span)),
        }
    }

    /// A whole number from `low` to `high`.
    ///
    /// # Errors
    /// Anything else; the message says which whole numbers stand on either side of a fraction.
    pub fn as_whole(&self, what: &str, low: i64, high: i64, span: Span) -> Result<i64, Diagnostic> {
        let number = self.as_number(what, span)?;
        if number.fract() != 0.0 {
            let message = format!("{what} must be a whole number, this is {}", plain(number));
            return Err(Diagnostic::error("E0217", span, message).help(format!(
                "`/` is a real quotient; `floor(..)` gives {}, `ceil(..)` gives {}",
                plain(number.floor()),
                plain(number.ceil())
            )));
        }
        if number < low as f64 || number > high as f64 {
            let range = match (low, high) {
                (low, MAX_WHOLE) => format!("at least {low} and at most 2^40"),
                (low, high) => format!("from {low} to {high}"),
            };
            let message = format!("{what} must be {range}, this is {}", plain(number));
            return Err(Diagnostic::error("E0218", span, message));
        }
        Ok(number as i64)
    }

    /// A whole number of at least 1: channels, groups, a repeat.
    ///
    /// # Errors
    /// See [`Value::as_whole`].
    pub fn as_count(&self, what: &str, span: Span) -> Result<usize, Diagnostic> {
        self.as_whole(what, 1, MAX_WHOLE, span).map(|whole| whole as usize)
    }

    /// A whole number of at least 0: an index, a border.
    ///
    /// # Errors
    /// See [`Value::as_whole`].
    pub fn as_index(&self, what: &str, span: Span) -> Result<usize, Diagnostic> {
        self.as_whole(what, 0, MAX_WHOLE, span).map(|whole| whole as usize)
    }

    /// Rows and columns, each at least `low`: a size such as `3x5`, or one number for both.
    ///
    /// # Errors
    /// Anything else.
    pub fn as_size2(&self, what: &str, low: i64, span: Span) -> Result<[usize; 2], Diagnostic> {
        let whole =
            |value: &Value| value.as_whole(what, low, MAX_WHOLE, span).map(|whole| whole as usize);
        match self {
            Value::Number(_) => whole(self).map(|side| [side, side]),
            Value::List(items) if items.len() == 2 => Ok([whole(&items[0])?, whole(&items[1])?]),
            Value::Poison => Err(silent(span)),
            other => Err(wrong_kind(what, "a number or a size such as `3x3`", other, span)),
        }
    }

    /// The text.
    ///
    /// # Errors
    /// Anything but text.
    pub fn as_text(&self, what: &str, span: Span) -> Result<Rc<str>, Diagnostic> {
        match self {
            Value::Text(text) => Ok(text.clone()),
            Value::Poison => Err(silent(span)),
            other => Err(wrong_kind(what, "text in quotes", other, span)),
        }
    }

    /// The items of a list; a number alone is a list of one.
    ///
    /// # Errors
    /// Anything but a list or a number.
    pub fn as_items(&self, what: &str, span: Span) -> Result<Vec<Value>, Diagnostic> {
        match self {
            Value::List(items) => Ok(items.to_vec()),
            Value::Number(_) => Ok(vec![self.clone()]),
            Value::Poison => Err(silent(span)),
            other => Err(wrong_kind(what, "a list", other, span)),
        }
    }

    /// The whole numbers of a list, each from `low` to `high`; a number alone is a list of one.
    ///
    /// # Errors
    /// Anything else.
    pub fn as_wholes(
        &self,
        what: &str,
        low: i64,
        high: i64,
        span: Span,
    ) -> Result<Vec<i64>, Diagnostic> {
        self.as_items(what, span)?
            .iter()
            .map(|item| item.as_whole(&format!("each number of {what}"), low, high, span))
            .collect()
    }

    /// Whether two values are the same. A size equals a number when all its parts do, since a
    /// number stands for a square size; values of different kinds are different.
    pub fn same(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Number(a), Value::Number(b)) => a == b,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::List(a), Value::List(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.same(b))
            }
            (Value::List(list), number @ Value::Number(_))
            | (number @ Value::Number(_), Value::List(list)) => {
                !list.is_empty() && list.iter().all(|item| item.same(number))
            }
            (Value::Absent, Value::Absent) => true,
            (Value::Tensor(a), Value::Tensor(b)) => a == b,
            (Value::Callable(a), Value::Callable(b)) => {
                a.target == b.target
                    && a.given.len() == b.given.len()
                    && a.given.iter().zip(&b.given).all(|(a, b)| a.0 == b.0 && a.1.same(&b.1))
            }
            _ => false,
        }
    }
}

pub(crate) fn wrong_kind(what: &str, wanted: &str, got: &Value, span: Span) -> Diagnostic {
    let message = match got {
        Value::Absent => format!("{what} must be {wanted}, there is nothing here"),
        Value::Tensor(_) | Value::Callable(_) => {
            format!("{what} must be {wanted}, this is {}", got.kind())
        }
        other => format!("{what} must be {wanted}, this is {} ({other})", other.kind()),
    };
    Diagnostic::error("E0210", span, message)
}

/// A number as people write it: without a fraction where it has none.
pub fn plain(number: f64) -> String {
    if number.fract() == 0.0 && number.abs() < 1e15 {
        format!("{number:.0}")
    } else {
        format!("{number}")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => f.write_str(&plain(*number)),
            Value::Bool(yes) => f.write_str(if *yes { "yes" } else { "no" }),
            Value::Text(text) => write!(f, "\"{text}\""),
            Value::List(items) => {
                let shown: Vec<String> = items.iter().take(8).map(Value::to_string).collect();
                let size = items.len() == 2
                    && items.iter().all(|item| matches!(item, Value::Number(n) if *n >= 0.0));
                if size {
                    return f.write_str(&shown.join("x"));
                }
                let more = if items.len() > 8 { ", ..." } else { "" };
                write!(f, "({}{more})", shown.join(", "))
            }
            Value::Absent => f.write_str("none"),
            Value::Tensor(node) => write!(f, "{node}"),
            Value::Callable(callable) => match &callable.target {
                Target::Block(name) | Target::Primitive(name) => f.write_str(name),
            },
            Value::Poison => f.write_str("?"),
        }
    }
}

impl From<f64> for Value {
    fn from(number: f64) -> Value {
        Value::Number(number)
    }
}

impl From<usize> for Value {
    fn from(number: usize) -> Value {
        Value::Number(number as f64)
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Bool(yes)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}
