//! Convolutions and linear layers.

use super::{BORDERS, X, absent, flag, number, required, setting, tensor};
use crate::expand::bind::Args;
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::instance::{Instance, Kind};
use crate::value::{MAX_WHOLE, Value};
use netwright_grammar::Diagnostic;
use netwright_ir::{Conv, NodeId, Op, Padding, Size2};

pub(super) const PRIMITIVES: &[Primitive] = &[
    Primitive {
        name: "conv",
        params: &[
            X,
            required("c"),
            number("k", 1.0),
            number("stride", 1.0),
            setting("pad", "padding").of(BORDERS),
            number("dilation", 1.0),
            number("groups", 1.0),
            flag("bias", false),
            absent("weight"),
        ],
        rest: Rest::None,
        about: "convolution of a map [N, H, W, I] to `c` channels; weight [c, I / groups, kh, kw]",
        run: conv,
    },
    Primitive {
        name: "dwconv",
        params: &[
            X,
            absent("k"),
            number("stride", 1.0),
            setting("pad", "padding").of(BORDERS),
            number("dilation", 1.0),
            number("multiplier", 1.0),
            flag("bias", false),
            absent("weight"),
        ],
        rest: Rest::None,
        about: "convolution of each channel by itself; weight [C * multiplier, 1, kh, kw]",
        run: dwconv,
    },
    Primitive {
        name: "linear",
        params: &[X, required("c"), flag("bias", true), absent("weight")],
        rest: Rest::None,
        about: "linear layer over the last axis; weight [c, C]",
        run: linear,
    },
];

/// A weight that the caller supplies instead of a parameter.
fn given_weight(this: &Expander<'_>, args: &Args) -> Eval<Option<NodeId>> {
    match args.is_absent("weight") {
        true => Ok(None),
        false => this.operand(args, "weight").map(Some),
    }
}

fn conv(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let (x, [_, h, w, channels]) = this.map_operand(args)?;
    let weight = given_weight(this, args)?;
    let c = args.count("c")?;
    let groups = args.count("groups")?;
    if channels % groups != 0 || c % groups != 0 {
        let (which, number) =
            if channels % groups != 0 { ("input", channels) } else { ("output", c) };
        let message = format!("{groups} groups do not divide the {number} {which} channels");
        return Err(Diagnostic::error(codes::SHAPE, args.call, message).into());
    }
    let kernel = args.size("k", 1)?;
    let shape = vec![c, channels / groups, kernel[0], kernel[1]];
    let layer = Window { map: [h, w], kernel, groups, primitive: "conv" };
    layer.build(this, args, x, weight, shape)
}

fn dwconv(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let (x, [_, h, w, channels]) = this.map_operand(args)?;
    let weight = given_weight(this, args)?;
    let kernel = match (args.is_absent("k"), weight) {
        (true, Some(weight)) => match *this.shape(weight) {
            [_, _, rows, columns] => [rows, columns],
            _ => args.size("k", 1)?,
        },
        (true, None) => {
            let message = "`dwconv` lacks its kernel `k`";
            return Err(Diagnostic::error(codes::MISSING, args.call, message)
                .help("write `dwconv(3x3)`")
                .into());
        }
        (false, _) => args.size("k", 1)?,
    };
    let c = channels.saturating_mul(args.count("multiplier")?);
    let shape = vec![c, 1, kernel[0], kernel[1]];
    let layer = Window { map: [h, w], kernel, groups: channels, primitive: "dwconv" };
    layer.build(this, args, x, weight, shape)
}

struct Window {
    map: Size2,
    kernel: Size2,
    groups: usize,
    primitive: &'static str,
}

impl Window {
    fn build(
        self,
        this: &mut Expander<'_>,
        args: &Args,
        x: NodeId,
        weight: Option<NodeId>,
        shape: Vec<usize>,
    ) -> Eval<Value> {
        let stride = args.size("stride", 1)?;
        let dilation = args.size("dilation", 1)?;
        let padding = padding(args, "pad", self.kernel, stride, dilation)?;
        let conv = Conv { kernel: self.kernel, stride, padding, dilation, groups: self.groups };
        // Before the parameters are made, so that a wrong window leaves nothing behind.
        conv.windows(self.map)
            .map_err(|error| Diagnostic::error(codes::SHAPE, args.call, error.message))?;
        let c = shape[0];
        layer(this, args, self.primitive, |this| {
            let operands = weights(this, args, x, weight, shape, c)?;
            tensor(this.push(Op::Conv(conv), operands, args.call))
        })
    }
}

/// `x, weight, [bias]`, parameters made where none are given.
fn weights(
    this: &mut Expander<'_>,
    args: &Args,
    x: NodeId,
    weight: Option<NodeId>,
    shape: Vec<usize>,
    c: usize,
) -> Eval<Vec<NodeId>> {
    let weight = match weight {
        Some(weight) => weight,
        None => this.parameter("weight", shape, true, args.call)?,
    };
    let mut operands = vec![x, weight];
    if let Value::Tensor(bias) = args.get("bias").value {
        operands.push(bias);
    } else if args.flag("bias")? {
        operands.push(this.parameter("bias", vec![c], true, args.call)?);
    }
    Ok(operands)
}

/// Runs `f` as the inside of a layer with parameters.
pub(super) fn layer(
    this: &mut Expander<'_>,
    args: &Args,
    primitive: &'static str,
    f: impl FnOnce(&mut Expander<'_>) -> Eval<Value>,
) -> Eval<Value> {
    let (result, children) = this.inside(f);
    if !children.is_empty() {
        this.attach(Instance {
            label: primitive.to_string(),
            kind: Kind::Layer { primitive },
            children,
            span: args.call,
        });
    }
    result
}

/// `symmetric`, `same`, `same_even`, `valid`, a number, `HxW`, or (top, bottom, left, right).
pub(super) fn padding(
    args: &Args,
    name: &str,
    kernel: Size2,
    stride: Size2,
    dilation: Size2,
) -> Result<Padding, Diagnostic> {
    let explicit = |rows: usize, columns: usize| Padding::Explicit {
        top: rows,
        bottom: rows,
        left: columns,
        right: columns,
    };
    let half = |axis: usize| dilation[axis].saturating_mul(kernel[axis] - 1) / 2;
    let bound = args.get(name);
    match &bound.value {
        Value::Text(_) => Ok(match args.word(name)? {
            "symmetric" => explicit(half(0), half(1)),
            // With stride 1 both halves of an odd kernel are equal, and the border is a number.
            "same" if stride == [1, 1] && (0..2).all(|axis| kernel[axis] % 2 == 1) => {
                explicit(half(0), half(1))
            }
            "same" => Padding::Same,
            // What `same` is for a map that the stride divides, whatever the map.
            "same_even" => {
                let total = |axis: usize| {
                    let reach = dilation[axis].saturating_mul(kernel[axis] - 1) + 1;
                    reach.saturating_sub(stride[axis])
                };
                let [rows, columns] = [total(0), total(1)];
                let [top, left] = [rows / 2, columns / 2];
                Padding::Explicit { top, bottom: rows - top, left, right: columns - left }
            }
            _ => explicit(0, 0),
        }),
        Value::List(items) if items.len() == 4 => {
            let what = format!("each border of `{}`", args.name);
            let side = |at: usize| {
                items[at].as_whole(&what, 0, MAX_WHOLE, bound.span).map(|side| side as usize)
            };
            Ok(Padding::Explicit {
                top: side(0)?,
                bottom: side(1)?,
                left: side(2)?,
                right: side(3)?,
            })
        }
        _ => args.size(name, 0).map(|[rows, columns]| explicit(rows, columns)),
    }
}

fn linear(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let weight = given_weight(this, args)?;
    let c = args.count("c")?;
    let Some(&features) = this.shape(x).last() else {
        let message = "`linear` needs a tensor with an axis";
        return Err(Diagnostic::error(codes::SHAPE, args.call, message).into());
    };
    layer(this, args, "linear", |this| {
        let operands = weights(this, args, x, weight, vec![c, features], c)?;
        tensor(this.push(Op::Linear, operands, args.call))
    })
}
