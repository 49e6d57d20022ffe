//! Softmax over the middle of `[outer, len, inner]`: exponentials of the differences to the largest
//! value, divided by their sum. Operands: `x`, `out`.

use super::reduce;
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

/// `out = exp(x - largest)`.
fn exponential(b: &mut Builder, x: G, out: G, largest: V, n: usize) -> V {
    let value = b.load_n(x, 0, n);
    let difference = b.bin(BinOp::Sub, value, largest);
    let e = functions::exp(b, difference);
    b.store_n(e, out, 0, n);
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
        let e = exponential(b, from, to, largest, n);
        b.bin_to(BinOp::Add, sum, sum, e);
        b.g_advance(from, step);
        b.g_advance(to, step);
    });
    let to = b.g_copy(out);
    b.times(len, |b| {
        let e = b.load_n(to, 0, n);
        let e = b.bin(BinOp::Div, e, sum);
        b.store_n(e, to, 0, n);
        b.g_advance(to, step);
    });
}

/// A contiguous row.
fn row(b: &mut Builder, x: G, out: G, len: usize) {
    let lanes = b.lanes();
    let largest = reduce::row(b, Reduction::Max, x, len);
    let sum = b.splat(0.0);
    let (from, to) = (b.g_copy(x), b.g_copy(out));
    each_vector(
        b,
        len,
        |b, n| {
            let e = exponential(b, from, to, largest, n);
            let e = if n < lanes {
                let mask = b.mask(n);
                b.bin(BinOp::And, e, mask)
            } else {
                e
            };
            b.bin_to(BinOp::Add, sum, sum, e);
        },
        |b, bytes| {
            b.g_advance(from, bytes);
            b.g_advance(to, bytes);
        },
    );
    let sum = b.fold(FoldOp::Add, sum);
    let to = b.g_copy(out);
    each_vector(
        b,
        len,
        |b, n| {
            let e = b.load_n(to, 0, n);
            let e = b.bin(BinOp::Div, e, sum);
            b.store_n(e, to, 0, n);
        },
        |b, bytes| b.g_advance(to, bytes),
    );
}
