//! The operators that are not written in the language: a table of signatures, one file a family.

mod activation;
mod axes;
mod convolution;
mod elementwise;
mod join;
mod matrix;
mod move_;
mod norm;
mod pattern;
mod pooling;
mod reduce;
mod resample;
mod view;

pub(crate) use pattern::Axis;
pub(crate) use view::Lengths;

use super::bind::Args;
use super::codes;
use super::expander::{Eval, Expander};
use super::signature::{Default, Parameter, Primitive};
use crate::value::Value;
use netwright_grammar::Diagnostic;
use netwright_ir::NodeId;

/// All primitives, by family.
pub const FAMILIES: [&[Primitive]; 11] = [
    convolution::PRIMITIVES,
    norm::PRIMITIVES,
    activation::PRIMITIVES,
    elementwise::PRIMITIVES,
    pooling::PRIMITIVES,
    reduce::PRIMITIVES,
    join::PRIMITIVES,
    move_::PRIMITIVES,
    resample::PRIMITIVES,
    matrix::PRIMITIVES,
    view::PRIMITIVES,
];

/// The primitive of that name.
pub fn find(name: &str) -> Option<&'static Primitive> {
    FAMILIES.into_iter().flatten().find(|primitive| primitive.name == name)
}

/// Names of all primitives.
pub fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.into_iter().flatten().map(|primitive| primitive.name)
}

/// The tensor that flows, in every signature.
const X: Parameter = Parameter { name: "x", default: Default::Required, words: &[] };

const fn required(name: &'static str) -> Parameter {
    Parameter { name, default: Default::Required, words: &[] }
}

const fn number(name: &'static str, default: f64) -> Parameter {
    Parameter { name, default: Default::Number(default), words: &[] }
}

const fn flag(name: &'static str, default: bool) -> Parameter {
    Parameter { name, default: Default::Bool(default), words: &[] }
}

const fn word(name: &'static str, default: &'static str) -> Parameter {
    Parameter { name, default: Default::Text(default), words: &[] }
}

/// Borders that are named.
const BORDERS: &[&str] = &["symmetric", "same", "same_even", "valid"];

const fn absent(name: &'static str) -> Parameter {
    Parameter { name, default: Default::Absent, words: &[] }
}

const fn setting(name: &'static str, default: &'static str) -> Parameter {
    Parameter { name, default: Default::Setting(default), words: &[] }
}

const fn like(name: &'static str, default: &'static str) -> Parameter {
    Parameter { name, default: Default::Like(default), words: &[] }
}

impl Expander<'_> {
    /// The tensor argument `name`.
    fn operand(&self, args: &Args, name: &str) -> Eval<NodeId> {
        let bound = args.get(name);
        let what = if name == "x" {
            format!("the operand of `{}`", args.name)
        } else {
            format!("`{name}` of `{}`", args.name)
        };
        self.tensor(&bound.value, &what, bound.span)
    }

    /// The operand `x` as a map, `[N, H, W, C]`.
    fn map_operand(&self, args: &Args) -> Eval<(NodeId, [usize; 4])> {
        let x = self.operand(args, "x")?;
        let shape = self.shape(x);
        if let Ok(map) = <[usize; 4]>::try_from(shape) {
            return Ok((x, map));
        }
        let shown = super::eval::show_shape(shape);
        let message = format!("`{}` needs a map [N, H, W, C], here is {shown}", args.name);
        let error = Diagnostic::error(codes::NOT_A_MAP, args.call, message);
        Err(match (args.name, shape.len()) {
            ("conv" | "dwconv", 2 | 3) => {
                error.help("`linear` works on the last axis of any tensor")
            }
            (_, 3) => {
                error.help("`view` makes a map of tokens: `view(\"(h w) c -> h w c\", h = 14)`")
            }
            _ => error,
        }
        .into())
    }
}

/// A primitive's result.
fn tensor(result: Eval<NodeId>) -> Eval<Value> {
    result.map(Value::Tensor)
}
