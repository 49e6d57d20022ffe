//! Interpolation of maps.

use super::{X, flag, required, tensor, word};
use crate::expand::bind::Args;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_ir::{Interpolation, Op};

pub(super) const PRIMITIVES: &[Primitive] = &[Primitive {
    name: "resize",
    params: &[
        X,
        required("size"),
        word("mode", "bilinear"),
        flag("align_corners", false),
        flag("antialias", false),
    ],
    rest: Rest::None,
    about: "a map interpolated to `size` rows and columns (nearest, bilinear, bicubic)",
    run: resize,
}];

fn resize(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let (x, [_, h, w, _]) = this.map_operand(args)?;
    let size = args.size("size", 1)?;
    let mode = match args.word("mode", &["nearest", "bilinear", "bicubic"])? {
        "nearest" => Interpolation::Nearest,
        "bilinear" => Interpolation::Bilinear,
        _ => Interpolation::Bicubic,
    };
    let (align_corners, antialias) = (args.flag("align_corners")?, args.flag("antialias")?);
    if size == [h, w] {
        return Ok(Value::Tensor(x));
    }
    tensor(this.push(Op::Resize { size, mode, align_corners, antialias }, vec![x], args.call))
}
