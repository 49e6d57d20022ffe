//! Attention, a few queries of one head at a time. Operands: `q`, `k`, `v`, `out`, then the steps'.
//!
//! A unit is a block of queries of one head. Keys and values of the head are packed into panels, as weights
//! are, when a thread comes to it. The scores of the block are computed into scratch memory, become
//! shares there row by row, and are multiplied with the values. Each value is computed by the same operations as by the
//! kernels of the two products, of the steps and of the softmax, so it has the same bits.

use super::gemm::{Destination, Gemm, Place, Runs, Split, tile_for};
use super::matmul::pack_panels;
use super::softmax::{self, Before, RowOperand};
use super::{
    BuiltKernel, PANEL, Params, Target, begin, block_size, each_unit, epilogue, equal,
    equal_blocks, indices, matrix_of, round64, scaled,
};
use crate::laps::{self, KernelLaps, Part};
use crate::program::{AttentionKernel, Post};
use crate::vir::{Builder, Count, G, GImmOp, GOp};

/// Offsets in the scratch memory.
struct Layout {
    keys: usize,
    values: usize,
    scores: usize,
    bytes: usize,
    /// Bytes between rows of scores: an odd number of cache lines, so that rows one above the other do
    /// not meet in few sets of a cache.
    row: usize,
}

impl Layout {
    /// Behind `front` bytes.
    fn new(a: &AttentionKernel, rows: usize, front: usize) -> Layout {
        let panels = |k: usize, n: usize| n.div_ceil(PANEL) * k * PANEL * 4;
        let row = (a.keys * 4).div_ceil(64) | 1;
        let row = row * 64;
        let keys = front;
        let values = keys + panels(a.width, a.keys);
        let scores = values + panels(a.keys, a.out_width);
        Layout { keys, values, scores, bytes: round64(scores + rows * row), row }
    }
}

/// Builds the kernel, with a clock between its stages if it is `timed`.
pub fn build(a: &AttentionKernel, name: &str, target: &Target, timed: bool) -> BuiltKernel {
    let split = Split::new(a.queries, tile_for(target, a.queries, a.keys).0);
    let (row_blocks, block) = equal_blocks(split.tiles(), a.rows.div_ceil(split.height));
    let block_rows = (block * split.height).min(a.queries);
    let counters = if timed { laps::bytes(AttentionKernel::STAGES) } else { 0 };
    let layout = Layout::new(a, block_rows, counters);
    let axes = a.batch.len();
    // Functions of the scores alone are applied to them in registers, short ones.
    let unary = |post: &&Post| matches!(post, Post::Unary(_)) && !epilogue::is_heavy(&[**post]);
    let (first, then) = a.steps.split_at(a.steps.iter().take_while(unary).count());
    let product = |[k, n]: [usize; 2], a_stride: usize, out_stride: usize| Gemm {
        n,
        runs: Runs { loops: vec![], len: k },
        a_stride: a_stride as i64,
        out_stride: out_stride as i64,
        bias: false,
        epilogue: &[],
        out: Destination::Operand(3),
        tile: tile_for(target, a.queries, n),
        unroll: target.unroll,
        buffer: 0,
        line_rows: block_rows,
        streamed: false,
    };
    let scores = Gemm {
        epilogue: first,
        out: Destination::Scratch(layout.scores),
        ..product([a.width, a.keys], a.q[axes] * 4, layout.row)
    };
    let mixed = product([a.keys, a.out_width], layout.row, a.out[axes] * 4);
    let matrices: usize = a.batch.iter().product();

    let (mut b, params) = begin(name, target);
    let laps = KernelLaps::begin(&mut b, timed, params.scratch);
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[matrices, row_blocks]);
        let leading = indices(b, index[0], &a.batch);
        let matrix =
            |b: &mut Builder, base: G, strides: &[usize]| matrix_of(b, base, &leading, strides);
        // The panels are those of the unit before if it worked on the same head.
        let zero = b.g_const(0);
        let new_head = equal(b, index[1], zero);
        let new_thread = equal(b, unit, params.begin);
        let pack = b.g_bin(GOp::Max, new_head, new_thread);
        let keys = b.g_imm(GImmOp::Add, params.scratch, layout.keys as i64);
        let values = b.g_imm(GImmOp::Add, params.scratch, layout.values as i64);
        let first = scaled(b, index[1], block);
        let count = block_size(b, first, block, split.tiles());
        let tiles = split.block(b, first, count);
        let high = scaled(b, tiles.high, split.height);
        let low = scaled(b, tiles.low, split.height - 1);
        let rows = b.g_bin(GOp::Add, high, low);
        let [q, k, v] = [(0, &a.q), (1, &a.k), (2, &a.v)].map(|(i, strides)| {
            let base = params.operand(b, i);
            matrix(b, base, strides)
        });
        let q = b.g_address(q, tiles.row, a.q[axes] as i64 * 4, 0);
        b.when(pack, |b| {
            let all = Count::Static(a.keys as u32);
            fetch(b, k, all, &a.k, a.width);
            fetch(b, v, all, &a.v, a.out_width);
        });
        fetch(b, q, Count::Reg(rows), &a.q, a.width);
        b.when(pack, |b| {
            pack_panels(b, [a.width, a.keys], [a.k[axes + 1], a.k[axes]], k, keys);
            pack_panels(b, [a.keys, a.out_width], [a.v[axes], a.v[axes + 1]], v, values);
        });

        let lines = split.line(&tiles);
        let multiply = |b: &mut Builder, gemm: &Gemm, a: G, w: G, out: G| {
            let (passes, _) = gemm.passes(b.lanes());
            let all = b.g_const(passes as i64);
            let one = b.g_const(1);
            let place = Place { a, w, out, channel: zero, image: None, later: None };
            gemm.emit(b, params, place, lines, [zero, all, one]);
        };
        laps.end(b, Part::Own);
        multiply(b, &scores, q, keys, zero);
        laps.end(b, Part::Stage(0));

        let operands = operands(b, a, params, tiles.row, matrix);
        let shares = b.g_imm(GImmOp::Add, params.scratch, layout.scores as i64);
        let rows =
            softmax::Rows { x: shares, out: shares, stride: layout.row, count: rows, len: a.keys };
        softmax::emit(b, rows, &Before { steps: then, operands });
        laps.end(b, Part::Stage(1));

        let out = matrix(b, zero, &a.out);
        let out = b.g_address(out, tiles.row, a.out[axes] as i64 * 4, 0);
        multiply(b, &mixed, shares, values, out);
        laps.end(b, Part::Stage(2));
    });
    let scores = (matrices * a.queries * a.keys) as u64;
    BuiltKernel {
        function: b.finish(),
        units: matrices * row_blocks,
        scratch: layout.bytes,
        cost: scores * (a.width + a.out_width) as u64 / 15
            + scores * 3 / 2
            + scores * epilogue::cost(&a.steps) / 1000,
    }
}

/// Asks for the rows of a matrix ahead. They are short and far apart, as heads lie side by side, so that
/// processors do not see them coming: 64 windows of 3 heads of 49 rows of 32 values take 1.13 ms for 1.21 (Zen 3).
fn fetch(b: &mut Builder, from: G, rows: Count, strides: &[usize], width: usize) {
    let [.., row, column] = *strides else { return };
    if column != 1 {
        return;
    }
    // Rows that begin within a cache line may reach into another.
    let whole = strides[..strides.len() - 1].iter().all(|stride| stride.is_multiple_of(16));
    let lines = (width + if whole { 0 } else { 15 }).div_ceil(16);
    let at = b.g_copy(from);
    b.repeat(rows, |b| {
        (0..lines).for_each(|line| b.prefetch(at, line as i32 * 64));
        b.g_advance(at, row as i64 * 4);
    });
}

/// The steps' operands from the block's first row on.
fn operands(
    b: &mut Builder,
    a: &AttentionKernel,
    params: Params,
    row: G,
    matrix: impl Fn(&mut Builder, G, &[usize]) -> G,
) -> Vec<RowOperand> {
    let axes = a.batch.len();
    let one = |b: &mut Builder, (i, strides): (usize, &Vec<usize>)| {
        let base = params.operand(b, 4 + i);
        let at = matrix(b, base, strides);
        let stride = strides[axes] * 4;
        let at = b.g_address(at, row, stride as i64, 0);
        RowOperand { at, stride, one: strides[axes + 1] == 0 }
    };
    a.operands.iter().enumerate().map(|operand| one(b, operand)).collect()
}
