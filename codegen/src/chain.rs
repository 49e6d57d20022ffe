//! Chains of convolutions as native code: a function that calls the stages' kernels band by band.
//!
//! A unit is a band of an image: a few rows of the last map. For each band, each stage's kernel computes the
//! rows that the next one needs. Kernels number rows as if the whole map lay before them; the address
//! that they get is so much lower that the rows they touch lie in the scratch memory. So a stage finds
//! the borders of its map by itself.
//!
//! A thread takes neighbouring bands, so what a band needs of the rows of the one before is moved to the front
//! instead of being computed again. Only the first band of a thread computes all of its rows.
//!
//! Scratch memory: the counters of laps in a function with a clock, the rows of each map between stages, then
//! what the kernels need.

use crate::entry::{Functions, each, flags};
use crate::error::CodegenError;
use crate::kernels::{epilogue, round64};
use crate::laps::{self, Laps, Part};
use crate::program::{ChainKernel, ConvKernel, Post};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8X16, I64};
use cranelift_codegen::ir::{FuncRef, InstBuilder, StackSlotData, StackSlotKind, Type, Value};
use cranelift_frontend::FunctionBuilder;
use cranelift_module::{FuncId, Linkage, Module};

/// A map between two stages.
struct Between {
    /// Bytes of a row.
    row_bytes: usize,
    /// Where its rows lie in the scratch memory.
    at: usize,
}

/// How a chain uses its scratch memory.
pub(crate) struct Layout {
    between: Vec<Between>,
    /// Bytes of all maps between stages; the kernels' own scratch memory follows.
    bytes: usize,
}

impl Layout {
    /// The layout of a checked chain.
    pub fn new(chain: &ChainKernel) -> Layout {
        let mut rows = chain.rows;
        let mut sizes: Vec<(usize, usize)> = Vec::new();
        for pair in chain.stages.windows(2).rev() {
            rows = pair[1].reach(0, rows).min(pair[0].out_h);
            sizes.push((rows, pair[0].out_w * pair[0].out_c * 4));
        }
        let mut bytes = 0;
        let between = sizes.into_iter().rev().map(|(rows, row_bytes)| {
            let at = bytes;
            bytes += round64(rows * row_bytes);
            Between { row_bytes, at }
        });
        let between = between.collect();
        Layout { between, bytes }
    }

    /// Bytes of the maps between stages.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Bands of all images.
pub(crate) fn units(chain: &ChainKernel) -> usize {
    chain.stages.last().map_or(0, |last| last.batch * last.out_h.div_ceil(chain.rows))
}

/// Defines the function of a chain, which calls those of its stages; if `timed`, one with a clock.
pub(crate) fn define<M: Module>(
    functions: &mut Functions<M>,
    name: &str,
    chain: &ChainKernel,
    stages: &[FuncId],
    timed: bool,
) -> Result<FuncId, CodegenError> {
    functions.function(name, Linkage::Local, 4, false, |b, module, config, params| {
        let kernels: Vec<FuncRef> =
            stages.iter().map(|id| module.declare_func_in_func(*id, b.func)).collect();
        let mut slot = |words: usize| {
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, words as u32 * 8, 4);
            let slot = b.create_sized_stack_slot(data);
            b.ins().stack_addr(I64, slot, 0)
        };
        let words = chain.stages.iter().map(|c| 3 + operands(c)).max().unwrap_or(0);
        let (args, held) = (slot(words), slot(2 * chain.stages.len()));
        let [operands, begin, end, mut scratch] = [0, 1, 2, 3].map(|i| params[i]);
        let mut laps = Laps::none();
        if timed {
            laps = Laps::begin(b, config.default_call_conv, scratch);
            scratch = b.ins().iadd_imm_s(scratch, laps::bytes(stages.len()) as i64);
        }
        let layout = &Layout::new(chain);
        let code = Code { chain, layout, kernels: &kernels, args, held, laps: &laps };
        each(b, begin, end, |b, unit| code.band(b, operands, [begin, unit], scratch));
        laps.end(b, Part::Own);
        b.ins().return_(&[]);
    })
}

/// Operands of a stage's epilogue.
fn operands(c: &ConvKernel) -> usize {
    let sums = usize::from(c.epilogue.contains(&Post::RowSums));
    epilogue::operand_kinds(&c.epilogue).count() + sums
}

struct Code<'a> {
    chain: &'a ChainKernel,
    layout: &'a Layout,
    kernels: &'a [FuncRef],
    /// Address of the operands of the call at hand.
    args: Value,
    /// Address of the first row and the end of what is held of each map between stages.
    held: Value,
    laps: &'a Laps,
}

/// Rows of a map: the first and the end.
type Span = [Value; 2];

impl Code<'_> {
    /// The code of one band.
    fn band(
        &self,
        b: &mut FunctionBuilder,
        operands_at: Value,
        [begin, unit]: [Value; 2],
        scratch: Value,
    ) {
        let stages = &self.chain.stages;
        let last = &stages[stages.len() - 1];
        let bands = last.out_h.div_ceil(self.chain.rows);
        let bands = b.ins().iconst(I64, bands as i64);
        let image = b.ins().udiv(unit, bands);
        let done = b.ins().imul(image, bands);
        let band = b.ins().isub(unit, done);
        let starts = b.ins().icmp(IntCC::Equal, unit, begin);
        let top = b.ins().icmp_imm_u(IntCC::Equal, band, 0);
        let fresh = b.ins().bor(starts, top);
        let spans = self.spans(b, band);

        let own = b.ins().iadd_imm_s(scratch, self.layout.bytes as i64);
        let mut next_operand = 2 + stages.len();
        for (s, c) in stages.iter().enumerate() {
            let [first, end] = spans[s];
            let from = match s {
                0 => b.ins().load(I64, flags(), operands_at, 0),
                _ => self.address(b, s - 1, scratch, image, spans[s - 1][0]),
            };
            let (to, start) = match self.layout.between.get(s) {
                Some(map) => {
                    let start = self.keep(b, s, map, spans[s], fresh, scratch);
                    (self.address(b, s, scratch, image, first), start)
                }
                None => {
                    let out = 8 * (1 + stages.len()) as i32;
                    (b.ins().load(I64, flags(), operands_at, out), first)
                }
            };
            let weights = b.ins().load(I64, flags(), operands_at, 8 * (1 + s) as i32);
            for (i, value) in [from, weights, to].into_iter().enumerate() {
                b.ins().store(flags(), value, self.args, 8 * i as i32);
            }
            for i in 0..operands(c) {
                let value = b.ins().load(I64, flags(), operands_at, 8 * next_operand as i32);
                b.ins().store(flags(), value, self.args, 8 * (3 + i) as i32);
                next_operand += 1;
            }
            let above = b.ins().imul_imm_s(image, c.out_h as i64);
            let (start, end) = (b.ins().iadd(above, start), b.ins().iadd(above, end));
            self.laps.end(b, Part::Own);
            b.ins().call(self.kernels[s], &[self.args, start, end, own]);
            self.laps.end(b, Part::Stage(s));
        }
    }

    /// The rows of each map that a band needs.
    fn spans(&self, b: &mut FunctionBuilder, band: Value) -> Vec<Span> {
        let stages = &self.chain.stages;
        let last = &stages[stages.len() - 1];
        let first = b.ins().imul_imm_s(band, self.chain.rows as i64);
        let end = b.ins().iadd_imm_s(first, self.chain.rows as i64);
        let height = b.ins().iconst(I64, last.out_h as i64);
        let mut spans = vec![[first, lesser(b, end, height)]];
        for c in stages[1..].iter().rev() {
            let [first, end] = spans[spans.len() - 1];
            let zero = b.ins().iconst(I64, 0);
            let height = b.ins().iconst(I64, c.in_h as i64);
            let step = c.stride[0] as i64;
            let start = b.ins().imul_imm_s(first, step);
            let start = b.ins().iadd_imm_s(start, -(c.pad[0] as i64));
            let start = greater(b, start, zero);
            let start = lesser(b, start, height);
            let stop = b.ins().imul_imm_s(end, step);
            let behind = c.reach(0, 1) as i64 - step - c.pad[0] as i64;
            let stop = b.ins().iadd_imm_s(stop, behind);
            let stop = lesser(b, stop, height);
            spans.push([start, greater(b, stop, start)]);
        }
        spans.reverse();
        spans
    }

    /// Moves the rows of a map that are there already to the front; returns the first that is not.
    fn keep(
        &self,
        b: &mut FunctionBuilder,
        s: usize,
        map: &Between,
        [first, end]: Span,
        fresh: Value,
        scratch: Value,
    ) -> Value {
        let word = 16 * s as i32;
        let old_first = b.ins().load(I64, flags(), self.held, word);
        let old_end = b.ins().load(I64, flags(), self.held, word + 8);
        b.ins().store(flags(), first, self.held, word);
        b.ins().store(flags(), end, self.held, word + 8);
        let there = greater(b, old_end, first);
        let there = lesser(b, there, end);
        let start = b.ins().select(fresh, first, there);
        let row = map.row_bytes as i64;
        let count = b.ins().isub(start, first);
        let bytes = b.ins().imul_imm_s(count, row);
        let skipped = b.ins().isub(first, old_first);
        let skipped = b.ins().imul_imm_s(skipped, row);
        let to = b.ins().iadd_imm_s(scratch, map.at as i64);
        let from = b.ins().iadd(to, skipped);
        move_down(b, from, to, bytes, map.row_bytes);
        start
    }

    /// Where the first row of the first image of a map would lie, so that row `first` of this image
    /// lies at the front of its memory.
    fn address(
        &self,
        b: &mut FunctionBuilder,
        s: usize,
        scratch: Value,
        image: Value,
        first: Value,
    ) -> Value {
        let map = &self.layout.between[s];
        let above = b.ins().imul_imm_s(image, self.chain.stages[s].out_h as i64);
        let above = b.ins().iadd(above, first);
        let above = b.ins().imul_imm_s(above, map.row_bytes as i64);
        let front = b.ins().iadd_imm_s(scratch, map.at as i64);
        b.ins().isub(front, above)
    }
}

/// Moves bytes to a lower address; ascending, so the two may overlap.
fn move_down(b: &mut FunctionBuilder, from: Value, to: Value, bytes: Value, row_bytes: usize) {
    // Rows consist of values of 4 bytes.
    let (kind, step, times): (Type, i64, i64) = match row_bytes {
        n if n % 64 == 0 => (I8X16, 16, 4),
        n if n % 16 == 0 => (I8X16, 16, 1),
        _ => (cranelift_codegen::ir::types::I32, 4, 1),
    };
    let zero = b.ins().iconst(I64, 0);
    let turns = b.ins().ushr_imm_u(bytes, (step * times).ilog2() as i64);
    each(b, zero, turns, |b, i| {
        let offset = b.ins().imul_imm_s(i, step * times);
        let (from, to) = (b.ins().iadd(from, offset), b.ins().iadd(to, offset));
        let at = |i: i64| (i * step) as i32;
        let values: Vec<Value> =
            (0..times).map(|i| b.ins().load(kind, flags(), from, at(i))).collect();
        for (value, i) in values.into_iter().zip(0..) {
            b.ins().store(flags(), value, to, at(i));
        }
    });
}

fn lesser(b: &mut FunctionBuilder, x: Value, y: Value) -> Value {
    let less = b.ins().icmp(IntCC::SignedLessThan, x, y);
    b.ins().select(less, x, y)
}

fn greater(b: &mut FunctionBuilder, x: Value, y: Value) -> Value {
    let less = b.ins().icmp(IntCC::SignedLessThan, x, y);
    b.ins().select(less, y, x)
}
