//! Matrix products.

use super::{X, flag, required, tensor};
use crate::expand::bind::Args;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_ir::Op;

pub(super) const PRIMITIVES: &[Primitive] = &[Primitive {
    name: "matmul",
    params: &[X, required("b"), flag("transpose_a", false), flag("transpose_b", false)],
    rest: Rest::None,
    about: "product of the last two axes: [.., M, K] and [.., K, N] make [.., M, N]",
    run: matmul,
}];

fn matmul(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let (a, b) = (this.operand(args, "x")?, this.operand(args, "b")?);
    let op = Op::MatMul {
        transpose_a: args.flag("transpose_a")?,
        transpose_b: args.flag("transpose_b")?,
    };
    tensor(this.push(op, vec![a, b], args.call))
}
