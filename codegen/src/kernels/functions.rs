//! Functions of one and two variables on vectors of `f32`.
//!
//! Accuracies are measured by the tests in `tests/functions.rs` against `f64`, in units in the last
//! place (ulp) of the exact result. NaN in gives NaN out, and infinities give what PyTorch gives.
//! The polynomials are weighted least-squares fits driven to equal ripple (Lawson's algorithm).

use crate::program::{Arithmetic, Function};
use crate::vir::{BinOp, Builder, Cmp, UnOp, V};

const SIGN: u32 = 0x8000_0000;
/// 1.5 * 2^23: adding it rounds a small number to an integer, which stands in the low bits.
const ROUND: f32 = 12_582_912.0;
/// ln 2 in two parts; the first has 10 significant bits, so its products with exponents are exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// Appends `function` of `x`; the result is in a fresh register, or `x` itself is never changed.
pub fn unary(b: &mut Builder, function: Function, x: V) -> V {
    unary_of_loaded(b, function, x, &mut |_| x)
}

/// As [`unary`], for `x` that `again` can load a second time: a long function that needs it at its
/// end keeps no register for it.
pub fn unary_of_loaded(
    b: &mut Builder,
    function: Function,
    x: V,
    again: &mut dyn FnMut(&mut Builder) -> V,
) -> V {
    match function {
        Function::Relu => {
            let zero = b.splat(0.0);
            b.bin(BinOp::Max, zero, x)
        }
        Function::Clamp { low, high } => clamp(b, x, f32::from_bits(low), f32::from_bits(high)),
        Function::Affine { mul, add } => {
            let (mul, add) = (b.splat_bits(mul), b.splat_bits(add));
            b.mul_add(x, mul, add)
        }
        Function::HardSigmoid => hard_sigmoid(b, x),
        Function::HardSwish => {
            let gate = hard_sigmoid(b, x);
            b.bin(BinOp::Mul, x, gate)
        }
        // Sigmoid and SiLU: within 4 ulp from -20 to 20, 7 ulp (5e-7) down to -88, where the results
        // are 1e-37; zeros below -88.37.
        Function::Sigmoid => {
            let denominator = one_plus_exp(b, x, -1.0);
            let one = b.splat(1.0);
            b.bin(BinOp::Div, one, denominator)
        }
        Function::Silu => {
            let denominator = one_plus_exp(b, x, -1.0);
            let x = again(b);
            b.bin(BinOp::Div, x, denominator)
        }
        Function::Gelu => {
            let scale = b.splat(std::f32::consts::FRAC_1_SQRT_2);
            let scaled = b.bin(BinOp::Mul, x, scale);
            let e = erf(b, scaled);
            let x = again(b);
            half_one_plus(b, x, e)
        }
        Function::GeluTanh => {
            // sqrt(2 / pi) * (x + 0.044715 x^3) = x * (c1 * x^2 + c0)
            const C0: f32 = 0.797_884_6;
            const C1: f32 = 0.044_715 * C0;
            let square = b.bin(BinOp::Mul, x, x);
            let factor = polynomial(b, square, &[C0, C1]);
            let inner = b.bin(BinOp::Mul, x, factor);
            let t = tanh(b, inner);
            let x = again(b);
            half_one_plus(b, x, t)
        }
        Function::Tanh => tanh(b, x),
        Function::Exp => exp(b, x),
        Function::Log => log(b, x),
        Function::Sqrt => b.un(UnOp::Sqrt, x),
        Function::Rsqrt => {
            let root = b.un(UnOp::Sqrt, x);
            let one = b.splat(1.0);
            b.bin(BinOp::Div, one, root)
        }
        Function::Recip => {
            let one = b.splat(1.0);
            b.bin(BinOp::Div, one, x)
        }
        Function::Square => b.bin(BinOp::Mul, x, x),
        Function::Neg => {
            let sign = b.splat_bits(SIGN);
            b.bin(BinOp::Xor, x, sign)
        }
        Function::Abs => abs(b, x),
    }
}

/// Appends `x op y`; `Max` and `Min` give NaN if either is NaN, as PyTorch's do.
pub fn binary(b: &mut Builder, op: Arithmetic, x: V, y: V) -> V {
    match op {
        Arithmetic::Add => b.bin(BinOp::Add, x, y),
        Arithmetic::Sub => b.bin(BinOp::Sub, x, y),
        Arithmetic::Mul => b.bin(BinOp::Mul, x, y),
        Arithmetic::Div => b.bin(BinOp::Div, x, y),
        Arithmetic::Max => extremum(b, BinOp::Max, x, y),
        Arithmetic::Min => extremum(b, BinOp::Min, x, y),
        Arithmetic::Pow => pow(b, x, y),
    }
}

/// The larger or smaller of two, NaN if either is NaN.
pub fn extremum(b: &mut Builder, op: BinOp, x: V, y: V) -> V {
    // The comparison already yields `y` where `y` is NaN; where `x` is NaN, take `x`.
    let best = b.bin(op, x, y);
    b.select(Cmp::Unordered, [x, x], x, best)
}

/// Whether a function takes more than a handful of operations.
pub fn is_heavy(function: Function) -> bool {
    matches!(
        function,
        Function::Sigmoid
            | Function::Silu
            | Function::Gelu
            | Function::GeluTanh
            | Function::Tanh
            | Function::Exp
            | Function::Log
    )
}

/// `min(max(x, low), high)`, NaN if `x` is.
fn clamp(b: &mut Builder, x: V, low: f32, high: f32) -> V {
    let low = b.splat(low);
    let x = b.bin(BinOp::Max, low, x);
    let high = b.splat(high);
    b.bin(BinOp::Min, high, x)
}

fn abs(b: &mut Builder, x: V) -> V {
    let mask = b.splat_bits(!SIGN);
    b.bin(BinOp::And, x, mask)
}

/// `relu6(x + 3) / 6`
fn hard_sigmoid(b: &mut Builder, x: V) -> V {
    let three = b.splat(3.0);
    let shifted = b.bin(BinOp::Add, x, three);
    let clamped = clamp(b, shifted, 0.0, 6.0);
    let sixth = b.splat(1.0 / 6.0);
    b.bin(BinOp::Mul, clamped, sixth)
}

/// `x / 2 * (1 + y)`
fn half_one_plus(b: &mut Builder, x: V, y: V) -> V {
    let half = b.splat(0.5);
    let half_x = b.bin(BinOp::Mul, x, half);
    let one = b.splat(1.0);
    let factor = b.bin(BinOp::Add, y, one);
    b.bin(BinOp::Mul, half_x, factor)
}

/// `1 + exp(sign x)` for a sign of 1 or -1, within 4e-7 of itself; infinite from 127.5 ln 2 (88.37)
/// on, where the true value is above 2.3e38.
fn one_plus_exp(b: &mut Builder, x: V, sign: f32) -> V {
    let x = match sign > 0.0 {
        true => clamp(b, x, -87.0, 89.0),
        false => clamp(b, x, -89.0, 87.0),
    };
    // With 127 in the rounding constant, the low bits are a power's exponent field: 255, infinity,
    // for the largest.
    let (shifted, p) = short_exp_parts(b, x, ROUND + 127.0, sign);
    let power = b.un(UnOp::Shl(23), shifted);
    let one = b.splat(1.0);
    b.mul_add(p, power, one)
}

/// Horner's rule; the constant term comes first.
fn polynomial(b: &mut Builder, x: V, coefficients: &[f32]) -> V {
    let mut value = None;
    for c in coefficients.iter().rev() {
        let c = b.splat(*c);
        value = Some(match value {
            Some(value) => b.mul_add(value, x, c),
            None => c,
        });
    }
    // No caller passes an empty list; 0 is the polynomial without terms.
    value.unwrap_or_else(|| b.splat(0.0))
}

/// Splits `sign x = n ln 2 + r`: returns `sign x log2(e) + round` (whose low bits are those of `n`,
/// offset by the constant's) and `exp(r)`, for `|x| < 105` and a sign of 1 or -1.
fn exp_parts(b: &mut Builder, x: V, round: f32, sign: f32) -> (V, V) {
    let log2e = b.splat(sign * std::f32::consts::LOG2_E);
    let round = b.splat(round);
    let shifted = b.mul_add(x, log2e, round);
    let n = b.bin(BinOp::Sub, shifted, round);
    // `sign r`, and so the odd terms of the polynomial change signs with it.
    let high = b.splat(-sign * LN2_HIGH);
    let r = b.mul_add(n, high, x);
    let low = b.splat(-sign * LN2_LOW);
    let r = b.mul_add(n, low, r);
    let even = [1.0, 0.499_999_94, 0.041_668_39, 1.381_454e-3];
    let odd = [1.0, 0.166_665_21, 8.368_745e-3].map(|c: f32| sign * c);
    let p = polynomial(b, r, &[even[0], odd[0], even[1], odd[1], even[2], odd[2], even[3]]);
    (shifted, p)
}

/// `exp(x)`, within 1.2 ulp, subnormal results and overflow included.
pub fn exp(b: &mut Builder, x: V) -> V {
    let x = clamp(b, x, -104.0, 89.0);
    let (shifted, p) = exp_parts(b, x, ROUND, 1.0);
    // 2^n as a product of two powers, each of which is a normal number.
    let bias = b.splat_bits(254u32.wrapping_sub(ROUND.to_bits()));
    let biased = b.bin(BinOp::IAdd, shifted, bias);
    let first = b.un(UnOp::Shr(1), biased);
    let second = b.bin(BinOp::ISub, biased, first);
    let first = b.un(UnOp::Shl(23), first);
    let second = b.un(UnOp::Shl(23), second);
    let p = b.bin(BinOp::Mul, p, first);
    b.bin(BinOp::Mul, p, second)
}

/// As [`exp_parts`] with `exp(r)` within 2 ulp, in fewer operations.
///
/// The product with ln 2 is one operation where it rounds once: `n` times the error of the constant is
/// at most 2.4e-7, for the largest exponents. Vectors of 4 may belong to a CPU where it rounds twice.
fn short_exp_parts(b: &mut Builder, x: V, round: f32, sign: f32) -> (V, V) {
    let log2e = b.splat(sign * std::f32::consts::LOG2_E);
    let round = b.splat(round);
    let shifted = b.mul_add(x, log2e, round);
    let n = b.bin(BinOp::Sub, shifted, round);
    let parts = match b.lanes() {
        4 => &[LN2_HIGH, LN2_LOW][..],
        _ => &[std::f32::consts::LN_2],
    };
    let mut r = x;
    for part in parts {
        let part = b.splat(-sign * part);
        r = b.mul_add(n, part, r);
    }
    let [c3, c5] = [0.166_671_16, 8.312_501e-3].map(|c: f32| sign * c);
    let p = polynomial(b, r, &[1.0, sign, 0.499_992_3, c3, 0.041_890_33, c5]);
    (shifted, p)
}

/// `exp(x)` of `x` up to 0, within 4e-7 of itself (2e-7 down to -20), and `exp(-85)` (1e-37) below -85.
pub fn exp_of_difference(b: &mut Builder, x: V) -> V {
    let low = b.splat(-85.0);
    let x = b.bin(BinOp::Max, low, x);
    let (shifted, p) = short_exp_parts(b, x, ROUND, 1.0);
    let exponent = b.un(UnOp::Shl(23), shifted);
    b.bin(BinOp::IAdd, p, exponent)
}

/// The error function, within 4 ulp. `x P(x^2) / Q(x^2)` up to where it rounds to 1.
pub fn erf(b: &mut Builder, x: V) -> V {
    let u = b.bin(BinOp::Mul, x, x);
    let p = polynomial(
        b,
        u,
        &[
            std::f32::consts::FRAC_2_SQRT_PI,
            0.187_307_28,
            0.052_418_403,
            3.652_710_5e-3,
            2.859_425e-4,
            2.123_144_2e-6,
        ],
    );
    let q = polynomial(
        b,
        u,
        &[1.0, 0.499_329_66, 0.112_900_08, 0.014_742_412, 1.141_697e-3, 3.889_836_4e-5],
    );
    let p = b.bin(BinOp::Mul, p, x);
    let inner = b.bin(BinOp::Div, p, q);
    let one = b.splat(1.0);
    let outer = with_sign(b, one, x);
    let limit = b.splat(3.832_507);
    let size = abs(b, x);
    b.select(Cmp::Le, [limit, size], outer, inner)
}

/// The non-negative `size` with the sign of `x`.
fn with_sign(b: &mut Builder, size: V, x: V) -> V {
    let mask = b.splat_bits(SIGN);
    let sign = b.bin(BinOp::And, x, mask);
    b.bin(BinOp::Or, size, sign)
}

/// The hyperbolic tangent, within 3 ulp: a polynomial near 0, `1 - 2 / (exp(2|x|) + 1)` beyond.
pub fn tanh(b: &mut Builder, x: V) -> V {
    let size = abs(b, x);
    let twice = b.bin(BinOp::Add, size, size);
    let denominator = one_plus_exp(b, twice, 1.0);
    let one = b.splat(1.0);
    let two = b.splat(2.0);
    let rest = b.bin(BinOp::Div, two, denominator);
    let outer = b.bin(BinOp::Sub, one, rest);
    let outer = with_sign(b, outer, x);
    let u = b.bin(BinOp::Mul, x, x);
    let p = polynomial(
        b,
        u,
        &[-0.333_332_8, 0.133_314_42, -0.053_739_715, 0.020_639_086, -5.704_986_4e-3],
    );
    let p = b.bin(BinOp::Mul, p, u);
    let inner = b.vector();
    b.mov(inner, x);
    b.fma(inner, p, x);
    let limit = b.splat(0.625);
    b.select(Cmp::Lt, [size, limit], inner, outer)
}

/// The natural logarithm, within 2 ulp; -inf at 0, NaN below.
pub fn log(b: &mut Builder, x: V) -> V {
    // Subnormal numbers are scaled up by 2^23 first.
    let zero = b.splat(0.0);
    let least = b.splat(f32::MIN_POSITIVE);
    let scale = b.splat(8_388_608.0);
    let scaled = b.bin(BinOp::Mul, x, scale);
    let normal = b.select(Cmp::Lt, [x, least], scaled, x);
    let shift = b.splat(23.0);
    let offset = b.select(Cmp::Lt, [x, least], shift, zero);
    // x = 2^e m with m from sqrt(1/2) to sqrt(2).
    let to_one = b.splat_bits(0x3f80_0000 - std::f32::consts::FRAC_1_SQRT_2.to_bits());
    let biased = b.bin(BinOp::IAdd, normal, to_one);
    let biased = b.un(UnOp::Shr(23), biased);
    let field = b.un(UnOp::Shl(23), biased);
    let m = b.bin(BinOp::ISub, normal, field);
    let one = b.splat(1.0);
    let m = b.bin(BinOp::IAdd, m, one);
    // The biased exponent as a float: in the low bits of 2^23.
    let magic = b.splat(8_388_608.0);
    let e = b.bin(BinOp::Or, biased, magic);
    let bias = b.splat(8_388_608.0 + 127.0);
    let e = b.bin(BinOp::Sub, e, bias);
    let e = b.bin(BinOp::Sub, e, offset);
    let f = b.bin(BinOp::Sub, m, one);
    let p = polynomial(
        b,
        f,
        &[
            0.333_333_13,
            -0.250_000_1,
            0.200_021_19,
            -0.166_679_96,
            0.142_195_52,
            -0.124_055_89,
            0.118_881_63,
            -0.116_756_51,
            0.067_466_386,
        ],
    );
    let square = b.bin(BinOp::Mul, f, f);
    let tail = b.bin(BinOp::Mul, p, f);
    let half = b.splat(-0.5);
    let tail = b.bin(BinOp::Add, tail, half);
    let tail = b.bin(BinOp::Mul, tail, square);
    let low = b.splat(LN2_LOW);
    b.fma(tail, e, low);
    let sum = b.bin(BinOp::Add, f, tail);
    let high = b.splat(LN2_HIGH);
    b.fma(sum, e, high);
    let nan = b.splat(f32::NAN);
    let result = b.select(Cmp::Lt, [x, zero], nan, sum);
    let low = b.splat(f32::NEG_INFINITY);
    let result = b.select(Cmp::Eq, [x, zero], low, result);
    let infinity = b.splat(f32::INFINITY);
    let result = b.select(Cmp::Eq, [x, infinity], infinity, result);
    b.select(Cmp::Unordered, [x, x], x, result)
}

/// `x ^ y` as `exp(y ln |x|)`: relative error about `2^-22 (1 + |y ln x|)`. A negative `x` has
/// powers for whole `y` (taken as even from 2^22 on), otherwise NaN; `x ^ 0` and `1 ^ y` are 1.
fn pow(b: &mut Builder, x: V, y: V) -> V {
    let size = abs(b, x);
    let logarithm = log(b, size);
    let exponent = b.bin(BinOp::Mul, logarithm, y);
    let magnitude = exp(b, exponent);
    // Whether y is whole, and odd.
    let round = b.splat(ROUND);
    let shifted = b.bin(BinOp::Add, y, round);
    let whole = b.bin(BinOp::Sub, shifted, round);
    let parity = b.un(UnOp::Shl(31), shifted);
    let signed = b.bin(BinOp::Xor, magnitude, parity);
    let nan = b.splat(f32::NAN);
    let small = b.select(Cmp::Eq, [whole, y], signed, nan);
    let limit = b.splat(4_194_304.0);
    let size_y = abs(b, y);
    let negative = b.select(Cmp::Lt, [size_y, limit], small, magnitude);
    let zero = b.splat(0.0);
    let result = b.select(Cmp::Lt, [x, zero], negative, magnitude);
    let one = b.splat(1.0);
    let result = b.select(Cmp::Eq, [x, one], one, result);
    let result = b.select(Cmp::Unordered, [x, y], nan, result);
    let result = b.select(Cmp::Eq, [x, one], one, result);
    b.select(Cmp::Eq, [y, zero], one, result)
}
