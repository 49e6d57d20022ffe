//! A weight expression whose values are made as they are read.

use super::source::{ParamValues, read_joined};
use crate::interpret::elementwise::{self, binary_in_place};
use crate::op::{Binary, PostOp, Unary};
use crate::tensor::Tensor;
use std::sync::Arc;

/// Rows of a matrix that are multiplied side by side: each sum is a chain of additions in a fixed
/// order, so that several have to be under way.
const ROWS: usize = 8;

/// Values that are read into memory at a time.
const PIECE: usize = 1 << 14;

/// The values of a node, row-major.
pub struct Stream<'a> {
    len: usize,
    kind: Kind<'a>,
}

pub(super) enum Kind<'a> {
    Param(ParamValues<'a>),
    Tensor(Arc<Tensor>),
    /// Consecutive values of another.
    Part(Box<Stream<'a>>, usize),
    /// Others one after the other.
    Joined(Vec<Stream<'a>>),
    /// An elementwise function of another.
    Map(Box<Stream<'a>>, Map),
    /// An elementwise function of two.
    Zip(Binary, Operand<'a>, Operand<'a>),
    /// `(x - mean) * scale + beta`, by channel.
    BatchNorm {
        x: Box<Stream<'a>>,
        scale: Vec<f64>,
        mean: Vec<f32>,
        beta: Vec<f32>,
    },
    /// A matrix times one vector.
    Linear {
        x: Vec<f64>,
        weight: Box<Stream<'a>>,
        bias: Option<Box<Stream<'a>>>,
    },
}

/// An elementwise function of one value.
#[derive(Clone, Copy)]
pub(super) enum Map {
    Unary(Unary),
    Clamp { low: f64, high: f64 },
    Affine { mul: f64, add: f64 },
}

/// One side of a [`Kind::Zip`].
pub(super) enum Operand<'a> {
    /// As many values as the result has.
    Same(Box<Stream<'a>>),
    /// Each value `inner` times, and all of that again and again.
    Repeated { values: Vec<f32>, inner: usize },
}

impl Map {
    /// The step as such a function, unless it has an operand.
    pub(super) fn of(post: &PostOp) -> Option<Map> {
        Some(match *post {
            PostOp::Unary(function) => Map::Unary(function),
            PostOp::Clamp { low, high } => Map::Clamp { low, high },
            PostOp::Affine { mul, add } => Map::Affine { mul, add },
            PostOp::Binary { .. } => return None,
        })
    }
}

impl<'a> Stream<'a> {
    pub(super) fn new(len: usize, kind: Kind<'a>) -> Self {
        Stream { len, kind }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All values, where they lie in memory.
    pub fn slice(&self) -> Option<&[f32]> {
        match &self.kind {
            Kind::Param(values) => values.slice(),
            Kind::Tensor(tensor) => Some(&tensor.data),
            Kind::Part(of, start) => Some(&of.slice()?[*start..start + self.len]),
            _ => None,
        }
    }

    /// The values from index `start` on, `len` of them; `scratch` is for those that are in no memory.
    ///
    /// # Panics
    /// When there are not as many.
    pub fn get<'b>(&'b self, start: usize, len: usize, scratch: &'b mut Vec<f32>) -> &'b [f32] {
        match self.slice() {
            Some(values) => &values[start..start + len],
            None => {
                scratch.resize(len, 0.0);
                self.read(start, scratch);
                scratch
            }
        }
    }

    /// Copies the values from index `start` on.
    ///
    /// # Panics
    /// When there are not as many as `out` takes.
    pub fn read(&self, start: usize, out: &mut [f32]) {
        assert!(start + out.len() <= self.len, "{start} + {} of {} values", out.len(), self.len);
        match &self.kind {
            Kind::Param(values) => values.read(start, out),
            Kind::Tensor(tensor) => out.copy_from_slice(&tensor.data[start..start + out.len()]),
            Kind::Part(of, first) => of.read(first + start, out),
            Kind::Joined(parts) => read_joined(parts, Stream::len, Stream::read, start, out),
            // The steps of an expression run on a piece while it is in the cache.
            Kind::Map(x, map) => pieces(start, out, |start, out| {
                x.read(start, out);
                map.apply(out);
            }),
            Kind::Zip(op, a, b) => pieces(start, out, |start, out| zip(*op, a, b, start, out)),
            Kind::BatchNorm { x, scale, mean, beta } => {
                x.read(start, out);
                for (i, out) in (start..).zip(out) {
                    let c = i % scale.len();
                    let centred = f64::from(*out) - f64::from(mean[c]);
                    *out = (centred * scale[c] + f64::from(beta[c])) as f32;
                }
            }
            Kind::Linear { x, weight, bias } => {
                let mut scratch = Vec::new();
                let mut biases = vec![0.0; out.len()];
                if let Some(bias) = bias {
                    bias.read(start, &mut biases);
                }
                let rows = out.chunks_mut(ROWS).zip(biases.chunks(ROWS));
                for (row, (out, biases)) in (start..).step_by(ROWS).zip(rows) {
                    let rows = weight.get(row * x.len(), out.len() * x.len(), &mut scratch);
                    let sums = products(x, rows);
                    for ((out, sum), bias) in out.iter_mut().zip(sums).zip(biases) {
                        *out = (sum + f64::from(*bias)) as f32;
                    }
                }
            }
        }
    }

    /// All values.
    pub fn to_vec(&self) -> Vec<f32> {
        match self.slice() {
            Some(values) => values.to_vec(),
            None => {
                let mut values = vec![0.0; self.len];
                self.read(0, &mut values);
                values
            }
        }
    }

    /// The shared tensor that this is all of.
    pub(super) fn tensor(&self) -> Option<Arc<Tensor>> {
        match &self.kind {
            Kind::Tensor(tensor) | Kind::Param(ParamValues::Tensor(tensor)) => {
                Some(Arc::clone(tensor))
            }
            _ => None,
        }
    }
}

/// Calls `f` with consecutive pieces and the index of the first value of each.
fn pieces(start: usize, out: &mut [f32], f: impl Fn(usize, &mut [f32])) {
    for (i, piece) in out.chunks_mut(PIECE).enumerate() {
        f(start + i * PIECE, piece);
    }
}

impl Map {
    fn apply(self, values: &mut [f32]) {
        match self {
            Map::Unary(function) => elementwise::unary(function, values, 1),
            Map::Clamp { low, high } => elementwise::clamp(low, high, values, 1),
            Map::Affine { mul, add } => elementwise::affine(mul, add, values, 1),
        }
    }
}

fn zip(op: Binary, a: &Operand<'_>, b: &Operand<'_>, start: usize, out: &mut [f32]) {
    match (a, b) {
        // The second operand's values come first into the result, which is therefore the right side.
        (Operand::Repeated { values, inner }, Operand::Same(b)) => {
            b.read(start, out);
            each_run(values, *inner, start, out, |out, run| binary_in_place(op, out, run, true));
        }
        (a, b) => {
            match a {
                Operand::Same(a) => a.read(start, out),
                Operand::Repeated { values, inner } => {
                    each_run(values, *inner, start, out, |out, run| match run {
                        [value] => out.fill(*value),
                        run => out.copy_from_slice(run),
                    });
                }
            }
            match b {
                Operand::Same(b) => {
                    let mut scratch = Vec::new();
                    let values = b.get(start, out.len(), &mut scratch);
                    binary_in_place(op, out, values, false);
                }
                Operand::Repeated { values, inner } => {
                    each_run(values, *inner, start, out, |out, run| {
                        binary_in_place(op, out, run, false);
                    });
                }
            }
        }
    }
}

/// Cuts `out`, which begins at index `start` of the result, where the repeated values begin another
/// run: `f` gets a piece, and one value for all of it or one for each.
fn each_run(
    values: &[f32],
    inner: usize,
    start: usize,
    mut out: &mut [f32],
    f: impl Fn(&mut [f32], &[f32]),
) {
    let mut at = start;
    while !out.is_empty() {
        let first = at / inner % values.len();
        let len = if inner == 1 { values.len() - first } else { inner - at % inner };
        let (now, later) = out.split_at_mut(len.min(out.len()));
        let run = if inner == 1 { now.len() } else { 1 };
        f(now, &values[first..first + run]);
        (at, out) = (at + now.len(), later);
    }
}

/// The products of rows with a vector, each sum in ascending order.
fn products(x: &[f64], rows: &[f32]) -> [f64; ROWS] {
    let count = rows.len() / x.len();
    let mut sums = [0.0; ROWS];
    if count == ROWS {
        let row = |r: usize| &rows[r * x.len()..(r + 1) * x.len()];
        let rows: [&[f32]; ROWS] = std::array::from_fn(row);
        for (i, x) in x.iter().enumerate() {
            for (sum, row) in sums.iter_mut().zip(rows) {
                *sum += x * f64::from(row[i]);
            }
        }
    } else {
        for (sum, row) in sums.iter_mut().zip(rows.chunks_exact(x.len())) {
            for (x, w) in x.iter().zip(row) {
                *sum += x * f64::from(*w);
            }
        }
    }
    sums
}
