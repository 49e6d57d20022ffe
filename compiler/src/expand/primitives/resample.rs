//! Interpolation: of maps when the network runs, of position tables when the weights are bound.

use super::{X, flag, number, required, tensor, word};
use crate::expand::bind::Args;
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_grammar::Diagnostic;
use netwright_ir::{Interpolation, Op, Resampling, Source};

pub(super) const PRIMITIVES: &[Primitive] = &[
    Primitive {
        name: "resize",
        params: &[
            X,
            required("size"),
            word("mode", "bilinear").of(&["nearest", "bilinear", "bicubic", "area"]),
            flag("align_corners", false),
            flag("antialias", false),
        ],
        rest: Rest::None,
        about: "a map interpolated to `size` rows and columns (nearest, bilinear, bicubic, area)",
        run: resize,
    },
    Primitive {
        name: "positions",
        params: &[
            X,
            required("grid"),
            number("prefix", 0.0),
            word("mode", "bicubic").of(&["nearest", "bilinear", "bicubic", "geometric"]),
            flag("align_corners", false),
            flag("antialias", false),
        ],
        rest: Rest::None,
        about: "a free parameter [1, prefix + rows * columns, C], resampled from the file's own grid",
        run: positions,
    },
];

fn resize(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let (x, [_, h, w, _]) = this.map_operand(args)?;
    let size = args.size("size", 1)?;
    let mode = match args.word("mode")? {
        "nearest" => Interpolation::Nearest,
        "bilinear" => Interpolation::Bilinear,
        "area" => Interpolation::Area,
        _ => Interpolation::Bicubic,
    };
    let (align_corners, antialias) = (args.flag("align_corners")?, args.flag("antialias")?);
    if size == [h, w] {
        return Ok(Value::Tensor(x));
    }
    tensor(this.push(Op::Resize { size, mode, align_corners, antialias }, vec![x], args.call))
}

/// Marks a parameter as a table of positions: a file's table of another grid is resampled when the
/// weights are bound.
fn positions(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let grid = args.size("grid", 1)?;
    let prefix = args.index("prefix")?;
    let (align_corners, antialias) = (args.flag("align_corners")?, args.flag("antialias")?);
    let interpolated = |mode| Resampling::Interpolated { mode, align_corners, antialias };
    let way = match args.word("mode")? {
        "nearest" => interpolated(Interpolation::Nearest),
        "bilinear" => interpolated(Interpolation::Bilinear),
        "bicubic" => interpolated(Interpolation::Bicubic),
        _ => Resampling::Geometric,
    };
    let Op::Param(index) = this.graph.node(x).op else {
        let message = "`positions` needs a free parameter";
        return Err(Diagnostic::error(codes::NO_TENSOR, args.call, message)
            .help("write `param table[1, n, c] -> positions(grid)`")
            .into());
    };
    let shape = this.shape(x);
    let rows = grid[0].saturating_mul(grid[1]).saturating_add(prefix);
    let fits = match *shape {
        [1, tokens, _] | [tokens, _] => tokens == rows,
        _ => false,
    };
    if !fits {
        let message = format!(
            "the table of positions has shape {shape:?}; {prefix} and {}x{} are {rows} rows",
            grid[0], grid[1]
        );
        return Err(Diagnostic::error(codes::SHAPE, args.call, message).into());
    }
    let param = &mut this.graph.params[index];
    let of = match std::mem::replace(&mut param.source, Source::Zeros { shape: Vec::new() }) {
        Source::Resample { of, .. } => of,
        other => Box::new(other),
    };
    param.source = Source::Resample { of, prefix, grid, way };
    Ok(Value::Tensor(x))
}
