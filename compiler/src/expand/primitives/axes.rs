//! Names and numbers of axes.

use crate::expand::bind::Args;
use crate::expand::codes;
use crate::expand::eval::show_shape;
use crate::value::Value;
use netwright_grammar::{Diagnostic, Span};

/// An axis of a tensor of that shape: a number (0 is the batch, negative from the end), or one of
/// "h", "w" (maps), "t" (the last but one), "c" (the last).
fn axis(value: &Value, shape: &[usize], what: &str, span: Span) -> Result<usize, Diagnostic> {
    let rank = shape.len();
    let found = match value {
        Value::Text(name) => match &**name {
            "h" if rank == 4 => Some(1),
            "w" if rank == 4 => Some(2),
            "t" => rank.checked_sub(2),
            "c" => rank.checked_sub(1),
            // Numbers beside other axes in one text: "1 2 3".
            number => number.parse().ok().and_then(|number| numbered(number, rank)),
        },
        _ => {
            let number = value.as_whole(what, -16, 16, span)?;
            numbered(number, rank)
        }
    };
    found.ok_or_else(|| {
        let shown = show_shape(shape);
        Diagnostic::error(codes::AXIS, span, format!("{what} is {value}, which {shown} lacks"))
            .help("an axis is a number (negative: from the end) or \"h\", \"w\", \"t\", \"c\"")
    })
}

/// The axis of that number, negative from the end.
fn numbered(number: i64, rank: usize) -> Option<usize> {
    let from_start = if number < 0 { number.checked_add(rank as i64)? } else { number };
    usize::try_from(from_start).ok().filter(|axis| *axis < rank)
}

/// The one axis that an argument names.
pub(super) fn one(args: &Args, name: &str, shape: &[usize]) -> Result<usize, Diagnostic> {
    let bound = args.get(name);
    axis(&bound.value, shape, &format!("`{name}` of `{}`", args.name), bound.span)
}

/// The axes that an argument names: one, a list, or several in one text ("h w"). Ascending.
pub(super) fn several(args: &Args, name: &str, shape: &[usize]) -> Result<Vec<usize>, Diagnostic> {
    let bound = args.get(name);
    let what = format!("an axis of `{}`", args.name);
    let mut axes = match &bound.value {
        Value::Text(names) => names
            .split_whitespace()
            .map(|name| axis(&Value::text(name), shape, &what, bound.span))
            .collect::<Result<Vec<_>, _>>()?,
        Value::List(items) => items
            .iter()
            .map(|item| axis(item, shape, &what, bound.span))
            .collect::<Result<Vec<_>, _>>()?,
        other => vec![axis(other, shape, &what, bound.span)?],
    };
    axes.sort_unstable();
    axes.dedup();
    Ok(axes)
}
