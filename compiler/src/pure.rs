//! Arithmetic of the language on values that are not tensors: operators, number functions, and
//! whole expressions where no tensor can occur (column rules, conditions and holes of `weights`).
//!
//! A number stays finite: what would be infinite or no number is an error. Operators and the
//! rounding functions work on lists part by part, a number beside a list counting for each part,
//! so that `ceil(resolution / 0.875)` holds for `224` and for `224x320`. What is made from
//! [`Value::Poison`] is `Poison` again, without a word.
//!
//! | code | meaning |
//! |---|---|
//! | E0201 | a name that is not known |
//! | E0210 | a value of the wrong kind |
//! | E0211 | division by zero |
//! | E0212 | a result that is infinite or no number |
//! | E0213 | arguments that the function does not take, or lacks |
//! | E0214 | an expression that makes a tensor where only numbers can be |
//! | E0215 | an index outside its list |
//! | E0216 | lists of different lengths |
//! | E0217, E0218 | not a whole number; a number out of its range |
//! | E0601 | an expression nested too deeply |

use crate::value::{Callable, Target, Value, plain};
use netwright_grammar::ast::{Argument, BinaryOp, Expr, ExprKind, Name, UnaryOp};
use netwright_grammar::{Diagnostic, Span};
use std::rc::Rc;

mod functions;
mod near;
#[cfg(test)]
mod tests;

pub use functions::{Arg, FUNCTIONS, divisible, function, is_function};
pub use near::near_miss;

/// Longest list that `list(n)` makes.
const MAX_LIST: i64 = 100_000;

/// Deepest nesting of an expression that is evaluated; text is limited well below it by the parser,
/// long chains of operators are not.
const MAX_DEPTH: usize = 200;

/// Applies an operator of one operand.
///
/// # Errors
/// An operand of the wrong kind.
pub fn unary(op: UnaryOp, value: &Value, span: Span) -> Result<Value, Diagnostic> {
    if value.is_poison() {
        return Ok(Value::Poison);
    }
    match op {
        UnaryOp::Not => Ok(Value::Bool(!value.truth(span)?)),
        UnaryOp::Neg => each(value, "the operand of `-`", span, &|number| Ok(-number)),
    }
}

/// Applies an operator of two operands. `&&` and `||` give yes or no; [`evaluate`] does not look at
/// their second operand where the first decides, and callers that evaluate both should not either.
///
/// # Errors
/// Operands of the wrong kind, division by zero, lists of different lengths, an infinite result.
pub fn binary(op: BinaryOp, a: &Value, b: &Value, span: Span) -> Result<Value, Diagnostic> {
    if a.is_poison() || b.is_poison() {
        return Ok(Value::Poison);
    }
    match op {
        BinaryOp::And => Ok(Value::Bool(a.truth(span)? && b.truth(span)?)),
        BinaryOp::Or => Ok(Value::Bool(a.truth(span)? || b.truth(span)?)),
        BinaryOp::Eq => Ok(Value::Bool(a.same(b))),
        BinaryOp::Ne => Ok(Value::Bool(!a.same(b))),
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
            let what = format!("an operand of `{}`", op.symbol());
            let (a, b) = (a.as_number(&what, span)?, b.as_number(&what, span)?);
            Ok(Value::Bool(match op {
                BinaryOp::Lt => a < b,
                BinaryOp::Le => a <= b,
                BinaryOp::Gt => a > b,
                _ => a >= b,
            }))
        }
        _ => {
            let what = format!("an operand of `{}`", op.symbol());
            pairwise(a, b, &what, span, &|a, b| arithmetic(op, a, b, span))
        }
    }
}

fn arithmetic(op: BinaryOp, a: f64, b: f64, span: Span) -> Result<f64, Diagnostic> {
    if matches!(op, BinaryOp::Div | BinaryOp::Rem) && b == 0.0 {
        let message = format!("division by zero: {} {} 0", plain(a), op.symbol());
        return Err(Diagnostic::error("E0211", span, message));
    }
    Ok(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Sub => a - b,
        BinaryOp::Mul => a * b,
        BinaryOp::Div => a / b,
        // The remainder has the divisor's sign, so that `(i - 1) % n` counts round.
        BinaryOp::Rem => a - b * (a / b).floor(),
        _ => a.powf(b),
    })
}

fn finite(number: f64, span: Span) -> Result<f64, Diagnostic> {
    if number.is_finite() {
        return Ok(number);
    }
    let what =
        if number.is_nan() { "the result is not a number" } else { "the result is infinite" };
    Err(Diagnostic::error("E0212", span, what))
}

/// Applies `f` to a number, or to each part of a list.
fn each(
    value: &Value,
    what: &str,
    span: Span,
    f: &dyn Fn(f64) -> Result<f64, Diagnostic>,
) -> Result<Value, Diagnostic> {
    match value {
        Value::List(items) => {
            let parts: Result<Vec<Value>, Diagnostic> =
                items.iter().map(|item| each(item, what, span, f)).collect();
            Ok(Value::list(parts?))
        }
        other => finite(f(other.as_number(what, span)?)?, span).map(Value::Number),
    }
}

/// Applies `f` to two numbers, or part by part where one or both are lists.
fn pairwise(
    a: &Value,
    b: &Value,
    what: &str,
    span: Span,
    f: &dyn Fn(f64, f64) -> Result<f64, Diagnostic>,
) -> Result<Value, Diagnostic> {
    let parts: Result<Vec<Value>, Diagnostic> = match (a, b) {
        (Value::List(a), Value::List(b)) if a.len() != b.len() => {
            let message =
                format!("lists of {} and of {} parts do not go together", a.len(), b.len());
            return Err(Diagnostic::error("E0216", span, message));
        }
        (Value::List(a), Value::List(b)) => {
            a.iter().zip(b.iter()).map(|(a, b)| pairwise(a, b, what, span, f)).collect()
        }
        (Value::List(a), b) => a.iter().map(|a| pairwise(a, b, what, span, f)).collect(),
        (a, Value::List(b)) => b.iter().map(|b| pairwise(a, b, what, span, f)).collect(),
        (a, b) => {
            let number = f(a.as_number(what, span)?, b.as_number(what, span)?)?;
            return finite(number, span).map(Value::Number);
        }
    };
    parts.map(Value::list)
}

/// `value[index]`: the part of a list; negative indices count from its end.
///
/// # Errors
/// Something that is no list, an index outside it.
pub fn index(value: &Value, index: &Value, span: Span) -> Result<Value, Diagnostic> {
    if value.is_poison() || index.is_poison() {
        return Ok(Value::Poison);
    }
    let Value::List(items) = value else {
        let message = format!("only a list has an index, this is {}", value.kind());
        return Err(Diagnostic::error("E0210", span, message));
    };
    let at = index.as_whole("an index", -(MAX_LIST * 10), MAX_LIST * 10, span)?;
    let from_start = if at < 0 { at + items.len() as i64 } else { at };
    usize::try_from(from_start).ok().and_then(|at| items.get(at)).cloned().ok_or_else(|| {
        let message = format!("index {at} is outside the list, which has {} parts", items.len());
        Diagnostic::error("E0215", span, message).help("the first part is number 0")
    })
}

/// `value.h`, `value.w`, `value.c` of a size; a number stands for a square one.
///
/// # Errors
/// Another field, or a value without it.
pub fn field(value: &Value, name: &Name) -> Result<Value, Diagnostic> {
    let at = match name.text.as_str() {
        "h" => Some(0),
        "w" => Some(1),
        "c" => Some(2),
        _ => None,
    };
    match (value, at) {
        (Value::Poison, _) => Ok(Value::Poison),
        (Value::List(items), Some(at)) if at < items.len() && items.len() <= 3 => {
            Ok(items[at].clone())
        }
        (Value::Number(_), Some(0 | 1)) => Ok(value.clone()),
        _ => {
            let message = format!("{} has no field `{}`", value.kind(), name.text);
            Err(Diagnostic::error("E0210", name.span, message)
                .help("a size has `h` and `w`, a size of three parts also `c`"))
        }
    }
}

/// What names stand for while a pure expression is evaluated.
pub trait Lookup {
    /// The value of a name, `None` if there is no such name.
    fn name(&self, name: &str) -> Option<Value>;

    /// The value of `base.field` where `base` is no value by itself (`row.c`, `x.c`); `None`: the
    /// base is evaluated and [`field`] applied to it.
    fn member(&self, _base: &Expr, _field: &Name) -> Option<Result<Value, Diagnostic>> {
        None
    }

    /// Names that could have been meant, for near misses.
    fn known(&self) -> Vec<String> {
        Vec::new()
    }
}

impl<F: Fn(&str) -> Option<Value>> Lookup for F {
    fn name(&self, name: &str) -> Option<Value> {
        self(name)
    }
}

/// Evaluates an expression in which no tensor occurs.
///
/// # Errors
/// Everything that [`unary`], [`binary`], [`function`], [`index`] and [`field`] refuse, names that are
/// not known, and expressions that could only make tensors.
pub fn evaluate(expr: &Expr, lookup: &dyn Lookup) -> Result<Value, Diagnostic> {
    evaluate_at(expr, lookup, 0)
}

/// [`evaluate`], then [`Value::truth`].
///
/// # Errors
/// As [`evaluate`] and [`Value::truth`].
pub fn condition(expr: &Expr, lookup: &dyn Lookup) -> Result<bool, Diagnostic> {
    evaluate(expr, lookup)?.truth(expr.span)
}

fn evaluate_at(expr: &Expr, lookup: &dyn Lookup, depth: usize) -> Result<Value, Diagnostic> {
    let span = expr.span;
    if depth > MAX_DEPTH {
        let message = format!("an expression may be nested {MAX_DEPTH} deep");
        return Err(Diagnostic::error("E0601", span, message).help("give parts of it a name"));
    }
    let value = |expr: &Expr| evaluate_at(expr, lookup, depth + 1);
    match &expr.kind {
        ExprKind::Number(number) => finite(*number, span).map(Value::Number),
        ExprKind::Text(text) => Ok(Value::text(text)),
        ExprKind::Bool(yes) => Ok(Value::Bool(*yes)),
        ExprKind::Absent => Ok(Value::Absent),
        ExprKind::Size(sides) => Ok(Value::numbers(sides.iter().copied())),
        ExprKind::Name(name) => named(name, span, lookup),
        ExprKind::Field(base, name) => match lookup.member(base, name) {
            Some(result) => result,
            None => field(&value(base)?, name),
        },
        ExprKind::Index(base, at) => index(&value(base)?, &value(at)?, span),
        ExprKind::List(items) => {
            let items: Result<Vec<Value>, Diagnostic> = items.iter().map(value).collect();
            items.map(Value::list)
        }
        ExprKind::Unary(op, operand) => unary(*op, &value(operand)?, span),
        ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), a, b) => {
            let first = value(a)?;
            if first.is_poison() {
                return Ok(Value::Poison);
            }
            if first.truth(a.span)? == (*op == BinaryOp::Or) {
                return Ok(Value::Bool(*op == BinaryOp::Or));
            }
            let second = value(b)?;
            if second.is_poison() {
                return Ok(Value::Poison);
            }
            second.truth(b.span).map(Value::Bool)
        }
        ExprKind::Binary(op, a, b) => binary(*op, &value(a)?, &value(b)?, span),
        ExprKind::Call(callee, arguments) => {
            call_expr(callee, None, arguments, span, lookup, depth)
        }
        ExprKind::Pipe(first, steps) => {
            let mut flowing = value(first)?;
            for step in steps {
                let (callee, arguments): (&Expr, &[Argument]) = match &step.kind {
                    ExprKind::Call(callee, arguments) => (callee, arguments),
                    _ => (step, &[]),
                };
                let first = Arg { name: None, value: flowing, span: first.span };
                flowing = call_expr(callee, Some(first), arguments, step.span, lookup, depth)?;
            }
            Ok(flowing)
        }
        ExprKind::If(condition, then, otherwise) => {
            let holds = value(condition)?;
            if holds.is_poison() {
                return Ok(Value::Poison);
            }
            value(if holds.truth(condition.span)? { then } else { otherwise })
        }
        ExprKind::Percent(number) => {
            let hundredth = |number: f64| Ok(number / 100.0);
            each(&value(number)?, "the number before `%`", span, &hundredth)
        }
        ExprKind::PlusMinus(..) => {
            Err(Diagnostic::error("E0214", span, "a tolerance stands only in expectations"))
        }
        ExprKind::Error => Ok(Value::Poison),
        ExprKind::Param(..) | ExprKind::Grid(..) => {
            Err(Diagnostic::error("E0214", span, "only numbers can be made here, not tensors"))
        }
    }
}

fn named(name: &str, span: Span, lookup: &dyn Lookup) -> Result<Value, Diagnostic> {
    if let Some(value) = lookup.name(name) {
        return Ok(value);
    }
    if is_function(name) {
        let target = Target::Primitive(name.to_string());
        return Ok(Value::Callable(Rc::new(Callable { target, given: Vec::new() })));
    }
    Err(unknown(name, span, lookup))
}

fn unknown(name: &str, span: Span, lookup: &dyn Lookup) -> Diagnostic {
    let error = Diagnostic::error("E0201", span, format!("`{name}` is not known here"));
    let known = lookup.known();
    match near_miss(name, known.iter().map(String::as_str)) {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error,
    }
}

/// A call of a number function, `first` (what flows in) before the written arguments.
fn call_expr(
    callee: &Expr,
    first: Option<Arg>,
    arguments: &[Argument],
    span: Span,
    lookup: &dyn Lookup,
    depth: usize,
) -> Result<Value, Diagnostic> {
    let ExprKind::Name(name) = &callee.kind else {
        return Err(Diagnostic::error(
            "E0214",
            callee.span,
            "only number functions are called here",
        ));
    };
    if !is_function(name) {
        let message = format!("`{name}` is not a number function");
        let error = Diagnostic::error("E0214", callee.span, message);
        return Err(match near_miss(name, FUNCTIONS) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!("the number functions are {}", FUNCTIONS.join(", "))),
        });
    }
    let mut args: Vec<Arg> = first.into_iter().collect();
    for argument in arguments {
        args.push(Arg {
            name: argument.name.as_ref().map(|name| name.text.clone()),
            value: evaluate_at(&argument.value, lookup, depth + 1)?,
            span: argument.value.span,
        });
    }
    function(name, &args, span).unwrap_or_else(|| {
        Err(Diagnostic::error("E0214", span, "only numbers can be made here, not tensors"))
    })
}
