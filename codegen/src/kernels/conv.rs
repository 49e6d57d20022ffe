//! Convolutions, dense or grouped, and linear layers, as matrix products with row runs.
//!
//! Where a window can hang over the border, the rows that a unit needs are first copied into
//! scratch memory with zeros around them, so inner loops never look at bounds. Of an image whose
//! planes lie one after the other (`[C, H, W]`) windows are read plane by plane, as PyTorch has their
//! weights: values come one at a time anyway, and nothing has to be turned around.
//! Operands: `x`, packed weights, `out`, then the epilogue's, then what is fetched for later steps.

use super::ahead::Ahead;
use super::epilogue;
use super::gemm::{Destination, Gemm, Lines, Place, Runs, Split, tile_for};
use super::{
    BuiltKernel, Params, Target, begin, block_size, by_image, each_unit, each_vector, equal,
    equal_blocks, indices, round64, scaled,
};
use crate::program::ConvKernel;
use crate::vir::{Builder, Count, G, GImmOp, GOp};

/// Bytes of weights up to which they are taken to stay in the second-level cache.
const SMALL_WEIGHTS: usize = 256 << 10;
/// Rows of the product in a unit when the weights are large. Each block streams them once more, so few
/// blocks are better: ConvNeXt-T took 106.3 ms with 96 rows, 104.6 with 192, and the same with 384.
const BLOCK_ROWS: usize = 192;
/// Rows of a line whose sums wait for a long epilogue: they stay in the first-level cache.
const LONG_EPILOGUE_ROWS: usize = 256;
/// Units that there should be, for threads to share.
const UNITS: usize = 16;

/// Builds the kernel.
pub fn build(conv: &ConvKernel, name: &str, target: &Target) -> BuiltKernel {
    match is_flat(conv) {
        true => flat(conv, name, target, false),
        false => windows(conv, name, target, false),
    }
}

/// Builds the kernel such that a unit is a row of the output map.
pub fn build_rows(conv: &ConvKernel, name: &str, target: &Target) -> BuiltKernel {
    match is_flat(conv) {
        true => flat(conv, name, target, true),
        false => windows(conv, name, target, true),
    }
}

/// Whether output pixels correspond to input pixels one to one.
fn is_flat(c: &ConvKernel) -> bool {
    c.kernel == [1, 1]
        && c.stride == [1, 1]
        && c.pad == [0, 0]
        && !is_planar(c)
        && c.in_h == c.out_h
        && c.in_w == c.out_w
}

/// Multiply-accumulates.
fn macs(c: &ConvKernel) -> u64 {
    let pixels = c.batch * c.out_h * c.out_w;
    (pixels * c.out_c) as u64 * (c.in_c / c.groups * c.kernel[0] * c.kernel[1]) as u64
}

fn cost(c: &ConvKernel) -> u64 {
    let values = (c.batch * c.out_h * c.out_w * c.out_c) as u64;
    macs(c) / 15 + values * epilogue::cost(&c.epilogue) / 1000
}

/// Blocks of columns such that there are at least [`UNITS`] units.
fn column_blocks(units: usize, passes: usize) -> (usize, usize) {
    let blocks = UNITS.div_ceil(units).clamp(1, passes.max(1));
    let size = passes.div_ceil(blocks).max(1);
    (passes.div_ceil(size).max(1), size)
}

/// Appends the choice of a unit's passes: its first, how many, and whether it does the tail.
fn unit_passes(b: &mut Builder, block: G, blocks: usize, size: usize, passes: usize) -> [G; 3] {
    let first = scaled(b, block, size);
    let count = block_size(b, first, size, passes);
    let last = b.g_const(blocks as i64 - 1);
    let tail = equal(b, block, last);
    [first, count, tail]
}

/// The loop over the channel groups around the product; `group_bytes` lie between two groups of a pixel.
fn groups(
    b: &mut Builder,
    c: &ConvKernel,
    place: Place,
    group_bytes: usize,
    body: impl FnOnce(&mut Builder, Place),
) {
    let place = Place { channel: b.g_const(0), ..place };
    if c.groups == 1 {
        return body(b, place);
    }
    let place =
        Place { a: b.g_copy(place.a), w: b.g_copy(place.w), out: b.g_copy(place.out), ..place };
    let out_group = c.out_c / c.groups;
    b.times(c.groups, |b| {
        body(b, place);
        b.g_advance(place.a, group_bytes as i64);
        b.g_advance(place.out, out_group as i64 * 4);
        b.g_advance(place.channel, out_group as i64 * 4);
        b.g_advance(place.w, crate::pack::group_bytes(c) as i64);
    });
}

/// Byte offset of an image in operands by image and channel.
fn image_offset(b: &mut Builder, c: &ConvKernel, image: G) -> Option<G> {
    by_image(&c.epilogue).then(|| scaled(b, image, c.out_c * 4))
}

/// A unit's part of what is fetched for later steps, the last operand; the product takes so many turns.
fn later(
    b: &mut Builder,
    c: &ConvKernel,
    target: &Target,
    params: Params,
    units: (G, usize),
    turns: usize,
) -> Option<Ahead> {
    if !target.prefetch || c.ahead == 0 {
        return None;
    }
    let from = params.operand(b, 3 + epilogue::operand_kinds(&c.epilogue).count());
    Ahead::part(b, (from, c.ahead), units, turns)
}

/// A kernel of 1x1 and step 1: rows are pixels.
fn flat(c: &ConvKernel, name: &str, target: &Target, by_rows: bool) -> BuiltKernel {
    // Images stay apart only where an operand depends on the image.
    let images = match by_image(&c.epilogue) {
        _ if by_rows => c.batch * c.out_h,
        true => c.batch,
        false => 1,
    };
    let rows = c.batch * c.out_h * c.out_w / images;
    let (in_group, n) = (c.in_c / c.groups, c.out_c / c.groups);
    let weights = in_group * c.out_c * 4;
    let mut gemm = Gemm {
        n,
        runs: Runs { loops: vec![], len: in_group },
        a_stride: c.in_c as i64 * 4,
        out_stride: c.out_c as i64 * 4,
        bias: true,
        epilogue: &c.epilogue,
        out: Destination::Operand(2),
        tile: tile_for(target, rows, n),
        unroll: target.unroll,
        buffer: 0,
        line_rows: 0,
        streamed: target.prefetch && weights > SMALL_WEIGHTS,
    };
    let split = Split::new(rows, gemm.tile.0);
    let block = if by_rows {
        split.tiles()
    } else if weights <= SMALL_WEIGHTS {
        // Few rows at a time: they stay in the first-level cache.
        let fitting = (64 << 10) / (split.height * c.in_c * 4).max(1);
        split.tiles().div_ceil(2 * UNITS).min(fitting).max(1)
    } else {
        BLOCK_ROWS.div_ceil(split.height)
    };
    let block = match epilogue::is_heavy(&c.epilogue) {
        true if !by_rows => block.min(LONG_EPILOGUE_ROWS / split.height),
        _ => block,
    };
    let (row_blocks, block) = equal_blocks(split.tiles(), block);
    gemm.line_rows = block * split.height;
    let (passes, _) = gemm.passes(target.lanes);
    let (blocks, block_passes) = if c.groups > 1 || by_rows {
        (1, passes)
    } else {
        column_blocks(images * row_blocks, passes)
    };

    let (mut b, params) = begin(name, target);
    let scratch = gemm.buffer_bytes(target.lanes);
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[images, row_blocks, blocks]);
        let first = scaled(b, index[1], block);
        let count = block_size(b, first, block, split.tiles());
        let tiles = split.block(b, first, count);
        let image_rows = scaled(b, index[0], rows);
        let row = b.g_bin(GOp::Add, tiles.row, image_rows);

        let x = params.operand(b, 0);
        let a = b.g_address(x, row, gemm.a_stride, 0);
        let out = b.g_imm(GImmOp::Mul, row, gemm.out_stride);
        let w = params.operand(b, 1);
        let image = match by_rows && by_image(&c.epilogue) {
            true => b.g_div_rem(index[0], c.out_h).0,
            false => index[0],
        };
        let image = image_offset(b, c, image);
        let span = unit_passes(b, index[2], blocks, block_passes, passes);
        let lines = split.line(&tiles);
        let zero = b.g_const(0);
        let turns = gemm.all_turns(b.lanes(), images * split.tiles());
        let later = later(b, c, target, params, (unit, images * row_blocks * blocks), turns);
        let place = Place { a, w, out, channel: zero, image, later };
        groups(b, c, place, in_group * 4, |b, place| gemm.emit(b, params, place, lines, span));
    });
    BuiltKernel {
        function: b.finish(),
        units: images * row_blocks * blocks,
        scratch,
        cost: cost(c),
    }
}

/// How a map lies in memory, in bytes.
struct Layout {
    /// Between rows.
    row: usize,
    /// Between columns of a row.
    column: usize,
    /// Between channels of a pixel.
    channel: usize,
}

/// Whether the input lies plane by plane in a way that differs from channels last.
fn is_planar(c: &ConvKernel) -> bool {
    c.input_nchw && c.in_c > 1
}

impl Layout {
    /// Of the input itself.
    fn input(c: &ConvKernel) -> Layout {
        match is_planar(c) {
            true => Layout { row: c.in_w * 4, column: 4, channel: c.in_h * c.in_w * 4 },
            false => Layout { row: c.in_w * c.in_c * 4, column: c.in_c * 4, channel: 4 },
        }
    }
}

/// The zero-bordered copy of input rows that a unit works on.
struct Band {
    /// Columns, borders included.
    columns: usize,
    /// Columns of the input in it.
    copied: usize,
    /// Byte offset in the scratch memory.
    offset: usize,
    /// Byte offset of a row of zeros in the scratch memory.
    zeros: usize,
}

impl Band {
    fn new(c: &ConvKernel, out_rows: usize, offset: usize) -> Band {
        let (rows, columns) = (c.reach(0, out_rows), c.reach(1, c.out_w));
        let copied = c.in_w.min(columns.saturating_sub(c.pad[1]));
        let zeros = offset + round64(rows * columns * c.in_c * 4);
        Band { columns, copied, offset, zeros }
    }

    fn row_bytes(&self, c: &ConvKernel) -> usize {
        self.columns * c.in_c * 4
    }

    /// Of the copy: of planes, a row of each after the other.
    fn layout(&self, c: &ConvKernel) -> Layout {
        let row = self.row_bytes(c);
        match is_planar(c) {
            true => Layout { row, column: 4, channel: self.columns * 4 },
            false => Layout { row, column: c.in_c * 4, channel: 4 },
        }
    }

    /// End of the band's memory.
    fn end(&self, c: &ConvKernel) -> usize {
        self.zeros + round64(self.copied.max(1) * c.in_c * 4)
    }

    /// Zeros everything; copies then leave the borders as they are.
    fn clear(&self, b: &mut Builder, c: &ConvKernel, params: Params) {
        let bytes = self.end(c) - self.offset;
        let zero = b.splat(0.0);
        let at = b.g_imm(GImmOp::Add, params.scratch, self.offset as i64);
        b.times(bytes / 64, |b| {
            for i in (0..64).step_by(b.lanes() * 4) {
                b.store(zero, at, i);
            }
            b.g_advance(at, 64);
        });
    }

    /// Moves rows from row `from` on to the front.
    fn keep(&self, b: &mut Builder, c: &ConvKernel, params: Params, from: usize, rows: usize) {
        let to = b.g_imm(GImmOp::Add, params.scratch, self.offset as i64);
        let from = b.g_imm(GImmOp::Add, to, (from * self.row_bytes(c)) as i64);
        copy_values(b, from, to, rows * self.columns * c.in_c);
    }

    /// Copies `rows` rows of an image, starting `top` rows from its upper edge (which may be
    /// above), rows outside as zeros; the first becomes row `at`.
    fn fill(
        &self,
        b: &mut Builder,
        c: &ConvKernel,
        params: Params,
        image: G,
        (top, rows): (G, G),
        at: usize,
    ) {
        let x = params.operand(b, 0);
        let x = b.g_address(x, image, (c.in_h * c.in_w * c.in_c * 4) as i64, 0);
        let zeros = b.g_imm(GImmOp::Add, params.scratch, self.zeros as i64);
        let (from, to) = (Layout::input(c), self.layout(c));
        let at = self.offset + at * to.row + c.pad[1].min(self.columns) * to.column;
        let target = b.g_imm(GImmOp::Add, params.scratch, at as i64);
        let height = b.g_const(c.in_h as i64);
        let y = b.g_copy(top);
        b.repeat(Count::Reg(rows), |b| {
            let line_start = b.g_address(x, y, from.row as i64, 0);
            if is_planar(c) {
                let plane = b.g_copy(target);
                b.times(c.in_c, |b| {
                    let source = b.g_select([y, height], line_start, zeros);
                    let target = b.g_copy(plane);
                    copy_values(b, source, target, self.copied);
                    b.g_advance(plane, to.channel as i64);
                    b.g_advance(line_start, from.channel as i64);
                });
            } else {
                let source = b.g_select([y, height], line_start, zeros);
                let to = b.g_copy(target);
                copy_values(b, source, to, self.copied * c.in_c);
            }
            b.g_advance(y, 1);
            b.g_advance(target, to.row as i64);
        });
    }
}

/// Copies `n` consecutive values; both pointers move.
pub fn copy_values(b: &mut Builder, from: G, to: G, n: usize) {
    let lanes = b.lanes();
    let blocks = n / (4 * lanes);
    b.times(blocks, |b| {
        let step = b.vector_bytes();
        let values: Vec<_> = (0..4).map(|i| b.load(from, i * step)).collect();
        for (value, i) in values.into_iter().zip(0..) {
            b.store(value, to, i * step);
        }
        b.g_advance(from, 4 * step as i64);
        b.g_advance(to, 4 * step as i64);
    });
    each_vector(
        b,
        n - blocks * 4 * lanes,
        |b, n| {
            let value = b.load_n(from, 0, n);
            b.store_n(value, to, 0, n);
        },
        |b, bytes| {
            b.g_advance(from, bytes);
            b.g_advance(to, bytes);
        },
    );
}

/// The runs of a window over a map that lies so.
fn window_runs(c: &ConvKernel, map: &Layout) -> Runs {
    let group = c.in_c / c.groups;
    let rows = (c.kernel[0], (c.dilation[0] * map.row) as i64);
    let columns = (c.kernel[1], (c.dilation[1] * map.column) as i64);
    let channels = (group, map.channel as i64);
    let (mut loops, len) = if is_planar(c) {
        match c.dilation[1] {
            1 => (vec![channels, rows], c.kernel[1]),
            _ => (vec![channels, rows, columns], 1),
        }
    } else if c.kernel[1] == 1 || (c.groups == 1 && c.dilation[1] == 1) {
        (vec![rows], c.kernel[1] * group)
    } else {
        (vec![rows, columns], group)
    };
    loops.retain(|l| l.0 > 1);
    Runs { loops, len }
}

/// A window larger than a pixel, or a step: lines of tiles are rows of the output.
fn windows(c: &ConvKernel, name: &str, target: &Target, by_rows: bool) -> BuiltKernel {
    let inside = c.pad == [0, 0] && c.reach(0, c.out_h) <= c.in_h && c.reach(1, c.out_w) <= c.in_w;
    let (group, n) = (c.in_c / c.groups, c.out_c / c.groups);
    let weights = c.kernel[0] * c.kernel[1] * group * c.out_c * 4;
    let block = if by_rows {
        1
    } else if weights <= SMALL_WEIGHTS {
        (c.batch * c.out_h).div_ceil(UNITS).clamp(1, 8)
    } else {
        BLOCK_ROWS.div_ceil(c.out_w)
    }
    .min(c.out_h);
    let (row_blocks, block) = equal_blocks(c.out_h, block);

    let mut gemm = Gemm {
        n,
        runs: Runs { loops: vec![], len: 1 },
        a_stride: 0,
        out_stride: c.out_c as i64 * 4,
        bias: true,
        epilogue: &c.epilogue,
        out: Destination::Operand(2),
        tile: tile_for(target, c.out_w, n),
        unroll: target.unroll,
        buffer: 0,
        line_rows: c.out_w,
        streamed: target.prefetch && weights > SMALL_WEIGHTS,
    };
    let buffer = gemm.buffer_bytes(target.lanes);
    let band = Band::new(c, block, buffer);
    let map = if inside { Layout::input(c) } else { band.layout(c) };
    gemm.runs = window_runs(c, &map);
    gemm.a_stride = (c.stride[1] * map.column) as i64;
    let split = Split::new(c.out_w, gemm.tile.0);
    let (passes, _) = gemm.passes(target.lanes);
    let (blocks, block_passes) = if c.groups > 1 || by_rows {
        (1, passes)
    } else {
        column_blocks(c.batch * row_blocks, passes)
    };

    let (mut b, params) = begin(name, target);
    if !inside {
        band.clear(&mut b, c, params);
    }
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[c.batch, row_blocks, blocks]);
        let first = scaled(b, index[1], block);
        let count = block_size(b, first, block, c.out_h);
        let a = if inside {
            let x = params.operand(b, 0);
            let x = b.g_address(x, index[0], (c.in_h * c.in_w * c.in_c * 4) as i64, 0);
            b.g_address(x, first, (c.stride[0] * map.row) as i64, 0)
        } else {
            // A unit that continues the rows of the one before finds them copied.
            let zero = b.g_const(0);
            let new_thread = equal(b, unit, params.begin);
            let window = c.reach(0, 1);
            let top = scaled(b, first, c.stride[0]);
            b.g_advance(top, -(c.pad[0] as i64));
            // Rows that a unit of one row shares with the one before.
            let shared = if by_rows { window.saturating_sub(c.stride[0]) } else { 0 };
            let new_rows = equal(b, index[if shared > 0 { 1 } else { 2 }], zero);
            let copy = b.g_bin(GOp::Max, new_rows, new_thread);
            b.when(copy, |b| {
                let steps = b.g_imm(GImmOp::Add, count, -1);
                let rows = scaled(b, steps, c.stride[0]);
                b.g_advance(rows, window as i64);
                band.fill(b, c, params, index[0], (top, rows), 0);
            });
            if shared > 0 {
                let one = b.g_const(1);
                let goes_on = b.g_bin(GOp::Sub, one, copy);
                b.when(goes_on, |b| {
                    band.keep(b, c, params, window - shared, shared);
                    b.g_advance(top, shared as i64);
                    let rows = b.g_const((window - shared) as i64);
                    band.fill(b, c, params, index[0], (top, rows), shared);
                });
            }
            b.g_imm(GImmOp::Add, params.scratch, band.offset as i64)
        };
        let line = scaled(b, index[0], c.out_h);
        let line = b.g_bin(GOp::Add, line, first);
        let out = scaled(b, line, c.out_w * c.out_c * 4);
        let w = params.operand(b, 1);
        let image = image_offset(b, c, index[0]);
        let span = unit_passes(b, index[2], blocks, block_passes, passes);
        let lines = Lines {
            count: Count::Reg(count),
            height: split.height,
            first: Count::Static(split.first as u32),
            second: Count::Static(split.second as u32),
            a_stride: (c.stride[0] * map.row) as i64,
            out_stride: (c.out_w * c.out_c * 4) as i64,
        };
        let turns = gemm.all_turns(b.lanes(), c.batch * c.out_h * split.tiles());
        let later = later(b, c, target, params, (unit, c.batch * row_blocks * blocks), turns);
        let place = Place { a, w, out, channel: first, image, later };
        let group_bytes = group * map.channel;
        groups(b, c, place, group_bytes, |b, place| gemm.emit(b, params, place, lines, span));
    });
    BuiltKernel {
        function: b.finish(),
        units: c.batch * row_blocks * blocks,
        scratch: if inside { buffer } else { band.end(c) },
        cost: cost(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn column_blocks_cover_the_passes() {
        assert_eq!(column_blocks(1, 0), (1, 1));
        assert_eq!(column_blocks(4, 10), (4, 3));
        assert_eq!(column_blocks(100, 10), (1, 10));
    }
}
