//! Softmax over the middle of `[outer, len, inner]`: exponentials of the differences to the largest
//! value, times the reciprocal of their sum. Operands: `x`, `out`.

use super::epilogue::{self, Constants};
use super::sweep::chains;
use super::{BuiltKernel, Target, begin, each_unit, each_vector, functions, indices, scaled};
use crate::program::Post;
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
            row(b, x, out, len, &Before::default());
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

/// What is computed of each value of a row before its softmax.
#[derive(Default)]
pub struct Before<'a> {
    /// The steps; the value that they make is kept in the row's own place.
    pub steps: &'a [Post],
    /// Address of each binary step's operand at the row's beginning, and whether it is one value for all.
    pub operands: Vec<(G, bool)>,
}

/// The largest of a row's `len` values, in all lanes, after the steps before. A NaN may be passed over: the
/// sum of the exponentials will be NaN all the same.
fn largest(b: &mut Builder, x: G, len: usize, before: &Before) -> V {
    let lanes = b.lanes();
    let (whole, rest) = (len / lanes, len % lanes);
    let width = chains(lanes).min(whole.max(1));
    let best: Vec<V> = (0..width).map(|_| b.splat(f32::NEG_INFINITY)).collect();
    let at = b.g_copy(x);
    let operands: Vec<(G, bool)> =
        before.operands.iter().map(|(g, one)| (b.g_copy(*g), *one)).collect();
    let value = |b: &mut Builder, vector: usize, n: usize| {
        let offset = (vector * lanes * 4) as i32;
        let value = b.load_n(at, offset, n);
        if before.steps.is_empty() {
            return value;
        }
        let constants = &mut Constants::default();
        let value =
            epilogue::apply(b, before.steps, value, constants, |b, index, _| {
                match operands[index] {
                    (one, true) => b.broadcast(one, 0),
                    (row, false) => b.load_n(row, offset, n),
                }
            });
        b.store_n(value, at, offset, n);
        value
    };
    let group = |b: &mut Builder, width: usize| {
        b.interleaved(width, |b, i| {
            let value = value(b, i, lanes);
            b.bin_to(BinOp::Max, best[i], value, best[i]);
        });
        let bytes = (width * lanes * 4) as i64;
        b.g_advance(at, bytes);
        operands.iter().filter(|(_, one)| !one).for_each(|(row, _)| b.g_advance(*row, bytes));
    };
    b.times(whole / width, |b| group(b, width));
    if whole % width > 0 {
        group(b, whole % width);
    }
    if rest > 0 {
        let value = value(b, 0, rest);
        // Lanes without a value take the smallest.
        let (mask, least) = (b.mask(rest), b.splat(f32::NEG_INFINITY));
        let inside = b.bin(BinOp::And, value, mask);
        let outside = b.bin(BinOp::And, least, mask);
        let outside = b.bin(BinOp::Xor, outside, least);
        let value = b.bin(BinOp::Or, inside, outside);
        b.bin_to(BinOp::Max, best[0], value, best[0]);
    }
    for other in &best[1..] {
        b.bin_to(BinOp::Max, best[0], *other, best[0]);
    }
    b.fold(FoldOp::Max, best[0])
}

/// A contiguous row. `x` and `out` may be the same, and are the same if there are steps before.
pub fn row(b: &mut Builder, x: G, out: G, len: usize, before: &Before) {
    let lanes = b.lanes();
    let largest = largest(b, x, len, before);
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
