//! Normalisation over the last axis.

use super::convolution::layer;
use super::{X, flag, setting, tensor};
use crate::expand::bind::Args;
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_grammar::Diagnostic;
use netwright_ir::{NodeId, Op};

pub(super) const PRIMITIVES: &[Primitive] = &[
    Primitive {
        name: "bn",
        params: &[X, setting("eps", "bn_eps")],
        rest: Rest::None,
        about: "batch normalisation, in inference: weight, bias, running_mean, running_var [C]",
        run: bn,
    },
    Primitive {
        name: "layer_norm",
        params: &[X, setting("eps", "ln_eps"), flag("affine", true)],
        rest: Rest::None,
        about: "layer normalisation over the last axis; weight, bias [C] if affine",
        run: layer_norm,
    },
];

fn channels(this: &Expander<'_>, args: &Args, x: NodeId) -> Eval<usize> {
    this.shape(x).last().copied().ok_or_else(|| {
        let message = format!("`{}` needs a tensor with an axis", args.name);
        Diagnostic::error(codes::SHAPE, args.call, message).into()
    })
}

fn bn(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let eps = args.number("eps")?;
    let c = channels(this, args, x)?;
    layer(this, args, "bn", |this| {
        let mut operands = vec![x];
        for (name, trained) in
            [("weight", true), ("bias", true), ("running_mean", false), ("running_var", false)]
        {
            operands.push(this.parameter(name, vec![c], trained, args.call)?);
        }
        tensor(this.push(Op::BatchNorm { eps }, operands, args.call))
    })
}

fn layer_norm(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let eps = args.number("eps")?;
    let affine = args.flag("affine")?;
    let c = channels(this, args, x)?;
    layer(this, args, "layer_norm", |this| {
        let mut operands = vec![x];
        if affine {
            operands.push(this.parameter("weight", vec![c], true, args.call)?);
            operands.push(this.parameter("bias", vec![c], true, args.call)?);
        }
        tensor(this.push(Op::LayerNorm { eps }, operands, args.call))
    })
}
