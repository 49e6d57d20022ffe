//! Sums from the scratch memory to the output: transformed, with bias and epilogue.

use super::transform::Output;
use super::{Chunk, Segment, Shape};
use crate::kernels::epilogue::{self, Constants, Operands, Position};
use crate::kernels::{Params, by_image, scaled};
use crate::vir::{Builder, Count, G, GImmOp, GOp, V};

/// Transforms the sums of a segment's tiles for a chunk of columns.
pub fn emit(b: &mut Builder, shape: &Shape, params: Params, segment: Segment, chunk: Chunk) {
    let w = shape.w;
    let c = &w.conv;
    let y = scaled(b, segment.y, w.tile);
    let height = b.g_const(c.out_h as i64);
    let rows = b.g_bin(GOp::Sub, height, y);
    let most = b.g_const(w.tile as i64);
    let rows = b.g_bin(GOp::Min, rows, most);
    let line = scaled(b, segment.image, c.out_h);
    let line = b.g_bin(GOp::Add, line, y);
    let pixel = scaled(b, line, c.out_w);
    let x = scaled(b, segment.x, w.tile);
    let pixel = b.g_bin(GOp::Add, pixel, x);
    let channel = scaled(b, chunk.from, shape.columns * 4);
    let full = b.g_address(channel, pixel, c.out_c as i64 * 4, 0);
    let image = by_image(&c.epilogue).then(|| scaled(b, segment.image, c.out_c * 4));
    let sums =
        b.g_address(params.scratch, segment.first, shape.tile_bytes as i64, shape.sums as i64);
    let code = TileCode { shape, params, rows, sums, full, channel, image, chunk };

    let whole = b.g_const((c.out_w / w.tile) as i64);
    let ahead = b.g_bin(GOp::Sub, whole, segment.x);
    let inside = b.g_bin(GOp::Min, ahead, segment.count);
    b.repeat(Count::Reg(inside), |b| {
        code.tile(b, w.tile);
        b.g_advance(sums, shape.tile_bytes as i64);
        b.g_advance(full, (w.tile * c.out_c * 4) as i64);
    });
    if !c.out_w.is_multiple_of(w.tile) {
        let cut = b.g_bin(GOp::Sub, segment.count, inside);
        b.when(cut, |b| code.tile(b, c.out_w % w.tile));
    }
}

struct TileCode<'a> {
    shape: &'a Shape<'a>,
    params: Params,
    /// Rows of the tile that are in the map.
    rows: G,
    /// Address of the tile's sums.
    sums: G,
    /// Byte offset of the tile's first pixel in the output, at the chunk's first column.
    full: G,
    /// Byte offset of the chunk's first column.
    channel: G,
    image: Option<G>,
    chunk: Chunk,
}

impl TileCode<'_> {
    /// A tile of which `width` columns of pixels are in the map.
    fn tile(&self, b: &mut Builder, width: usize) {
        let shape = self.shape;
        let (sums, full) = (b.g_copy(self.sums), b.g_copy(self.full));
        let channel = b.g_copy(self.channel);
        if shape.passes > 0 {
            b.repeat(Count::Reg(self.chunk.whole), |b| {
                self.columns(b, sums, full, channel, width, shape.columns);
                for pointer in [sums, full, channel] {
                    b.g_advance(pointer, shape.columns as i64 * 4);
                }
            });
        }
        if shape.rest > 0 {
            b.when(self.chunk.tail, |b| {
                self.columns(b, sums, full, channel, width, shape.rest);
            });
        }
    }

    fn columns(&self, b: &mut Builder, sums: G, full: G, channel: G, width: usize, columns: usize) {
        let (shape, params) = (self.shape, self.params);
        let w = shape.w;
        let (c, window) = (&w.conv, w.window());
        let (lanes, step) = (b.lanes(), b.vector_bytes());
        let vectors = columns.div_ceil(lanes);
        // [row][vector][column]
        let place = |v: usize, j: usize| (v * window + j) as i32 * step;
        let row_bytes = place(vectors, 0);

        let transform = Output::new(b, w.tile);
        let bias = params.operand(b, 1);
        let bias = b.g_bin(GOp::Add, bias, channel);
        let partial = b.g_imm(GImmOp::Add, params.scratch, shape.partial as i64);
        for v in 0..vectors {
            for j in 0..window {
                let values: Vec<V> = (0..window)
                    .map(|i| {
                        let point = (i * window + j) * shape.sum_bytes;
                        b.load(sums, point as i32 + v as i32 * step)
                    })
                    .collect();
                for (i, value) in transform.apply(b, &values, None).into_iter().enumerate() {
                    b.store(value, partial, i as i32 * row_bytes + place(v, j));
                }
            }
        }

        let out = params.operand(b, 2);
        let out = b.g_bin(GOp::Add, out, full);
        let position = Position { full, channel, image: self.image };
        let operands = Operands::at(b, &c.epilogue, params.args, 3, position);
        b.repeat(Count::Reg(self.rows), |b| {
            for v in 0..vectors {
                let n = lanes.min(columns - v * lanes);
                let values: Vec<V> = (0..window).map(|j| b.load(partial, place(v, j))).collect();
                let bias = b.load(bias, v as i32 * step);
                let values = transform.apply(b, &values, Some(bias));
                let mut constants = Constants::default();
                for (x, value) in values.into_iter().enumerate().take(width) {
                    let column = v as i32 * step;
                    let at = (x * c.out_c * 4) as i32 + column;
                    let value =
                        epilogue::apply(b, &c.epilogue, value, &mut constants, |b, index, _| {
                            operands.load(b, index, at, column, n)
                        });
                    b.store_n(value, out, at, n);
                }
            }
            b.g_advance(partial, row_bytes as i64);
            b.g_advance(out, (c.out_w * c.out_c * 4) as i64);
            operands.advance_full(b, (c.out_w * c.out_c * 4) as i64);
        });
    }
}
