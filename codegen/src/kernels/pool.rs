//! Window pooling. A unit is a row of the output. Operands: `x`, `out`, then the epilogue's.

use super::depthwise::window_rows;
use super::epilogue::{self, Constants, Operands, Position};
use super::{
    BuiltKernel, Params, Target, begin, by_image, each_unit, each_vector, functions, indices,
    scaled,
};
use crate::program::PoolKernel;
use crate::vir::{BinOp, Builder, Count, G, GImmOp, GOp, V};

/// Builds the kernel.
pub fn build(p: &PoolKernel, name: &str, target: &Target) -> BuiltKernel {
    let (mut b, params) = begin(name, target);
    let units = p.batch * p.out_h;
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[p.batch, p.out_h]);
        let rows = window_rows(b, index[1], p.stride[0], p.pad[0], p.kernel[0], 1, p.in_h);
        let padded_rows = padded_count(b, p, 0, index[1]);
        // The first row of the window that lies inside the map.
        let y = scaled(b, index[1], p.stride[0]);
        let y = b.g_bin(GOp::Add, y, rows.0);
        b.g_advance(y, -(p.pad[0] as i64));
        let images = scaled(b, index[0], p.in_h);
        let y = b.g_bin(GOp::Add, y, images);
        let x = params.operand(b, 0);
        let x = b.g_address(x, y, (p.in_w * p.channels * 4) as i64, 0);
        let full = scaled(b, unit, p.out_w * p.channels * 4);
        let image = by_image(&p.epilogue).then(|| scaled(b, index[0], p.channels * 4));
        let column = b.g_const(0);
        b.times(p.out_w, |b| {
            let columns = window_rows(b, column, p.stride[1], p.pad[2], p.kernel[1], 1, p.in_w);
            let divisor = (!p.max).then(|| {
                let cells = if p.count_include_pad {
                    let padded = padded_count(b, p, 1, column);
                    b.g_bin(GOp::Mul, padded_rows, padded)
                } else {
                    b.g_bin(GOp::Mul, rows.1, columns.1)
                };
                b.from_int(cells)
            });
            let left = scaled(b, column, p.stride[1]);
            let left = b.g_bin(GOp::Add, left, columns.0);
            b.g_advance(left, -(p.pad[2] as i64));
            let window = b.g_address(x, left, p.channels as i64 * 4, 0);
            let counts = [rows.1, columns.1];
            channels(b, p, params, Window { x: window, counts, divisor, full, image });
            b.g_advance(full, p.channels as i64 * 4);
            b.g_advance(column, 1);
        });
    });
    let values = (units * p.out_w * p.channels) as u64;
    BuiltKernel {
        function: b.finish(),
        units,
        scratch: 0,
        cost: values * ((p.kernel[0] * p.kernel[1]) as u64 * 300 + epilogue::cost(&p.epilogue))
            / 1000,
    }
}

/// Cells of the window with that index along an axis that lie inside map and border.
fn padded_count(b: &mut Builder, p: &PoolKernel, axis: usize, index: G) -> G {
    let size = [p.in_h, p.in_w][axis];
    let padded = p.pad[2 * axis] + size + p.pad[2 * axis + 1];
    let start = scaled(b, index, p.stride[axis]);
    let total = b.g_const(padded as i64);
    let rest = b.g_bin(GOp::Sub, total, start);
    let taps = b.g_const(p.kernel[axis] as i64);
    b.g_bin(GOp::Min, taps, rest)
}

struct Window {
    /// Address of the first cell inside the map.
    x: G,
    /// Rows and columns of cells inside the map.
    counts: [G; 2],
    divisor: Option<V>,
    /// Byte offset in the output.
    full: G,
    image: Option<G>,
}

/// One window over all channels.
fn channels(b: &mut Builder, p: &PoolKernel, params: Params, window: Window) {
    let out = params.operand(b, 1);
    let out = b.g_bin(GOp::Add, out, window.full);
    let x = b.g_copy(window.x);
    let zero = b.g_const(0);
    let position = Position { full: window.full, channel: zero, image: window.image };
    let operands = Operands::at(b, &p.epilogue, params.args, 2, position);
    let skipped = scaled(b, window.counts[1], p.channels * 4);
    let row_bytes = b.g_const((p.in_w * p.channels * 4) as i64);
    let to_next_row = b.g_bin(GOp::Sub, row_bytes, skipped);
    each_vector(
        b,
        p.channels,
        |b, n| {
            let acc = b.splat(if p.max { f32::NEG_INFINITY } else { 0.0 });
            let cell = b.g_copy(x);
            b.repeat(Count::Reg(window.counts[0]), |b| {
                b.repeat(Count::Reg(window.counts[1]), |b| {
                    let value = b.load_n(cell, 0, n);
                    if p.max {
                        let larger = functions::extremum(b, BinOp::Max, acc, value);
                        b.mov(acc, larger);
                    } else {
                        b.bin_to(BinOp::Add, acc, acc, value);
                    }
                    b.g_advance(cell, p.channels as i64 * 4);
                });
                b.g_bin_to(GOp::Add, cell, cell, to_next_row);
            });
            let value = match window.divisor {
                Some(divisor) => b.bin(BinOp::Div, acc, divisor),
                None => acc,
            };
            let value =
                epilogue::apply(b, &p.epilogue, value, &mut Constants::default(), |b, index, _| {
                    operands.load(b, index, 0, 0, n)
                });
            b.store_n(value, out, 0, n);
        },
        |b, bytes| {
            b.push(crate::vir::Op::GImm { op: GImmOp::Add, dst: x, a: x, imm: bytes });
            b.g_advance(out, bytes);
            operands.advance_channels(b, bytes);
        },
    );
}
