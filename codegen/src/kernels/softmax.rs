//! Softmax over the middle of `[outer, len, inner]`: exponentials of the differences to the largest
//! value, times the reciprocal of their sum. Operands: `x`, `out`.

use super::epilogue::{self, Constants};
use super::sweep::chains;
use super::{BuiltKernel, Target, begin, each_unit, each_vector, functions, indices, scaled};
use crate::program::Post;
use crate::vir::{BinOp, Builder, Count, FoldOp, G, GOp, V};

/// Builds the kernel for `[outer, len, inner]`.
pub fn build([outer, len, inner]: [usize; 3], name: &str, target: &Target) -> BuiltKernel {
    let (mut b, params) = begin(name, target);
    if inner == 1 {
        let offset = scaled(&mut b, params.begin, len * 4);
        let x = params.operand(&mut b, 0);
        let x = b.g_bin(GOp::Add, x, offset);
        let out = params.operand(&mut b, 1);
        let out = b.g_bin(GOp::Add, out, offset);
        let count = b.g_bin(GOp::Sub, params.end, params.begin);
        let rows = Rows { x, out, stride: len * 4, count, len };
        emit(&mut b, rows, &Before::default());
    } else {
        each_unit(&mut b, params, |b, unit| {
            let index = indices(b, unit, &[outer]);
            let offset = scaled(b, index[0], len * inner * 4);
            let x = params.operand(b, 0);
            let x = b.g_bin(GOp::Add, x, offset);
            let out = params.operand(b, 1);
            let out = b.g_bin(GOp::Add, out, offset);
            each_vector(
                b,
                inner,
                |b, n| column(b, x, out, [len, inner], n),
                |b, bytes| {
                    b.g_advance(x, bytes);
                    b.g_advance(out, bytes);
                },
            );
        });
    }
    let function = b.finish();
    BuiltKernel { function, units: outer, scratch: 0, cost: (outer * len * inner) as u64 * 3 / 2 }
}

/// `out = exp(x - largest)` of the vector at a byte offset.
fn exponential(b: &mut Builder, x: G, out: G, at: i32, largest: V, n: usize) -> V {
    let value = b.load_n(x, at, n);
    let difference = b.bin(BinOp::Sub, value, largest);
    let e = functions::exp_of_difference(b, difference);
    b.store_n(e, out, at, n);
    e
}

/// `n` neighbouring columns, the values of each `inner` apart.
fn column(b: &mut Builder, x: G, out: G, [len, inner]: [usize; 2], n: usize) {
    let step = inner as i64 * 4;
    let largest = b.splat(f32::NEG_INFINITY);
    let from = b.g_copy(x);
    b.times(len, |b| {
        let value = b.load_n(from, 0, n);
        b.bin_to(BinOp::Max, largest, value, largest);
        b.g_advance(from, step);
    });
    let sum = b.splat(0.0);
    let (from, to) = (b.g_copy(x), b.g_copy(out));
    b.times(len, |b| {
        let e = exponential(b, from, to, 0, largest, n);
        b.bin_to(BinOp::Add, sum, sum, e);
        b.g_advance(from, step);
        b.g_advance(to, step);
    });
    let one = b.splat(1.0);
    let scale = b.bin(BinOp::Div, one, sum);
    let to = b.g_copy(out);
    b.times(len, |b| {
        let e = b.load_n(to, 0, n);
        let e = b.bin(BinOp::Mul, e, scale);
        b.store_n(e, to, 0, n);
        b.g_advance(to, step);
    });
}

/// Rows of values, each adjacent.
#[derive(Clone, Copy)]
pub struct Rows {
    /// Address of the first value.
    pub x: G,
    /// Address of the first result; the same where results replace the values.
    pub out: G,
    /// Bytes between rows, of the values and of the results.
    pub stride: usize,
    /// Number of rows.
    pub count: G,
    /// Values in a row.
    pub len: usize,
}

/// What is computed of each value before the softmax. The values are replaced, so the results must be as
/// well.
#[derive(Default)]
pub struct Before<'a> {
    /// The steps.
    pub steps: &'a [Post],
    /// The operands of the binary steps.
    pub operands: Vec<RowOperand>,
}

/// An operand by rows.
pub struct RowOperand {
    /// Its address at the first row.
    pub at: G,
    /// Bytes between rows.
    pub stride: usize,
    /// Whether it is one value for a row.
    pub one: bool,
}

/// Rows of up to so many vectors are computed several at a time: each would otherwise mostly wait for its
/// largest value and its sum. 9408 rows of 49 values take 0.24 ms for 0.35 (Zen 3).
const SHORT: usize = 16;

/// Appends the softmax of all rows.
pub fn emit(b: &mut Builder, rows: Rows, before: &Before) {
    let lanes = b.lanes();
    // What is added up in which order follows from a row's length alone.
    let (together, width) = match rows.len < SHORT * lanes {
        true => (chains(lanes) / 2, 2),
        false => (1, chains(lanes).min(rows.len / lanes)),
    };
    let far = before.operands.iter().any(|operand| operand.stride * together >= 1 << 30);
    let together = if far { 1 } else { together };
    let place = Place {
        x: b.g_copy(rows.x),
        out: if rows.out == rows.x { None } else { Some(b.g_copy(rows.out)) },
        operands: before.operands.iter().map(|operand| b.g_copy(operand.at)).collect(),
    };
    let (groups, rest) = b.g_div_rem(rows.count, together);
    for (count, height) in [(groups, together), (rest, 1)] {
        if height == 1 && together == 1 && count == rest {
            continue;
        }
        b.repeat(Count::Reg(count), |b| {
            Group { rows, before, height, width }.emit(b, &place);
            place.advance(b, (rows.stride * height) as i64);
            for (at, operand) in place.operands.iter().zip(&before.operands) {
                b.g_advance(*at, (operand.stride * height) as i64);
            }
        });
    }
}

/// Pointers to the current rows.
struct Place {
    x: G,
    out: Option<G>,
    operands: Vec<G>,
}

impl Place {
    fn out(&self) -> G {
        self.out.unwrap_or(self.x)
    }

    fn copied(&self, b: &mut Builder) -> Place {
        Place {
            x: b.g_copy(self.x),
            out: self.out.map(|out| b.g_copy(out)),
            operands: self.operands.iter().map(|at| b.g_copy(*at)).collect(),
        }
    }

    /// Moves along values and results.
    fn advance(&self, b: &mut Builder, bytes: i64) {
        b.g_advance(self.x, bytes);
        if let Some(out) = self.out {
            b.g_advance(out, bytes);
        }
    }
}

/// Neighbouring rows that are computed together.
struct Group<'a> {
    rows: Rows,
    before: &'a Before<'a>,
    /// Number of rows.
    height: usize,
    /// Vectors of each row at a time, each with a sum of its own.
    width: usize,
}

impl Group<'_> {
    fn emit(&self, b: &mut Builder, place: &Place) {
        let largest = self.largest(b, place);
        let scales = self.exponentials(b, place, &largest);
        self.walk(b, place, |b, at, row, vector, n| {
            let offset = self.offset(b, row, vector);
            let e = b.load_n(at.out(), offset, n);
            let e = b.bin(BinOp::Mul, e, scales[row]);
            b.store_n(e, at.out(), offset, n);
        });
    }

    /// Byte offset of a vector in a row of the group.
    fn offset(&self, b: &Builder, row: usize, vector: usize) -> i32 {
        (row * self.rows.stride + vector * b.lanes() * 4) as i32
    }

    /// Calls `body` with pointers, row, vector, and number of values that count, for all vectors of all rows,
    /// several interleaved.
    fn walk(
        &self,
        b: &mut Builder,
        place: &Place,
        mut body: impl FnMut(&mut Builder, &Place, usize, usize, usize),
    ) {
        let lanes = b.lanes();
        let (whole, rest) = (self.rows.len / lanes, self.rows.len % lanes);
        let width = self.width.max(1);
        let place = place.copied(b);
        let mut several = |b: &mut Builder, width: usize, n: usize| {
            b.interleaved(self.height * width, |b, i| body(b, &place, i / width, i % width, n));
        };
        let advance = |b: &mut Builder, width: usize| {
            let bytes = (width * lanes * 4) as i64;
            place.advance(b, bytes);
            for (at, operand) in place.operands.iter().zip(&self.before.operands) {
                if !operand.one {
                    b.g_advance(*at, bytes);
                }
            }
        };
        b.times(whole / width, |b| {
            several(b, width, lanes);
            advance(b, width);
        });
        if whole % width > 0 {
            several(b, whole % width, lanes);
            advance(b, whole % width);
        }
        if rest > 0 {
            several(b, 1, rest);
        }
    }

    /// The largest value of each row, in all lanes, after the steps before. A NaN may be passed over: the
    /// sum of the exponentials will be NaN all the same.
    fn largest(&self, b: &mut Builder, place: &Place) -> Vec<V> {
        let Before { steps, operands } = self.before;
        let best = self.each(b, |b| b.splat(f32::NEG_INFINITY));
        self.walk(b, place, |b, at, row, vector, n| {
            let offset = self.offset(b, row, vector);
            let mut value = b.load_n(at.x, offset, n);
            if !steps.is_empty() {
                let constants = &mut Constants::default();
                value = epilogue::apply(b, steps, value, constants, |b, index, _| {
                    let operand = &operands[index];
                    let first = (row * operand.stride) as i32;
                    match operand.one {
                        true => b.broadcast(at.operands[index], first),
                        false => {
                            let along = (vector * b.lanes() * 4) as i32;
                            b.load_n(at.operands[index], first + along, n)
                        }
                    }
                });
                b.store_n(value, at.x, offset, n);
            }
            if n < b.lanes() {
                // Lanes without a value take the smallest.
                let (mask, least) = (b.mask(n), b.splat(f32::NEG_INFINITY));
                let inside = b.bin(BinOp::And, value, mask);
                let outside = b.bin(BinOp::And, least, mask);
                let outside = b.bin(BinOp::Xor, outside, least);
                value = b.bin(BinOp::Or, inside, outside);
            }
            let best = best[row][vector];
            b.bin_to(BinOp::Max, best, value, best);
        });
        self.folded(b, &best, |b, x, y| b.bin_to(BinOp::Max, x, y, x), FoldOp::Max)
    }

    /// Stores the exponentials of the differences to the largest value; returns the reciprocals of their sums.
    fn exponentials(&self, b: &mut Builder, place: &Place, largest: &[V]) -> Vec<V> {
        let sums = self.each(b, |b| b.splat(0.0));
        self.walk(b, place, |b, at, row, vector, n| {
            let offset = self.offset(b, row, vector);
            let mut e = exponential(b, at.x, at.out(), offset, largest[row], n);
            if n < b.lanes() {
                let mask = b.mask(n);
                e = b.bin(BinOp::And, e, mask);
            }
            let sum = sums[row][vector];
            b.bin_to(BinOp::Add, sum, sum, e);
        });
        let sums = self.folded(b, &sums, |b, x, y| b.bin_to(BinOp::Add, x, x, y), FoldOp::Add);
        let mut scales = Vec::with_capacity(sums.len());
        b.interleaved(sums.len(), |b, row| {
            let one = b.splat(1.0);
            scales.push(b.bin(BinOp::Div, one, sums[row]));
        });
        scales
    }

    /// A register for each row and vector of it that is computed at a time.
    fn each(&self, b: &mut Builder, start: impl Fn(&mut Builder) -> V) -> Vec<Vec<V>> {
        let row = |b: &mut Builder| (0..self.width.max(1)).map(|_| start(b)).collect();
        (0..self.height).map(|_| row(b)).collect()
    }

    /// For each row what its vectors make together, in all lanes.
    fn folded(
        &self,
        b: &mut Builder,
        parts: &[Vec<V>],
        merge: impl Fn(&mut Builder, V, V),
        fold: FoldOp,
    ) -> Vec<V> {
        let mut results = Vec::with_capacity(parts.len());
        b.interleaved(parts.len(), |b, row| {
            let (first, others) = (parts[row][0], &parts[row][1..]);
            others.iter().for_each(|other| merge(b, first, *other));
            results.push(b.fold(fold, first));
        });
        results
    }
}
