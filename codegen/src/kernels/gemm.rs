//! Matrix products with row runs: the core of convolutions, linear layers and attention.
//!
//! `out[r, n] = epilogue(bias[n] + sum over k of a[r, k] * w[k, n])`, where a row of `a` is not
//! contiguous but a nest of *runs*: a 3x3 window over a channels-last map is 3 runs of 3 C values.
//! The weights lie in panels of [`PANEL`] columns, `[N / 16][1 + K][16]` with the bias first, so
//! that vectors of 4, 8 and 16 values walk the same data.
//!
//! A *tile* is a few rows by a few vectors of columns held in registers. Rows are split into tiles
//! of two nearly equal heights, so that none is much smaller than the others.

use super::ahead::Ahead;
use super::epilogue::{self, Constants, Operands, Position};
use super::{PANEL, Params, Target, sweep};
use crate::program::Post;
use crate::vir::{Builder, Count, G, GImmOp, GOp, Op, V};

/// How the values of a row of `a` lie in memory.
#[derive(Clone, Debug)]
pub struct Runs {
    /// Loops around the runs, outermost first: turns, and bytes between the starts of turns.
    pub loops: Vec<(usize, i64)>,
    /// Consecutive values in a run.
    pub len: usize,
}

impl Runs {
    /// Products for each output value.
    pub fn k(&self) -> usize {
        self.len * self.loops.iter().map(|l| l.0).product::<usize>()
    }

    /// Where the values of a row lie, in bytes from its first, in order.
    fn offsets(&self) -> Vec<i64> {
        let starts = self.loops.iter().fold(vec![0], |starts: Vec<i64>, &(turns, stride)| {
            let turns = 0..turns as i64;
            starts.iter().flat_map(|start| turns.clone().map(move |i| start + i * stride)).collect()
        });
        let run = 0..self.len as i64;
        starts.iter().flat_map(|start| run.clone().map(move |i| start + i * 4)).collect()
    }
}

/// Where the results of a product go.
#[derive(Clone, Copy, Debug)]
pub enum Destination {
    /// To the operand with that index; the epilogue's operands follow it.
    Operand(usize),
    /// To the scratch memory, from that byte offset on; the epilogue has no operands.
    Scratch(usize),
}

/// A matrix product's geometry.
pub struct Gemm<'a> {
    /// Columns.
    pub n: usize,
    /// Walk along the rows of `a`.
    pub runs: Runs,
    /// Bytes between neighbouring rows of `a`.
    pub a_stride: i64,
    /// Bytes between neighbouring rows of the output.
    pub out_stride: i64,
    /// Whether panels begin with the bias.
    pub bias: bool,
    /// Applied to each value.
    pub epilogue: &'a [Post],
    /// Where the results go.
    pub out: Destination,
    /// Rows and vectors of a tile.
    pub tile: (usize, usize),
    /// Unrolling of the innermost loop.
    pub unroll: usize,
    /// Byte offset of the buffer for sums in the scratch memory (see [`Gemm::buffer_bytes`]).
    pub buffer: usize,
    /// Most rows of a line (see [`Lines`]).
    pub line_rows: usize,
    /// Whether the weights are so many that each pass finds its panels in memory only: then the pass
    /// before fetches them.
    pub streamed: bool,
}

/// Rows split into tiles: `first` of `height` rows, then `second` of one row less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows of the higher tiles.
    pub height: usize,
    /// Number of the higher tiles.
    pub first: usize,
    /// Number of the lower tiles.
    pub second: usize,
}

impl Split {
    /// Splits `rows` into as few tiles of at most `height` rows as possible, as equal as possible.
    pub fn new(rows: usize, height: usize) -> Split {
        let tiles = rows.div_ceil(height);
        let height = rows.div_ceil(tiles);
        let first = rows - tiles * (height - 1);
        Split { height, first, second: tiles - first }
    }

    /// Number of tiles.
    pub fn tiles(&self) -> usize {
        self.first + self.second
    }

    /// Appends the choice of a block of `count` tiles from tile `first` on.
    pub fn block(&self, b: &mut Builder, first: G, count: G) -> SplitBlock {
        let zero = b.g_const(0);
        let higher = b.g_const(self.first as i64);
        let ahead = b.g_bin(GOp::Sub, higher, first);
        let ahead = b.g_bin(GOp::Max, ahead, zero);
        let high = b.g_bin(GOp::Min, ahead, count);
        let low = b.g_bin(GOp::Sub, count, high);
        // Tiles behind the first kind are one row lower.
        let behind = b.g_bin(GOp::Sub, first, higher);
        let behind = b.g_bin(GOp::Max, behind, zero);
        let row = b.g_imm(GImmOp::Mul, first, self.height as i64);
        let row = b.g_bin(GOp::Sub, row, behind);
        SplitBlock { row, high, low }
    }

    /// The tiles of a block as a single line.
    pub fn line(&self, block: &SplitBlock) -> Lines {
        Lines {
            count: Count::Static(1),
            height: self.height,
            first: Count::Reg(block.high),
            second: if self.second == 0 { Count::Static(0) } else { Count::Reg(block.low) },
            a_stride: 0,
            out_stride: 0,
        }
    }
}

/// Neighbouring tiles of a split.
#[derive(Clone, Copy)]
pub struct SplitBlock {
    /// The first row.
    pub row: G,
    /// Number of the higher tiles.
    pub high: G,
    /// Number of the lower tiles.
    pub low: G,
}

/// Which tiles a block of rows consists of: `rows` lines of output, each of `first` and `second`
/// tiles, the lines so many bytes apart in `a` and in the output.
#[derive(Clone, Copy)]
pub struct Lines {
    /// Number of lines.
    pub count: Count,
    /// Rows of the higher tiles.
    pub height: usize,
    /// Higher tiles in a line.
    pub first: Count,
    /// Lower tiles in a line.
    pub second: Count,
    /// Bytes between lines in `a`.
    pub a_stride: i64,
    /// Bytes between lines in the output.
    pub out_stride: i64,
}

impl Lines {
    /// Rows of a line.
    fn rows(&self, b: &mut Builder) -> Count {
        let [high, low] = [self.height, self.height - 1];
        match (self.first, self.second) {
            (Count::Static(first), Count::Static(second)) => {
                Count::Static(first * high as u32 + second * low as u32)
            }
            (first, second) => {
                let [first, second] = [(first, high), (second, low)].map(|(count, height)| {
                    let count = match count {
                        Count::Static(n) => b.g_const(i64::from(n)),
                        Count::Reg(n) => n,
                    };
                    b.g_imm(GImmOp::Mul, count, height as i64)
                });
                Count::Reg(b.g_bin(GOp::Add, first, second))
            }
        }
    }
}

/// Registers of the current place in a product.
#[derive(Clone, Copy)]
pub struct Place {
    /// Address of the first row of `a`.
    pub a: G,
    /// Address of the first panel.
    pub w: G,
    /// Byte offset in the output of the first row, column 0.
    pub out: G,
    /// Byte offset of the first column among all channels (of all groups).
    pub channel: G,
    /// Byte offset of the image in operands by image and channel.
    pub image: Option<G>,
    /// What is fetched for later steps.
    pub later: Option<Ahead>,
}

/// Rows and vectors of a tile for a product of `rows` rows and `n` columns.
pub fn tile_for(target: &Target, rows: usize, n: usize) -> (usize, usize) {
    let (height, vectors) = target.tile;
    let registers = height * vectors;
    let height = height.min(rows);
    // With few rows, more columns keep the multipliers busy.
    let mut wide = vectors;
    while height * wide * 2 <= registers && wide < 8 {
        wide *= 2;
    }
    let useful = n.div_ceil(target.lanes).next_power_of_two();
    (height, wide.min(useful))
}

impl Gemm<'_> {
    /// Bytes between panels.
    pub fn panel_bytes(&self) -> usize {
        (self.runs.k() + usize::from(self.bias)) * PANEL * 4
    }

    /// Scratch bytes for the sums of a line, 0 where the epilogue needs none.
    pub fn buffer_bytes(&self, lanes: usize) -> usize {
        match epilogue::is_heavy(self.epilogue) {
            true => super::round64(self.line_rows * self.tile_columns(lanes) * 4),
            false => 0,
        }
    }

    /// Columns that a tile covers.
    fn tile_columns(&self, lanes: usize) -> usize {
        self.tile.1 * lanes
    }

    /// Number of whole passes over the columns, and the columns that remain.
    pub fn passes(&self, lanes: usize) -> (usize, usize) {
        (self.n / self.tile_columns(lanes), self.n % self.tile_columns(lanes))
    }

    /// Appends the passes `first .. first + count` over the lines, and if `tail` (0 or 1) the pass
    /// over the remaining columns.
    pub fn emit(
        &self,
        b: &mut Builder,
        params: Params,
        place: Place,
        lines: Lines,
        [first, count, tail]: [G; 3],
    ) {
        let columns = self.tile_columns(b.lanes());
        let (whole, rest) = self.passes(b.lanes());
        if whole > 0 {
            let column = b.g_imm(GImmOp::Mul, first, columns as i64 * 4);
            b.repeat(Count::Reg(count), |b| {
                let panel = b.g_imm(GImmOp::Shr, column, 6);
                let skipped = b.g_imm(GImmOp::Shl, panel, 6);
                let within = b.g_bin(GOp::Sub, column, skipped);
                let w = b.g_address(place.w, panel, self.panel_bytes() as i64, 0);
                b.g_bin_to(GOp::Add, w, w, within);
                let out = b.g_bin(GOp::Add, place.out, column);
                let channel = b.g_bin(GOp::Add, place.channel, column);
                let pass = Place { w, out, channel, ..place };
                let ahead = self.streamed.then(|| {
                    let bytes = (columns.div_ceil(PANEL) * self.panel_bytes()) as i64;
                    // A line a turn: a few tiles fetch all of the panel, and the others nothing more. Products of
                    // 49 rows by 1024 by 1024 run at 95% of the peak for 80%, of 197 by 768 by 3072 at
                    // 92% for 87%, with weights that no cache holds (Zen 3).
                    let next = b.g_imm(GImmOp::Add, w, bytes);
                    Ahead { next, end: b.g_imm(GImmOp::Add, next, bytes), lines: 1 }
                });
                self.lines(b, params, pass, lines, columns, ahead);
                b.g_advance(column, columns as i64 * 4);
            });
        }
        if rest > 0 {
            let column = whole * columns;
            let panel = column / PANEL * self.panel_bytes() + column % PANEL * 4;
            b.when(tail, |b| {
                let w = b.g_imm(GImmOp::Add, place.w, panel as i64);
                let out = b.g_imm(GImmOp::Add, place.out, column as i64 * 4);
                let channel = b.g_imm(GImmOp::Add, place.channel, column as i64 * 4);
                let place = Place { w, out, channel, ..place };
                self.lines(b, params, place, lines, rest, None);
            });
        }
    }

    /// The tiles of all lines for one group of columns.
    fn lines(
        &self,
        b: &mut Builder,
        params: Params,
        place: Place,
        lines: Lines,
        columns: usize,
        ahead: Option<Ahead>,
    ) {
        let (line_a, line_out) = (b.g_copy(place.a), b.g_copy(place.out));
        let heavy = epilogue::is_heavy(self.epilogue);
        let sum_bytes = (columns.div_ceil(b.lanes()) as i64) * i64::from(b.vector_bytes());
        b.repeat(lines.count, |b| {
            let (a, out) = (b.g_copy(line_a), b.g_copy(line_out));
            let buffer = heavy.then(|| b.g_imm(GImmOp::Add, params.scratch, self.buffer as i64));
            let sums = buffer.map(|buffer| b.g_copy(buffer));
            for (height, count) in [(lines.height, lines.first), (lines.height - 1, lines.second)] {
                if height == 0 {
                    continue;
                }
                b.repeat(count, |b| {
                    let place = Place { a, out, ..place };
                    self.tile(b, params, place, (height, columns), sums, ahead);
                    b.g_advance(a, height as i64 * self.a_stride);
                    match sums {
                        Some(sums) => b.g_advance(sums, height as i64 * sum_bytes),
                        None => b.g_advance(out, height as i64 * self.out_stride),
                    }
                });
            }
            if let Some(buffer) = buffer {
                let (to, operands) = self.results(b, params, Place { out, ..place });
                let rows = sweep::Rows {
                    from: buffer,
                    from_stride: sum_bytes,
                    to,
                    to_stride: self.out_stride,
                    count: lines.rows(b),
                    n: columns,
                };
                sweep::emit(b, self.epilogue, rows, &operands);
            }
            b.g_advance(line_a, lines.a_stride);
            b.g_advance(line_out, lines.out_stride);
        });
    }

    /// The address of the output at a place, and the epilogue's operands there.
    fn results(&self, b: &mut Builder, params: Params, place: Place) -> (G, Operands) {
        let (out, first) = match self.out {
            Destination::Operand(index) => (params.operand(b, index), index + 1),
            Destination::Scratch(at) => (b.g_imm(GImmOp::Add, params.scratch, at as i64), 0),
        };
        let out = b.g_bin(GOp::Add, out, place.out);
        let position = Position { full: place.out, channel: place.channel, image: place.image };
        (out, Operands::at(b, self.epilogue, params.args, first, position))
    }

    /// One tile of `rows` by `columns` (the last vector may be partial). Its sums go to `sums` as
    /// they are, or through the epilogue to the output.
    fn tile(
        &self,
        b: &mut Builder,
        params: Params,
        place: Place,
        (rows, columns): (usize, usize),
        sums: Option<G>,
        ahead: Option<Ahead>,
    ) {
        let lanes = b.lanes();
        let vectors = columns.div_ceil(lanes);
        let valid = |v: usize| lanes.min(columns - v * lanes);
        let panel_bytes = self.panel_bytes();
        // Vectors may span several panels, which are a constant apart.
        let at = |v: usize| {
            let column = v * lanes;
            (column / PANEL * panel_bytes + column % PANEL * 4) as i32
        };
        let acc = b.vector_list(rows * vectors);
        let w = b.g_copy(place.w);
        for (v, sum) in acc.iter().enumerate().take(vectors) {
            if self.bias {
                // The whole vector: panels are padded with zeros.
                b.load_n_to(*sum, w, at(v), lanes);
            } else {
                b.push(Op::Const { dst: *sum, bits: 0 });
            }
        }
        for r in 1..rows {
            for v in 0..vectors {
                b.mov(acc[r * vectors + v], acc[v]);
            }
        }
        if self.bias {
            b.g_advance(w, PANEL as i64 * 4);
        }
        let a = b.g_copy(place.a);
        let step = |b: &mut Builder, k: usize, offset: i64| {
            let load = |b: &mut Builder, v| b.load(w, at(v) + (k * PANEL * 4) as i32);
            if rows == 1 {
                // Each weight is needed once. A register for all of them, and eight accumulators in registers:
                // 1280 by 1000 took 65 us from the last cache where it took 90 with spills (Zen 3).
                let x = b.broadcast(a, offset as i32);
                for (v, sum) in acc.iter().enumerate() {
                    let weight = load(b, v);
                    b.fma(*sum, x, weight);
                }
                return;
            }
            let weights: Vec<V> = (0..vectors).map(|v| load(b, v)).collect();
            for r in 0..rows {
                let x = b.broadcast(a, (r as i64 * self.a_stride + offset) as i32);
                for (v, weight) in weights.iter().enumerate() {
                    b.fma(acc[r * vectors + v], x, *weight);
                }
            }
        };
        let ahead: Vec<Ahead> = ahead.into_iter().chain(place.later).collect();
        self.walk(b, [a, w], 0, &ahead, &step);

        if let Some(sums) = sums {
            for (i, value) in acc.iter().enumerate() {
                b.store(*value, sums, (i * lanes * 4) as i32);
            }
            return;
        }
        let (out, operands) = self.results(b, params, place);
        let mut constants = Constants::default();
        for r in 0..rows {
            let row = (r as i64 * self.out_stride) as i32;
            for v in 0..vectors {
                let (n, column) = (valid(v), (v * lanes * 4) as i32);
                let value = epilogue::apply(
                    b,
                    self.epilogue,
                    acc[r * vectors + v],
                    &mut constants,
                    |b, index, _| operands.load(b, index, row + column, column, n),
                );
                b.store_n(value, out, row + column, n);
            }
        }
    }

    /// Whether there are no loops over `k`. A small window is written out: 3x3 over three planes are nine runs of
    /// three values.
    fn is_written_out(&self) -> bool {
        !self.runs.loops.is_empty() && self.runs.k() <= 8 * self.unroll
    }

    /// Products in a turn of the innermost loop. A short run is written out.
    fn unrolled(&self) -> usize {
        if self.runs.len <= 3 * self.unroll { self.runs.len } else { self.unroll }
    }

    /// Turns of the innermost loop for each tile.
    fn turns(&self) -> usize {
        let loops = self.runs.loops.iter().map(|l| l.0).product::<usize>();
        match self.is_written_out() {
            true => 0,
            false => loops * (self.runs.len / self.unrolled()),
        }
    }

    /// Turns of the innermost loop over `tiles` tiles of rows and all columns.
    pub fn all_turns(&self, lanes: usize, tiles: usize) -> usize {
        let (passes, rest) = self.passes(lanes);
        tiles * (passes + usize::from(rest > 0)) * self.turns()
    }

    /// The loops over `k`: `step(k, offset)` appends the products of the weights `k` rows on and the values
    /// `offset` bytes on.
    fn walk(
        &self,
        b: &mut Builder,
        [a, w]: [G; 2],
        depth: usize,
        ahead: &[Ahead],
        step: &dyn Fn(&mut Builder, usize, i64),
    ) {
        if depth == 0 && self.is_written_out() {
            let offsets = self.runs.offsets();
            return offsets.into_iter().enumerate().for_each(|(k, at)| step(b, k, at));
        }
        if let Some(&(turns, stride)) = self.runs.loops.get(depth) {
            b.times(turns, |b| {
                let start = b.g_copy(a);
                self.walk(b, [a, w], depth + 1, ahead, step);
                b.g_mov(a, start);
                b.g_advance(a, stride);
            });
            return;
        }
        let unrolled = self.unrolled();
        let (whole, rest) = (self.runs.len / unrolled, self.runs.len % unrolled);
        b.times(whole, |b| {
            ahead.iter().for_each(|ahead| ahead.fetch(b));
            for k in 0..unrolled {
                step(b, k, k as i64 * 4);
            }
            b.g_advance(a, unrolled as i64 * 4);
            b.g_advance(w, (unrolled * PANEL * 4) as i64);
        });
        for k in 0..rest {
            step(b, k, k as i64 * 4);
        }
        b.g_advance(w, (rest * PANEL * 4) as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_balanced() {
        for height in 1..14 {
            for rows in 1..300 {
                let s = Split::new(rows, height);
                assert!(s.height <= height);
                assert_eq!(s.first * s.height + s.second * (s.height - 1), rows);
                assert_eq!(s.tiles(), rows.div_ceil(height));
            }
        }
        assert_eq!(Split::new(49, 6), Split { height: 6, first: 4, second: 5 });
    }
}
