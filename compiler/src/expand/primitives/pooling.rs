//! Pooling, and the step from a map to a vector.

use super::convolution::padding;
use super::{BORDERS, X, absent, flag, like, number, required, tensor};
use crate::expand::bind::Args;
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_grammar::Diagnostic;
use netwright_ir::{NodeId, Op, Pool, PoolKind, Reduce};

pub(super) const PRIMITIVES: &[Primitive] = &[
    Primitive {
        name: "maxpool",
        params: &[
            X,
            required("k"),
            like("stride", "k"),
            number("pad", 0.0).of(BORDERS),
            flag("ceil", false),
        ],
        rest: Rest::None,
        about: "largest value of each window",
        run: maxpool,
    },
    Primitive {
        name: "avgpool",
        params: &[
            X,
            required("k"),
            like("stride", "k"),
            number("pad", 0.0).of(BORDERS),
            flag("ceil", false),
            flag("count_pad", true),
        ],
        rest: Rest::None,
        about: "mean of each window, cells of the border counted if `count_pad`",
        run: avgpool,
    },
    Primitive {
        name: "global_avgpool",
        params: &[X, absent("k")],
        rest: Rest::None,
        about: "mean of the whole map, [N, 1, 1, C]; `k` is the map's size as the paper prints it",
        run: global_avgpool,
    },
    Primitive {
        name: "flatten",
        params: &[X],
        rest: Rest::None,
        about: "[N, C] of a 1x1 map; of others [N, C * H * W] in PyTorch's order",
        run: flatten,
    },
];

fn pool(this: &mut Expander<'_>, args: &Args, kind: PoolKind, count: bool) -> Eval<Value> {
    let (x, _) = this.map_operand(args)?;
    let kernel = args.size("k", 1)?;
    let stride = args.size("stride", 1)?;
    let pool = Pool {
        kind,
        kernel,
        stride,
        padding: padding(args, "pad", kernel, stride, [1, 1])?,
        ceil_mode: args.flag("ceil")?,
        count_include_pad: count,
    };
    tensor(this.push(Op::Pool(pool), vec![x], args.call))
}

fn maxpool(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    pool(this, args, PoolKind::Max, false)
}

fn avgpool(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let count = args.flag("count_pad")?;
    pool(this, args, PoolKind::Avg, count)
}

fn global_avgpool(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let (x, [_, h, w, _]) = this.map_operand(args)?;
    if !args.is_absent("k") {
        let [rows, columns] = args.size("k", 1)?;
        if this.at_defaults && [rows, columns] != [h, w] {
            let message =
                format!("the map is {h}x{w} at the default parameters, not {rows}x{columns}");
            return Err(Diagnostic::error(codes::GLOBAL_WINDOW, args.get("k").span, message)
                .help("`avgpool` has a window; `global_avgpool` takes the whole map")
                .into());
        }
    }
    let op = Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: true };
    tensor(this.push(op, vec![x], args.call))
}

fn flatten(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    tensor(flat(this, args, x))
}

fn flat(this: &mut Expander<'_>, args: &Args, mut x: NodeId) -> Eval<NodeId> {
    let shape = this.shape(x).to_vec();
    match *shape.as_slice() {
        [_] | [] | [_, _] => return Ok(x),
        [_, h, w, _] if h * w > 1 => {
            x = this.push(Op::Transpose { perm: vec![0, 3, 1, 2] }, vec![x], args.call)?;
        }
        _ => {}
    }
    let rest = shape[1..].iter().product();
    this.push(Op::Reshape { shape: vec![shape[0], rest] }, vec![x], args.call)
}
