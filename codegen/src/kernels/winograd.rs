//! Dense 3x3 convolutions with step 1 by Winograd's minimal filtering F(m x m, 3x3).
//!
//! The output is cut into *tiles* of m x m pixels, each of which depends on a *window* of
//! (m + 2) x (m + 2) input pixels. Windows are transformed, `B^T d B`, so that the convolution
//! becomes one product for each of the (m + 2)^2 *points* of a window and each pair of channels;
//! tiles come out of the sums by another transform, `A^T s A`. With m = 4 there are 36 products
//! where plain loops have 144, with m = 2 there are 16 where they have 36.
//!
//! The tiles of all images, counted row by row, are the rows of as many matrix products as there
//! are points. A block of tiles is worked on at a time, so that its transformed windows and its
//! sums stay in the second-level cache. A unit is some columns of a block; units that follow each
//! other in one thread share the block's transformed windows.
//!
//! | scratch memory | layout |
//! |---|---|
//! | transformed windows | `[point][tile][input channel]` |
//! | sums | `[tile][point][output channel of the chunk]` |
//! | half-transformed values of a few tiles or of one, and a row of zeros | |

mod input;
mod output;
#[cfg(test)]
mod tests;
mod transform;

use super::epilogue;
use super::gemm::{Destination, Gemm, Place, Runs, Split, tile_for};
use super::{BuiltKernel, PANEL, Params, Target, begin, block_size, round64, scaled};
use crate::program::WinogradKernel;
use crate::vir::{Builder, Count, G, GImmOp, GOp};

/// Bytes of the transformed windows and the sums of a block: what stays in a second-level cache of
/// 512 KiB beside the weights that stream by. Times with 128 to 640 KiB differ by less than 10%, no
/// more than those of one size from run to run, and no size is best for all maps.
const BLOCK_BYTES: usize = 256 << 10;
/// Fewest tiles in a block: with fewer, reading the weights takes longer than the products.
const MIN_TILES: usize = 24;
/// Most tiles in a block.
const MAX_TILES: usize = 48;
/// Bytes of half-transformed values: they stay in the first-level cache.
const STRIP_BYTES: usize = 14 << 10;

/// Sizes and places that the kernel's code is made of.
struct Shape<'a> {
    w: &'a WinogradKernel,
    /// Tiles of an image.
    tiles_y: usize,
    tiles_x: usize,
    /// The tiles of all images, in rows of a register tile.
    split: Split,
    /// Register tiles in a block, and number of blocks.
    block: usize,
    blocks: usize,
    /// Columns of a pass, whole passes, columns that remain, passes of a chunk.
    columns: usize,
    passes: usize,
    rest: usize,
    chunk: usize,
    /// Most tiles of a row whose windows are transformed together.
    strip: usize,
    /// Bytes between points of the transformed windows.
    point_bytes: usize,
    /// Bytes between points and between tiles of the sums.
    sum_bytes: usize,
    tile_bytes: usize,
    /// Byte offsets in the scratch memory.
    windows: usize,
    sums: usize,
    partial: usize,
    zeros: usize,
    /// Bytes of scratch memory.
    scratch: usize,
    tile: (usize, usize),
}

/// Bytes rounded up to an odd number of cache lines, so that places so far apart do not share sets.
fn odd_lines(bytes: usize) -> usize {
    (bytes.div_ceil(64) | 1) * 64
}

impl<'a> Shape<'a> {
    fn new(w: &'a WinogradKernel, target: &Target) -> Shape<'a> {
        let c = &w.conv;
        let (m, points) = (w.tile, w.points());
        let (tiles_y, tiles_x) = (c.out_h.div_ceil(m), c.out_w.div_ceil(m));
        let tiles = c.batch * tiles_y * tiles_x;
        let mut tile = tile_for(target, tiles, c.out_c);
        // A single vector that remains would leave multipliers idle: three together do not.
        if c.out_c.div_ceil(target.lanes) == 3 && tile.1 == 2 {
            tile = (tile.0 * 2 / 3, 3);
        }
        let columns = tile.1 * target.lanes;
        let (passes, rest) = (c.out_c / columns, c.out_c % columns);
        let split = Split::new(tiles, tile.0);

        let each = points * (c.in_c + columns) * 4;
        let most = (BLOCK_BYTES / each).clamp(MIN_TILES, MAX_TILES);
        let blocks = split.tiles().div_ceil((most / split.height).max(1));
        let block = split.tiles().div_ceil(blocks);
        let blocks = split.tiles().div_ceil(block);
        let rows = block * split.height;

        let point_bytes = odd_lines(rows * c.in_c * 4);
        let all = passes + usize::from(rest > 0);
        let fitting =
            BLOCK_BYTES.saturating_sub(points * point_bytes) / (rows * points * columns * 4);
        // Windows that do not stay in the cache are read once, for all columns.
        let large = points * point_bytes > BLOCK_BYTES;
        let chunk = if large { all } else { fitting.clamp(1, all) };
        let sum_bytes = odd_lines(c.out_c.min(chunk * columns) * 4);
        let tile_bytes = points * sum_bytes;

        let group = target.lanes.max(PANEL) * 4;
        let fitting = (STRIP_BYTES / (w.window() * group)).saturating_sub(2) / m;
        let strip = tiles_x.div_ceil(tiles_x.div_ceil(fitting.max(1)));
        let strip_bytes = (strip * m + 2) * w.window() * group;
        let tile_sums = m * w.window() * tile.1 * target.lanes * 4;
        let windows = 0;
        let sums = windows + points * point_bytes;
        let partial = sums + rows * tile_bytes;
        let zeros = partial + round64(strip_bytes.max(tile_sums));
        let scratch = zeros + round64(c.in_w * c.in_c * 4);
        Shape {
            w,
            tiles_y,
            tiles_x,
            split,
            block,
            blocks,
            columns,
            passes,
            rest,
            chunk,
            strip,
            point_bytes,
            sum_bytes,
            tile_bytes,
            windows,
            sums,
            partial,
            zeros,
            scratch,
            tile,
        }
    }

    /// Units of a block: its passes, the last of which may be over the columns that remain.
    fn spans(&self) -> usize {
        self.passes + usize::from(self.rest > 0)
    }

    /// The products at one point.
    fn gemm(&self, target: &Target) -> Gemm<'static> {
        let c = &self.w.conv;
        Gemm {
            n: c.out_c,
            runs: Runs { loops: vec![], len: c.in_c },
            a_stride: c.in_c as i64 * 4,
            out_stride: self.tile_bytes as i64,
            bias: false,
            epilogue: &[],
            out: Destination::Scratch(self.sums),
            tile: self.tile,
            unroll: target.unroll,
            buffer: 0,
            line_rows: 0,
            streamed: target.prefetch,
        }
    }

    /// Writes the row of zeros.
    fn clear(&self, b: &mut Builder, params: Params) {
        let zero = b.splat(0.0);
        let at = b.g_imm(GImmOp::Add, params.scratch, self.zeros as i64);
        b.times((self.scratch - self.zeros) / 64, |b| {
            for i in (0..64).step_by(b.lanes() * 4) {
                b.store(zero, at, i);
            }
            b.g_advance(at, 64);
        });
    }
}

/// Tiles of a block that lie side by side in one row of tiles.
#[derive(Clone, Copy)]
struct Segment {
    image: G,
    /// Row of tiles, and first tile in it.
    y: G,
    x: G,
    /// Number of tiles, and the first one's place in the block.
    count: G,
    first: G,
}

/// Appends the loop over the rows of tiles that the `count` tiles from `first` on lie in.
fn segments(
    b: &mut Builder,
    shape: &Shape,
    first: G,
    count: G,
    body: impl FnOnce(&mut Builder, Segment),
) {
    let end = b.g_bin(GOp::Add, first, count);
    let last = b.g_imm(GImmOp::Add, end, -1);
    let (row, _) = b.g_div_rem(first, shape.tiles_x);
    let (last, _) = b.g_div_rem(last, shape.tiles_x);
    let rows = b.g_bin(GOp::Sub, last, row);
    b.g_advance(rows, 1);
    b.repeat(Count::Reg(rows), |b| {
        let row_start = scaled(b, row, shape.tiles_x);
        let row_end = b.g_imm(GImmOp::Add, row_start, shape.tiles_x as i64);
        let start = b.g_bin(GOp::Max, row_start, first);
        let end = b.g_bin(GOp::Min, row_end, end);
        let (image, y) = b.g_div_rem(row, shape.tiles_y);
        let segment = Segment {
            image,
            y,
            x: b.g_bin(GOp::Sub, start, row_start),
            count: b.g_bin(GOp::Sub, end, start),
            first: b.g_bin(GOp::Sub, start, first),
        };
        body(b, segment);
        b.g_advance(row, 1);
    });
}

/// Builds the kernel.
pub fn build(w: &WinogradKernel, name: &str, target: &Target) -> BuiltKernel {
    let shape = Shape::new(w, target);
    let spans = shape.spans();
    let (mut builder, params) = begin(name, target);
    let b = &mut builder;
    shape.clear(b, params);
    let (block, _) = b.g_div_rem(params.begin, spans);
    let behind = b.g_imm(GImmOp::Add, params.end, spans as i64 - 1);
    let (behind, _) = b.g_div_rem(behind, spans);
    let blocks = b.g_bin(GOp::Sub, behind, block);
    b.repeat(Count::Reg(blocks), |b| {
        let first = scaled(b, block, shape.block);
        let count = block_size(b, first, shape.block, shape.split.tiles());
        let tiles = shape.split.block(b, first, count);
        let lower = scaled(b, count, shape.split.height - 1);
        let rows = b.g_bin(GOp::Add, lower, tiles.high);
        segments(b, &shape, tiles.row, rows, |b, segment| input::emit(b, &shape, params, segment));

        // The passes of this block that the caller asks for, chunk by chunk.
        let unit = scaled(b, block, spans);
        let unit_end = b.g_imm(GImmOp::Add, unit, spans as i64);
        let from = b.g_bin(GOp::Max, unit, params.begin);
        let to = b.g_bin(GOp::Min, unit_end, params.end);
        let from = b.g_bin(GOp::Sub, from, unit);
        let to = b.g_bin(GOp::Sub, to, unit);
        let chunks = b.g_bin(GOp::Sub, to, from);
        b.g_advance(chunks, shape.chunk as i64 - 1);
        let (chunks, _) = b.g_div_rem(chunks, shape.chunk);
        b.repeat(Count::Reg(chunks), |b| {
            let chunk = Chunk::new(b, &shape, from, to);
            let gemm = shape.gemm(target);
            let weights = params.operand(b, 1);
            let out = scaled(b, from, shape.columns * 4);
            let zero = b.g_const(0);
            let place = Place {
                a: b.g_imm(GImmOp::Add, params.scratch, shape.windows as i64),
                w: b.g_imm(GImmOp::Add, weights, bias_bytes(w) as i64),
                // Columns count from the chunk's first.
                out: b.g_bin(GOp::Sub, zero, out),
                channel: zero,
                later: None,
                image: None,
            };
            let lines = shape.split.line(&tiles);
            b.times(w.points(), |b| {
                gemm.emit(b, params, place, lines, [from, chunk.whole, chunk.tail]);
                b.g_advance(place.a, shape.point_bytes as i64);
                b.g_advance(place.w, (gemm.panel_bytes() * w.conv.out_c.div_ceil(PANEL)) as i64);
                b.g_advance(place.out, shape.sum_bytes as i64);
            });
            segments(b, &shape, tiles.row, rows, |b, segment| {
                output::emit(b, &shape, params, segment, chunk);
            });
            b.g_advance(from, shape.chunk as i64);
        });
        b.g_advance(block, 1);
    });
    BuiltKernel {
        function: builder.finish(),
        units: shape.blocks * spans,
        scratch: shape.scratch,
        cost: cost(w),
    }
}

/// Bytes of the bias at the start of the weights.
fn bias_bytes(w: &WinogradKernel) -> usize {
    w.conv.out_c.next_multiple_of(PANEL) * 4
}

fn cost(w: &WinogradKernel) -> u64 {
    let c = &w.conv;
    let tiles = (c.batch * c.out_h.div_ceil(w.tile) * c.out_w.div_ceil(w.tile)) as u64;
    let products = tiles * (w.points() * c.in_c) as u64 * c.out_c as u64;
    let values = (c.batch * c.out_h * c.out_w * c.out_c) as u64;
    products / 15 + values * (400 + epilogue::cost(&c.epilogue)) / 1000
}

/// Passes whose sums are made before they are transformed.
#[derive(Clone, Copy)]
struct Chunk {
    /// The first pass.
    from: G,
    /// Number of whole passes.
    whole: G,
    /// Whether (0 or 1) the columns that remain are part of it.
    tail: G,
}

impl Chunk {
    /// The chunk that begins at `from`, of the passes up to `to`.
    fn new(b: &mut Builder, shape: &Shape, from: G, to: G) -> Chunk {
        let end = b.g_imm(GImmOp::Add, from, shape.chunk as i64);
        let end = b.g_bin(GOp::Min, end, to);
        let all = b.g_const(shape.passes as i64);
        let inside = b.g_bin(GOp::Min, end, all);
        let (whole, tail) = (b.g_bin(GOp::Sub, inside, from), b.g_bin(GOp::Sub, end, inside));
        // A chunk of nothing but the tail begins behind the whole passes.
        let zero = b.g_const(0);
        Chunk { from, whole: b.g_bin(GOp::Max, whole, zero), tail }
    }
}
