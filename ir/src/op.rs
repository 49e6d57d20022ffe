//! Operators: what a node computes, from which operands, with which attributes.
//!
//! **Layout.** Every value is dense, row-major `f32`. A feature map is `[N, H, W, C]` (channels
//! last), a token sequence `[N, T, C]`, a vector per image `[N, C]`. Weights keep PyTorch's layout:
//! convolution `[O, I/groups, kh, kw]`, linear `[O, I]`. Axis 0 of every activation is the batch.

use crate::tensor::Tensor;
use std::sync::Arc;

/// Rows and columns, in that order.
pub type Size2 = [usize; 2];

/// How the border of a map is extended before a window slides over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Padding {
    /// Rows above, rows below, columns left, columns right.
    Explicit {
        /// Rows above.
        top: usize,
        /// Rows below.
        bottom: usize,
        /// Columns to the left.
        left: usize,
        /// Columns to the right.
        right: usize,
    },
    /// TensorFlow's SAME: `ceil(input / stride)` outputs, the smaller half of the border before.
    Same,
}

/// Attributes of a two-dimensional convolution.
///
/// Operands: `x [N,H,W,I]`, `weight [O, I/groups, kh, kw]`, optional `bias [O]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Conv {
    /// Kernel height and width.
    pub kernel: Size2,
    /// Step between windows.
    pub stride: Size2,
    /// Border of zeros.
    pub padding: Padding,
    /// Step between taps.
    pub dilation: Size2,
    /// Channel groups; `groups == I` is a depthwise convolution.
    pub groups: usize,
}

/// Attributes of window pooling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pool {
    /// Maximum or average.
    pub kind: PoolKind,
    /// Window height and width.
    pub kernel: Size2,
    /// Step between windows.
    pub stride: Size2,
    /// Border; maximum pooling ignores it, average pooling counts it as zeros if
    /// `count_include_pad`.
    pub padding: Padding,
    /// Round the number of windows up: the last may hang over the border (PyTorch's `ceil_mode`).
    pub ceil_mode: bool,
    /// Divide by the whole window (true) or only by the cells inside the map (false).
    pub count_include_pad: bool,
}

/// Kind of window pooling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PoolKind {
    /// Largest value.
    Max,
    /// Mean.
    Avg,
}

/// Activation functions of one variable. Definitions are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, 0), 6)`
    Relu6,
    /// `x * relu6(x + 3) / 6`
    HardSwish,
    /// `relu6(x + 3) / 6`
    HardSigmoid,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `x * sigmoid(x)`
    Silu,
    /// `x * (1 + erf(x / sqrt 2)) / 2`
    Gelu,
    /// `x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) / 2`
    GeluTanh,
    /// Hyperbolic tangent.
    Tanh,
}

/// Elementwise arithmetic of one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unary {
    /// `-x`
    Neg,
    /// `|x|`
    Abs,
    /// `exp(x)`
    Exp,
    /// `ln(x)`
    Log,
    /// Square root.
    Sqrt,
    /// `1 / sqrt(x)`
    Rsqrt,
    /// `1 / x`
    Recip,
    /// `x * x`
    Square,
    /// An activation.
    Act(Act),
}

/// Elementwise arithmetic of two operands, which broadcast as in NumPy (trailing axes aligned).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Binary {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// `max(a, b)`
    Max,
    /// `min(a, b)`
    Min,
    /// `a ^ b`
    Pow,
}

/// Reductions over axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduce {
    /// Sum.
    Sum,
    /// Mean.
    Mean,
    /// Largest value.
    Max,
    /// Smallest value.
    Min,
    /// Euclidean norm.
    L2,
}

/// Interpolation of [`Op::Resize`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Interpolation {
    /// Nearest cell (PyTorch's `nearest`).
    Nearest,
    /// Linear in each axis.
    Bilinear,
    /// Cubic in each axis, a = -0.75; with antialiasing a = -0.5, as PyTorch.
    Bicubic,
    /// Mean of the cells that an output cell touches (PyTorch's `area`, which is its adaptive average
    /// pooling).
    Area,
}

/// How [`Op::Pad`] fills the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PadMode {
    /// A constant (bits of an `f32`, so that operators hash).
    Constant(u32),
    /// Mirror without repeating the edge.
    Reflect,
    /// Repeat the edge.
    Replicate,
}

/// What a node computes. Operand lists are positional; optional operands come last.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// The image batch `[N,H,W,C]`. No operands.
    Input,
    /// A tensor from the weights file: index into [`crate::Graph::params`]. No operands.
    Param(usize),
    /// A tensor known when the graph is built (index tables as floats, masks, filters). No operands.
    Const(Arc<Tensor>),
    /// Convolution: `x, weight, [bias]`.
    Conv(Conv),
    /// Batch normalisation over the last axis, inference form: `x, gamma, beta, mean, var`.
    BatchNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// Layer normalisation over the last axis: `x, [gamma, beta]` (both or neither).
    LayerNorm {
        /// Added to the variance.
        eps: f64,
    },
    /// `y = x · weightᵀ + bias` over the last axis: `x [.., I], weight [O, I], [bias [O]]`.
    Linear,
    /// Product of the last two axes, leading axes broadcast: `a [.., M, K], b [.., K, N]`;
    /// with `transpose_b`, `b` is `[.., N, K]`; with `transpose_a`, `a` is `[.., K, M]`.
    MatMul {
        /// `a` is `[.., K, M]`.
        transpose_a: bool,
        /// `b` is `[.., N, K]`.
        transpose_b: bool,
    },
    /// Elementwise of one operand: `x`.
    Unary(Unary),
    /// `min(max(x, low), high)`: `x`.
    Clamp {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// `x * mul + add` with two constants: `x`.
    Affine {
        /// Factor.
        mul: f64,
        /// Summand.
        add: f64,
    },
    /// Elementwise of two operands: `a, b`.
    Binary(Binary),
    /// Window pooling of a map: `x`.
    Pool(Pool),
    /// Reduction over `axes` (ascending), which stay as axes of length 1 if `keep`: `x`.
    Reduce {
        /// Which reduction.
        kind: Reduce,
        /// Reduced axes, ascending.
        axes: Vec<usize>,
        /// Keep them as axes of length 1.
        keep: bool,
    },
    /// Softmax along `axis`: `x`.
    Softmax {
        /// The axis whose cells sum to 1.
        axis: usize,
    },
    /// Concatenation along `axis`: one or more operands.
    Concat {
        /// The axis that grows.
        axis: usize,
    },
    /// `len` cells of `axis` from `start`, every `step`-th: `x`.
    Slice {
        /// The axis that is cut.
        axis: usize,
        /// First cell.
        start: usize,
        /// Number of cells taken.
        len: usize,
        /// Distance between them.
        step: usize,
    },
    /// Border on any axes: `x`; `(before, after)` for each axis.
    Pad {
        /// Cells before and after, for each axis.
        amounts: Vec<(usize, usize)>,
        /// What fills them.
        mode: PadMode,
    },
    /// Cyclic shift by `shift` along `axis` (as `torch.roll`): `x`.
    Roll {
        /// The axis that turns.
        axis: usize,
        /// Cells towards higher indices; negative towards lower.
        shift: i64,
    },
    /// Rows of `x` along `axis` by constant indices; the axis is replaced by `shape`
    /// (whose product is `indices.len()`): `x`.
    Gather {
        /// The axis that is replaced.
        axis: usize,
        /// Cells of that axis.
        indices: Arc<Vec<u32>>,
        /// What it is replaced by.
        shape: Vec<usize>,
    },
    /// The same elements in the same order under another shape: `x`.
    Reshape {
        /// The new shape.
        shape: Vec<usize>,
    },
    /// Axes in another order: output axis `i` is input axis `perm[i]`: `x`.
    Transpose {
        /// For each output axis, the input axis.
        perm: Vec<usize>,
    },
    /// Broadcast to `shape`: `x`.
    Expand {
        /// The new shape.
        shape: Vec<usize>,
    },
    /// Interpolation of a map to `size` rows and columns: `x [N,H,W,C]`.
    Resize {
        /// Rows and columns of the result.
        size: Size2,
        /// Kernel.
        mode: Interpolation,
        /// First and last cells of input and output coincide (PyTorch's `align_corners`).
        align_corners: bool,
        /// Widen the kernel where the map shrinks (PyTorch's `antialias`).
        antialias: bool,
    },
}

/// A cheap elementwise step that a pass moved into the node that makes the value. Applied in order.
/// The interpreter executes them after the node's operator, in the same precision.
#[derive(Clone, Debug, PartialEq)]
pub enum PostOp {
    /// Elementwise function.
    Unary(Unary),
    /// `min(max(x, low), high)`.
    Clamp {
        /// Lower bound.
        low: f64,
        /// Upper bound.
        high: f64,
    },
    /// `x * mul + add`.
    Affine {
        /// Factor.
        mul: f64,
        /// Summand.
        add: f64,
    },
    /// `value op operand`, where `operand` is a node of the value's shape or broadcast to it.
    Binary {
        /// Which.
        op: Binary,
        /// The other operand.
        operand: crate::NodeId,
    },
}
