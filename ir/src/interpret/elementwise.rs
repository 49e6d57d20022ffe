//! Elementwise operators. Each value is computed in `f64` and rounded once.

use super::parallel;
use super::strided::{broadcast_strides, walk};
use crate::math;
use crate::op::{Binary, Unary};
use crate::tensor::Tensor;

/// Elements that one thread takes at a time.
const PIECE: usize = 1 << 14;

/// Operations that a transcendental function costs, about.
const COST: usize = 16;

/// Replaces each value by `f` of it.
fn map(data: &mut [f32], threads: usize, f: impl Fn(f64) -> f64 + Sync) {
    let cost = data.len().saturating_mul(COST);
    parallel::rows(threads, cost, data, 1, PIECE, |_, piece| {
        for value in piece {
            *value = f(*value as f64) as f32;
        }
    });
}

/// Elementwise function, in place.
pub(crate) fn unary(function: Unary, data: &mut [f32], threads: usize) {
    map(data, threads, |x| function.eval(x));
}

/// `min(max(x, low), high)`, in place.
pub(crate) fn clamp(low: f64, high: f64, data: &mut [f32], threads: usize) {
    map(data, threads, |x| math::min(math::max(x, low), high));
}

/// `x * mul + add`, in place.
pub(crate) fn affine(mul: f64, add: f64, data: &mut [f32], threads: usize) {
    map(data, threads, |x| x * mul + add);
}

/// `values op right`, in place; `right op values` if `swapped`. One value on the right stands for all.
///
/// Sums, differences, products and quotients of `f32` are the same bits computed in `f32` as in `f64`
/// and then rounded: 53 bits are more than twice 24 and two.
pub(crate) fn binary_in_place(op: Binary, values: &mut [f32], right: &[f32], swapped: bool) {
    let wide = |f: fn(f64, f64) -> f64| move |a: f32, b: f32| f(a.into(), b.into()) as f32;
    match op {
        Binary::Add => with_each(values, right, swapped, |a, b| a + b),
        Binary::Sub => with_each(values, right, swapped, |a, b| a - b),
        Binary::Mul => with_each(values, right, swapped, |a, b| a * b),
        Binary::Div => with_each(values, right, swapped, |a, b| a / b),
        Binary::Max => with_each(values, right, swapped, wide(math::max)),
        Binary::Min => with_each(values, right, swapped, wide(math::min)),
        Binary::Pow => with_each(values, right, swapped, wide(f64::powf)),
    }
}

fn with_each(values: &mut [f32], right: &[f32], swapped: bool, f: impl Fn(f32, f32) -> f32) {
    match *right {
        [right] if swapped => values.iter_mut().for_each(|v| *v = f(right, *v)),
        [right] => values.iter_mut().for_each(|v| *v = f(*v, right)),
        _ if swapped => values.iter_mut().zip(right).for_each(|(v, right)| *v = f(*right, *v)),
        _ => values.iter_mut().zip(right).for_each(|(v, right)| *v = f(*v, *right)),
    }
}

/// `a op b`, broadcast to `shape`.
pub(super) fn binary(op: Binary, a: &Tensor, b: &Tensor, shape: &[usize]) -> Vec<f32> {
    // One loop for each operator, so that the choice is made outside of it.
    match op {
        Binary::Add => zip(a, b, shape, |a, b| a + b),
        Binary::Sub => zip(a, b, shape, |a, b| a - b),
        Binary::Mul => zip(a, b, shape, |a, b| a * b),
        Binary::Div => zip(a, b, shape, |a, b| a / b),
        Binary::Max => zip(a, b, shape, math::max),
        Binary::Min => zip(a, b, shape, math::min),
        Binary::Pow => zip(a, b, shape, f64::powf),
    }
}

fn zip(a: &Tensor, b: &Tensor, shape: &[usize], f: impl Fn(f64, f64) -> f64) -> Vec<f32> {
    let f = |a: f32, b: f32| f(a as f64, b as f64) as f32;
    let strides = [broadcast_strides(&a.shape, shape), broadcast_strides(&b.shape, shape)];
    let mut out = Vec::with_capacity(shape.iter().product());
    walk(shape, [&strides[0], &strides[1]], |len, [i, j], steps| match steps {
        [1, 1] => {
            out.extend(a.data[i..i + len].iter().zip(&b.data[j..j + len]).map(|(&a, &b)| f(a, b)));
        }
        [1, 0] => {
            let b = b.data[j];
            out.extend(a.data[i..i + len].iter().map(|&a| f(a, b)));
        }
        [0, 1] => {
            let a = a.data[i];
            out.extend(b.data[j..j + len].iter().map(|&b| f(a, b)));
        }
        [s, t] => out.extend((0..len).map(|k| f(a.data[i + k * s], b.data[j + k * t]))),
    });
    out
}
