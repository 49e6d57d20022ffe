//! The number functions.

use super::{MAX_LIST, each, pairwise};
use crate::value::{Value, silent};
use netwright_grammar::{Diagnostic, Span};

/// Names of the number functions.
pub const FUNCTIONS: [&str; 17] = [
    "divisible",
    "round",
    "floor",
    "ceil",
    "min",
    "max",
    "abs",
    "sqrt",
    "ln",
    "exp",
    "sin",
    "cos",
    "pow",
    "len",
    "sum",
    "prod",
    "list",
];

/// An argument of a number function.
#[derive(Clone, Debug)]
pub struct Arg {
    /// The name, if given by name.
    pub name: Option<String>,
    /// Its value.
    pub value: Value,
    /// Where it stands.
    pub span: Span,
}

/// Whether a name is a number function's.
pub fn is_function(name: &str) -> bool {
    FUNCTIONS.contains(&name)
}

/// Calls the number function `name`. `None` if there is none of that name, or if an argument is (or
/// holds) a tensor: then a primitive of the same name (`abs`, `exp`, `sqrt`, `sum`) is meant.
///
/// # Errors
/// Arguments that it does not take, of the wrong kind, or outside its domain.
pub fn function(name: &str, args: &[Arg], span: Span) -> Option<Result<Value, Diagnostic>> {
    if !is_function(name) || args.iter().any(|arg| arg.value.has_tensor()) {
        return None;
    }
    if args.iter().any(|arg| arg.value.is_poison()) {
        return Some(Ok(Value::Poison));
    }
    Some(call(name, args, span))
}

fn call(name: &str, args: &[Arg], span: Span) -> Result<Value, Diagnostic> {
    let what = format!("the argument of `{name}`");
    match name {
        "divisible" => {
            let [v, d, least, limit] = bind(name, args, ["v", "d", "min", "limit"], 1, span)?;
            let (v, v_span) = v.ok_or_else(|| silent(span))?;
            let number = |given: Option<(Value, Span)>, default: f64, what: &str| match given {
                Some((value, span)) => value.as_number(&format!("`{what}` of `divisible`"), span),
                None => Ok(default),
            };
            let d = match d {
                Some((value, span)) => value.as_count("`d` of `divisible`", span)? as f64,
                None => 8.0,
            };
            let least = number(least, d, "min")?;
            let limit = number(limit, 0.9, "limit")?;
            each(&v, "`v` of `divisible`", v_span, &|v| {
                if v > 0.0 {
                    return Ok(divisible(v, d, least, limit));
                }
                let message = format!("`divisible` rounds channel counts, and {v} is none");
                Err(Diagnostic::error("E0213", v_span, message)
                    .help("a width is a number greater than 0"))
            })
        }
        "round" | "floor" | "ceil" | "abs" | "sqrt" | "ln" | "exp" | "sin" | "cos" => {
            let f = match name {
                // As Python, which the libraries are written in.
                "round" => f64::round_ties_even,
                "floor" => f64::floor,
                "ceil" => f64::ceil,
                "abs" => f64::abs,
                "sqrt" => f64::sqrt,
                "ln" => f64::ln,
                "sin" => f64::sin,
                "cos" => f64::cos,
                _ => f64::exp,
            };
            let [v] = bind(name, args, ["v"], 1, span)?;
            let (v, _) = v.ok_or_else(|| silent(span))?;
            each(&v, &what, span, &|v| Ok(f(v)))
        }
        "pow" => {
            let [v, exponent] = bind(name, args, ["v", "exponent"], 2, span)?;
            let (Some((v, _)), Some((exponent, _))) = (v, exponent) else {
                return Err(silent(span));
            };
            pairwise(&v, &exponent, "an argument of `pow`", span, &|v, e| Ok(v.powf(e)))
        }
        "len" => {
            let [v] = bind(name, args, ["v"], 1, span)?;
            match v {
                Some((Value::List(items), _)) => Ok(Value::from(items.len())),
                Some((other, span)) => {
                    let message = format!("only a list has a length, this is {}", other.kind());
                    Err(Diagnostic::error("E0210", span, message))
                }
                None => Err(silent(span)),
            }
        }
        "list" => {
            let [n] = bind(name, args, ["n"], 1, span)?;
            let (n, span) = n.ok_or_else(|| silent(span))?;
            let n = n.as_whole("`n` of `list`", 0, MAX_LIST, span)?;
            Ok(Value::numbers((0..n).map(|at| at as f64)))
        }
        _ => fold(name, args, span),
    }
}

/// `min`, `max`, `sum`, `prod` of several arguments (lists part by part), or of one list's parts.
fn fold(name: &str, args: &[Arg], span: Span) -> Result<Value, Diagnostic> {
    let what = format!("an argument of `{name}`");
    let combine = |a: f64, b: f64| match name {
        "min" => a.min(b),
        "max" => a.max(b),
        "sum" => a + b,
        _ => a * b,
    };
    if let Some(named) = args.iter().find(|arg| arg.name.is_some()) {
        let message = format!("`{name}` has no named arguments");
        return Err(Diagnostic::error("E0213", named.span, message));
    }
    let items: Vec<Value> = match args {
        [Arg { value: Value::List(items), .. }] => items.to_vec(),
        many => many.iter().map(|arg| arg.value.clone()).collect(),
    };
    let mut items = items.into_iter();
    let Some(first) = items.next() else {
        return match (name, args.is_empty()) {
            ("sum", false) => Ok(Value::Number(0.0)),
            ("prod", false) => Ok(Value::Number(1.0)),
            _ => {
                let message = format!("`{name}` of nothing has no value");
                Err(Diagnostic::error("E0213", span, message))
            }
        };
    };
    let first = each(&first, &what, span, &Ok)?;
    items.try_fold(first, |sum, item| pairwise(&sum, &item, &what, span, &|a, b| Ok(combine(a, b))))
}

/// The channel rounding of the MobileNet family's code: the multiple of `d` nearest to `v`, at
/// least `least`, and one more where that loses more than the fraction `1 - limit`.
pub fn divisible(v: f64, d: f64, least: f64, limit: f64) -> f64 {
    let nearest = ((v + d / 2.0).trunc() / d).floor() * d;
    let rounded = nearest.max(least);
    if rounded < limit * v { rounded + d } else { rounded }
}

/// Sorts arguments onto a function's parameters, of which the first `required` must be there.
fn bind<const N: usize>(
    function: &str,
    args: &[Arg],
    params: [&str; N],
    required: usize,
    span: Span,
) -> Result<[Option<(Value, Span)>; N], Diagnostic> {
    let mut bound: [Option<(Value, Span)>; N] = std::array::from_fn(|_| None);
    let wrong = |span, message: String| {
        let help = format!("`{function}({})`", params.join(", "));
        Err(Diagnostic::error("E0213", span, message).help(help))
    };
    for arg in args {
        let Some(name) = &arg.name else { continue };
        match params.iter().position(|param| param == name) {
            Some(at) if bound[at].is_none() => bound[at] = Some((arg.value.clone(), arg.span)),
            Some(_) => return wrong(arg.span, format!("`{name}` is given twice")),
            None => return wrong(arg.span, format!("`{function}` has no argument `{name}`")),
        }
    }
    for arg in args.iter().filter(|arg| arg.name.is_none()) {
        match bound.iter_mut().find(|slot| slot.is_none()) {
            Some(slot) => *slot = Some((arg.value.clone(), arg.span)),
            None => return wrong(arg.span, format!("`{function}` has no use for this argument")),
        }
    }
    match (0..required).find(|&at| bound[at].is_none()) {
        Some(at) => wrong(span, format!("`{function}` lacks its argument `{}`", params[at])),
        None => Ok(bound),
    }
}
