//! What a kernel has to do: arithmetic and bytes, whatever code does it.
//!
//! Profiles hold a measured time against these numbers. Conventions:
//!
//! - **Multiply-accumulates** are those of convolutions and matrix products; a window counts its
//!   border as if it were map, and an epilogue counts nothing. One is two floating-point operations.
//! - Kernels without products have **other operations**: one for each value and step, whatever the step
//!   costs (an `exp` counts as one, like a sum).
//! - **Bytes** are the fewest possible: each value that the kernel needs is read once, each result
//!   written once. Packed weights count without their padding.

use crate::program::{
    AttentionKernel, ChainKernel, ConvKernel, CopyKernel, Kernel, MapKernel, MatMulKernel, Operand,
    PoolKernel, Post,
};
use std::fmt;
use std::iter::Sum;

/// Bytes of a value.
const VALUE: u64 = 4;

/// Arithmetic and bytes of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Multiply-accumulates.
    pub macs: u64,
    /// Operations of kernels that have no products.
    pub other: u64,
    /// Bytes read besides weights.
    pub read: u64,
    /// Bytes of weights and tables read.
    pub weights: u64,
    /// Bytes written.
    pub written: u64,
}

impl Work {
    /// Floating-point operations: two for a multiply-accumulate, or the other operations of a
    /// kernel that has none.
    pub fn flops(&self) -> u64 {
        match self.macs {
            0 => self.other,
            macs => macs.saturating_mul(2),
        }
    }

    /// Bytes read and written.
    pub fn bytes(&self) -> u64 {
        self.read.saturating_add(self.weights).saturating_add(self.written)
    }

    /// Floating-point operations for each byte.
    pub fn intensity(&self) -> f64 {
        self.flops() as f64 / self.bytes().max(1) as f64
    }
}

impl Work {
    /// That of so many kernels like this.
    pub fn times(self, n: usize) -> Work {
        std::iter::repeat_n(self, n).sum()
    }
}

impl Sum for Work {
    fn sum<I: Iterator<Item = Work>>(works: I) -> Work {
        works.fold(Work::default(), |a, b| Work {
            macs: a.macs.saturating_add(b.macs),
            other: a.other.saturating_add(b.other),
            read: a.read.saturating_add(b.read),
            weights: a.weights.saturating_add(b.weights),
            written: a.written.saturating_add(b.written),
        })
    }
}

/// Classes of kernels, as profiles sum them up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// 1x1 convolutions and linear layers.
    Pointwise,
    /// Convolutions over several taps and all channels.
    Dense,
    /// Convolutions of each channel by itself.
    Depthwise,
    /// Other convolutions in groups.
    Grouped,
    /// Several convolutions depth first.
    Chain,
    /// Products of two activations, as in attention.
    Product,
    /// Both products of attention and the softmax between them, head by head.
    Attention,
    /// Elementwise arithmetic that no epilogue took.
    Elementwise,
    /// Window pooling.
    Pooling,
    /// Sums, means and extremes along axes, global pooling among them.
    Reduction,
    /// Softmax.
    Softmax,
    /// Layer normalisation.
    LayerNorm,
    /// Copies, transposes, gathered rows, and weights brought from 16 to 32 bits.
    Copy,
    /// Interpolation.
    Resize,
}

impl Class {
    /// The class in words.
    pub fn name(self) -> &'static str {
        match self {
            Class::Pointwise => "pointwise",
            Class::Dense => "dense",
            Class::Depthwise => "depthwise",
            Class::Grouped => "grouped",
            Class::Chain => "depth first",
            Class::Product => "product",
            Class::Attention => "attention",
            Class::Elementwise => "elementwise",
            Class::Pooling => "pooling",
            Class::Reduction => "reduction",
            Class::Softmax => "softmax",
            Class::LayerNorm => "layer norm",
            Class::Copy => "copy",
            Class::Resize => "resize",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a stage of a kernel has to do ([`Kernel::stages`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stage {
    /// All of it.
    pub work: Work,
    /// Bytes of `work.read` that another stage left in scratch memory.
    pub inner_read: u64,
    /// Bytes of `work.written` that are left there for another stage.
    pub inner_written: u64,
}

impl Kernel {
    /// What each of the kernel's stages has to do.
    pub fn stage_work(&self) -> Vec<Stage> {
        match self {
            Kernel::Chain(c) => chain(c),
            Kernel::Attention(a) => attention_stages(a).into(),
            _ => vec![],
        }
    }

    /// Bytes of scratch memory in which stages leave values for each other.
    pub fn held_bytes(&self) -> usize {
        match self {
            Kernel::Chain(chain) => chain.held_bytes(),
            Kernel::Attention(a) => a.rows.min(a.queries) * a.keys * VALUE as usize,
            _ => 0,
        }
    }

    /// The class that profiles count the kernel under.
    pub fn class(&self) -> Class {
        match self {
            Kernel::Conv(c) | Kernel::Rows(c) if c.groups > 1 => {
                match c.groups == c.in_c && c.groups == c.out_c {
                    true => Class::Depthwise,
                    false => Class::Grouped,
                }
            }
            Kernel::Conv(c) | Kernel::Rows(c) if c.kernel == [1, 1] => Class::Pointwise,
            Kernel::Conv(_) | Kernel::Rows(_) | Kernel::Winograd(_) => Class::Dense,
            Kernel::Chain(_) => Class::Chain,
            Kernel::MatMul(_) => Class::Product,
            Kernel::Attention(_) => Class::Attention,
            Kernel::Map(_) | Kernel::Scale(_) => Class::Elementwise,
            Kernel::Pool(_) => Class::Pooling,
            Kernel::Reduce(_) => Class::Reduction,
            Kernel::Softmax { .. } => Class::Softmax,
            Kernel::LayerNorm { .. } => Class::LayerNorm,
            Kernel::Copy(_) | Kernel::Gather { .. } | Kernel::Widen(_) | Kernel::Bytes(_) => {
                Class::Copy
            }
            Kernel::Resize(_) => Class::Resize,
        }
    }

    /// The work of all stages; the values between stages are neither read from afar nor written there.
    fn outer_work(&self) -> Work {
        let outside = |stage: Stage| Work {
            read: stage.work.read - stage.inner_read,
            written: stage.work.written - stage.inner_written,
            ..stage.work
        };
        self.stage_work().into_iter().map(outside).sum()
    }

    /// What the kernel has to do.
    pub fn work(&self) -> Work {
        match self {
            Kernel::Conv(c) | Kernel::Rows(c) => conv(c),
            Kernel::Chain(_) => self.outer_work(),
            // The operations of the softmax are not products.
            Kernel::Attention(_) => Work { other: 0, ..self.outer_work() },
            // Counted as the plain convolution that it computes, but with the weights it reads.
            Kernel::Winograd(w) => {
                let transformed = values(&[w.points(), w.conv.in_c, w.conv.out_c]);
                let weights = transformed.saturating_add(w.conv.out_c as u64);
                Work { weights: weights.saturating_mul(VALUE), ..conv(&w.conv) }
            }
            Kernel::MatMul(m) => matmul(m),
            Kernel::Map(m) => map(m),
            Kernel::Pool(p) => pool(p),
            Kernel::Reduce(r) => {
                let (x, out) = (values(&[r.outer, r.len, r.inner]), values(&[r.outer, r.inner]));
                let posts = r.epilogue.len() as u64 * out;
                let read = x + operands(&r.epilogue, out, r.outer, r.inner);
                Work { other: x + posts, ..bytes(read, 0, out) }
            }
            Kernel::Softmax { outer, len, inner } => {
                let n = values(&[*outer, *len, *inner]);
                // Largest, difference, exponential, sum, product.
                Work { other: 5 * n, ..bytes(n, 0, n) }
            }
            Kernel::LayerNorm { rows, len, affine, epilogue, .. } => {
                let n = values(&[*rows, *len]);
                let vectors = if *affine { 2 * *len as u64 } else { 0 };
                // Sum, difference, square, sum, product; scale and shift.
                let steps = 5 + if *affine { 2 } else { 0 } + epilogue.len() as u64;
                let read = n + operands(epilogue, n, 1, *len);
                Work { other: steps * n, ..bytes(read, vectors, n) }
            }
            Kernel::Copy(c) => copy(c),
            Kernel::Gather { outer, len, inner, count } => {
                let rows = values(&[*outer, *count.min(len), *inner]);
                bytes(rows, *count as u64, values(&[*outer, *count, *inner]))
            }
            Kernel::Bytes(b) => {
                // A byte in, four out; the table has a value for each level and channel.
                let n = values(&[b.batch, b.pixels, b.channels]);
                let table = values(&[256, b.channels]);
                Work { read: n, other: n, ..bytes(0, table, n) }
            }
            Kernel::Scale(s) => {
                let scaled = values(&[s.inputs, s.outputs]);
                let all = scaled.saturating_add(s.outputs as u64);
                Work { other: scaled, ..bytes(s.inputs as u64, all, all) }
            }
            Kernel::Widen(w) => {
                // Two bytes in, four out.
                let weights = (w.values as u64).saturating_mul(VALUE / 2);
                Work { weights, other: w.values as u64, ..bytes(0, 0, w.values as u64) }
            }
            Kernel::Resize(r) => {
                let x = values(&[r.batch, r.in_h, r.in_w, r.channels]);
                let out = values(&[r.batch, r.out_h, r.out_w, r.channels]);
                let table = 2 * (values(&[r.out_h, r.taps_h]) + values(&[r.out_w, r.taps_w]));
                let taps = values(&[r.taps_h, r.taps_w]);
                // A product and a sum for each tap.
                Work { other: 2 * taps * out, ..bytes(x, table, out) }
            }
        }
    }
}

fn chain(chain: &ChainKernel) -> Vec<Stage> {
    let last = chain.stages.len() - 1;
    let stage = |(i, c): (usize, &ConvKernel)| {
        let work = conv(c);
        let beside = operands(&c.epilogue, values_out(c), c.batch, c.out_c) * VALUE;
        Stage {
            work,
            inner_read: if i > 0 { work.read - beside } else { 0 },
            inner_written: if i < last { work.written } else { 0 },
        }
    };
    chain.stages.iter().enumerate().map(stage).collect()
}

fn values(sizes: &[usize]) -> u64 {
    sizes.iter().fold(1, |n: u64, size| n.saturating_mul(*size as u64))
}

/// Bytes for so many values.
fn bytes(read: u64, weights: u64, written: u64) -> Work {
    let bytes = |values: u64| values.saturating_mul(VALUE);
    Work { read: bytes(read), weights: bytes(weights), written: bytes(written), ..Work::default() }
}

/// Values that an epilogue reads.
fn operands(posts: &[Post], out: u64, images: usize, channels: usize) -> u64 {
    let each = posts.iter().map(|post| match post {
        Post::Unary(_) | Post::RowSums => 0,
        Post::Binary(_, Operand::Full) => out,
        Post::Binary(_, Operand::Channel) => channels as u64,
        Post::Binary(_, Operand::ImageChannel) => values(&[images, channels]),
        Post::Binary(_, Operand::Scalar) => 1,
    });
    each.sum()
}

/// How many of `input` cells lie under some window.
fn touched(input: usize, outputs: usize, stride: usize, taps: [usize; 2], pad: usize) -> usize {
    let [taps, dilation] = taps;
    if stride == 1 && dilation == 1 {
        // Windows without gaps: the cells from the first to the last.
        return (outputs + taps - 1).saturating_sub(pad).min(input);
    }
    let mut seen = vec![false; input];
    for output in 0..outputs {
        for tap in 0..taps {
            let cell = (output * stride + tap * dilation).checked_sub(pad);
            if let Some(seen) = cell.and_then(|cell| seen.get_mut(cell)) {
                *seen = true;
            }
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

fn values_out(c: &ConvKernel) -> u64 {
    values(&[c.batch, c.out_h, c.out_w, c.out_c])
}

fn conv(c: &ConvKernel) -> Work {
    let out = values_out(c);
    let filter = values(&[c.in_c / c.groups, c.kernel[0], c.kernel[1]]);
    let rows = touched(c.in_h, c.out_h, c.stride[0], [c.kernel[0], c.dilation[0]], c.pad[0]);
    let columns = touched(c.in_w, c.out_w, c.stride[1], [c.kernel[1], c.dilation[1]], c.pad[1]);
    let x = values(&[c.batch, rows, columns, c.in_c]);
    let read = x + operands(&c.epilogue, out, c.batch, c.out_c);
    let weights = (c.out_c as u64).saturating_mul(filter + 1);
    let sums = match c.epilogue.contains(&Post::RowSums) {
        true => values(&[c.batch, c.out_h, c.out_c]),
        false => 0,
    };
    Work { macs: out.saturating_mul(filter), ..bytes(read, weights, out + sums) }
}

fn matmul(m: &MatMulKernel) -> Work {
    // Matrices along axes that broadcast are one matrix.
    let matrices = |strides: &[usize]| {
        let distinct = m.batch.iter().zip(strides).filter(|(_, stride)| **stride > 0);
        distinct.fold(1, |n: u64, (size, _)| n.saturating_mul(*size as u64))
    };
    let out = values(&m.batch).saturating_mul(values(&[m.m, m.n]));
    let a = matrices(&m.a_batch).saturating_mul(values(&[m.m, m.k]));
    let b = matrices(&m.b_batch).saturating_mul(values(&[m.k, m.n]));
    let read = a + b + operands(&m.epilogue, out, 1, m.n);
    Work { macs: out.saturating_mul(m.k as u64), ..bytes(read, 0, out) }
}

/// Values of a strided operand; along axes that repeat there is one.
fn distinct<'a>(shape: impl IntoIterator<Item = &'a usize>, strides: &[usize]) -> u64 {
    let axes = shape.into_iter().zip(strides).filter(|(_, stride)| **stride > 0);
    axes.fold(1, |n: u64, (size, _)| n.saturating_mul(*size as u64))
}

/// Scores, shares, results. Their operands count where they are read, and the scores lie in scratch memory.
fn attention_stages(a: &AttentionKernel) -> [Stage; 3] {
    let of = |strides: &[usize], rows: usize, columns: usize| {
        distinct(a.batch.iter().chain(&[rows, columns]), strides)
    };
    let [m, n] = [a.queries, a.keys];
    let scores = values(&a.batch).saturating_mul(values(&[m, n]));
    let results = values(&a.batch).saturating_mul(values(&[m, a.out_width]));
    let products = |width: usize, read: u64, written: u64| Work {
        macs: scores.saturating_mul(width as u64),
        ..bytes(read, 0, written)
    };
    let beside: u64 = a.operands.iter().map(|strides| of(strides, m, n)).sum();
    let inner = scores.saturating_mul(VALUE);
    let first = of(&a.q, m, a.width) + of(&a.k, n, a.width);
    // A softmax takes five operations for each value.
    let steps = 5 + a.steps.len() as u64;
    let softmax = Work { other: scores.saturating_mul(steps), ..bytes(scores + beside, 0, scores) };
    let last = scores + of(&a.v, n, a.out_width);
    [
        Stage { work: products(a.width, first, scores), inner_read: 0, inner_written: inner },
        Stage { work: softmax, inner_read: inner, inner_written: inner },
        Stage { work: products(a.out_width, last, results), inner_read: inner, inner_written: 0 },
    ]
}

fn map(m: &MapKernel) -> Work {
    let out = values(&m.shape);
    let read = m.strides.iter().map(|strides| distinct(&m.shape, strides)).sum();
    Work { other: out.saturating_mul(m.steps.len() as u64), ..bytes(read, 0, out) }
}

fn pool(p: &PoolKernel) -> Work {
    let out = values(&[p.batch, p.out_h, p.out_w, p.channels]);
    let rows = touched(p.in_h, p.out_h, p.stride[0], [p.kernel[0], 1], p.pad[0]);
    let columns = touched(p.in_w, p.out_w, p.stride[1], [p.kernel[1], 1], p.pad[2]);
    let x = values(&[p.batch, rows, columns, p.channels]);
    let steps = values(&p.kernel) + p.epilogue.len() as u64;
    let read = x + operands(&p.epilogue, out, p.batch, p.channels);
    Work { other: out.saturating_mul(steps), ..bytes(read, 0, out) }
}

fn copy(c: &CopyKernel) -> Work {
    let out = values(&c.shape);
    let axes = c.shape.iter().zip(&c.x_strides).filter(|(_, stride)| **stride != 0);
    let x = axes.fold(1, |n: u64, (size, _)| n.saturating_mul(*size as u64));
    bytes(if c.fill.is_some() { 0 } else { x }, 0, out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::program::{Arithmetic, Function};

    fn conv_kernel(size: usize, kernel: usize, stride: usize, groups: usize) -> ConvKernel {
        ConvKernel {
            batch: 2,
            in_h: size,
            in_w: size,
            in_c: 8,
            out_h: size / stride,
            out_w: size / stride,
            out_c: 8,
            kernel: [kernel; 2],
            stride: [stride; 2],
            pad: [kernel / 2; 2],
            dilation: [1, 1],
            groups,
            input_nchw: false,
            ahead: 0,
            epilogue: vec![Post::Binary(Arithmetic::Add, Operand::Full)],
        }
    }

    #[test]
    fn a_convolution_counts_like_the_papers() {
        let work = Kernel::Conv(conv_kernel(10, 3, 1, 1)).work();
        let map = 2 * 10 * 10 * 8;
        assert_eq!(work.macs, map * 8 * 9);
        assert_eq!([work.read, work.weights, work.written], [2 * map * 4, 8 * 73 * 4, map * 4]);
        assert_eq!(work.flops(), 2 * work.macs);
    }

    #[test]
    fn cells_between_windows_are_not_read() {
        assert_eq!(Kernel::Conv(conv_kernel(10, 1, 2, 1)).work().read, (25 + 25) * 2 * 8 * 4);
        assert_eq!(touched(10, 5, 2, [3, 1], 1), 10);
        assert_eq!(touched(11, 5, 2, [3, 1], 1), 10);
        assert_eq!(touched(9, 3, 4, [2, 3], 0), 5);
        assert_eq!(touched(7, 7, 1, [3, 1], 1), 7);
        assert_eq!(touched(7, 3, 1, [3, 1], 0), 5);
    }

    #[test]
    fn scores_stay_between_the_stages_of_attention() {
        let attention = AttentionKernel {
            batch: vec![2, 3],
            queries: 7,
            keys: 5,
            width: 4,
            out_width: 6,
            q: vec![84, 28, 4, 1],
            k: vec![60, 20, 4, 1],
            v: vec![90, 30, 6, 1],
            out: vec![126, 42, 6, 1],
            steps: vec![Post::Binary(Arithmetic::Add, Operand::Full)],
            // A bias for each head.
            operands: vec![vec![0, 35, 5, 1]],
            rows: 4,
        };
        let kernel = Kernel::Attention(attention);
        let work = kernel.work();
        assert_eq!(work.macs, 2 * 3 * 7 * 5 * (4 + 6));
        assert_eq!(work.other, 0);
        assert_eq!(work.read, 4 * 2 * 3 * (7 * 4 + 5 * 4 + 5 * 6) + 4 * 3 * 7 * 5);
        assert_eq!(work.written, 4 * 2 * 3 * 7 * 6);
        // What a kernel of its own would do for each stage, and the bias in the second.
        let alone = kernel.stages().into_iter().map(|stage| stage.work());
        let (stages, bias) = (kernel.stage_work(), 4 * 3 * 7 * 5);
        for ((alone, stage), beside) in alone.zip(&stages).zip([0, bias, 0]) {
            assert_eq!(alone.macs, stage.work.macs);
            assert_eq!(alone.read + beside, stage.work.read);
            assert_eq!(alone.written, stage.work.written);
        }
    }

    #[test]
    fn classes_follow_the_groups() {
        let class = |kernel, groups| Kernel::Conv(conv_kernel(10, kernel, 1, groups)).class();
        assert_eq!(class(1, 1), Class::Pointwise);
        assert_eq!(class(3, 1), Class::Dense);
        assert_eq!(class(3, 8), Class::Depthwise);
        assert_eq!(class(3, 2), Class::Grouped);
    }

    #[test]
    fn what_broadcasts_is_read_once() {
        let product = MatMulKernel {
            batch: vec![3, 2],
            a_batch: vec![40, 20],
            b_batch: vec![0, 15],
            m: 4,
            n: 3,
            k: 5,
            a_strides: [5, 1],
            b_strides: [3, 1],
            epilogue: vec![],
        };
        let work = Kernel::MatMul(product).work();
        assert_eq!(work.macs, 6 * 4 * 3 * 5);
        assert_eq!([work.read, work.written], [(6 * 20 + 2 * 15) * 4, 6 * 12 * 4]);
        let map = MapKernel {
            shape: vec![7, 8],
            strides: vec![vec![8, 1], vec![0, 1]],
            steps: vec![
                Post::Unary(Function::Relu),
                Post::Binary(Arithmetic::Mul, Operand::Channel),
            ],
        };
        let work = Kernel::Map(map).work();
        assert_eq!([work.macs, work.flops(), work.read], [0, 2 * 56, (56 + 8) * 4]);
    }
}
