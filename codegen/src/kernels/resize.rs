//! Separable interpolation of maps by a table. A unit is a row of the output.
//! Operands: `x`, the table (see [`ResizeKernel`]), `out`.

use super::{BuiltKernel, Target, begin, each_unit, each_vector, indices, scaled};
use crate::program::ResizeKernel;
use crate::vir::GOp;

/// Builds the kernel.
pub fn build(r: &ResizeKernel, name: &str, target: &Target) -> BuiltKernel {
    let (mut b, params) = begin(name, target);
    let units = r.batch * r.out_h;
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[r.batch, r.out_h]);
        let x = params.operand(b, 0);
        let x = b.g_address(x, index[0], (r.in_h * r.in_w * r.channels * 4) as i64, 0);
        let table = params.operand(b, 1);
        let rows = b.g_address(table, index[1], r.taps_h as i64 * 8, 0);
        let columns = b.g_copy(table);
        b.g_advance(columns, (r.out_h * r.taps_h * 8) as i64);
        let out = params.operand(b, 2);
        let offset = scaled(b, unit, r.out_w * r.channels * 4);
        let out = b.g_bin(GOp::Add, out, offset);
        b.times(r.out_w, |b| {
            let (from, to) = (b.g_copy(x), b.g_copy(out));
            each_vector(
                b,
                r.channels,
                |b, n| {
                    let sum = b.splat(0.0);
                    let row_tap = b.g_copy(rows);
                    b.times(r.taps_h, |b| {
                        let row = b.g_load32(row_tap, 0);
                        let line = b.g_address(from, row, (r.in_w * r.channels * 4) as i64, 0);
                        let row_sum = b.splat(0.0);
                        let column_tap = b.g_copy(columns);
                        b.times(r.taps_w, |b| {
                            let column = b.g_load32(column_tap, 0);
                            let cell = b.g_address(line, column, r.channels as i64 * 4, 0);
                            let value = b.load_n(cell, 0, n);
                            let weight = b.broadcast(column_tap, 4);
                            b.fma(row_sum, value, weight);
                            b.g_advance(column_tap, 8);
                        });
                        let weight = b.broadcast(row_tap, 4);
                        b.fma(sum, row_sum, weight);
                        b.g_advance(row_tap, 8);
                    });
                    b.store_n(sum, to, 0, n);
                },
                |b, bytes| {
                    b.g_advance(from, bytes);
                    b.g_advance(to, bytes);
                },
            );
            b.g_advance(out, r.channels as i64 * 4);
            b.g_advance(columns, r.taps_w as i64 * 8);
        });
    });
    let values = (units * r.out_w * r.channels) as u64;
    BuiltKernel {
        function: b.finish(),
        units,
        scratch: 0,
        cost: values * (r.taps_h * r.taps_w) as u64 / 3,
    }
}
