//! The vector kernel IR: what kernels are written in, and what the emitters read.
//!
//! A [`KernelFunction`] is a small program over two kinds of virtual registers: vectors of `lanes`
//! values of 32 bits ([`V`]) and machine words ([`G`]: pointers, counts, offsets). It is not in SSA
//! form: any operation may write any register again, and the only control flow is the counted loop.
//! The IR is generic in the number of lanes (4, 8 or 16): a kernel builder asks the function for
//! its lanes and advances pointers by as many values.
//!
//! Memory operands are a base register and a byte displacement; nothing has to be aligned beyond
//! the four bytes of an `f32`. All functions use the C calling convention of the host, take only
//! words, and return nothing.
//!
//! **Floating point.** Operations are those of IEEE 754 in round-to-nearest with subnormals, except
//! that [`Op::Fma`] and its like may round once (fused) or twice (where the CPU has no fused form), and that
//! [`BinOp::Min`] and [`BinOp::Max`] are defined as a comparison, so that what happens to NaN is
//! known: the second operand is the result whenever the comparison is false.

mod build;
mod check;
mod text;

pub use build::Builder;
pub use check::{CheckError, check};

/// A vector register of `lanes` values of 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct V(pub u32);

/// A general register: 64 bits (a pointer, a count or an offset).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct G(pub u32);

/// The memory at `base + disp` bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mem {
    /// Register that holds an address.
    pub base: G,
    /// Bytes added to it.
    pub disp: i32,
}

/// How often a loop's body runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Count {
    /// A number known when the kernel is built; 0 leaves the loop out, 1 needs no branch.
    Static(u32),
    /// The value of a register when the loop is reached; 0 skips the body. The body may write the
    /// register: the loop counts in a register of its own.
    Reg(G),
}

/// Operations of two vectors, lane by lane; the last four move lanes within groups of four.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinOp {
    /// `a + b`
    Add,
    /// `a - b`
    Sub,
    /// `a * b`
    Mul,
    /// `a / b`
    Div,
    /// `if a < b { a } else { b }`: `b` if either is NaN (x86 `minps`).
    Min,
    /// `if a > b { a } else { b }`: `b` if either is NaN (x86 `maxps`).
    Max,
    /// `a & b` on the bits.
    And,
    /// `a | b` on the bits.
    Or,
    /// `a ^ b` on the bits.
    Xor,
    /// Wrapping sum of the lanes as 32-bit integers.
    IAdd,
    /// Wrapping difference of the lanes as 32-bit integers.
    ISub,
    /// In each group of four lanes `a0 b0 a1 b1`.
    ZipLow,
    /// In each group of four lanes `a2 b2 a3 b3`.
    ZipHigh,
    /// In each group of four lanes `a0 a1 b0 b1`.
    PairLow,
    /// In each group of four lanes `a2 a3 b2 b3`.
    PairHigh,
}

/// Operations of one vector, lane by lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnOp {
    /// Square root, correctly rounded.
    Sqrt,
    /// The bits shifted left by so many places (1 to 31).
    Shl(u8),
    /// The bits shifted right by so many places (1 to 31), zeros coming in.
    Shr(u8),
}

/// Comparisons of floating-point lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cmp {
    /// `a < b`, false if either is NaN.
    Lt,
    /// `a <= b`, false if either is NaN.
    Le,
    /// `a == b`, false if either is NaN.
    Eq,
    /// `a` or `b` is NaN.
    Unordered,
}

/// Operations that fold all lanes of a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FoldOp {
    /// Sum.
    Add,
    /// [`BinOp::Min`] of the lanes.
    Min,
    /// [`BinOp::Max`] of the lanes.
    Max,
}

/// Operations of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GOp {
    /// Wrapping sum.
    Add,
    /// Wrapping difference.
    Sub,
    /// Wrapping product.
    Mul,
    /// The smaller, as signed numbers.
    Min,
    /// The larger, as signed numbers.
    Max,
}

/// Operations of a word and a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GImmOp {
    /// Wrapping sum.
    Add,
    /// Wrapping product.
    Mul,
    /// Shift left (0 to 63).
    Shl,
    /// Shift right, zeros coming in (0 to 63).
    Shr,
}

/// An operation. Sources are read before destinations are written, so they may be the same register.
/// Constants of words are full 64-bit numbers: an emitter finds a way where its encoding is shorter.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "each variant's text says what its fields are")]
pub enum Op {
    /// `dst = mem[0..lanes]`
    Load { dst: V, mem: Mem },
    /// `dst = mem[0..n]`, the other lanes 0; `0 < n < lanes`. Reads nothing beyond.
    LoadPart { dst: V, mem: Mem, n: u8 },
    /// A hint that the cache line at `mem` will be read before long: it comes to the second-level
    /// cache. Any address is allowed.
    Prefetch { mem: Mem },
    /// All lanes are the `f32` at `mem`.
    Broadcast { dst: V, mem: Mem },
    /// `mem[0..lanes] = src`
    Store { src: V, mem: Mem },
    /// `mem[0..n] = src[0..n]`; `0 < n < lanes`. Writes nothing beyond.
    StorePart { src: V, mem: Mem, n: u8 },
    /// All lanes have these bits.
    Const { dst: V, bits: u32 },
    /// The first `n` lanes have all bits set, the others none; `0 < n < lanes`.
    Mask { dst: V, n: u8 },
    /// All lanes are the signed 64-bit number in `src`, converted to `f32`.
    FromInt { dst: V, src: G },
    /// `dst = src`
    Mov { dst: V, src: V },
    /// `acc = a * b + acc`
    Fma { acc: V, a: V, b: V },
    /// `acc = a * mem[0..lanes] + acc`
    FmaMem { acc: V, a: V, mem: Mem },
    /// `dst = a * b + c`
    MulAdd { dst: V, a: V, b: V, c: V },
    /// `dst = a op b`
    Bin { op: BinOp, dst: V, a: V, b: V },
    /// `dst = op a`
    Un { op: UnOp, dst: V, a: V },
    /// `dst = if a cmp b { x } else { y }`, lane by lane.
    Select { cmp: Cmp, dst: V, a: V, b: V, x: V, y: V },
    /// All lanes of `dst` are the fold of all lanes of `src`, as a tree: the upper half onto the
    /// lower half (`lower op upper`), until one lane is left.
    Fold { op: FoldOp, dst: V, src: V },
    /// `dst = value`
    GConst { dst: G, value: i64 },
    /// `dst = src`
    GMov { dst: G, src: G },
    /// `dst = a op b`
    GBin { op: GOp, dst: G, a: G, b: G },
    /// `dst = a op imm`
    GImm { op: GImmOp, dst: G, a: G, imm: i64 },
    /// `dst = if a < b { x } else { y }`, compared as unsigned numbers.
    GSelect { dst: G, a: G, b: G, x: G, y: G },
    /// `dst = ` the 64-bit word at `mem`.
    GLoad { dst: G, mem: Mem },
    /// `dst = ` the 32-bit word at `mem`, zero-extended.
    GLoad32 { dst: G, mem: Mem },
    /// The 64-bit word at `mem` becomes `src`.
    GStore { src: G, mem: Mem },
    /// `dst = ` the ticks of a clock; only in code for this process.
    Clock { dst: G },
    /// Runs `body` `count` times.
    Loop { count: Count, body: Vec<Op> },
}

/// A kernel as a function of words.
#[derive(Clone, Debug, PartialEq)]
pub struct KernelFunction {
    /// Symbol; letters, digits and underscores.
    pub name: String,
    /// Number of parameters; they are the registers `G(0)`, `G(1)`, ... at the start.
    pub params: u32,
    /// Values in a vector register: 4, 8 or 16.
    pub lanes: u32,
    /// Vector registers used: all `V(n)` have `n < vectors`.
    pub vectors: u32,
    /// General registers used, parameters included: all `G(n)` have `n < words`.
    pub words: u32,
    /// What it does.
    pub body: Vec<Op>,
}

impl Op {
    /// Calls `f` with each vector register that the operation itself reads (not a loop's body).
    pub fn vector_uses(&self, mut f: impl FnMut(V)) {
        match *self {
            Op::Store { src, .. } | Op::StorePart { src, .. } => f(src),
            Op::Mov { src, .. } | Op::Fold { src, .. } => f(src),
            Op::Fma { acc, a, b } => [acc, a, b].into_iter().for_each(f),
            Op::FmaMem { acc, a, .. } => [acc, a].into_iter().for_each(f),
            Op::MulAdd { a, b, c, .. } => [a, b, c].into_iter().for_each(f),
            Op::Bin { a, b, .. } => [a, b].into_iter().for_each(f),
            Op::Un { a, .. } => f(a),
            Op::Select { a, b, x, y, .. } => [a, b, x, y].into_iter().for_each(f),
            _ => {}
        }
    }

    /// Replaces vector registers that the operation itself reads (and a sum that it adds to).
    fn replace_uses(&mut self, with: impl Fn(V) -> V) {
        let registers: [Option<&mut V>; 4] = match self {
            Op::Store { src, .. } | Op::StorePart { src, .. } => [Some(src), None, None, None],
            Op::Mov { src, .. } | Op::Fold { src, .. } => [Some(src), None, None, None],
            Op::Fma { acc, a, b } => [Some(acc), Some(a), Some(b), None],
            Op::FmaMem { acc, a, .. } => [Some(acc), Some(a), None, None],
            Op::MulAdd { a, b, c, .. } => [Some(a), Some(b), Some(c), None],
            Op::Bin { a, b, .. } => [Some(a), Some(b), None, None],
            Op::Un { a, .. } => [Some(a), None, None, None],
            Op::Select { a, b, x, y, .. } => [Some(a), Some(b), Some(x), Some(y)],
            _ => return,
        };
        registers.into_iter().flatten().for_each(|v| *v = with(*v));
    }

    /// The vector register that the operation writes.
    pub fn vector_def(&self) -> Option<V> {
        match *self {
            Op::Load { dst, .. }
            | Op::LoadPart { dst, .. }
            | Op::Broadcast { dst, .. }
            | Op::Const { dst, .. }
            | Op::Mask { dst, .. }
            | Op::FromInt { dst, .. }
            | Op::Mov { dst, .. }
            | Op::MulAdd { dst, .. }
            | Op::Bin { dst, .. }
            | Op::Un { dst, .. }
            | Op::Select { dst, .. }
            | Op::Fold { dst, .. } => Some(dst),
            Op::Fma { acc, .. } | Op::FmaMem { acc, .. } => Some(acc),
            _ => None,
        }
    }

    /// Calls `f` with each general register that the operation itself reads: operands, bases of
    /// memory operands, a loop's count (not its body).
    pub fn word_uses(&self, mut f: impl FnMut(G)) {
        match *self {
            Op::Load { mem, .. }
            | Op::LoadPart { mem, .. }
            | Op::Broadcast { mem, .. }
            | Op::Store { mem, .. }
            | Op::StorePart { mem, .. }
            | Op::FmaMem { mem, .. }
            | Op::Prefetch { mem }
            | Op::GLoad { mem, .. }
            | Op::GLoad32 { mem, .. } => f(mem.base),
            Op::GStore { src, mem } => [src, mem.base].into_iter().for_each(f),
            Op::FromInt { src, .. } | Op::GMov { src, .. } => f(src),
            Op::GBin { a, b, .. } => [a, b].into_iter().for_each(f),
            Op::GImm { a, .. } => f(a),
            Op::GSelect { a, b, x, y, .. } => [a, b, x, y].into_iter().for_each(f),
            Op::Loop { count: Count::Reg(g), .. } => f(g),
            _ => {}
        }
    }

    /// The general register that the operation writes.
    pub fn word_def(&self) -> Option<G> {
        match *self {
            Op::GConst { dst, .. }
            | Op::GMov { dst, .. }
            | Op::GBin { dst, .. }
            | Op::GImm { dst, .. }
            | Op::GSelect { dst, .. }
            | Op::GLoad { dst, .. }
            | Op::GLoad32 { dst, .. }
            | Op::Clock { dst } => Some(dst),
            _ => None,
        }
    }
}
