//! Elementwise arithmetic beside the operators `+ - * / ^`.

use super::{X, required, tensor};
use crate::expand::bind::Args;
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_grammar::Diagnostic;
use netwright_ir::{Binary, Op, Unary};

macro_rules! unary {
    ($($name:literal $op:ident $about:literal;)*) => {
        pub(super) const PRIMITIVES: &[Primitive] = &[
            $(Primitive {
                name: $name,
                params: &[X],
                rest: Rest::None,
                about: $about,
                run: |this, args| unary(this, args, Unary::$op),
            },)*
            Primitive {
                name: "clamp",
                params: &[X, required("low"), required("high")],
                rest: Rest::None,
                about: "min(max(x, low), high)",
                run: clamp,
            },
            Primitive {
                name: "maximum",
                params: &[X, required("b")],
                rest: Rest::None,
                about: "the larger of x and b, a tensor or a number",
                run: |this, args| extreme(this, args, Binary::Max),
            },
            Primitive {
                name: "minimum",
                params: &[X, required("b")],
                rest: Rest::None,
                about: "the smaller of x and b, a tensor or a number",
                run: |this, args| extreme(this, args, Binary::Min),
            },
        ];
    };
}

unary! {
    "exp" Exp "e to the power of x";
    "log" Log "natural logarithm";
    "sqrt" Sqrt "square root";
    "rsqrt" Rsqrt "1 / sqrt(x)";
    "abs" Abs "absolute value";
    "square" Square "x * x";
    "neg" Neg "-x";
    "recip" Recip "1 / x";
}

fn unary(this: &mut Expander<'_>, args: &Args, op: Unary) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    tensor(this.push(Op::Unary(op), vec![x], args.call))
}

fn clamp(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let (low, high) = (args.number("low")?, args.number("high")?);
    if low > high {
        let message = format!("`clamp` from {low} to {high} is empty");
        return Err(Diagnostic::error(codes::SHAPE, args.call, message).into());
    }
    tensor(this.push(Op::Clamp { low, high }, vec![x], args.call))
}

fn extreme(this: &mut Expander<'_>, args: &Args, op: Binary) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let b = args.get("b");
    if let Value::Number(bound) = b.value {
        // The largest finite value stands for "no bound": every f32 is within it.
        let largest = f64::from(f32::MAX);
        let (low, high) = match op {
            Binary::Max => (bound, largest.max(bound)),
            _ => ((-largest).min(bound), bound),
        };
        return tensor(this.push(Op::Clamp { low, high }, vec![x], args.call));
    }
    let b = this.operand(args, "b")?;
    tensor(this.push(Op::Binary(op), vec![x, b], args.call))
}
