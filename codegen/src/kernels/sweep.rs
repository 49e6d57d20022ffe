//! Long epilogues, applied to many sums at once.
//!
//! A function like SiLU is a chain of some twenty operations that each wait for the one before. Its
//! latency is ten times its share of the machine, so a product's tile, which is a dozen vectors,
//! can't hide it. Kernels therefore leave their sums in memory, and a sweep over many rows applies the
//! epilogue, several vectors at a time, operation by operation in turn.

use super::epilogue::{self, Operands};
use crate::program::Post;
use crate::vir::{Builder, Count, G};

/// Vectors whose chains are interleaved. More would not fit in the registers: SiLU keeps three
/// values of each, and needs some for its constants.
pub fn chains(lanes: usize) -> usize {
    if lanes == 16 { 6 } else { 4 }
}

/// Sums in memory, and where the results go.
#[derive(Clone, Copy)]
pub struct Rows {
    /// Address of the first sum.
    pub from: G,
    /// Bytes between rows of sums.
    pub from_stride: i64,
    /// Address of the first result.
    pub to: G,
    /// Bytes between rows of results.
    pub to_stride: i64,
    /// Number of rows.
    pub count: Count,
    /// Values in a row. Sums can be read up to the end of the last vector.
    pub n: usize,
}

/// Appends the epilogue of all rows. The operands stand at the first result and may be moved.
pub fn emit(b: &mut Builder, posts: &[Post], rows: Rows, operands: &Operands) {
    let lanes = b.lanes();
    let (chains, vectors) = (chains(lanes), rows.n.div_ceil(lanes));
    let cursor = copied(b, rows);
    if 2 * vectors > chains {
        return b.repeat(rows.count, |b| {
            row(b, posts, cursor, operands);
            advance(b, cursor, operands, 1);
        });
    }
    // Short rows: several at a time, then those that remain.
    let group = chains / vectors;
    let (groups, rest) = match rows.count {
        Count::Static(n) => (Count::Static(n / group as u32), Count::Static(n % group as u32)),
        Count::Reg(n) => {
            let (groups, rest) = b.g_div_rem(n, group);
            (Count::Reg(groups), Count::Reg(rest))
        }
    };
    for (count, height) in [(groups, group), (rest, 1)] {
        b.repeat(count, |b| {
            b.interleaved(height * vectors, |b, i| {
                vector(b, posts, cursor, operands, i / vectors, i % vectors);
            });
            advance(b, cursor, operands, height);
        });
    }
}

/// The same rows by pointers of their own; one pointer where results replace the sums.
fn copied(b: &mut Builder, rows: Rows) -> Rows {
    let from = b.g_copy(rows.from);
    let to = if rows.to == rows.from { from } else { b.g_copy(rows.to) };
    Rows { from, to, ..rows }
}

/// Moves on by so many rows.
fn advance(b: &mut Builder, rows: Rows, operands: &Operands, n: usize) {
    b.g_advance(rows.from, n as i64 * rows.from_stride);
    if rows.to != rows.from {
        b.g_advance(rows.to, n as i64 * rows.to_stride);
    }
    operands.advance_full(b, n as i64 * rows.to_stride);
}

/// One row of more vectors than there are chains, or nearly.
fn row(b: &mut Builder, posts: &[Post], rows: Rows, operands: &Operands) {
    let lanes = b.lanes();
    let (whole, rest) = (rows.n / lanes, !rows.n.is_multiple_of(lanes));
    let width = chains(lanes).min(whole.max(1));
    let blocks = whole / width;
    if blocks > 1 {
        let at = copied(b, rows);
        let step = (width * lanes * 4) as i64;
        b.times(blocks, |b| {
            b.interleaved(width, |b, i| vector(b, posts, at, operands, 0, i));
            b.g_advance(at.from, step);
            if at.to != at.from {
                b.g_advance(at.to, step);
            }
            operands.advance_channels(b, step);
        });
        operands.advance_channels(b, -step * blocks as i64);
    } else {
        b.interleaved(width * blocks, |b, i| vector(b, posts, rows, operands, 0, i));
    }
    let done = blocks * width;
    let left = whole - done + usize::from(rest);
    b.interleaved(left, |b, i| vector(b, posts, rows, operands, 0, done + i));
}

/// The vector with number `v` of a row.
fn vector(b: &mut Builder, posts: &[Post], rows: Rows, operands: &Operands, row: usize, v: usize) {
    let lanes = b.lanes();
    let column = v * lanes;
    let n = lanes.min(rows.n - column);
    let column = (column * 4) as i32;
    let from = (row as i64 * rows.from_stride) as i32 + column;
    let to = (row as i64 * rows.to_stride) as i32 + column;
    let load = |b: &mut Builder| b.load_n(rows.from, from, n);
    let value = epilogue::apply_to_loaded(b, posts, load, |b, index, _| {
        operands.load(b, index, to, column, n)
    });
    b.store_n(value, rows.to, to, n);
}
