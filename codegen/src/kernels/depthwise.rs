//! Depthwise convolution: one filter for each channel, any window, stride and dilation.
//!
//! A unit is a row of the output. Vectors run over the channels; a tile is a few neighbouring
//! columns of the output whose sums stay in registers. Nothing is copied and no bounds are checked
//! in inner loops: which taps of a row of windows lie inside the map is known for each tile when
//! the code is made, and the rows of taps that lie inside the map are a loop with a computed count.
//! The weights are packed as `[C / 16][1 + kh * kw][16]`, the bias first.
//! Operands: `x`, packed weights, `out`, then the epilogue's, the sums of the rows last.

use super::epilogue::{self, Constants, Operands, Position};
use super::{
    BuiltKernel, PANEL, Params, Target, begin, by_image, each_unit, each_vector, indices, scaled,
    sweep,
};
use crate::program::{ConvKernel, Operand, Post};
use crate::vir::{BinOp, Builder, Count, G, GImmOp, GOp, V};

/// Whether the convolution is depthwise and its rows of taps short enough to be written out;
/// longer ones are grouped convolutions. Does not depend on the machine, since packing does not.
pub fn applies(c: &ConvKernel) -> bool {
    let depthwise = c.groups == c.in_c && c.out_c == c.in_c && c.groups > 1 && !c.input_nchw;
    let short = c.kernel[1] <= 16 && (c.kernel[1] - 1).saturating_mul(c.dilation[1]) <= 32;
    // Tiles of a row are looked at one by one when the code is made.
    depthwise && short && c.out_w <= 1 << 16
}

/// Neighbouring output columns with the same taps inside the map.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tile {
    /// First output column.
    start: usize,
    /// Output columns.
    width: usize,
    /// How many such tiles follow each other.
    count: usize,
    /// For each tap, the output columns of the tile (first and end) for which it is inside.
    valid: Vec<(usize, usize)>,
}

/// The output columns for which each tap is inside the map, for a tile.
fn valid_columns(c: &ConvKernel, start: usize, width: usize) -> Vec<(usize, usize)> {
    (0..c.kernel[1])
        .map(|tap| {
            let inside = |t: usize| {
                let x = (start + t) * c.stride[1] + tap * c.dilation[1];
                (c.pad[1]..c.pad[1] + c.in_w).contains(&x)
            };
            let first = (0..width).find(|t| inside(*t)).unwrap_or(width);
            let end = (first..width).find(|t| !inside(*t)).unwrap_or(width);
            (first, end)
        })
        .collect()
}

/// Splits a row of the output into tiles of at most `width` columns.
fn tiles(c: &ConvKernel, width: usize) -> Vec<Tile> {
    let split = super::gemm::Split::new(c.out_w, width);
    let mut result: Vec<Tile> = Vec::new();
    let mut start = 0;
    for i in 0..split.tiles() {
        let width = split.height - usize::from(i >= split.first);
        let valid = valid_columns(c, start, width);
        match result.last_mut() {
            Some(last) if last.width == width && last.valid == valid => last.count += 1,
            _ => result.push(Tile { start, width, count: 1, valid }),
        }
        start += width;
    }
    result
}

/// Builds the kernel.
pub fn build(c: &ConvKernel, name: &str, target: &Target) -> BuiltKernel {
    // Sums wait in the output for a long epilogue, unless it reads the output's old value there.
    let full = epilogue::operand_kinds(&c.epilogue).any(|kind| kind == Operand::Full);
    let heavy = epilogue::is_heavy(&c.epilogue) && !full;
    // Weights of a row of taps stay in registers beside the sums if there are few of them.
    let width = if c.kernel[1] <= 3 { target.columns } else { target.columns - 2 };
    let tiles = tiles(c, width.max(1));
    let (mut b, params) = begin(name, target);
    let units = c.batch * c.out_h;
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[c.batch, c.out_h]);
        let rows = Rows::new(b, c, params, index[0], index[1]);
        let out_row = scaled(b, unit, c.out_w * c.out_c * 4);
        let image = by_image(&c.epilogue).then(|| scaled(b, index[0], c.out_c * 4));
        let sums = sums_row(b, c, params, unit);
        for tile in &tiles {
            // Addresses of the tile's first column; the map's column may lie in the border.
            let column = tile.start * c.stride[1];
            let x = b.g_copy(rows.x);
            b.g_advance(x, (column as i64 - c.pad[1] as i64) * c.in_c as i64 * 4);
            let out = b.g_imm(GImmOp::Add, out_row, (tile.start * c.out_c * 4) as i64);
            b.times(tile.count, |b| {
                let place = Place { x, out, image, sums };
                channels(b, c, params, &rows, tile, place, heavy);
                if heavy {
                    finish(b, c, params, place, tile.width);
                }
                b.g_advance(x, (tile.width * c.stride[1] * c.in_c * 4) as i64);
                b.g_advance(out, (tile.width * c.out_c * 4) as i64);
            });
        }
    });
    let macs = (units * c.out_w * c.out_c) as u64 * (c.kernel[0] * c.kernel[1]) as u64;
    let values = (units * c.out_w * c.out_c) as u64;
    BuiltKernel {
        function: b.finish(),
        units,
        scratch: 0,
        cost: macs / 8 + values * epilogue::cost(&c.epilogue) / 1000,
    }
}

/// The rows of taps of a unit that lie inside the map.
struct Rows {
    /// Address of the first such row of the map.
    x: G,
    /// How many there are.
    count: G,
    /// Byte offset of the first one's weights.
    weights: G,
}

impl Rows {
    fn new(b: &mut Builder, c: &ConvKernel, params: Params, image: G, row: G) -> Rows {
        let (first, count) =
            window_rows(b, row, c.stride[0], c.pad[0], c.kernel[0], c.dilation[0], c.in_h);
        // The input row of tap `first`.
        let y = scaled(b, row, c.stride[0]);
        let taps = scaled(b, first, c.dilation[0]);
        let y = b.g_bin(GOp::Add, y, taps);
        b.g_advance(y, -(c.pad[0] as i64));
        let images = scaled(b, image, c.in_h);
        let y = b.g_bin(GOp::Add, y, images);
        let x = params.operand(b, 0);
        let x = b.g_address(x, y, (c.in_w * c.in_c * 4) as i64, 0);
        let weights = scaled(b, first, c.kernel[1] * PANEL * 4);
        Rows { x, count, weights }
    }
}

/// The first tap of a window that lies inside `0 .. size`, and the number of such taps, for the
/// window with that index. There may be none.
pub fn window_rows(
    b: &mut Builder,
    index: G,
    stride: usize,
    pad: usize,
    taps: usize,
    dilation: usize,
    size: usize,
) -> (G, G) {
    // Tap t lies at index * stride - pad + t * dilation.
    let start = scaled(b, index, stride);
    b.g_advance(start, -(pad as i64));
    let (zero, all) = (b.g_const(0), b.g_const(taps as i64));
    // first = ceil(max(0, -start) / dilation), end = ceil(max(0, size - start) / dilation).
    let ceil_div = |b: &mut Builder, distance: G| {
        let distance = b.g_bin(GOp::Max, distance, zero);
        let quotient = if dilation == 1 {
            distance
        } else {
            b.g_advance(distance, dilation as i64 - 1);
            b.g_div_rem(distance, dilation).0
        };
        b.g_bin(GOp::Min, quotient, all)
    };
    let above = b.g_bin(GOp::Sub, zero, start);
    let first = ceil_div(b, above);
    let size = b.g_const(size as i64);
    let below = b.g_bin(GOp::Sub, size, start);
    let end = ceil_div(b, below);
    let count = b.g_bin(GOp::Sub, end, first);
    (first, b.g_bin(GOp::Max, count, zero))
}

#[derive(Clone, Copy)]
struct Place {
    x: G,
    out: G,
    image: Option<G>,
    /// Address of the sums of the row, if they are wanted.
    sums: Option<G>,
}

/// The sums of the row that is a unit, as zeros.
fn sums_row(b: &mut Builder, c: &ConvKernel, params: Params, unit: G) -> Option<G> {
    let wanted = c.epilogue.contains(&Post::RowSums);
    wanted.then(|| {
        let index = 3 + epilogue::operand_kinds(&c.epilogue).count();
        let all = params.operand(b, index);
        let row = b.g_address(all, unit, (c.out_c * 4) as i64, 0);
        let (zero, at) = (b.splat(0.0), b.g_copy(row));
        each_vector(
            b,
            c.out_c,
            |b, n| b.store_n(zero, at, 0, n),
            |b, bytes| b.g_advance(at, bytes),
        );
        row
    })
}

/// Where the current channels are.
struct Cursor {
    x: G,
    /// Weights of the block of channels: the bias row.
    w: G,
    out: G,
    operands: Operands,
    sums: Option<G>,
}

/// One tile over all channels.
fn channels(
    b: &mut Builder,
    c: &ConvKernel,
    params: Params,
    rows: &Rows,
    tile: &Tile,
    place: Place,
    heavy: bool,
) {
    let lanes = b.lanes();
    let out = params.operand(b, 2);
    let zero = b.g_const(0);
    let position = Position { full: place.out, channel: zero, image: place.image };
    let cursor = Cursor {
        x: b.g_copy(place.x),
        w: params.operand(b, 1),
        out: b.g_bin(GOp::Add, out, place.out),
        operands: Operands::at(b, &c.epilogue, params.args, 3, position),
        sums: place.sums.map(|sums| b.g_copy(sums)),
    };
    let advance = |b: &mut Builder| {
        let bytes = lanes as i64 * 4;
        b.g_advance(cursor.x, bytes);
        b.g_advance(cursor.w, bytes);
        b.g_advance(cursor.out, bytes);
        cursor.operands.advance_channels(b, bytes);
        if let Some(sums) = cursor.sums {
            b.g_advance(sums, bytes);
        }
    };
    let code = TileCode { c, rows, tile, cursor: &cursor, heavy };
    let block_bytes = ((1 + c.kernel[0] * c.kernel[1]) * PANEL * 4) as i64;
    b.times(c.in_c / PANEL, |b| {
        b.times(PANEL / lanes, |b| {
            code.emit(b, lanes);
            advance(b);
        });
        b.g_advance(cursor.w, block_bytes - PANEL as i64 * 4);
    });
    let rest = c.in_c % PANEL;
    b.times(rest / lanes, |b| {
        code.emit(b, lanes);
        advance(b);
    });
    if !rest.is_multiple_of(lanes) {
        code.emit(b, rest % lanes);
    }
}

/// Applies a long epilogue to the sums of a tile's columns, which lie in the output.
fn finish(b: &mut Builder, c: &ConvKernel, params: Params, place: Place, width: usize) {
    let out = params.operand(b, 2);
    let at = b.g_bin(GOp::Add, out, place.out);
    let channel = b.g_const(0);
    let position = Position { full: place.out, channel, image: place.image };
    let operands = Operands::at(b, &c.epilogue, params.args, 3, position);
    // Without operands by channel the columns are one long row.
    let plain = epilogue::operand_kinds(&c.epilogue).next().is_none();
    let (count, n) = if plain { (1, width * c.out_c) } else { (width as u32, c.out_c) };
    let stride = (n * 4) as i64;
    let rows = sweep::Rows {
        from: at,
        from_stride: stride,
        to: at,
        to_stride: stride,
        count: Count::Static(count),
        n,
    };
    sweep::emit(b, &c.epilogue, rows, &operands);
    if let Some(sums) = place.sums {
        let (from, to) = (b.g_copy(at), b.g_copy(sums));
        each_vector(
            b,
            c.out_c,
            |b, n| {
                let columns: Vec<V> =
                    (0..width).map(|i| b.load_n(from, (i * c.out_c * 4) as i32, n)).collect();
                add_to_sums(b, &columns, to, n);
            },
            |b, bytes| {
                b.g_advance(from, bytes);
                b.g_advance(to, bytes);
            },
        );
    }
}

/// Adds one vector of each column of a tile to the sums of the row.
fn add_to_sums(b: &mut Builder, columns: &[V], sums: G, n: usize) {
    let sum = b.load_n(sums, 0, n);
    for column in columns {
        b.bin_to(BinOp::Add, sum, sum, *column);
    }
    b.store_n(sum, sums, 0, n);
}

struct TileCode<'a> {
    c: &'a ConvKernel,
    rows: &'a Rows,
    tile: &'a Tile,
    cursor: &'a Cursor,
    heavy: bool,
}

impl TileCode<'_> {
    /// The tile for one vector of channels, `n` of which count.
    fn emit(&self, b: &mut Builder, n: usize) {
        let (c, tile, cursor) = (self.c, self.tile, self.cursor);
        let acc = b.vector_list(tile.width);
        b.load_n_to(acc[0], cursor.w, 0, b.lanes());
        for sum in &acc[1..] {
            b.mov(*sum, acc[0]);
        }
        let x = b.g_copy(cursor.x);
        let w = b.g_bin(GOp::Add, cursor.w, self.rows.weights);
        b.g_advance(w, PANEL as i64 * 4);
        b.repeat(Count::Reg(self.rows.count), |b| {
            self.row(b, x, w, &acc, n);
            b.g_advance(x, (c.dilation[0] * c.in_w * c.in_c * 4) as i64);
            b.g_advance(w, (c.kernel[1] * PANEL * 4) as i64);
        });
        let step = (c.out_c * 4) as i32;
        if self.heavy {
            // The sums as they are; `finish` does the rest.
            for (i, sum) in acc.iter().enumerate() {
                b.store_n(*sum, cursor.out, i as i32 * step, n);
            }
            return;
        }
        let mut constants = Constants::default();
        let mut values = Vec::with_capacity(acc.len());
        for (i, sum) in acc.iter().enumerate() {
            let at = i as i32 * step;
            let value = epilogue::apply(b, &c.epilogue, *sum, &mut constants, |b, index, _| {
                cursor.operands.load(b, index, at, 0, n)
            });
            b.store_n(value, cursor.out, at, n);
            values.push(value);
        }
        if let Some(sums) = cursor.sums {
            add_to_sums(b, &values, sums, n);
        }
    }

    /// The products of one row of taps. Each input column is loaded once and meets all taps that
    /// see it.
    fn row(&self, b: &mut Builder, x: G, w: G, acc: &[V], n: usize) {
        let (c, tile) = (self.c, self.tile);
        let used: Vec<usize> =
            (0..c.kernel[1]).filter(|t| tile.valid[*t].0 < tile.valid[*t].1).collect();
        // (input column, tap, output column) of every product.
        let mut products: Vec<(usize, usize, usize)> = used
            .iter()
            .flat_map(|&tap| {
                let (first, end) = tile.valid[tap];
                (first..end).map(move |t| (t * c.stride[1] + tap * c.dilation[1], tap, t))
            })
            .collect();
        products.sort();
        let few = used.len() <= 5;
        let mut weights: Vec<Option<V>> = vec![None; c.kernel[1]];
        if few {
            for &tap in &used {
                weights[tap] = Some(b.load(w, (tap * PANEL * 4) as i32));
            }
        }
        for group in products.chunk_by(|p, q| p.0 == q.0) {
            let value = b.load_n(x, (group[0].0 * c.in_c * 4) as i32, n);
            for &(_, tap, t) in group {
                match weights[tap] {
                    Some(weight) => b.fma(acc[t], value, weight),
                    None => b.fma_mem(acc[t], value, w, (tap * PANEL * 4) as i32),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conv(out_w: usize) -> ConvKernel {
        ConvKernel {
            batch: 1,
            in_h: out_w,
            in_w: out_w,
            in_c: 8,
            out_h: out_w,
            out_w,
            out_c: 8,
            kernel: [3, 3],
            stride: [1, 1],
            pad: [1, 1],
            dilation: [1, 1],
            groups: 8,
            input_nchw: false,
            ahead: 0,
            epilogue: vec![],
        }
    }

    #[test]
    fn border_tiles_stand_apart() {
        let tiles = tiles(&conv(32), 8);
        let counts: Vec<_> = tiles.iter().map(|t| (t.start, t.width, t.count)).collect();
        assert_eq!(counts, [(0, 8, 1), (8, 8, 2), (24, 8, 1)]);
        assert_eq!(tiles[0].valid, [(1, 8), (0, 8), (0, 8)]);
        assert_eq!(tiles[2].valid, [(0, 8), (0, 8), (0, 7)]);
    }
}
