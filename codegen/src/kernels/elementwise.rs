//! Elementwise arithmetic with broadcasting. Operands: the inputs, then `out`.
//!
//! The last axis is split into blocks; a unit is one block for one index of the axes before it,
//! or for small inner axes all of those together.

use super::epilogue;
use super::{BuiltKernel, Target, begin, block_size, each_unit, equal, indices, scaled, sweep};
use crate::program::MapKernel;
use crate::vir::{Builder, Count, G, GImmOp, GOp, V};

/// Values that a unit should have.
const UNIT: usize = 4096;

/// How the iteration space is cut into units.
struct Cut {
    /// Axes that a unit's number counts.
    outer: usize,
    /// Blocks of the last axis (1 unless `outer` is all axes but the last).
    blocks: usize,
    /// Values of the last axis in a block.
    block: usize,
}

impl Cut {
    fn new(shape: &[usize]) -> Cut {
        let rank = shape.len();
        let last = shape[rank - 1];
        if last >= UNIT {
            let blocks = last.div_ceil(UNIT);
            // A multiple of all numbers of lanes.
            let block = last.div_ceil(blocks).next_multiple_of(16);
            return Cut { outer: rank - 1, blocks: last.div_ceil(block), block };
        }
        let mut outer = rank - 1;
        let mut inner = last;
        while outer > 0 && inner * shape[outer - 1] <= UNIT {
            outer -= 1;
            inner *= shape[outer];
        }
        Cut { outer, blocks: 1, block: last }
    }
}

/// Builds the kernel.
pub fn build(map: &MapKernel, name: &str, target: &Target) -> BuiltKernel {
    // A single value is an axis of length 1.
    let mut map = map.clone();
    if map.shape.is_empty() {
        map.shape.push(1);
        map.strides.iter_mut().for_each(|s| s.push(0));
    }
    let map = &map;
    let rank = map.shape.len();
    let cut = Cut::new(&map.shape);
    let inputs = map.strides.len();
    let (mut b, params) = begin(name, target);
    let mut sizes = map.shape[..cut.outer].to_vec();
    sizes.push(cut.blocks);
    let inner: usize = map.shape[cut.outer..].iter().product();
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &sizes);
        let mut pointers = Vec::with_capacity(inputs + 1);
        for (i, strides) in map.strides.iter().enumerate() {
            let at = params.operand(b, i);
            for (axis, index) in index.iter().enumerate() {
                let step = if axis == cut.outer { cut.block } else { 1 };
                let stride = if axis == cut.outer { strides[rank - 1] } else { strides[axis] };
                // The block index is only there to count when there are several blocks.
                if stride > 0 && (axis < cut.outer || cut.blocks > 1) {
                    let bytes = scaled(b, *index, stride * step * 4);
                    b.g_bin_to(GOp::Add, at, at, bytes);
                }
            }
            pointers.push(at);
        }
        let out = params.operand(b, inputs);
        if cut.blocks == 1 {
            let bytes = scaled(b, unit, inner * 4);
            b.g_bin_to(GOp::Add, out, out, bytes);
            pointers.push(out);
            nest(b, map, &pointers, cut.outer);
        } else {
            let (row, block) = b.g_div_rem(unit, cut.blocks);
            let bytes = scaled(b, row, map.shape[rank - 1] * 4);
            b.g_bin_to(GOp::Add, out, out, bytes);
            let bytes = scaled(b, block, cut.block * 4);
            b.g_bin_to(GOp::Add, out, out, bytes);
            pointers.push(out);
            blocked(b, map, &pointers, &cut, block);
        }
    });
    let total: usize = map.shape.iter().product();
    BuiltKernel {
        function: b.finish(),
        units: map.shape[..cut.outer].iter().product::<usize>() * cut.blocks,
        scratch: 0,
        cost: total as u64 * (200 * inputs as u64 + epilogue::cost(&map.steps)) / 1000,
    }
}

/// The loops over the inner axes from `axis` on. Pointers are back where they were at the end,
/// except for the innermost axis, whose caller gives copies.
fn nest(b: &mut Builder, map: &MapKernel, pointers: &[G], axis: usize) {
    let rank = map.shape.len();
    let copies: Vec<G> = pointers.iter().map(|p| b.g_copy(*p)).collect();
    if axis + 1 == rank {
        return row(b, map, &copies, map.shape[axis]);
    }
    let inner: usize = map.shape[axis + 1..].iter().product();
    b.times(map.shape[axis], |b| {
        nest(b, map, &copies, axis + 1);
        for (pointer, strides) in copies.iter().zip(&map.strides) {
            b.g_advance(*pointer, strides[axis] as i64 * 4);
        }
        b.g_advance(copies[copies.len() - 1], inner as i64 * 4);
    });
}

/// A block of a long last axis: whole vectors, and in the last block the values that remain.
fn blocked(b: &mut Builder, map: &MapKernel, pointers: &[G], cut: &Cut, block: G) {
    let lanes = b.lanes();
    let last = map.shape[map.shape.len() - 1];
    let start = scaled(b, block, cut.block);
    let count = block_size(b, start, cut.block, last);
    if !vectorises(map) {
        b.repeat(Count::Reg(count), |b| {
            values(b, map, pointers, 1);
            advance(b, map, pointers, 1);
        });
        return;
    }
    let width = width(map, lanes);
    let vectors = b.g_imm(GImmOp::Shr, count, lanes.trailing_zeros() as i64);
    let (groups, rest) = b.g_div_rem(vectors, width);
    group(b, map, pointers, Count::Reg(groups), width);
    if width > 1 {
        group(b, map, pointers, Count::Reg(rest), 1);
    }
    if !last.is_multiple_of(lanes) {
        let end = b.g_const(cut.blocks as i64 - 1);
        let is_last = equal(b, block, end);
        b.when(is_last, |b| values(b, map, pointers, last % lanes));
    }
}

/// Whether the last axis of every input is contiguous or repeats one value.
fn vectorises(map: &MapKernel) -> bool {
    map.strides.iter().all(|s| s[s.len() - 1] <= 1)
}

/// `n` values along the last axis; pointers move.
fn row(b: &mut Builder, map: &MapKernel, pointers: &[G], n: usize) {
    let lanes = if vectorises(map) { b.lanes() } else { 1 };
    if lanes == 1 {
        return b.times(n, |b| {
            values(b, map, pointers, 1);
            advance(b, map, pointers, 1);
        });
    }
    let (whole, width) = (n / lanes, width(map, lanes));
    group(b, map, pointers, Count::Static((whole / width) as u32), width);
    if width > 1 {
        group(b, map, pointers, Count::Static((whole % width) as u32), 1);
    }
    if !n.is_multiple_of(lanes) {
        values(b, map, pointers, n % lanes);
    }
}

/// Vectors that are computed together: several where each is a long chain of operations.
fn width(map: &MapKernel, lanes: usize) -> usize {
    if epilogue::is_heavy(&map.steps) { sweep::chains(lanes) } else { 1 }
}

/// `count` groups of `width` whole vectors; pointers move.
fn group(b: &mut Builder, map: &MapKernel, pointers: &[G], count: Count, width: usize) {
    let lanes = b.lanes();
    b.repeat(count, |b| {
        b.interleaved(width, |b, i| values_at(b, map, pointers, i, lanes));
        advance(b, map, pointers, width * lanes);
    });
}

fn advance(b: &mut Builder, map: &MapKernel, pointers: &[G], n: usize) {
    for (pointer, strides) in pointers.iter().zip(&map.strides) {
        b.g_advance(*pointer, (strides[strides.len() - 1] * n * 4) as i64);
    }
    b.g_advance(pointers[pointers.len() - 1], n as i64 * 4);
}

/// Computes and stores `n` values, at most a vector.
fn values(b: &mut Builder, map: &MapKernel, pointers: &[G], n: usize) {
    values_at(b, map, pointers, 0, n);
}

/// As [`values`], so many vectors further on.
fn values_at(b: &mut Builder, map: &MapKernel, pointers: &[G], vector: usize, n: usize) {
    let at = vector as i32 * b.vector_bytes();
    let load = |b: &mut Builder, i: usize| -> V {
        let strides = &map.strides[i];
        match strides[strides.len() - 1] {
            0 => b.broadcast(pointers[i], 0),
            _ => b.load_n(pointers[i], at, n),
        }
    };
    let value =
        epilogue::apply_to_loaded(b, &map.steps, |b| load(b, 0), |b, index, _| load(b, index + 1));
    b.store_n(value, pointers[pointers.len() - 1], at, n);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_the_axis() {
        for last in [1, 5, 4095, 4096, 4097, 100_003] {
            let cut = Cut::new(&[3, last]);
            assert!((cut.blocks - 1) * cut.block < last && cut.blocks * cut.block >= last);
        }
        assert_eq!(Cut::new(&[7, 10, 20]).outer, 0);
        assert_eq!(Cut::new(&[70, 10, 20]).outer, 1);
    }
}
