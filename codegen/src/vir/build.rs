//! Builds kernel functions: fresh registers, operations, nested loops.

use super::{BinOp, Cmp, Count, FoldOp, G, GImmOp, GOp, KernelFunction, Mem, Op, UnOp, V};
use std::collections::HashMap;

/// Appends operations to a function.
pub struct Builder {
    name: String,
    params: u32,
    lanes: u32,
    vectors: u32,
    words: u32,
    /// The open bodies: the function's, then those of the loops around the current place.
    bodies: Vec<Vec<Op>>,
}

impl Builder {
    /// An empty function of `params` words.
    pub fn new(name: impl Into<String>, params: u32, lanes: u32) -> Builder {
        Builder {
            name: name.into(),
            params,
            lanes,
            vectors: 0,
            words: params,
            bodies: vec![vec![]],
        }
    }

    /// Values in a vector register.
    pub fn lanes(&self) -> usize {
        self.lanes as usize
    }

    /// Bytes of a vector register.
    pub fn vector_bytes(&self) -> i32 {
        self.lanes as i32 * 4
    }

    /// The parameter with that index.
    pub fn param(&self, index: u32) -> G {
        debug_assert!(index < self.params);
        G(index)
    }

    /// A vector register that no operation uses yet.
    pub fn vector(&mut self) -> V {
        self.vectors += 1;
        V(self.vectors - 1)
    }

    /// So many fresh vector registers.
    pub fn vector_list(&mut self, n: usize) -> Vec<V> {
        (0..n).map(|_| self.vector()).collect()
    }

    /// A general register that no operation uses yet.
    pub fn word(&mut self) -> G {
        self.words += 1;
        G(self.words - 1)
    }

    /// Appends an operation.
    pub fn push(&mut self, op: Op) {
        match self.bodies.last_mut() {
            Some(body) => body.push(op),
            None => self.bodies.push(vec![op]),
        }
    }

    /// The finished function.
    pub fn finish(mut self) -> KernelFunction {
        debug_assert_eq!(self.bodies.len(), 1);
        KernelFunction {
            name: self.name,
            params: self.params,
            lanes: self.lanes,
            vectors: self.vectors,
            words: self.words,
            body: self.bodies.pop().unwrap_or_default(),
        }
    }

    /// A loop of `count` turns around what `body` appends.
    pub fn repeat(&mut self, count: Count, body: impl FnOnce(&mut Builder)) {
        if count == Count::Static(0) {
            return;
        }
        if count == Count::Static(1) {
            return body(self);
        }
        self.bodies.push(vec![]);
        body(self);
        let body = self.bodies.pop().unwrap_or_default();
        self.push(Op::Loop { count, body });
    }

    /// A loop of `n` turns, a number known now.
    pub fn times(&mut self, n: usize, body: impl FnOnce(&mut Builder)) {
        // Kernel sizes are checked to fit in 31 bits before any kernel is built.
        self.repeat(Count::Static(n as u32), body);
    }

    /// Runs the body if the register is not 0; it must be 0 or 1.
    pub fn when(&mut self, flag: G, body: impl FnOnce(&mut Builder)) {
        self.repeat(Count::Reg(flag), body);
    }

    /// What `body` appends for 0, 1, .. `n - 1`, operation by operation in turn. The pieces must not
    /// depend on each other. Chains of operations that each wait for the one before thus overlap,
    /// and the processor need not look far ahead to find work. Pieces of the same operations share
    /// their constants.
    pub fn interleaved(&mut self, n: usize, mut body: impl FnMut(&mut Builder, usize)) {
        let mut pieces = Vec::with_capacity(n);
        for i in 0..n {
            self.bodies.push(vec![]);
            body(self, i);
            pieces.push(self.bodies.pop().unwrap_or_default());
        }
        share_constants(&mut pieces);
        let mut pieces: Vec<_> = pieces.into_iter().map(Vec::into_iter).collect();
        loop {
            let turn: Vec<Op> = pieces.iter_mut().filter_map(Iterator::next).collect();
            if turn.is_empty() {
                return;
            }
            let nothing = |op: &Op| matches!(op, Op::Loop { count: Count::Static(0), .. });
            turn.into_iter().filter(|op| !nothing(op)).for_each(|op| self.push(op));
        }
    }

    /// `mem[0..lanes]` in a fresh register.
    pub fn load(&mut self, base: G, disp: i32) -> V {
        let dst = self.vector();
        self.push(Op::Load { dst, mem: Mem { base, disp } });
        dst
    }

    /// The first `n` values at an address, `n` up to the number of lanes.
    pub fn load_n(&mut self, base: G, disp: i32, n: usize) -> V {
        let dst = self.vector();
        self.load_n_to(dst, base, disp, n);
        dst
    }

    /// As [`Builder::load_n`], into a given register.
    pub fn load_n_to(&mut self, dst: V, base: G, disp: i32, n: usize) {
        let mem = Mem { base, disp };
        self.push(match n >= self.lanes() {
            true => Op::Load { dst, mem },
            false => Op::LoadPart { dst, mem, n: n as u8 },
        });
    }

    /// A hint that the cache line at an address will be read before long.
    pub fn prefetch(&mut self, base: G, disp: i32) {
        self.push(Op::Prefetch { mem: Mem { base, disp } });
    }

    /// The value at an address in all lanes.
    pub fn broadcast(&mut self, base: G, disp: i32) -> V {
        let dst = self.vector();
        self.push(Op::Broadcast { dst, mem: Mem { base, disp } });
        dst
    }

    /// Stores all lanes.
    pub fn store(&mut self, src: V, base: G, disp: i32) {
        self.push(Op::Store { src, mem: Mem { base, disp } });
    }

    /// Stores the first `n` lanes, `n` up to the number of lanes.
    pub fn store_n(&mut self, src: V, base: G, disp: i32, n: usize) {
        let mem = Mem { base, disp };
        self.push(match n >= self.lanes() {
            true => Op::Store { src, mem },
            false => Op::StorePart { src, mem, n: n as u8 },
        });
    }

    /// A constant in all lanes.
    pub fn splat(&mut self, value: f32) -> V {
        self.splat_bits(value.to_bits())
    }

    /// Constant bits in all lanes.
    pub fn splat_bits(&mut self, bits: u32) -> V {
        let dst = self.vector();
        self.push(Op::Const { dst, bits });
        dst
    }

    /// All bits set in the first `n` lanes.
    pub fn mask(&mut self, n: usize) -> V {
        if n >= self.lanes() {
            return self.splat_bits(u32::MAX);
        }
        let dst = self.vector();
        self.push(Op::Mask { dst, n: n as u8 });
        dst
    }

    /// A word as `f32` in all lanes.
    pub fn from_int(&mut self, src: G) -> V {
        let dst = self.vector();
        self.push(Op::FromInt { dst, src });
        dst
    }

    /// `dst = src`
    pub fn mov(&mut self, dst: V, src: V) {
        self.push(Op::Mov { dst, src });
    }

    /// `acc += a * b`
    pub fn fma(&mut self, acc: V, a: V, b: V) {
        self.push(Op::Fma { acc, a, b });
    }

    /// `a * b + c` in a fresh register.
    pub fn mul_add(&mut self, a: V, b: V, c: V) -> V {
        let dst = self.vector();
        self.push(Op::MulAdd { dst, a, b, c });
        dst
    }

    /// `acc += a * mem[0..lanes]`
    pub fn fma_mem(&mut self, acc: V, a: V, base: G, disp: i32) {
        self.push(Op::FmaMem { acc, a, mem: Mem { base, disp } });
    }

    /// `a op b` in a fresh register.
    pub fn bin(&mut self, op: BinOp, a: V, b: V) -> V {
        let dst = self.vector();
        self.push(Op::Bin { op, dst, a, b });
        dst
    }

    /// `dst = a op b`
    pub fn bin_to(&mut self, op: BinOp, dst: V, a: V, b: V) {
        self.push(Op::Bin { op, dst, a, b });
    }

    /// `op a` in a fresh register.
    pub fn un(&mut self, op: UnOp, a: V) -> V {
        let dst = self.vector();
        self.push(Op::Un { op, dst, a });
        dst
    }

    /// `if a cmp b { x } else { y }` in a fresh register.
    pub fn select(&mut self, cmp: Cmp, [a, b]: [V; 2], x: V, y: V) -> V {
        let dst = self.vector();
        self.push(Op::Select { cmp, dst, a, b, x, y });
        dst
    }

    /// The fold of all lanes in all lanes of a fresh register.
    pub fn fold(&mut self, op: FoldOp, src: V) -> V {
        let dst = self.vector();
        self.push(Op::Fold { op, dst, src });
        dst
    }

    /// A constant word in a fresh register.
    pub fn g_const(&mut self, value: i64) -> G {
        let dst = self.word();
        self.push(Op::GConst { dst, value });
        dst
    }

    /// A copy of a word in a fresh register.
    pub fn g_copy(&mut self, src: G) -> G {
        let dst = self.word();
        self.push(Op::GMov { dst, src });
        dst
    }

    /// `dst = src`
    pub fn g_mov(&mut self, dst: G, src: G) {
        self.push(Op::GMov { dst, src });
    }

    /// `a op b` in a fresh register.
    pub fn g_bin(&mut self, op: GOp, a: G, b: G) -> G {
        let dst = self.word();
        self.push(Op::GBin { op, dst, a, b });
        dst
    }

    /// `dst = a op b`
    pub fn g_bin_to(&mut self, op: GOp, dst: G, a: G, b: G) {
        self.push(Op::GBin { op, dst, a, b });
    }

    /// `a op imm` in a fresh register.
    pub fn g_imm(&mut self, op: GImmOp, a: G, imm: i64) -> G {
        let dst = self.word();
        self.push(Op::GImm { op, dst, a, imm });
        dst
    }

    /// `g += imm`
    pub fn g_advance(&mut self, g: G, imm: i64) {
        if imm != 0 {
            self.push(Op::GImm { op: GImmOp::Add, dst: g, a: g, imm });
        }
    }

    /// `base + index * scale + disp` in a fresh register.
    pub fn g_address(&mut self, base: G, index: G, scale: i64, disp: i64) -> G {
        let scaled = self.g_imm(GImmOp::Mul, index, scale);
        let dst = self.g_bin(GOp::Add, base, scaled);
        self.g_advance(dst, disp);
        dst
    }

    /// `if a < b { x } else { y }`, unsigned, in a fresh register.
    pub fn g_select(&mut self, [a, b]: [G; 2], x: G, y: G) -> G {
        let dst = self.word();
        self.push(Op::GSelect { dst, a, b, x, y });
        dst
    }

    /// The word at an address.
    pub fn g_load(&mut self, base: G, disp: i32) -> G {
        let dst = self.word();
        self.push(Op::GLoad { dst, mem: Mem { base, disp } });
        dst
    }

    /// The 32-bit word at an address, zero-extended.
    pub fn g_load32(&mut self, base: G, disp: i32) -> G {
        let dst = self.word();
        self.push(Op::GLoad32 { dst, mem: Mem { base, disp } });
        dst
    }

    /// Stores a word.
    pub fn g_store(&mut self, src: G, base: G, disp: i32) {
        self.push(Op::GStore { src, mem: Mem { base, disp } });
    }

    /// The ticks of a clock.
    pub fn clock(&mut self) -> G {
        let dst = self.word();
        self.push(Op::Clock { dst });
        dst
    }

    /// Quotient and remainder of a number below 2^31 by a constant from 1 to 2^31 - 1.
    ///
    /// By multiplication (Granlund and Montgomery, "Division by invariant integers using
    /// multiplication", 1994): with `s = ceil(log2 d)` and `m = ceil(2^(31+s) / d)`,
    /// `floor(a / d) = a * m >> (31 + s)` for all `a < 2^31`, and the product fits in 63 bits.
    pub fn g_div_rem(&mut self, a: G, divisor: usize) -> (G, G) {
        let d = divisor as u64;
        debug_assert!((1..1 << 31).contains(&d));
        if d == 1 {
            let zero = self.g_const(0);
            return (self.g_copy(a), zero);
        }
        let (multiplier, shift) = reciprocal(d);
        let product = self.g_imm(GImmOp::Mul, a, multiplier as i64);
        let quotient = self.g_imm(GImmOp::Shr, product, shift as i64);
        let back = self.g_imm(GImmOp::Mul, quotient, d as i64);
        let remainder = self.g_bin(GOp::Sub, a, back);
        (quotient, remainder)
    }
}

/// Removes constants from all pieces but the first where all have the same at the same place and
/// none changes its register later.
fn share_constants(pieces: &mut [Vec<Op>]) {
    let Some((first, others)) = pieces.split_first_mut() else { return };
    let written_once =
        |ops: &[Op], v: V| ops.iter().filter(|op| op.vector_def() == Some(v)).count() == 1;
    let straight = |ops: &[Op]| !ops.iter().any(|op| matches!(op, Op::Loop { .. }));
    if !straight(first) || others.iter().any(|o| o.len() != first.len() || !straight(o)) {
        return;
    }
    let mut shared: Vec<usize> = Vec::new();
    let mut replacements: Vec<HashMap<V, V>> = vec![HashMap::new(); others.len()];
    for (k, op) in first.iter().enumerate() {
        let Op::Const { dst, bits } = *op else { continue };
        let same: Option<Vec<V>> = others
            .iter()
            .map(|ops| match ops[k] {
                Op::Const { dst, bits: b } if b == bits && written_once(ops, dst) => Some(dst),
                _ => None,
            })
            .collect();
        if let Some(registers) = same.filter(|_| written_once(first, dst)) {
            shared.push(k);
            for (map, register) in replacements.iter_mut().zip(registers) {
                map.insert(register, dst);
            }
        }
    }
    for (ops, map) in others.iter_mut().zip(&replacements) {
        for op in ops.iter_mut() {
            op.replace_uses(|v| map.get(&v).copied().unwrap_or(v));
        }
        // What a piece lacks must not move the rest ahead of the first piece.
        for &k in &shared {
            ops[k] = Op::Loop { count: Count::Static(0), body: vec![] };
        }
    }
}

/// `m` and `s` with `floor(a / d) = a * m >> s` for all `a < 2^31`.
fn reciprocal(d: u64) -> (u64, u32) {
    let shift = 31 + d.next_power_of_two().trailing_zeros();
    let multiplier = (1u128 << shift).div_ceil(d as u128) as u64;
    (multiplier, shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reciprocal_divides(a in 0u64..1 << 31, d in 2u64..1 << 31) {
            let (m, s) = reciprocal(d);
            prop_assert_eq!((a * m) >> s, a / d);
        }

        #[test]
        fn reciprocal_divides_multiples(q in 0u64..1 << 16, d in 2u64..1 << 15, less in 0u64..2) {
            let (m, s) = reciprocal(d);
            let a = (q * d).saturating_sub(less);
            prop_assert_eq!((a * m) >> s, a / d);
        }
    }
}
