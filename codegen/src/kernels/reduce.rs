//! Reductions of the middle of `[outer, len, inner]`. Operands: `x`, `out`, then the epilogue's.
//!
//! Sums run over blocks of [`BLOCK`] values whose sums are then added, which keeps the rounding
//! error of long sums small. Vectors run over `inner`, or along the axis itself if `inner` is 1.

use super::epilogue::{self, Constants, Operands, Position};
use super::{BuiltKernel, Params, Target, begin, each_unit, functions, indices, scaled};
use crate::program::{ReduceKernel, Reduction};
use crate::vir::{BinOp, Builder, Cmp, FoldOp, G, UnOp, V};

/// Values added one after the other.
const BLOCK: usize = 64;
/// Vectors reduced side by side.
const VECTORS: usize = 4;

/// Builds the kernel.
pub fn build(r: &ReduceKernel, name: &str, target: &Target) -> BuiltKernel {
    match r.inner {
        1 => rows(r, name, target),
        _ => columns(r, name, target),
    }
}

fn cost(r: &ReduceKernel) -> u64 {
    let values = (r.outer * r.inner) as u64;
    values * (r.len as u64 * 150 + epilogue::cost(&r.epilogue)) / 1000
}

/// The value that changes nothing.
fn neutral(b: &mut Builder, kind: Reduction) -> V {
    b.splat(match kind {
        Reduction::Sum | Reduction::Mean | Reduction::L2 => 0.0,
        Reduction::Max => f32::NEG_INFINITY,
        Reduction::Min => f32::INFINITY,
    })
}

/// `acc = acc combined with x`, a value of the input.
fn accumulate(b: &mut Builder, kind: Reduction, acc: V, x: V) {
    match kind {
        Reduction::Sum | Reduction::Mean => b.bin_to(BinOp::Add, acc, acc, x),
        Reduction::L2 => b.fma(acc, x, x),
        Reduction::Max | Reduction::Min => merge(b, kind, acc, x),
    }
}

/// `acc = acc combined with other`, a partial result.
fn merge(b: &mut Builder, kind: Reduction, acc: V, other: V) {
    let extremum = match kind {
        Reduction::Max => BinOp::Max,
        Reduction::Min => BinOp::Min,
        Reduction::Sum | Reduction::Mean | Reduction::L2 => {
            return b.bin_to(BinOp::Add, acc, acc, other);
        }
    };
    let value = functions::extremum(b, extremum, acc, other);
    b.mov(acc, value);
}

/// What remains to be done with the combined value.
fn finish(b: &mut Builder, r: &ReduceKernel, acc: V) -> V {
    match r.kind {
        Reduction::Mean => {
            let len = b.splat(r.len as f32);
            b.bin(BinOp::Div, acc, len)
        }
        Reduction::L2 => b.un(UnOp::Sqrt, acc),
        Reduction::Sum | Reduction::Max | Reduction::Min => acc,
    }
}

/// Vectors over `inner`. A unit is a group of vectors.
fn columns(r: &ReduceKernel, name: &str, target: &Target) -> BuiltKernel {
    let (mut b, params) = begin(name, target);
    let group = VECTORS * target.lanes;
    let (whole, rest) = (r.inner / group, r.inner % group);
    let groups = r.inner.div_ceil(group);
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[r.outer, groups]);
        let channel = scaled(b, index[1], group * 4);
        if rest == 0 {
            column_group(b, r, params, index[0], channel, group);
        } else if whole == 0 {
            column_group(b, r, params, index[0], channel, rest);
        } else {
            let (zero, one) = (b.g_const(0), b.g_const(1));
            let last = b.g_const(whole as i64);
            let is_whole = b.g_select([index[1], last], one, zero);
            let is_rest = b.g_select([index[1], last], zero, one);
            b.when(is_whole, |b| column_group(b, r, params, index[0], channel, group));
            b.when(is_rest, |b| column_group(b, r, params, index[0], channel, rest));
        }
    });
    BuiltKernel { function: b.finish(), units: r.outer * groups, scratch: 0, cost: cost(r) }
}

/// Reduces `n` neighbouring columns.
fn column_group(b: &mut Builder, r: &ReduceKernel, params: Params, row: G, channel: G, n: usize) {
    let lanes = b.lanes();
    let vectors = n.div_ceil(lanes);
    let valid = |v: usize| lanes.min(n - v * lanes);
    let x = params.operand(b, 0);
    let x = b.g_address(x, row, (r.len * r.inner * 4) as i64, 0);
    b.g_bin_to(crate::vir::GOp::Add, x, x, channel);
    let total: Vec<V> = (0..vectors).map(|_| neutral(b, r.kind)).collect();
    let block = |b: &mut Builder, len: usize| {
        let part: Vec<V> = (0..vectors).map(|_| neutral(b, r.kind)).collect();
        b.times(len, |b| {
            for (v, acc) in part.iter().enumerate() {
                let value = b.load_n(x, (v * lanes * 4) as i32, valid(v));
                accumulate(b, r.kind, *acc, value);
            }
            b.g_advance(x, r.inner as i64 * 4);
        });
        for (total, part) in total.iter().zip(part) {
            merge(b, r.kind, *total, part);
        }
    };
    b.times(r.len / BLOCK, |b| block(b, BLOCK));
    if !r.len.is_multiple_of(BLOCK) {
        block(b, r.len % BLOCK);
    }
    let full = scaled(b, row, r.inner * 4);
    let full = b.g_bin(crate::vir::GOp::Add, full, channel);
    let out = params.operand(b, 1);
    let out = b.g_bin(crate::vir::GOp::Add, out, full);
    // The outer index is the image, so operands by image and channel are like the output.
    let image = scaled(b, row, r.inner * 4);
    let position = Position { full, channel, image: Some(image) };
    let operands = Operands::at(b, &r.epilogue, params.args, 2, position);
    for (v, acc) in total.iter().enumerate() {
        let at = (v * lanes * 4) as i32;
        let value = finish(b, r, *acc);
        let value =
            epilogue::apply(b, &r.epilogue, value, &mut Constants::default(), |b, index, _| {
                operands.load(b, index, at, at, valid(v))
            });
        b.store_n(value, out, at, valid(v));
    }
}

/// Along contiguous rows. A unit is a row.
fn rows(r: &ReduceKernel, name: &str, target: &Target) -> BuiltKernel {
    let (mut b, params) = begin(name, target);
    each_unit(&mut b, params, |b, unit| {
        let x = params.operand(b, 0);
        let x = b.g_address(x, unit, r.len as i64 * 4, 0);
        let value = row(b, r.kind, x, r.len);
        let value = finish(b, r, value);
        let full = scaled(b, unit, 4);
        let out = params.operand(b, 1);
        let out = b.g_bin(crate::vir::GOp::Add, out, full);
        let channel = b.g_const(0);
        let position = Position { full, channel, image: Some(full) };
        let operands = Operands::at(b, &r.epilogue, params.args, 2, position);
        let value =
            epilogue::apply(b, &r.epilogue, value, &mut Constants::default(), |b, index, _| {
                operands.load(b, index, 0, 0, 1)
            });
        b.store_n(value, out, 0, 1);
    });
    BuiltKernel { function: b.finish(), units: r.outer, scratch: 0, cost: cost(r) }
}

/// Combines `len` consecutive values; the result is in all lanes. The pointer stays.
pub fn row(b: &mut Builder, kind: Reduction, x: G, len: usize) -> V {
    let lanes = b.lanes();
    let x = b.g_copy(x);
    let total = neutral(b, kind);
    let vectors = len / lanes;
    let block = |b: &mut Builder, n: usize| {
        let part = neutral(b, kind);
        b.times(n, |b| {
            let value = b.load(x, 0);
            accumulate(b, kind, part, value);
            b.g_advance(x, lanes as i64 * 4);
        });
        merge(b, kind, total, part);
    };
    b.times(vectors / BLOCK, |b| block(b, BLOCK));
    if !vectors.is_multiple_of(BLOCK) {
        block(b, vectors % BLOCK);
    }
    let rest = len % lanes;
    if rest > 0 {
        let value = b.load_n(x, 0, rest);
        let value = match kind {
            // Lanes without a value hold 0, which changes no sum.
            Reduction::Sum | Reduction::Mean | Reduction::L2 => value,
            Reduction::Max | Reduction::Min => {
                let mask = b.mask(rest);
                let inside = b.bin(BinOp::And, value, mask);
                let neutral = neutral(b, kind);
                let outside = b.bin(BinOp::And, neutral, mask);
                let outside = b.bin(BinOp::Xor, outside, neutral);
                b.bin(BinOp::Or, inside, outside)
            }
        };
        accumulate(b, kind, total, value);
    }
    match kind {
        Reduction::Sum | Reduction::Mean | Reduction::L2 => b.fold(FoldOp::Add, total),
        Reduction::Max | Reduction::Min => {
            // A comparison of lanes may lose a NaN, a sum does not: take the sum if there is one.
            let op = if kind == Reduction::Max { FoldOp::Max } else { FoldOp::Min };
            let best = b.fold(op, total);
            let zero = b.splat(0.0);
            let marks = b.select(Cmp::Unordered, [total, total], total, zero);
            let marks = b.fold(FoldOp::Add, marks);
            b.select(Cmp::Unordered, [marks, marks], marks, best)
        }
    }
}
