//! Kernels: from descriptors to functions of the vector kernel IR.
//!
//! Every kernel is one function of four words: the list of its operands' addresses, the first unit
//! of work, the end of the units, and scratch memory of the calling thread. A *unit* is a piece of
//! the output (a block of rows, a panel, an image, ...) that is computed by itself, always in the
//! same way, so results do not depend on how units are spread over threads.

pub mod ahead;
pub mod attention;
pub mod bytes;
pub mod conv;
pub mod copy;
pub mod depthwise;
pub mod elementwise;
pub mod epilogue;
pub mod functions;
pub mod gemm;
pub mod layernorm;
pub mod matmul;
pub mod pool;
pub mod reduce;
pub mod resize;
pub mod scale;
pub mod softmax;
pub mod sweep;
pub mod widen;
pub mod winograd;

use crate::error::CodegenError;
use crate::operands;
use crate::program::{Kernel, Operand, Post};
use crate::vir::{Builder, Count, G, GImmOp, GOp, KernelFunction};

/// Columns of a panel of packed weights, for every width of vectors.
pub const PANEL: usize = 16;

/// What kernel builders need to know of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// Values in a vector register: 4, 8 or 16.
    pub lanes: usize,
    /// Rows and vectors of a tile of a matrix product.
    pub tile: (usize, usize),
    /// Accumulators of a depthwise convolution's tile.
    pub columns: usize,
    /// Products by which the innermost loop of a matrix product is unrolled.
    pub unroll: usize,
    /// Whether memory can be asked for ahead of time.
    pub prefetch: bool,
}

impl Target {
    /// 128-bit vectors in 16 registers, of which some are lost to copies: x86-64 through Cranelift.
    pub const X86_128: Target =
        Target { lanes: 4, tile: (5, 2), columns: 8, unroll: 1, prefetch: false };
    /// 128-bit vectors in 32 registers: aarch64.
    pub const NEON: Target =
        Target { lanes: 4, tile: (6, 4), columns: 8, unroll: 1, prefetch: false };
    /// 256-bit vectors in 16 registers: AVX2 with FMA.
    pub const AVX2: Target =
        Target { lanes: 8, tile: (6, 2), columns: 8, unroll: 4, prefetch: true };
    /// 512-bit vectors in 32 registers: AVX-512.
    pub const AVX512: Target =
        Target { lanes: 16, tile: (12, 2), columns: 14, unroll: 4, prefetch: true };
}

/// A kernel ready for an emitter.
#[derive(Clone, Debug)]
pub struct BuiltKernel {
    /// Its code; parameters: operands, first unit, end, scratch.
    pub function: KernelFunction,
    /// Number of units.
    pub units: usize,
    /// Bytes of scratch memory that a thread needs, a multiple of 64.
    pub scratch: usize,
    /// Approximate time on one thread in nanoseconds, to decide whether threads are worth it.
    pub cost: u64,
}

/// Builds the function of a kernel.
pub fn build(kernel: &Kernel, name: &str, target: &Target) -> Result<BuiltKernel, CodegenError> {
    build_with(kernel, name, target, false)
}

/// Builds the function of a kernel; if `timed`, with a clock between its stages where it has any in its own
/// code ([`Kernel::times_itself`]).
pub(crate) fn build_with(
    kernel: &Kernel,
    name: &str,
    target: &Target,
    timed: bool,
) -> Result<BuiltKernel, CodegenError> {
    // Establishes that all sizes are positive and small enough for 31-bit byte offsets.
    operands::operands(kernel)?;
    let built = match kernel {
        Kernel::Conv(conv) if depthwise::applies(conv) => depthwise::build(conv, name, target),
        Kernel::Conv(conv) => conv::build(conv, name, target),
        Kernel::Rows(conv) if depthwise::applies(conv) => depthwise::build(conv, name, target),
        Kernel::Rows(conv) => conv::build_rows(conv, name, target),
        Kernel::Chain(_) => {
            let message = "a chain has no function of its own in this form".into();
            return Err(CodegenError::Kernel { kernel: name.into(), message });
        }
        Kernel::Winograd(winograd) => winograd::build(winograd, name, target),
        Kernel::MatMul(matmul) => matmul::build(matmul, name, target),
        Kernel::Attention(attention) => attention::build(attention, name, target, timed),
        Kernel::Map(map) => elementwise::build(map, name, target),
        Kernel::Pool(pool) => pool::build(pool, name, target),
        Kernel::Reduce(reduce) => reduce::build(reduce, name, target),
        Kernel::Softmax { outer, len, inner } => {
            softmax::build([*outer, *len, *inner], name, target)
        }
        Kernel::LayerNorm { rows, len, eps, affine, epilogue } => {
            let shape = layernorm::LayerNorm {
                rows: *rows,
                len: *len,
                eps: *eps,
                affine: *affine,
                epilogue,
            };
            layernorm::build(&shape, name, target)
        }
        Kernel::Copy(copy) => copy::build(copy, name, target),
        Kernel::Gather { outer, len, inner, count } => {
            copy::build_gather([*outer, *len, *inner, *count], name, target)
        }
        Kernel::Resize(resize) => resize::build(resize, name, target),
        Kernel::Bytes(bytes) => bytes::build(bytes, name, target),
        Kernel::Scale(scale) => scale::build(scale, name, target),
        Kernel::Widen(widen) => widen::build(widen, name, target),
    };
    if built.scratch >= 1 << 31 || built.units >= 1 << 31 {
        return Err(CodegenError::Kernel {
            kernel: name.into(),
            message: format!("needs {} bytes of scratch memory a thread", built.scratch),
        });
    }
    Ok(built)
}

/// The parameters of a kernel's function.
#[derive(Clone, Copy)]
pub struct Params {
    /// Address of the list of operand addresses.
    pub args: G,
    /// First unit.
    pub begin: G,
    /// Behind the last unit.
    pub end: G,
    /// Scratch memory of the thread.
    pub scratch: G,
}

impl Params {
    /// The address of the operand with that index.
    pub fn operand(&self, b: &mut Builder, index: usize) -> G {
        b.g_load(self.args, (index * 8) as i32)
    }
}

/// Starts a kernel's function.
pub fn begin(name: &str, target: &Target) -> (Builder, Params) {
    let b = Builder::new(name, 4, target.lanes as u32);
    let params =
        Params { args: b.param(0), begin: b.param(1), end: b.param(2), scratch: b.param(3) };
    (b, params)
}

/// Appends the loop over the units that the caller asks for.
pub fn each_unit(b: &mut Builder, params: Params, body: impl FnOnce(&mut Builder, G)) {
    let count = b.g_bin(GOp::Sub, params.end, params.begin);
    let unit = b.g_copy(params.begin);
    b.repeat(Count::Reg(count), |b| {
        body(b, unit);
        b.g_advance(unit, 1);
    });
}

/// Splits a unit's number into indices, the last running fastest.
pub fn indices(b: &mut Builder, unit: G, sizes: &[usize]) -> Vec<G> {
    let mut rest = unit;
    let mut result = Vec::with_capacity(sizes.len());
    for (i, size) in sizes.iter().enumerate().rev() {
        if i == 0 {
            result.push(rest);
        } else {
            let (quotient, remainder) = b.g_div_rem(rest, *size);
            result.push(remainder);
            rest = quotient;
        }
    }
    result.reverse();
    result
}

/// Number and length of nearly equal blocks of at most `most`: threads share blocks, and none should
/// wait for another that has a much longer one.
pub fn equal_blocks(total: usize, most: usize) -> (usize, usize) {
    let length = total.div_ceil(total.div_ceil(most));
    (total.div_ceil(length), length)
}

/// The address of a matrix of a batch: `base` moved by the indices along the leading axes, whose strides are in
/// values.
pub fn matrix_of(b: &mut Builder, base: G, leading: &[G], strides: &[usize]) -> G {
    let at = b.g_copy(base);
    for (index, stride) in leading.iter().zip(strides) {
        if *stride > 0 {
            let bytes = scaled(b, *index, stride * 4);
            b.g_bin_to(GOp::Add, at, at, bytes);
        }
    }
    at
}

/// `min(length, total - start)`: the size of the block that begins at `start`.
pub fn block_size(b: &mut Builder, start: G, length: usize, total: usize) -> G {
    let total = b.g_const(total as i64);
    let rest = b.g_bin(GOp::Sub, total, start);
    let length = b.g_const(length as i64);
    b.g_bin(GOp::Min, length, rest)
}

/// 1 if `a` equals `b`, else 0.
pub fn equal(b: &mut Builder, x: G, y: G) -> G {
    let difference = b.g_bin(GOp::Sub, x, y);
    let (zero, one) = (b.g_const(0), b.g_const(1));
    b.g_select([difference, one], one, zero)
}

/// `value * scale` in a fresh register.
pub fn scaled(b: &mut Builder, value: G, scale: usize) -> G {
    b.g_imm(GImmOp::Mul, value, scale as i64)
}

/// Whether an epilogue has an operand by image and channel.
pub fn by_image(posts: &[Post]) -> bool {
    epilogue::operand_kinds(posts).any(|kind| kind == Operand::ImageChannel)
}

/// Appends loops over `n` consecutive values as vectors: `body` gets the number of values that
/// count, and is appended for the whole vectors and again for the rest; `advance` moves pointers on
/// by that many bytes.
pub fn each_vector(
    b: &mut Builder,
    n: usize,
    mut body: impl FnMut(&mut Builder, usize),
    mut advance: impl FnMut(&mut Builder, i64),
) {
    let lanes = b.lanes();
    let (whole, rest) = (n / lanes, n % lanes);
    b.times(whole, |b| {
        body(b, lanes);
        if whole > 1 || rest > 0 {
            advance(b, lanes as i64 * 4);
        }
    });
    if rest > 0 {
        body(b, rest);
    }
}

/// Rounds up to a multiple of a cache line.
pub fn round64(bytes: usize) -> usize {
    bytes.next_multiple_of(64)
}

#[cfg(test)]
mod tests {
    use super::equal_blocks;

    #[test]
    fn blocks_are_equal() {
        assert_eq!(equal_blocks(33, 32), (2, 17));
        assert_eq!(equal_blocks(7, 3), (3, 3));
        assert_eq!(equal_blocks(10, 4), (3, 4));
        assert_eq!(equal_blocks(3, 8), (1, 3));
    }
}
