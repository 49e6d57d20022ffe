//! What the planner hands to code generation: kernels by descriptor, steps over memory places.
//!
//! A [`Program`] is complete and closed: every size is a number, every operand a place. It knows
//! neither networks nor specs. Two equal [`Kernel`]s are the same code, but for clocks in profiles.

/// A network ready for code generation.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Name of the network, a C identifier.
    pub name: String,
    /// The distinct kernels.
    pub kernels: Vec<Kernel>,
    /// What runs, in order; a barrier stands between two steps.
    pub steps: Vec<Step>,
    /// How often all steps run, each time over the next part of every input and output: a large batch is
    /// computed some images at a time. At least 1.
    pub rounds: usize,
    /// Bytes of each input buffer, of all rounds together.
    pub inputs: Vec<usize>,
    /// Bytes of each output buffer, of all rounds together.
    pub outputs: Vec<usize>,
    /// Bytes of the arena that holds the values between steps.
    pub arena_bytes: usize,
    /// Bytes of the packed weights, and of the constants that no kernel packs.
    pub weights_bytes: usize,
}

impl Default for Program {
    /// A program of no steps, in one round.
    fn default() -> Program {
        Program {
            name: String::new(),
            kernels: Vec::new(),
            steps: Vec::new(),
            rounds: 1,
            inputs: Vec::new(),
            outputs: Vec::new(),
            arena_bytes: 0,
            weights_bytes: 0,
        }
    }
}

impl Program {
    /// Steps of all rounds together.
    pub fn turns(&self) -> usize {
        self.rounds * self.steps.len()
    }
}

/// One kernel applied to places.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Names of the graph's nodes it computes (for profiles): `blocks.3.expand`; see [`Step::nodes`].
    pub name: String,
    /// Index into [`Program::kernels`].
    pub kernel: usize,
    /// The kernel's operands in the order its descriptor documents.
    pub args: Vec<Place>,
}

impl Step {
    /// What stands between the names of several nodes, which have no blanks.
    pub const AND: &str = " + ";

    /// The names of the nodes that it computes, one by one.
    pub fn nodes(&self) -> impl Iterator<Item = &str> {
        self.name.split(Step::AND)
    }
}

/// Where an operand lies. Offsets are bytes and multiples of 64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The caller's input buffer of that index, the round's part of it.
    Input(usize),
    /// The caller's output buffer of that index, the round's part of it.
    Output(usize),
    /// The arena, at a byte offset.
    Arena(usize),
    /// The packed weights, at a byte offset.
    Weights(usize),
}

/// A kernel's descriptor: hashable, and the whole of what its code depends on (besides the ISA).
/// All tensors are dense `f32`, channels last, unless said otherwise.
///
/// An output does not overlap any operand, with these exceptions, where it may be the very same
/// place: a `Full` operand of the epilogue; an input of a map that is indexed as the output; `x` of
/// a softmax or a layer normalisation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Kernel {
    /// Convolution, dense, grouped or depthwise; a linear layer is one with a 1x1 kernel, `in_h` =
    /// 1, `in_w` = rows. Operands: `x`, packed weights (with bias), `out`, then the epilogue's, then
    /// what it fetches ahead.
    Conv(ConvKernel),
    /// A dense 3x3 convolution with step 1, by Winograd's algorithm. Operands as of a convolution.
    Winograd(WinogradKernel),
    /// A convolution whose units are single rows of the output map, as the stages of a chain need
    /// them. Operands as of a convolution.
    Rows(ConvKernel),
    /// Convolutions one after the other, depth first. Operands: `x`, the packed weights of each stage,
    /// `out`, then the epilogues' operands, stage by stage. See [`ChainKernel`].
    Chain(ChainKernel),
    /// Batched matrix product. Operands: `a`, `b`, `out`, then the epilogue's.
    MatMul(MatMulKernel),
    /// Attention, a few queries of one head at a time. Operands: `q`, `k`, `v`, `out`, then the steps'.
    /// See [`AttentionKernel`].
    Attention(AttentionKernel),
    /// Elementwise arithmetic with broadcasting. Operands: the map's inputs, then `out`.
    Map(MapKernel),
    /// Window pooling. Operands: `x`, `out`, then the epilogue's.
    Pool(PoolKernel),
    /// Reduction of the middle of `[outer, len, inner]`. Operands: `x`, `out`, then the epilogue's.
    Reduce(ReduceKernel),
    /// Softmax over the middle of `[outer, len, inner]`. Operands: `x`, `out`.
    Softmax {
        /// Product of the axes before.
        outer: usize,
        /// Length of the axis.
        len: usize,
        /// Product of the axes after.
        inner: usize,
    },
    /// Normalisation of each row. Operands: `x`, [`gamma`, `beta`,] `out`, then the epilogue's.
    LayerNorm {
        /// Number of rows.
        rows: usize,
        /// Values in a row.
        len: usize,
        /// Bits of the epsilon (`f32`).
        eps: u32,
        /// Whether gamma and beta are operands.
        affine: bool,
        /// Applied to each value; per-channel operands are indexed by the position in the row.
        epilogue: Epilogue,
    },
    /// Strided copy. Operands: `x`, `out`.
    Copy(CopyKernel),
    /// Rows by constant indices, `[outer, len, inner]` to `[outer, indices, inner]`. Operands: `x`,
    /// the indices (`u32`, in the weights), `out`.
    Gather {
        /// Product of the axes before.
        outer: usize,
        /// Length of the gathered axis.
        len: usize,
        /// Product of the axes after.
        inner: usize,
        /// Number of indices.
        count: usize,
    },
    /// Interpolation of a map. Operands: `x`, a table (in the weights), `out`. See [`ResizeKernel`].
    Resize(ResizeKernel),
    /// Images as bytes to values. Operands: the bytes, a table, `out`. See [`BytesKernel`].
    Bytes(BytesKernel),
    /// Packed weights times a factor for each input channel. Operands: the factors, packed weights, `out`,
    /// packed like the weights. See [`ScaleKernel`].
    Scale(ScaleKernel),
    /// Packed weights of 16 bits to `f32`. Operands: the halves (in the weights), `out`.
    Widen(WidenKernel),
}

/// Levels `[batch, pixels, channels]`, a byte each, to `[batch, channels, pixels]`. The table holds the
/// values of the 256 levels for each channel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BytesKernel {
    /// Images.
    pub batch: usize,
    /// Pixels of an image.
    pub pixels: usize,
    /// Channels.
    pub channels: usize,
}

/// Weights and bias of a pointwise convolution as they are packed for it, the weights of each input channel
/// times a factor (a squeeze-and-excitation gate that would else go over the whole map).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ScaleKernel {
    /// Input channels of the convolution: the number of factors.
    pub inputs: usize,
    /// Its output channels.
    pub outputs: usize,
}

/// Halves to `f32`, a multiple of 32 of them; [`crate::kernels::widen`] has their order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WidenKernel {
    /// Number of values.
    pub values: usize,
    /// What the halves are.
    pub format: Half,
}

/// Formats of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// IEEE 754 binary16; all values are finite.
    F16,
    /// The upper half of an `f32`.
    Bf16,
}

/// Geometry of a convolution and what follows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConvKernel {
    /// Images.
    pub batch: usize,
    /// Rows of the input map.
    pub in_h: usize,
    /// Columns of the input map.
    pub in_w: usize,
    /// Channels of the input map.
    pub in_c: usize,
    /// Rows of the output map.
    pub out_h: usize,
    /// Columns of the output map.
    pub out_w: usize,
    /// Channels of the output map.
    pub out_c: usize,
    /// Kernel rows and columns.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Zeros above and to the left (what is needed below and to the right follows).
    pub pad: [usize; 2],
    /// Step between taps.
    pub dilation: [usize; 2],
    /// Channel groups.
    pub groups: usize,
    /// Whether `x` is `[N, C, H, W]` (the caller's image) instead of channels last.
    pub input_nchw: bool,
    /// Applied to each output value.
    pub epilogue: Epilogue,
    /// Bytes of the last operand, weights of later steps, that the kernel asks for while it multiplies, so
    /// that these steps need not wait for memory. 0 if there is no such operand; only products in one
    /// group have it, and no stage of a chain.
    pub ahead: usize,
}

impl ConvKernel {
    /// A linear layer: each of `rows` rows of `inputs` values by a matrix, which gives `outputs` values.
    pub fn linear(rows: usize, inputs: usize, outputs: usize) -> ConvKernel {
        ConvKernel {
            batch: 1,
            in_h: 1,
            in_w: rows,
            in_c: inputs,
            out_h: 1,
            out_w: rows,
            out_c: outputs,
            kernel: [1, 1],
            stride: [1, 1],
            pad: [0, 0],
            dilation: [1, 1],
            groups: 1,
            input_nchw: false,
            epilogue: Vec::new(),
            ahead: 0,
        }
    }

    /// Whether it has one filter for each channel, and the kernel of its own that such convolutions have.
    pub fn is_depthwise(&self) -> bool {
        crate::kernels::depthwise::applies(self)
    }

    /// Rows (axis 0) or columns (axis 1), border included, that as many neighbouring windows lie over.
    pub(crate) fn reach(&self, axis: usize, windows: usize) -> usize {
        (windows - 1) * self.stride[axis] + (self.kernel[axis] - 1) * self.dilation[axis] + 1
    }
}

/// A convolution computed by Winograd's minimal filtering F(tile x tile, 3x3) (Lavin and Gray, "Fast
/// algorithms for convolutional neural networks", 2015).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct WinogradKernel {
    /// What is computed: one group, channels last, windows of 3x3, steps and dilations of 1.
    pub conv: ConvKernel,
    /// Rows and columns of an output tile: 2 (16 products for 36) or 4 (36 products for 144).
    pub tile: usize,
}

/// Convolutions, each of which reads what the one before makes, computed band by band: a few rows of
/// the last map, and of each map before it the rows that those need. The maps between stages exist
/// only as these rows, in scratch memory; rows that two bands need are made once where one thread computes
/// both.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChainKernel {
    /// At least two. Only the last may have `Full` operands in its epilogue, and only the first read
    /// `[N, C, H, W]`.
    pub stages: Vec<ConvKernel>,
    /// Rows of the last map in a band.
    pub rows: usize,
}

impl Kernel {
    /// The kernels whose work the kernel does in turns, a stage each; none if there are no stages.
    pub fn stages(&self) -> Vec<Kernel> {
        match self {
            Kernel::Chain(chain) => chain.stage_kernels().collect(),
            Kernel::Attention(attention) => attention.stage_kernels().into(),
            _ => vec![],
        }
    }

    /// The kernel that computes the same and fetches nothing for later steps.
    pub fn without_ahead(&self) -> Kernel {
        match self {
            Kernel::Conv(conv) => Kernel::Conv(ConvKernel { ahead: 0, ..conv.clone() }),
            _ => self.clone(),
        }
    }

    /// Whether its stages are in its own code, and not in functions that it calls.
    pub(crate) fn times_itself(&self) -> bool {
        matches!(self, Kernel::Attention(_))
    }
}

impl ChainKernel {
    /// Bytes of the rows of the maps between stages, which each thread holds.
    pub fn held_bytes(&self) -> usize {
        crate::chain::Layout::new(self).bytes()
    }

    /// The kernels that compute the stages, a row of the map a unit.
    pub fn stage_kernels(&self) -> impl Iterator<Item = Kernel> {
        self.stages.iter().map(|c| match c.is_depthwise() {
            true => Kernel::Conv(c.clone()),
            false => Kernel::Rows(c.clone()),
        })
    }
}

impl WinogradKernel {
    /// Rows and columns of an input tile, which overlap by 2.
    pub fn window(&self) -> usize {
        self.tile + 2
    }

    /// Products for each tile and pair of channels.
    pub fn points(&self) -> usize {
        self.window() * self.window()
    }
}

/// A batched matrix product `[batch, m, k] x [batch, k, n]`, each batch index taken from strides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MatMulKernel {
    /// Leading axes of the result.
    pub batch: Vec<usize>,
    /// Elements between two matrices of `a` along each leading axis (0 where it broadcasts).
    pub a_batch: Vec<usize>,
    /// The same of `b`.
    pub b_batch: Vec<usize>,
    /// Rows of the result.
    pub m: usize,
    /// Columns of the result.
    pub n: usize,
    /// Length of the products.
    pub k: usize,
    /// Elements between rows and between columns of `a` `[m, k]`.
    pub a_strides: [usize; 2],
    /// Elements between rows and between columns of `b` `[k, n]`.
    pub b_strides: [usize; 2],
    /// Applied to each value; `Full` operands have the result's shape, `Channel` has length `n`.
    pub epilogue: Epilogue,
}

/// `softmax(steps(q k^T)) v` for each index of the batch (windows and heads), the softmax over the keys. The
/// scores exist only as those of a few queries, in scratch memory.
///
/// Operands are described by the elements between neighbours along `batch` and the two axes of their
/// matrices, 0 where they repeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AttentionKernel {
    /// Leading axes.
    pub batch: Vec<usize>,
    /// Rows of `q` and of the result.
    pub queries: usize,
    /// Rows of `k` and of `v`.
    pub keys: usize,
    /// Columns of `q` and of `k`.
    pub width: usize,
    /// Columns of `v` and of the result.
    pub out_width: usize,
    /// Steps of `q` along `[batch.., queries, width]`; neighbours in a row are adjacent.
    pub q: Vec<usize>,
    /// Steps of `k` along `[batch.., keys, width]`.
    pub k: Vec<usize>,
    /// Steps of `v` along `[batch.., keys, out_width]`.
    pub v: Vec<usize>,
    /// Steps of the result along `[batch.., queries, out_width]`; neighbours in a row are adjacent, and no
    /// two values lie at one place.
    pub out: Vec<usize>,
    /// What is computed of each score before the softmax: scaling, bias, mask. `Binary` takes the next
    /// operand (its [`Operand`] is not looked at).
    pub steps: Epilogue,
    /// Steps of the binary steps' operands along `[batch.., queries, keys]`; the last is 0 or 1.
    pub operands: Vec<Vec<usize>>,
    /// Most queries whose scores are held at a time; kernels take whole tiles of a product.
    pub rows: usize,
}

impl AttentionKernel {
    /// Number of its stages.
    pub(crate) const STAGES: usize = 3;

    /// The kernels that would compute the same one after the other, all heads at a time: scores, shares, results. What is
    /// computed of each score before the softmax is left out.
    fn stage_kernels(&self) -> [Kernel; AttentionKernel::STAGES] {
        let axes = self.batch.len();
        let heads: usize = self.batch.iter().product();
        let product = |[m, n, k]: [usize; 3]| MatMulKernel {
            batch: self.batch.clone(),
            a_batch: self.q[..axes].to_vec(),
            b_batch: self.k[..axes].to_vec(),
            m,
            n,
            k,
            a_strides: [self.q[axes], self.q[axes + 1]],
            b_strides: [self.k[axes + 1], self.k[axes]],
            epilogue: vec![],
        };
        let scores = product([self.queries, self.keys, self.width]);
        // The shares are dense.
        let mut dense = self.queries * self.keys;
        let mut shares: Vec<usize> = Vec::with_capacity(axes);
        for n in self.batch.iter().rev() {
            shares.insert(0, dense);
            dense *= n;
        }
        let results = MatMulKernel {
            a_batch: shares,
            b_batch: self.v[..axes].to_vec(),
            a_strides: [self.keys, 1],
            b_strides: [self.v[axes], self.v[axes + 1]],
            ..product([self.queries, self.out_width, self.keys])
        };
        let softmax = Kernel::Softmax { outer: heads * self.queries, len: self.keys, inner: 1 };
        [Kernel::MatMul(scores), softmax, Kernel::MatMul(results)]
    }
}

/// What is applied to each value before it is stored.
pub type Epilogue = Vec<Post>;

/// A step of an epilogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Post {
    /// A function of the value.
    Unary(Function),
    /// `value op operand`; takes the next epilogue operand.
    Binary(Arithmetic, Operand),
    /// Leaves the value as it is, and adds it to the sum of its channel over its row of the map. The
    /// sums, `[images * rows, channels]`, are an output, the last of the epilogue's operands. Only as
    /// the last step of a depthwise convolution ([`ConvKernel::is_depthwise`]) that is not followed by another
    /// stage: a mean over the whole map then need not read the map.
    RowSums,
}

/// How the operand of an epilogue step is indexed by an output value at `[image, .., channel]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operand {
    /// As the output itself (a residual).
    Full,
    /// By channel (the last axis).
    Channel,
    /// By image and channel (a squeeze-and-excitation gate).
    ImageChannel,
    /// One value.
    Scalar,
}

/// Functions of one variable. Constants are bits of an `f32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each variant's text says what its fields are")]
pub enum Function {
    /// `max(x, 0)`
    Relu,
    /// `min(max(x, low), high)`
    Clamp { low: u32, high: u32 },
    /// `x * mul + add`
    Affine { mul: u32, add: u32 },
    /// `x * relu6(x + 3) / 6`
    HardSwish,
    /// `relu6(x + 3) / 6`
    HardSigmoid,
    /// `1 / (1 + exp(-x))`
    Sigmoid,
    /// `x * sigmoid(x)`
    Silu,
    /// Exact GELU.
    Gelu,
    /// GELU by tanh.
    GeluTanh,
    /// Hyperbolic tangent.
    Tanh,
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
    /// `-x`
    Neg,
    /// `|x|`
    Abs,
}

/// Arithmetic of two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
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

/// Elementwise arithmetic over an iteration space; axes of equal behaviour are already merged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MapKernel {
    /// The iteration space; `out` is dense over it.
    pub shape: Vec<usize>,
    /// Elements between neighbours along each axis for each input (0 where it broadcasts).
    pub strides: Vec<Vec<usize>>,
    /// What is computed: input 0 is the value, each step changes it; `Binary` takes the next input
    /// (its [`Operand`] is not looked at: the strides say how it is indexed).
    pub steps: Epilogue,
}

/// Geometry of window pooling.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PoolKernel {
    /// Maximum (true) or average (false).
    pub max: bool,
    /// Images.
    pub batch: usize,
    /// Rows of the input map.
    pub in_h: usize,
    /// Columns of the input map.
    pub in_w: usize,
    /// Rows of the output map.
    pub out_h: usize,
    /// Columns of the output map.
    pub out_w: usize,
    /// Channels.
    pub channels: usize,
    /// Window rows and columns.
    pub kernel: [usize; 2],
    /// Step between windows.
    pub stride: [usize; 2],
    /// Border above, below, left, right.
    pub pad: [usize; 4],
    /// Divide by the cells of window and border (clipped to the padded map, as PyTorch does), or
    /// by the cells inside the map.
    pub count_include_pad: bool,
    /// Applied to each output value.
    pub epilogue: Epilogue,
}

/// Reduction of the middle of `[outer, len, inner]`; global pooling is `[N, H*W, C]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReduceKernel {
    /// Which reduction.
    pub kind: Reduction,
    /// Product of the axes before.
    pub outer: usize,
    /// Number of reduced values.
    pub len: usize,
    /// Product of the axes after.
    pub inner: usize,
    /// Applied to each result; `Channel` operands are indexed by the position in `inner`.
    pub epilogue: Epilogue,
}

/// Kinds of reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reduction {
    /// Sum.
    Sum,
    /// Mean.
    Mean,
    /// Largest.
    Max,
    /// Smallest.
    Min,
    /// Euclidean norm.
    L2,
}

/// Copy of a strided box of `x` to a strided box of `out`: transposes, slices, concatenation, rolls (as pieces),
/// broadcasts, NCHW to NHWC and back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CopyKernel {
    /// Shape of the box.
    pub shape: Vec<usize>,
    /// Element of `x` where the box starts.
    pub x_offset: usize,
    /// Elements between neighbours in `x` along each axis; negative walks backwards, 0 repeats.
    pub x_strides: Vec<isize>,
    /// Element of `out` where the box starts.
    pub out_offset: usize,
    /// Elements between neighbours in `out` along each axis.
    pub out_strides: Vec<usize>,
    /// Write this constant (bits of an `f32`) instead of reading `x` (borders).
    pub fill: Option<u32>,
}

/// Separable interpolation `[N, in_h, in_w, C]` to `[N, out_h, out_w, C]`. The table holds, for each
/// output row, `taps_h` pairs (source row as `u32`, weight as `f32`), then the same for columns.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ResizeKernel {
    /// Images.
    pub batch: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Rows of the output.
    pub out_h: usize,
    /// Columns of the output.
    pub out_w: usize,
    /// Channels.
    pub channels: usize,
    /// Taps for each output row.
    pub taps_h: usize,
    /// Taps for each output column.
    pub taps_w: usize,
}
