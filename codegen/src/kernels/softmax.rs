//! Softmax over the middle of `[outer, len, inner]`: exponentials of the differences to the largest
//! value, times the reciprocal of their sum. Operands: `x`, `out`.

use super::reduce;
use super::sweep::chains;
use super::{BuiltKernel, Target, begin, each_unit, each_vector, functions, indices, scaled};
use crate::program::Reduction;
use crate::vir::{BinOp, Builder, FoldOp, G, GOp, V};

/// Builds the kernel for `[outer, len, inner]`.
pub fn build([outer, len, inner]: [usize; 3], name: &str, target: &Target) -> BuiltKernel {
    let (mut b, params) = begin(name, target);
    if inner == 1 {
        each_unit(&mut b, params, |b, unit| {
            let offset = scaled(b, unit, len * 4);
            let x = params.operand(b, 0);
            let x = b.g_bin(GOp::Add, x, offset);
            let out = params.operand(b, 1);
            let out = b.g_bin(GOp::Add, out, offset);
            row(b, x, out, len);
        });
    } else {
        each_unit(&mut b, params, |b, unit| {
            let index = indices(b, unit, &[outer]);
            let offset = scaled(b, index[0], len * inner * 4);
            let x = params.operand(b, 0);
            let x = b.g_bin(GOp::Add, x, offset);
            let out = params.operand(b, 1);
            let out = b.g_bin(GOp::Add, out, offset);
            each_vector(
                b,
                inner,
                |b, n| column(b, x, out, [len, inner], n),
                |b, bytes| {
                    b.g_advance(x, bytes);
                    b.g_advance(out, bytes);
                },
            );
        });
    }
    let function = b.finish();
    BuiltKernel { function, units: outer, scratch: 0, cost: (outer * len * inner) as u64 * 3 / 2 }
}

/// `out = exp(x - largest)` of the vector at a byte offset.
fn exponential(b: &mut Builder, x: G, out: G, at: i32, largest: V, n: usize) -> V {
    let value = b.load_n(x, at, n);
    let difference = b.bin(BinOp::Sub, value, largest);
    let e = functions::exp_of_difference(b, difference);
    b.store_n(e, out, at, n);
    e
}

/// `n` neighbouring columns, the values of each `inner` apart.
fn column(b: &mut Builder, x: G, out: G, [len, inner]: [usize; 2], n: usize) {
    let step = inner as i64 * 4;
    let largest = b.splat(f32::NEG_INFINITY);
    let from = b.g_copy(x);
    b.times(len, |b| {
        let value = b.load_n(from, 0, n);
        b.bin_to(BinOp::Max, largest, value, largest);
        b.g_advance(from, step);
    });
    let sum = b.splat(0.0);
    let (from, to) = (b.g_copy(x), b.g_copy(out));
    b.times(len, |b| {
        let e = exponential(b, from, to, 0, largest, n);
        b.bin_to(BinOp::Add, sum, sum, e);
        b.g_advance(from, step);
        b.g_advance(to, step);
    });
    let one = b.splat(1.0);
    let scale = b.bin(BinOp::Div, one, sum);
    let to = b.g_copy(out);
    b.times(len, |b| {
        let e = b.load_n(to, 0, n);
        let e = b.bin(BinOp::Mul, e, scale);
        b.store_n(e, to, 0, n);
        b.g_advance(to, step);
    });
}

/// A contiguous row. `x` and `out` may be the same.
pub fn row(b: &mut Builder, x: G, out: G, len: usize) {
    let lanes = b.lanes();
    let largest = reduce::row(b, Reduction::Max, x, len);
    // Several vectors at a time, each with a sum of its own.
    let (whole, rest) = (len / lanes, len % lanes);
    let width = chains(lanes).min(whole.max(1));
    let sums: Vec<V> = (0..width).map(|_| b.splat(0.0)).collect();
    let (from, to) = (b.g_copy(x), b.g_copy(out));
    let group = |b: &mut Builder, width: usize| {
        b.interleaved(width, |b, i| {
            let e = exponential(b, from, to, (i * lanes * 4) as i32, largest, lanes);
            b.bin_to(BinOp::Add, sums[i], sums[i], e);
        });
        b.g_advance(from, (width * lanes * 4) as i64);
        b.g_advance(to, (width * lanes * 4) as i64);
    };
    b.times(whole / width, |b| group(b, width));
    if whole % width > 0 {
        group(b, whole % width);
    }
    if rest > 0 {
        let e = exponential(b, from, to, 0, largest, rest);
        let mask = b.mask(rest);
        let e = b.bin(BinOp::And, e, mask);
        b.bin_to(BinOp::Add, sums[0], sums[0], e);
    }
    let sum = sums[0];
    for other in &sums[1..] {
        b.bin_to(BinOp::Add, sum, sum, *other);
    }
    let sum = b.fold(FoldOp::Add, sum);
    let one = b.splat(1.0);
    let scale = b.bin(BinOp::Div, one, sum);
    let to = b.g_copy(out);
    each_vector(
        b,
        len,
        |b, n| {
            let e = b.load_n(to, 0, n);
            let e = b.bin(BinOp::Mul, e, scale);
            b.store_n(e, to, 0, n);
        },
        |b, bytes| b.g_advance(to, bytes),
    );
}
