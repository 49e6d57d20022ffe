//! The transforms of one line of a window or of one line of sums.
//!
//! For m = 2, `B^T` is `1 0 -1 0; 0 1 1 0; 0 -1 1 0; 0 1 0 -1` and `A^T` is `1 1 1 0; 0 1 -1 -1`.
//! For m = 4, with the points 0, a, -a, b, -b and infinity (see [`POINTS`]), the rows of `B^T` are
//! the coefficients of the polynomials that are 0 at all points but one,
//!
//! ```text
//! (x^2 - a^2) (x^2 - b^2)
//! x (x + a) (x^2 - b^2)
//! x (x - a) (x^2 - b^2)
//! x (x + b) (x^2 - a^2)
//! x (x - b) (x^2 - a^2)
//! x (x^2 - a^2) (x^2 - b^2)
//! ```
//!
//! and row i of `A^T` has the points' i-th powers, infinity counting in the last one only. Even and
//! odd powers of points that differ in sign are computed once.

use crate::pack::winograd::POINTS;
use crate::vir::{BinOp, Builder, V};

/// `acc + factor * value`.
fn plus(b: &mut Builder, acc: V, factor: V, value: V) -> V {
    let sum = b.vector();
    b.mov(sum, acc);
    b.fma(sum, value, factor);
    sum
}

fn add(b: &mut Builder, x: V, y: V) -> V {
    b.bin(BinOp::Add, x, y)
}

fn sub(b: &mut Builder, x: V, y: V) -> V {
    b.bin(BinOp::Sub, x, y)
}

/// Constants in registers; they are exact in `f32`.
fn constants<const N: usize>(b: &mut Builder, values: [f64; N]) -> [V; N] {
    values.map(|value| b.splat(value as f32))
}

/// The transform `B^T d` of windows.
pub enum Input {
    /// Tiles of 2.
    Two,
    /// Tiles of 4: a, b, -a^2, -b^2, -(a^2 + b^2), a^2 b^2.
    Four([V; 6]),
}

impl Input {
    /// Prepares the constants.
    pub fn new(builder: &mut Builder, tile: usize) -> Input {
        let [a, b] = POINTS;
        let (aa, bb) = (a * a, b * b);
        match tile {
            2 => Input::Two,
            _ => Input::Four(constants(builder, [a, b, -aa, -bb, -aa - bb, aa * bb])),
        }
    }

    /// Transforms `m + 2` values.
    pub fn apply(&self, builder: &mut Builder, d: &[V]) -> Vec<V> {
        let Input::Four([a, b, aa, bb, sum, product]) = *self else {
            let first = sub(builder, d[0], d[2]);
            let (plus, minus) = (add(builder, d[1], d[2]), sub(builder, d[2], d[1]));
            return vec![first, plus, minus, sub(builder, d[1], d[3])];
        };
        let mut outer = |d: [V; 3]| {
            let inner = plus(builder, d[2], sum, d[1]);
            plus(builder, inner, product, d[0])
        };
        let (first, last) = (outer([d[0], d[2], d[4]]), outer([d[1], d[3], d[5]]));
        let mut pair = |point: V, square: V| {
            let even = plus(builder, d[4], square, d[2]);
            let odd = plus(builder, d[3], square, d[1]);
            let odd = builder.bin(BinOp::Mul, odd, point);
            [add(builder, even, odd), sub(builder, even, odd)]
        };
        let ([plus_a, minus_a], [plus_b, minus_b]) = (pair(a, bb), pair(b, aa));
        vec![first, plus_a, minus_a, plus_b, minus_b, last]
    }
}

/// The transform `A^T s` of sums.
pub enum Output {
    /// Tiles of 2.
    Two,
    /// Tiles of 4: the powers of a and b from the first to the third.
    Four([V; 3], [V; 3]),
}

impl Output {
    /// Prepares the constants.
    pub fn new(builder: &mut Builder, tile: usize) -> Output {
        if tile == 2 {
            return Output::Two;
        }
        let [a, b] = POINTS.map(|p| constants(builder, [p, p * p, p * p * p]));
        Output::Four(a, b)
    }

    /// Transforms `m + 2` values to `m`, each plus `bias`.
    pub fn apply(&self, builder: &mut Builder, s: &[V], bias: Option<V>) -> Vec<V> {
        let mut biased = |value: V| match bias {
            Some(bias) => add(builder, value, bias),
            None => value,
        };
        let Output::Four(a, b) = *self else {
            let (first, second) = (biased(s[0]), biased(s[1]));
            let difference = sub(builder, second, s[2]);
            let sum = add(builder, s[1], s[2]);
            return vec![add(builder, first, sum), sub(builder, difference, s[3])];
        };
        let (first, last) = (biased(s[0]), biased(s[5]));
        let (sum_a, difference_a) = (add(builder, s[1], s[2]), sub(builder, s[1], s[2]));
        let (sum_b, difference_b) = (add(builder, s[3], s[4]), sub(builder, s[3], s[4]));
        let mut power = |i: usize, start: Option<V>, value_a: V, value_b: V| {
            let value = match start {
                Some(start) => plus(builder, start, a[i], value_a),
                None => builder.bin(BinOp::Mul, value_a, a[i]),
            };
            plus(builder, value, b[i], value_b)
        };
        let second = power(0, bias, difference_a, difference_b);
        let third = power(1, bias, sum_a, sum_b);
        let fourth = power(2, Some(last), difference_a, difference_b);
        let first = add(builder, first, sum_a);
        vec![add(builder, first, sum_b), second, third, fourth]
    }
}
