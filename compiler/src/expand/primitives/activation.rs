//! Activation functions.

use super::{X, tensor};
use crate::expand::bind::Args;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_ir::{Act, Op, Unary};

macro_rules! activations {
    ($($name:literal $act:ident $about:literal;)*) => {
        pub(super) const PRIMITIVES: &[Primitive] = &[
            $(Primitive {
                name: $name,
                params: &[X],
                rest: Rest::None,
                about: $about,
                run: |this, args| act(this, args, Act::$act),
            },)*
            Primitive {
                name: "identity",
                params: &[X],
                rest: Rest::None,
                about: "its operand",
                run: |this, args| tensor(this.operand(args, "x")),
            },
        ];
    };
}

activations! {
    "relu" Relu "max(x, 0)";
    "relu6" Relu6 "min(max(x, 0), 6)";
    "hswish" HardSwish "x * relu6(x + 3) / 6";
    "hsigmoid" HardSigmoid "relu6(x + 3) / 6";
    "silu" Silu "x * sigmoid(x)";
    "swish" Silu "the same as silu";
    "sigmoid" Sigmoid "1 / (1 + exp(-x))";
    "gelu" Gelu "x * (1 + erf(x / sqrt 2)) / 2";
    "gelu_tanh" GeluTanh "GELU's approximation by tanh";
    "tanh" Tanh "hyperbolic tangent";
}

fn act(this: &mut Expander<'_>, args: &Args, act: Act) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    tensor(this.push(Op::Unary(Unary::Act(act)), vec![x], args.call))
}
