//! Moving cells: borders, cyclic shifts, gathers, repetition.

use super::{X, absent, axes, number, required, tensor, word};
use crate::expand::bind::Args;
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander, Fault};
use crate::expand::signature::{Primitive, Rest};
use crate::value::{MAX_WHOLE, Value};
use netwright_grammar::Diagnostic;
use netwright_ir::{Op, PadMode};
use std::sync::Arc;

pub(super) const PRIMITIVES: &[Primitive] = &[
    Primitive {
        name: "pad",
        params: &[
            X,
            number("top", 0.0),
            number("bottom", 0.0),
            number("left", 0.0),
            number("right", 0.0),
            word("mode", "zero").of(&["zero", "reflect", "replicate"]),
        ],
        rest: Rest::None,
        about: "a map with a border of zeros, of its mirror image (reflect) or of its edge (replicate)",
        run: pad,
    },
    Primitive {
        name: "roll",
        params: &[X, required("shift"), absent("dw"), absent("axis")],
        rest: Rest::None,
        about: "cyclic shift: of a map by rows and columns, or `roll(shift, axis = a)`",
        run: roll,
    },
    Primitive {
        name: "gather",
        params: &[X, required("indices"), number("axis", 0.0)],
        rest: Rest::None,
        about: "cells of `axis` by the indices in a list or a constant, whose shape replaces it",
        run: gather,
    },
    Primitive {
        name: "expand",
        params: &[X],
        rest: Rest::Positional,
        about: "axes of length 1 repeated to the lengths given; `none` keeps a length",
        run: expand,
    },
];

fn pad(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let (x, _) = this.map_operand(args)?;
    let mode = match args.word("mode")? {
        "zero" => PadMode::Constant(0.0f32.to_bits()),
        "reflect" => PadMode::Reflect,
        _ => PadMode::Replicate,
    };
    let rows = (args.index("top")?, args.index("bottom")?);
    let columns = (args.index("left")?, args.index("right")?);
    if rows == (0, 0) && columns == (0, 0) {
        return Ok(Value::Tensor(x));
    }
    let amounts = vec![(0, 0), rows, columns, (0, 0)];
    tensor(this.push(Op::Pad { amounts, mode }, vec![x], args.call))
}

fn roll(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let shift = args.whole("shift", -MAX_WHOLE, MAX_WHOLE)?;
    let steps = if args.is_absent("axis") {
        let (x, _) = this.map_operand(args)?;
        let columns = match args.is_absent("dw") {
            true => 0,
            false => args.whole("dw", -MAX_WHOLE, MAX_WHOLE)?,
        };
        (x, vec![(1, shift), (2, columns)])
    } else {
        let x = this.operand(args, "x")?;
        (x, vec![(axes::one(args, "axis", this.shape(x))?, shift)])
    };
    let (mut x, steps) = steps;
    for (axis, shift) in steps {
        if shift.rem_euclid(this.shape(x)[axis] as i64) != 0 {
            x = this.push(Op::Roll { axis, shift }, vec![x], args.call)?;
        }
    }
    Ok(Value::Tensor(x))
}

fn gather(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let axis = axes::one(args, "axis", this.shape(x))?;
    let bound = args.get("indices");
    let fail = |message: &str| Fault::from(Diagnostic::error(codes::SHAPE, bound.span, message));
    let (indices, shape): (Vec<u32>, Vec<usize>) = match &bound.value {
        Value::Tensor(id) => match &this.graph.node(*id).op {
            Op::Const(constant) => {
                let whole = |&index: &f32| {
                    (index.fract() == 0.0 && (0.0..16_777_216.0).contains(&index))
                        .then_some(index as u32)
                };
                let indices: Option<Vec<u32>> = constant.data.iter().map(whole).collect();
                let indices =
                    indices.ok_or_else(|| fail("an index is not a whole number of at least 0"))?;
                (indices, constant.shape.clone())
            }
            _ => {
                let message = "the indices of `gather` must be a list or a `grid`";
                let error = Diagnostic::error(codes::SHAPE, bound.span, message);
                let help = "what is computed from grids is a tensor: write the whole index in one \
                            `grid(i < n : ...)`";
                return Err(error.help(help).into());
            }
        },
        value => {
            let what = format!("`indices` of `{}`", args.name);
            let indices = value.as_wholes(&what, 0, i64::from(u32::MAX), bound.span)?;
            let shape = vec![indices.len()];
            (indices.into_iter().map(|index| index as u32).collect(), shape)
        }
    };
    tensor(this.push(Op::Gather { axis, indices: Arc::new(indices), shape }, vec![x], args.call))
}

fn expand(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let from = this.shape(x).to_vec();
    let mut lengths: Vec<(Value, _)> = Vec::new();
    for bound in &args.rest {
        match &bound.value {
            Value::List(items) => {
                lengths.extend(items.iter().map(|item| (item.clone(), bound.span)))
            }
            value => lengths.push((value.clone(), bound.span)),
        }
    }
    if lengths.len() < from.len() {
        let message = format!("`expand` gives {} lengths for {} axes", lengths.len(), from.len());
        return Err(Diagnostic::error(codes::SHAPE, args.call, message).into());
    }
    let new = lengths.len() - from.len();
    let mut shape = Vec::with_capacity(lengths.len());
    for (at, (value, span)) in lengths.into_iter().enumerate() {
        let kept = at.checked_sub(new).map(|axis| from[axis]);
        shape.push(match (&value, kept) {
            (Value::Absent, Some(kept)) => kept,
            _ => value.as_count("a length of `expand`", span)?,
        });
    }
    if shape == from {
        return Ok(Value::Tensor(x));
    }
    tensor(this.push(Op::Expand { shape }, vec![x], args.call))
}
