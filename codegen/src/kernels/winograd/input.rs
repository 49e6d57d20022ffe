//! Windows from the map to the scratch memory, transformed.
//!
//! Neighbouring windows share columns, so the columns of a strip of tiles are transformed first,
//! each once, then the rows of each window. A cache line of channels is worked on at a time. Rows
//! outside of the map are read from a row of zeros; columns outside of it are zeros.

use super::transform::Input;
use super::{Segment, Shape};
use crate::kernels::{PANEL, Params, scaled};
use crate::vir::{Builder, Count, G, GImmOp, GOp, V};

/// Transforms the windows of a segment.
pub fn emit(b: &mut Builder, shape: &Shape, params: Params, segment: Segment) {
    let x = b.g_copy(segment.x);
    let left = b.g_copy(segment.count);
    let first = b.g_copy(segment.first);
    let most = shape.strip as i64;
    let strips = b.g_imm(GImmOp::Add, segment.count, most - 1);
    let (strips, _) = b.g_div_rem(strips, shape.strip);
    b.repeat(Count::Reg(strips), |b| {
        let most = b.g_const(most);
        let count = b.g_bin(GOp::Min, left, most);
        strip(b, shape, params, Segment { x, count, first, ..segment });
        b.g_bin_to(GOp::Add, x, x, count);
        b.g_bin_to(GOp::Add, first, first, count);
        b.g_bin_to(GOp::Sub, left, left, count);
    });
}

/// Where the columns of a strip lie.
struct Columns {
    /// Addresses of the rows' first pixels inside of the map.
    rows: Vec<G>,
    /// Columns left of the map, in it, right of it.
    counts: [G; 3],
    /// Bytes of the columns in the map, less those of a group of channels.
    back: G,
}

fn strip(b: &mut Builder, shape: &Shape, params: Params, segment: Segment) {
    let w = shape.w;
    let (c, lanes) = (&w.conv, b.lanes());
    let group = lanes.max(PANEL);
    let pixel = c.in_c as i64 * 4;

    let zero = b.g_const(0);
    let all = scaled(b, segment.count, w.tile);
    b.g_advance(all, 2);
    let start = scaled(b, segment.x, w.tile);
    b.g_advance(start, -(c.pad[1] as i64));
    let before = b.g_bin(GOp::Sub, zero, start);
    let before = b.g_bin(GOp::Max, before, zero);
    let before = b.g_bin(GOp::Min, before, all);
    let start = b.g_bin(GOp::Max, start, zero);
    let width = b.g_const(c.in_w as i64);
    let inside = b.g_bin(GOp::Sub, width, start);
    let inside = b.g_bin(GOp::Max, inside, zero);
    let rest = b.g_bin(GOp::Sub, all, before);
    let inside = b.g_bin(GOp::Min, inside, rest);
    let after = b.g_bin(GOp::Sub, rest, inside);

    let offset = scaled(b, start, c.in_c * 4);
    let map = params.operand(b, 0);
    let image = scaled(b, segment.image, c.in_h);
    let height = b.g_const(c.in_h as i64);
    let zeros = b.g_imm(GImmOp::Add, params.scratch, shape.zeros as i64);
    let y = scaled(b, segment.y, w.tile);
    b.g_advance(y, -(c.pad[0] as i64));
    let rows = (0..w.window())
        .map(|_| {
            let row = b.g_bin(GOp::Add, image, y);
            let row = b.g_address(map, row, c.in_w as i64 * pixel, 0);
            let row = b.g_select([y, height], row, zeros);
            b.g_advance(y, 1);
            b.g_bin(GOp::Add, row, offset)
        })
        .collect();
    let columns = Columns {
        rows,
        counts: [before, inside, after],
        back: b.g_imm(GImmOp::Mul, inside, pixel),
    };

    let to = b.g_address(params.scratch, segment.first, pixel, shape.windows as i64);
    let code = Group { shape, params, columns: &columns, tiles: segment.count };
    b.times(c.in_c / group, |b| {
        code.emit(b, to, group);
        b.g_advance(to, group as i64 * 4);
    });
    if !c.in_c.is_multiple_of(group) {
        code.emit(b, to, c.in_c % group);
    }
}

struct Group<'a> {
    shape: &'a Shape<'a>,
    params: Params,
    columns: &'a Columns,
    tiles: G,
}

impl Group<'_> {
    /// Transforms `channels` channels of all windows of the strip, and moves on along the channels.
    fn emit(&self, b: &mut Builder, to: G, channels: usize) {
        let (shape, columns) = (self.shape, self.columns);
        let w = shape.w;
        let (lanes, step) = (b.lanes(), b.vector_bytes());
        let vectors = channels.div_ceil(lanes);
        let valid = |v: usize| lanes.min(channels - v * lanes);
        // [column][vector][row]
        let place = |v: usize, i: usize| (v * w.window() + i) as i32 * step;
        let column_bytes = place(vectors, 0) as i64;

        let transform = Input::new(b, w.tile);
        let partial = b.g_imm(GImmOp::Add, self.params.scratch, shape.partial as i64);
        let at = b.g_copy(partial);
        let [before, inside, after] = columns.counts;
        let border = |b: &mut Builder, count: G| {
            let zero = b.splat(0.0);
            b.repeat(Count::Reg(count), |b| {
                for i in 0..vectors * w.window() {
                    b.store(zero, at, i as i32 * step);
                }
                b.g_advance(at, column_bytes);
            });
        };
        border(b, before);
        b.repeat(Count::Reg(inside), |b| {
            for v in 0..vectors {
                let values: Vec<V> = columns
                    .rows
                    .iter()
                    .map(|row| b.load_n(*row, v as i32 * step, valid(v)))
                    .collect();
                for (i, value) in transform.apply(b, &values).into_iter().enumerate() {
                    b.store(value, at, place(v, i));
                }
            }
            for row in &columns.rows {
                b.g_advance(*row, w.conv.in_c as i64 * 4);
            }
            b.g_advance(at, column_bytes);
        });
        border(b, after);
        for row in &columns.rows {
            b.g_bin_to(GOp::Sub, *row, *row, columns.back);
            b.g_advance(*row, channels as i64 * 4);
        }

        let (from, to) = (partial, b.g_copy(to));
        b.repeat(Count::Reg(self.tiles), |b| {
            for v in 0..vectors {
                for i in 0..w.window() {
                    let values: Vec<V> = (0..w.window())
                        .map(|j| b.load(from, j as i32 * column_bytes as i32 + place(v, i)))
                        .collect();
                    for (j, value) in transform.apply(b, &values).into_iter().enumerate() {
                        let point = (i * w.window() + j) * shape.point_bytes;
                        b.store_n(value, to, point as i32 + v as i32 * step, valid(v));
                    }
                }
            }
            b.g_advance(from, w.tile as i64 * column_bytes);
            b.g_advance(to, w.conv.in_c as i64 * 4);
        });
    }
}
