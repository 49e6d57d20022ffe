//! Reductions and softmax.

use super::{X, axes, flag, number, tensor, word};
use crate::expand::bind::Args;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_ir::{Op, Reduce};

macro_rules! reductions {
    ($($name:literal $kind:ident $about:literal;)*) => {
        pub(super) const PRIMITIVES: &[Primitive] = &[
            $(Primitive {
                name: $name,
                params: &[X, word("axes", "h w"), flag("keep", false)],
                rest: Rest::None,
                about: $about,
                run: |this, args| reduce(this, args, Reduce::$kind),
            },)*
            Primitive {
                name: "softmax",
                params: &[X, number("axis", -1.0)],
                rest: Rest::None,
                about: "exp(x) over its sum along `axis`",
                run: softmax,
            },
        ];
    };
}

reductions! {
    "mean" Mean "mean over `axes`, which stay as 1 if `keep`";
    "sum" Sum "sum over `axes`";
    "amax" Max "largest value over `axes`";
    "amin" Min "smallest value over `axes`";
    "l2norm" L2 "square root of the sum of squares over `axes`";
}

fn reduce(this: &mut Expander<'_>, args: &Args, kind: Reduce) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let axes = axes::several(args, "axes", this.shape(x))?;
    let keep = args.flag("keep")?;
    tensor(this.push(Op::Reduce { kind, axes, keep }, vec![x], args.call))
}

fn softmax(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let axis = axes::one(args, "axis", this.shape(x))?;
    tensor(this.push(Op::Softmax { axis }, vec![x], args.call))
}
