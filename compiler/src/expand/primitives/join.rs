//! Joining and cutting along an axis.

use super::{X, absent, axes, number, required, tensor};
use crate::expand::bind::Args;
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::{MAX_WHOLE, Value};
use netwright_grammar::Diagnostic;
use netwright_ir::{NodeId, Op};

pub(super) const PRIMITIVES: &[Primitive] = &[
    Primitive {
        name: "cat",
        params: &[X, number("axis", -1.0)],
        rest: Rest::Positional,
        about: "tensors joined along `axis`, `none` left out; a parameter of one row is repeated for the batch",
        run: cat,
    },
    Primitive {
        name: "split",
        params: &[X, required("parts"), number("axis", -1.0)],
        rest: Rest::None,
        about: "a list of tensors: `parts` equal ones, or one of each length in a list",
        run: split,
    },
    Primitive {
        name: "slice",
        params: &[X, required("axis"), number("start", 0.0), absent("end"), number("step", 1.0)],
        rest: Rest::None,
        about: "cells `start` to `end` (not included) of `axis`, every `step`-th; negative: from the end",
        run: slice,
    },
];

fn cat(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let mut operands = Vec::new();
    for bound in std::iter::once(args.get("x")).chain(&args.rest) {
        let values = match &bound.value {
            Value::List(items) => items.to_vec(),
            other => vec![other.clone()],
        };
        // A branch that is not there (`none`) has nothing to join.
        for value in values.iter().filter(|value| !matches!(value, Value::Absent)) {
            operands.push(this.tensor(value, "an operand of `cat`", bound.span)?);
        }
    }
    let Some(&first) = operands.first() else {
        let message = "`cat` of nothing";
        return Err(Diagnostic::error(codes::MISSING, args.call, message).into());
    };
    let axis = axes::one(args, "axis", this.shape(first))?;
    if axis > 0 {
        repeat_for_batch(this, args, &mut operands)?;
    }
    tensor(this.push(Op::Concat { axis }, operands, args.call))
}

/// Parameters have one row where activations have one for each image of the batch.
fn repeat_for_batch(this: &mut Expander<'_>, args: &Args, operands: &mut [NodeId]) -> Eval<()> {
    let batch = operands.iter().find(|id| this.live[id.index()]).map(|id| this.shape(*id)[0]);
    let Some(batch) = batch else { return Ok(()) };
    for operand in operands {
        if !this.live[operand.index()] && this.shape(*operand).first() == Some(&1) && batch > 1 {
            let mut shape = this.shape(*operand).to_vec();
            shape[0] = batch;
            *operand = this.push(Op::Expand { shape }, vec![*operand], args.call)?;
        }
    }
    Ok(())
}

fn split(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let axis = axes::one(args, "axis", this.shape(x))?;
    let length = this.shape(x)[axis];
    let bound = args.get("parts");
    let fail = |message: String| Diagnostic::error(codes::SHAPE, bound.span, message);
    let lengths: Vec<usize> = match &bound.value {
        Value::List(_) => {
            let what = format!("`parts` of `{}`", args.name);
            let lengths = bound.value.as_wholes(&what, 1, MAX_WHOLE, bound.span)?;
            lengths.into_iter().map(|length| length as usize).collect()
        }
        _ => {
            let parts = args.count("parts")?;
            if !length.is_multiple_of(parts) || parts > length {
                let message =
                    format!("{parts} equal parts do not divide the axis of length {length}");
                return Err(fail(message).into());
            }
            vec![length / parts; parts]
        }
    };
    let total = lengths.iter().fold(0usize, |sum, &part| sum.saturating_add(part));
    if total != length {
        let message = format!("the parts add up to {total}, the axis has length {length}");
        return Err(fail(message).into());
    }
    let mut start = 0;
    let mut parts = Vec::with_capacity(lengths.len());
    for len in lengths {
        let op = Op::Slice { axis, start, len, step: 1 };
        parts.push(Value::Tensor(this.push(op, vec![x], args.call)?));
        start += len;
    }
    Ok(Value::list(parts))
}

fn slice(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let axis = axes::one(args, "axis", this.shape(x))?;
    let length = this.shape(x)[axis];
    let from_start = |number: i64| {
        let number = if number < 0 { number.saturating_add(length as i64) } else { number };
        usize::try_from(number).ok().filter(|number| *number <= length)
    };
    let start = from_start(args.whole("start", -MAX_WHOLE, MAX_WHOLE)?);
    let end = match args.is_absent("end") {
        true => Some(length),
        false => from_start(args.whole("end", -MAX_WHOLE, MAX_WHOLE)?),
    };
    let step = args.count("step")?;
    let (start, end) = match (start, end) {
        (Some(start), Some(end)) if start < end => (start, end),
        _ => {
            let message = format!("this slice of an axis of length {length} is empty or leaves it");
            return Err(Diagnostic::error(codes::SHAPE, args.call, message).into());
        }
    };
    if start == 0 && end == length && step == 1 {
        return Ok(Value::Tensor(x));
    }
    let len = (end - start).div_ceil(step);
    tensor(this.push(Op::Slice { axis, start, len, step }, vec![x], args.call))
}
