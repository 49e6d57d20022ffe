//! Machine instructions with registers to bytes.
//!
//! Branches are always near (32-bit distances), so that an instruction's length does not depend on
//! where things end up: code is written once, distances and addresses of constants are patched.

use super::codes::{self, Codes, YMM, ZMM};
use super::machine::{CALLEE_SAVED, MOp, MachineFunction, SLOT_BYTES};
use super::{WideCode, WideIsa};
use crate::vir::{FoldOp, GOp, UnOp};
use iced_x86::{Code, Encoder, IcedError, Instruction, MemoryOperand, Register};
use regalloc2::{Allocation, Block, Edit, Function, Inst, InstOrEdit, Output, PReg, RegClass};
use std::collections::HashMap;

type Result<T> = std::result::Result<T, IcedError>;

/// Mask register that selections and partial accesses go through; it lives for one instruction.
const K: Register = Register::K1;

/// General registers by their number.
const WORDS: [Register; 16] = [
    Register::RAX,
    Register::RCX,
    Register::RDX,
    Register::RBX,
    Register::RSP,
    Register::RBP,
    Register::RSI,
    Register::RDI,
    Register::R8,
    Register::R9,
    Register::R10,
    Register::R11,
    Register::R12,
    Register::R13,
    Register::R14,
    Register::R15,
];

/// Encodes an allocated function.
pub fn encode(code: &MachineFunction, allocation: &Output, isa: WideIsa) -> Result<WideCode> {
    let saved = CALLEE_SAVED.into_iter().filter(|n| uses_word(allocation, *n)).collect();
    let mut emitter = Emitter {
        code,
        allocation,
        wide: isa == WideIsa::Avx512,
        codes: if isa == WideIsa::Avx512 { ZMM } else { YMM },
        saved,
        frame: (allocation.num_spillslots * SLOT_BYTES) as i32,
        encoder: Encoder::new(64),
        len: 0,
        starts: vec![None; code.num_blocks()],
        branches: Vec::new(),
        pool: Pool::default(),
    };
    emitter.prologue()?;
    for block in 0..code.num_blocks() {
        emitter.block(Block::new(block))?;
    }
    Ok(emitter.finish())
}

fn uses_word(allocation: &Output, number: usize) -> bool {
    let is = |a: &Allocation| a.as_reg() == Some(PReg::new(number, RegClass::Int));
    allocation.allocs.iter().any(is)
        || allocation.edits.iter().any(|(_, Edit::Move { from, to })| is(from) || is(to))
}

/// Constants at the end of the code, each once, and where they are referred to.
#[derive(Default)]
struct Pool {
    /// Each constant's words.
    constants: Vec<Vec<u32>>,
    index: HashMap<Vec<u32>, usize>,
    /// Position just after the 32-bit distance, and the constant.
    uses: Vec<(usize, usize)>,
}

struct Emitter<'a> {
    code: &'a MachineFunction,
    allocation: &'a Output,
    wide: bool,
    codes: Codes,
    /// Callee-saved registers in use.
    saved: Vec<usize>,
    /// Bytes of spill slots.
    frame: i32,
    encoder: Encoder,
    /// Bytes so far.
    len: usize,
    starts: Vec<Option<usize>>,
    /// Position just after a branch, and the block it goes to.
    branches: Vec<(usize, Block)>,
    pool: Pool,
}

impl Emitter<'_> {
    fn put(&mut self, instruction: Instruction) -> Result<()> {
        self.len += self.encoder.encode(&instruction, self.len as u64)?;
        Ok(())
    }

    /// An instruction whose last four bytes are the distance to a constant; `make` is given the
    /// memory operand.
    fn put_constant(
        &mut self,
        words: Vec<u32>,
        make: impl FnOnce(MemoryOperand) -> Result<Instruction>,
    ) -> Result<()> {
        let next = self.pool.constants.len();
        let constant = *self.pool.index.entry(words.clone()).or_insert(next);
        if constant == next {
            self.pool.constants.push(words);
        }
        let place = MemoryOperand::with_base_displ_size(Register::RIP, self.len as i64, 8);
        self.put(make(place)?)?;
        self.pool.uses.push((self.len, constant));
        Ok(())
    }

    fn word(&self, a: Allocation) -> Register {
        WORDS[a.as_reg().expect("constrained to a register").hw_enc()]
    }

    fn number(&self, a: Allocation) -> u32 {
        a.as_reg().expect("constrained to a register").hw_enc() as u32
    }

    fn full(&self, number: u32) -> Register {
        (if self.wide { Register::ZMM0 } else { Register::YMM0 }) + number
    }

    fn vector(&self, a: Allocation) -> Register {
        self.full(self.number(a))
    }

    fn ymm(&self, a: Allocation) -> Register {
        Register::YMM0 + self.number(a)
    }

    fn xmm(&self, a: Allocation) -> Register {
        Register::XMM0 + self.number(a)
    }

    fn mem(&self, base: Allocation, disp: i32) -> MemoryOperand {
        MemoryOperand::with_base_displ(self.word(base), disp.into())
    }

    fn slot(&self, a: Allocation) -> MemoryOperand {
        let slot = a.as_stack().expect("neither register nor none");
        MemoryOperand::with_base_displ(Register::RSP, (slot.index() * SLOT_BYTES) as i64)
    }

    fn prologue(&mut self) -> Result<()> {
        for n in self.saved.clone() {
            self.put(Instruction::with1(Code::Push_r64, WORDS[n])?)?;
        }
        if self.frame > 0 {
            self.put(Instruction::with2(Code::Sub_rm64_imm32, Register::RSP, self.frame)?)?;
        }
        Ok(())
    }

    fn epilogue(&mut self) -> Result<()> {
        if self.frame > 0 {
            self.put(Instruction::with2(Code::Add_rm64_imm32, Register::RSP, self.frame)?)?;
        }
        for n in self.saved.clone().into_iter().rev() {
            self.put(Instruction::with1(Code::Pop_r64, WORDS[n])?)?;
        }
        // Mixing dirty upper halves with the caller's SSE code is slow.
        self.put(Instruction::with(Code::VEX_Vzeroupper))?;
        self.put(Instruction::with(Code::Retnq))
    }

    /// The block that a jump to `block` ends up in: blocks that hold nothing but a jump are seen
    /// through.
    fn destination(&self, block: Block) -> Block {
        let mut block = block;
        while self.is_only_a_jump(block) {
            block = self.code.block_succs(block)[0];
        }
        block
    }

    fn is_only_a_jump(&self, block: Block) -> bool {
        let mut items = self.allocation.block_insts_and_edits(self.code, block);
        let first = items.next();
        matches!(first, Some(InstOrEdit::Inst(inst)) if self.code.op(inst) == MOp::Jump)
            && items.next().is_none()
            // The entry block is where the function starts.
            && block.index() != 0
    }

    /// Whether control that reaches the end of `from` falls into `to`.
    fn falls_into(&self, from: Block, to: Block) -> bool {
        let mut next = from.index() + 1;
        while next < self.code.num_blocks() && next != to.index() {
            if !self.is_only_a_jump(Block::new(next)) {
                return false;
            }
            next += 1;
        }
        next == to.index()
    }

    fn branch(&mut self, code: Code, to: Block) -> Result<()> {
        let to = self.destination(to);
        self.put(Instruction::with_branch(code, self.len as u64)?)?;
        self.branches.push((self.len, to));
        Ok(())
    }

    fn block(&mut self, block: Block) -> Result<()> {
        if self.is_only_a_jump(block) {
            return Ok(());
        }
        self.starts[block.index()] = Some(self.len);
        let allocation = self.allocation;
        for item in allocation.block_insts_and_edits(self.code, block) {
            match item {
                InstOrEdit::Edit(&Edit::Move { from, to }) => self.move_value(from, to)?,
                InstOrEdit::Inst(inst) => self.inst(block, inst)?,
            }
        }
        Ok(())
    }

    fn move_value(&mut self, from: Allocation, to: Allocation) -> Result<()> {
        let register = from.as_reg().or(to.as_reg()).expect("never from slot to slot");
        let vector = register.class() == RegClass::Float;
        let instruction = match (from.as_reg(), to.as_reg()) {
            (Some(_), Some(_)) if vector => {
                Instruction::with2(self.codes.mov, self.vector(to), self.vector(from))
            }
            (Some(_), Some(_)) => {
                Instruction::with2(Code::Mov_r64_rm64, self.word(to), self.word(from))
            }
            (Some(_), None) if vector => {
                Instruction::with2(self.codes.store, self.slot(to), self.vector(from))
            }
            (Some(_), None) => {
                Instruction::with2(Code::Mov_rm64_r64, self.slot(to), self.word(from))
            }
            (None, _) if vector => {
                Instruction::with2(self.codes.load, self.vector(to), self.slot(from))
            }
            (None, _) => Instruction::with2(Code::Mov_r64_rm64, self.word(to), self.slot(from)),
        };
        self.put(instruction?)
    }

    fn inst(&mut self, block: Block, inst: Inst) -> Result<()> {
        let a: &[Allocation] = self.allocation.inst_allocs(inst);
        match self.code.op(inst) {
            MOp::Arguments => Ok(()),
            MOp::Load(disp) => {
                let (dst, mem) = (self.vector(a[1]), self.mem(a[0], disp));
                self.put(Instruction::with2(self.codes.load, dst, mem)?)
            }
            MOp::Prefetch(disp) => {
                let mem = self.mem(a[0], disp);
                self.put(Instruction::with1(Code::Prefetcht1_m8, mem)?)
            }
            MOp::LoadPart(disp, n) => self.load_part(a, disp, n),
            MOp::Broadcast(disp) => {
                let (dst, mem) = (self.vector(a[1]), self.mem(a[0], disp));
                self.put(Instruction::with2(self.codes.broadcast_mem, dst, mem)?)
            }
            MOp::Store(disp) => {
                let (src, mem) = (self.vector(a[0]), self.mem(a[1], disp));
                self.put(Instruction::with2(self.codes.store, mem, src)?)
            }
            MOp::StorePart(disp, n) => self.store_part(a, disp, n),
            MOp::Const(0) => {
                let dst = self.vector(a[0]);
                self.put(Instruction::with3(self.codes.xor, dst, dst, dst)?)
            }
            MOp::Const(bits) => {
                let (dst, code) = (self.vector(a[0]), self.codes.broadcast_mem);
                self.put_constant(vec![bits], |mem| Instruction::with2(code, dst, mem))
            }
            MOp::Mask(n) => {
                let (dst, lanes) = (self.vector(a[0]), if self.wide { 16 } else { 8 });
                let code = self.codes.load;
                let words = (0..lanes).map(|i| if i < n { u32::MAX } else { 0 }).collect();
                self.put_constant(words, |mem| Instruction::with2(code, dst, mem))
            }
            MOp::FromInt => {
                let (src, full, dst) = (self.word(a[0]), self.vector(a[1]), self.xmm(a[1]));
                let convert = if self.wide {
                    Code::EVEX_Vcvtsi2ss_xmm_xmm_rm64_er
                } else {
                    Code::VEX_Vcvtsi2ss_xmm_xmm_rm64
                };
                // The conversion keeps the other lanes, so the register is cleared first: no
                // dependence on what it held.
                self.put(Instruction::with3(self.codes.xor, full, full, full)?)?;
                self.put(Instruction::with3(convert, dst, dst, src)?)?;
                self.put(Instruction::with2(self.codes.broadcast_reg, full, dst)?)
            }
            MOp::Fma => {
                let [x, y, d] = [a[1], a[2], a[3]].map(|r| self.vector(r));
                self.put(Instruction::with3(self.codes.fma, d, x, y)?)
            }
            MOp::FmaMem(disp) => {
                let (x, mem, d) = (self.vector(a[1]), self.mem(a[2], disp), self.vector(a[3]));
                self.put(Instruction::with3(self.codes.fma, d, x, mem)?)
            }
            MOp::MulAdd => {
                let [x, y, d] = [a[1], a[2], a[3]].map(|r| self.vector(r));
                self.put(Instruction::with3(self.codes.mul_add, d, x, y)?)
            }
            MOp::Bin(op) => {
                let [x, y, d] = [a[0], a[1], a[2]].map(|r| self.vector(r));
                self.put(Instruction::with3(codes::bin(op, self.wide), d, x, y)?)
            }
            MOp::Un(op) => {
                let [x, d] = [a[0], a[1]].map(|r| self.vector(r));
                let code = codes::un(op, self.wide);
                self.put(match op {
                    UnOp::Sqrt => Instruction::with2(code, d, x)?,
                    UnOp::Shl(n) | UnOp::Shr(n) => Instruction::with3(code, d, x, u32::from(n))?,
                })
            }
            MOp::Compare(cmp) => {
                let [x, y, d] = [a[0], a[1], a[2]].map(|r| self.vector(r));
                let code = Code::VEX_Vcmpps_ymm_ymm_ymmm256_imm8;
                self.put(Instruction::with4(code, d, x, y, codes::predicate(cmp))?)
            }
            MOp::Blend => {
                let [mask, x, y, d] = [a[0], a[1], a[2], a[3]].map(|r| self.vector(r));
                let code = Code::VEX_Vblendvps_ymm_ymm_ymmm256_ymm;
                self.put(Instruction::with4(code, d, y, x, mask)?)
            }
            MOp::Select(cmp) => {
                let [l, r, x, y, d] = [a[0], a[1], a[2], a[3], a[4]].map(|r| self.vector(r));
                let code = Code::EVEX_Vcmpps_kr_k1_zmm_zmmm512b32_imm8_sae;
                self.put(Instruction::with4(code, K, l, r, codes::predicate(cmp))?)?;
                let mut blend =
                    Instruction::with3(Code::EVEX_Vblendmps_zmm_k1z_zmm_zmmm512b32, d, y, x)?;
                blend.set_op_mask(K);
                self.put(blend)
            }
            MOp::Fold(op) => self.fold(a, op),
            MOp::GConst(value) => {
                let dst = self.word(a[0]);
                self.put(match (u32::try_from(value), i32::try_from(value)) {
                    (Ok(value), _) => Instruction::with2(Code::Mov_r32_imm32, half(dst), value)?,
                    (_, Ok(value)) => Instruction::with2(Code::Mov_rm64_imm32, dst, value)?,
                    _ => Instruction::with2(Code::Mov_r64_imm64, dst, value)?,
                })
            }
            MOp::GAdd => {
                let [x, y, d] = [a[0], a[1], a[2]].map(|r| self.word(r));
                let sum = MemoryOperand::with_base_index(x, y);
                self.put(Instruction::with2(Code::Lea_r64_m, d, sum)?)
            }
            MOp::GBin(op) => self.word_op(op, a),
            MOp::GAddImm(imm) => {
                let (x, d) = (self.word(a[0]), self.word(a[1]));
                self.put(if x == d {
                    Instruction::with2(Code::Add_rm64_imm32, d, imm)?
                } else {
                    let sum = MemoryOperand::with_base_displ(x, imm.into());
                    Instruction::with2(Code::Lea_r64_m, d, sum)?
                })
            }
            MOp::GMulImm(imm) => {
                let (x, d) = (self.word(a[0]), self.word(a[1]));
                self.put(Instruction::with3(Code::Imul_r64_rm64_imm32, d, x, imm)?)
            }
            MOp::GShl(n) => {
                let d = self.word(a[1]);
                self.put(Instruction::with2(Code::Shl_rm64_imm8, d, u32::from(n))?)
            }
            MOp::GShr(n) => {
                let d = self.word(a[1]);
                self.put(Instruction::with2(Code::Shr_rm64_imm8, d, u32::from(n))?)
            }
            MOp::GSelect => {
                let [l, r, x, d] = [a[0], a[1], a[2], a[4]].map(|r| self.word(r));
                self.put(Instruction::with2(Code::Cmp_r64_rm64, l, r)?)?;
                self.put(Instruction::with2(Code::Cmovb_r64_rm64, d, x)?)
            }
            MOp::GLoad(disp) => {
                let (mem, dst) = (self.mem(a[0], disp), self.word(a[1]));
                self.put(Instruction::with2(Code::Mov_r64_rm64, dst, mem)?)
            }
            MOp::GLoad32(disp) => {
                let (mem, dst) = (self.mem(a[0], disp), half(self.word(a[1])));
                self.put(Instruction::with2(Code::Mov_r32_rm32, dst, mem)?)
            }
            MOp::GStore(disp) => {
                let (src, mem) = (self.word(a[0]), self.mem(a[1], disp));
                self.put(Instruction::with2(Code::Mov_rm64_r64, mem, src)?)
            }
            MOp::Clock => {
                // The upper half comes in the second register.
                let [low, high] = [a[0], a[1]].map(|r| self.word(r));
                self.put(Instruction::with(Code::Rdtsc))?;
                self.put(Instruction::with2(Code::Shl_rm64_imm8, high, 32u32)?)?;
                self.put(Instruction::with2(Code::Or_r64_rm64, low, high)?)
            }
            MOp::Decrement => {
                let d = self.word(a[1]);
                self.put(Instruction::with1(Code::Dec_rm64, d)?)
            }
            MOp::BranchNotZero => {
                let [back, exit] = [0, 1].map(|i| self.code.block_succs(block)[i]);
                if self.is_only_a_jump(back) {
                    self.branch(Code::Jne_rel32_64, back)?;
                    self.jump(block, exit)
                } else {
                    self.branch(Code::Je_rel32_64, exit)
                }
            }
            MOp::BranchIfZero => {
                let count = self.word(a[0]);
                let [enter, skip] = [0, 1].map(|i| self.code.block_succs(block)[i]);
                self.put(Instruction::with2(Code::Test_rm64_r64, count, count)?)?;
                self.branch(Code::Je_rel32_64, skip)?;
                self.jump(block, enter)
            }
            MOp::Jump => self.jump(block, self.code.block_succs(block)[0]),
            MOp::Return => self.epilogue(),
        }
    }

    fn jump(&mut self, from: Block, to: Block) -> Result<()> {
        if self.falls_into(from, self.destination(to)) {
            return Ok(());
        }
        self.branch(Code::Jmp_rel32_64, to)
    }

    fn word_op(&mut self, op: GOp, a: &[Allocation]) -> Result<()> {
        let (y, d) = (self.word(a[1]), self.word(a[2]));
        match op {
            GOp::Add => self.put(Instruction::with2(Code::Add_r64_rm64, d, y)?),
            GOp::Sub => self.put(Instruction::with2(Code::Sub_r64_rm64, d, y)?),
            GOp::Mul => self.put(Instruction::with2(Code::Imul_r64_rm64, d, y)?),
            GOp::Min | GOp::Max => {
                let code = if op == GOp::Min { Code::Cmovg_r64_rm64 } else { Code::Cmovl_r64_rm64 };
                self.put(Instruction::with2(Code::Cmp_r64_rm64, d, y)?)?;
                self.put(Instruction::with2(code, d, y)?)
            }
        }
    }

    /// Sets the mask register to the first `n` lanes.
    fn set_mask(&mut self, n: u8) -> Result<()> {
        let mask = (1u32 << n) - 1;
        self.put_constant(vec![mask], |mem| Instruction::with2(Code::VEX_Kmovw_kr_km16, K, mem))
    }

    fn load_part(&mut self, a: &[Allocation], disp: i32, n: u8) -> Result<()> {
        let mem = self.mem(a[0], disp);
        if self.wide {
            self.set_mask(n)?;
            let mut load = Instruction::with2(self.codes.load, self.vector(a[1]), mem)?;
            load.set_op_mask(K);
            load.set_zeroing_masking(true);
            return self.put(load);
        }
        // Loads of 32, 64 and 128 bits clear the rest of the register.
        let code = match n {
            1 => Code::VEX_Vmovss_xmm_m32,
            2 => Code::VEX_Vmovsd_xmm_m64,
            4 => Code::VEX_Vmovups_xmm_xmmm128,
            _ => {
                let (dst, mask, load) = (self.vector(a[1]), self.vector(a[2]), self.codes.load);
                let words = (0..8).map(|i| if i < n { u32::MAX } else { 0 }).collect();
                self.put_constant(words, |mem| Instruction::with2(load, mask, mem))?;
                let code = Code::VEX_Vmaskmovps_ymm_ymm_m256;
                return self.put(Instruction::with3(code, dst, mask, mem)?);
            }
        };
        let dst = self.xmm(a[1]);
        self.put(Instruction::with2(code, dst, mem)?)
    }

    fn store_part(&mut self, a: &[Allocation], disp: i32, n: u8) -> Result<()> {
        if self.wide {
            self.set_mask(n)?;
            let (src, mem) = (self.vector(a[0]), self.mem(a[1], disp));
            let mut store = Instruction::with2(self.codes.store, mem, src)?;
            store.set_op_mask(K);
            return self.put(store);
        }
        // Masked stores are slow on some CPUs: pieces of 128, 64 and 32 bits instead.
        let (mut src, mut disp, mut n) = (self.xmm(a[0]), disp, n);
        if n >= 4 {
            let store = Code::VEX_Vmovups_xmmm128_xmm;
            self.put(Instruction::with2(store, self.mem(a[1], disp), src)?)?;
            if n > 4 {
                let upper = self.xmm(a[2]);
                let extract = Code::VEX_Vextractf128_xmmm128_ymm_imm8;
                self.put(Instruction::with3(extract, upper, self.ymm(a[0]), 1u32)?)?;
                src = upper;
            }
            (disp, n) = (disp + 16, n - 4);
        }
        if n >= 2 {
            let store = Code::VEX_Vmovsd_m64_xmm;
            self.put(Instruction::with2(store, self.mem(a[1], disp), src)?)?;
        }
        match n {
            1 => {
                let store = Code::VEX_Vmovss_m32_xmm;
                self.put(Instruction::with2(store, self.mem(a[1], disp), src)?)
            }
            3 => {
                let store = Code::VEX_Vextractps_rm32_xmm_imm8;
                self.put(Instruction::with3(store, self.mem(a[1], disp + 8), src, 2u32)?)
            }
            _ => Ok(()),
        }
    }

    /// Halves the vector onto itself until one lane is left, then spreads that.
    fn fold(&mut self, a: &[Allocation], op: FoldOp) -> Result<()> {
        use Code::*;
        let [on_ymm, on_xmm] = codes::fold(op, self.wide);
        let (d, t) = (self.xmm(a[1]), self.xmm(a[2]));
        let mut low = self.xmm(a[0]);
        if self.wide {
            let (d, t) = (self.ymm(a[1]), self.ymm(a[2]));
            let code = EVEX_Vextractf64x4_ymmm256_k1z_zmm_imm8;
            self.put(Instruction::with3(code, t, self.vector(a[0]), 1u32)?)?;
            self.put(Instruction::with3(on_ymm, d, self.ymm(a[0]), t)?)?;
            low = self.xmm(a[1]);
        }
        let (whole, extract, high, odd) = if self.wide {
            let extract = EVEX_Vextractf32x4_xmmm128_k1z_ymm_imm8;
            (self.ymm(a[1]), extract, EVEX_Vmovhlps_xmm_xmm_xmm, EVEX_Vmovshdup_xmm_k1z_xmmm128)
        } else {
            let extract = VEX_Vextractf128_xmmm128_ymm_imm8;
            (self.ymm(a[0]), extract, VEX_Vmovhlps_xmm_xmm_xmm, VEX_Vmovshdup_xmm_xmmm128)
        };
        self.put(Instruction::with3(extract, t, whole, 1u32)?)?;
        self.put(Instruction::with3(on_xmm, d, low, t)?)?;
        self.put(Instruction::with3(high, t, d, d)?)?;
        self.put(Instruction::with3(on_xmm, d, d, t)?)?;
        self.put(Instruction::with2(odd, t, d)?)?;
        self.put(Instruction::with3(on_xmm, d, d, t)?)?;
        self.put(Instruction::with2(self.codes.broadcast_reg, self.vector(a[1]), d)?)
    }

    /// Patches distances and appends the constants.
    fn finish(mut self) -> WideCode {
        let mut bytes = self.encoder.take_buffer();
        let code_len = bytes.len();
        for (end, block) in &self.branches {
            let target =
                self.starts[block.index()].expect("branches go to blocks that are written");
            patch(&mut bytes, *end, target);
        }
        // The widest first, each aligned to its own size, so that no load crosses a cache line.
        let mut order: Vec<usize> = (0..self.pool.constants.len()).collect();
        order.sort_by_key(|i| std::cmp::Reverse(self.pool.constants[*i].len()));
        let mut places = vec![0; order.len()];
        for i in order {
            let words = &self.pool.constants[i];
            bytes.resize(bytes.len().next_multiple_of(4 * words.len()), 0xcc);
            places[i] = bytes.len();
            bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        }
        for (end, constant) in &self.pool.uses {
            patch(&mut bytes, *end, places[*constant]);
        }
        WideCode { bytes, code_len, spills: self.allocation.num_spillslots }
    }
}

/// Writes the distance from `end` to `target` into the four bytes before `end`.
fn patch(bytes: &mut [u8], end: usize, target: usize) {
    let distance = target as i64 - end as i64;
    bytes[end - 4..end].copy_from_slice(&(distance as i32).to_le_bytes());
}

/// The lower 32 bits of a general register.
fn half(register: Register) -> Register {
    Register::EAX + (register as u32 - Register::RAX as u32)
}
