//! Machine instructions over virtual registers, in the form that `regalloc2` reads.

use super::WideIsa;
use crate::vir::{BinOp, Cmp, FoldOp, GOp, UnOp};
use regalloc2::{Block, Inst, InstRange, MachineEnv, Operand, PReg, PRegSet, RegClass, VReg};

/// Numbers of the registers that carry a C function's first arguments (System V): `rdi, rsi, rdx,
/// rcx, r8, r9`.
pub const ARGUMENTS: [usize; 6] = [7, 6, 2, 1, 8, 9];

/// Numbers of the registers that the clock's instruction writes: `rax, rdx`.
pub const CLOCK: [usize; 2] = [0, 2];

/// Registers that a C function must give back as it found them: `rbx, rbp, r12` to `r15`.
pub const CALLEE_SAVED: [usize; 6] = [3, 5, 12, 13, 14, 15];

/// Bytes of a unit of spill slots.
pub const SLOT_BYTES: usize = 8;

/// What a machine instruction does. The comment gives its operands in order; `d` is the result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MOp {
    /// The parameters, each in its register: `d...`
    Arguments,
    /// `base`
    Prefetch(i32),
    /// `base, d`
    Load(i32),
    /// `base, d, mask` (a scratch vector)
    LoadPart(i32, u8),
    /// `base, d`
    Broadcast(i32),
    /// `src, base`
    Store(i32),
    /// `src, base, half` (a scratch vector)
    StorePart(i32, u8),
    /// `d`
    Const(u32),
    /// `d`
    Mask(u8),
    /// `g, d`
    FromInt,
    /// `acc, a, b, d = acc`
    Fma,
    /// `acc, a, base, d = acc`
    FmaMem(i32),
    /// `a, b, c, d = a`
    MulAdd,
    /// `a, b, d`
    Bin(BinOp),
    /// `a, d`
    Un(UnOp),
    /// `a, b, d`: all bits of a lane set where the comparison holds (AVX2).
    Compare(Cmp),
    /// `mask, x, y, d` (AVX2)
    Blend,
    /// `a, b, x, y, d` through a mask register (AVX-512)
    Select(Cmp),
    /// `src, d, scratch`
    Fold(FoldOp),
    /// `d`
    GConst(i64),
    /// `a, b, d`
    GAdd,
    /// `a, b, d = a`
    GBin(GOp),
    /// `a, d`
    GAddImm(i32),
    /// `a, d`
    GMulImm(i32),
    /// `a, d = a`
    GShl(u8),
    /// `a, d = a`
    GShr(u8),
    /// `a, b, x, y, d = y`
    GSelect,
    /// `base, d`
    GLoad(i32),
    /// `base, d`
    GLoad32(i32),
    /// `src, base`
    GStore(i32),
    /// `d` (the first result register), and the second, whose value is of no use
    Clock,
    /// Counter minus one, and the flags: `c, d = c`
    Decrement,
    /// To the first successor unless the counter just became zero.
    BranchNotZero,
    /// To the second successor if zero: `c`
    BranchIfZero,
    /// To the only successor, with block arguments.
    Jump,
    /// Back to the caller.
    Return,
}

/// A machine function before register allocation.
#[derive(Default)]
pub struct MachineFunction {
    insts: Vec<MachineInst>,
    operands: Vec<Operand>,
    blocks: Vec<MachineBlock>,
    classes: Vec<RegClass>,
    lanes: usize,
}

struct MachineInst {
    op: MOp,
    operands: std::ops::Range<usize>,
    /// Block arguments of a jump.
    arguments: Vec<VReg>,
}

#[derive(Default)]
struct MachineBlock {
    insts: std::ops::Range<usize>,
    successors: Vec<Block>,
    predecessors: Vec<Block>,
    params: Vec<VReg>,
}

impl MachineFunction {
    /// An empty function for vectors of so many lanes.
    pub fn new(lanes: u32) -> MachineFunction {
        MachineFunction { lanes: lanes as usize, ..Default::default() }
    }

    /// A new virtual register.
    pub fn vreg(&mut self, class: RegClass) -> VReg {
        self.classes.push(class);
        VReg::new(self.classes.len() - 1, class)
    }

    /// Starts a block at the current end of the code, with parameters.
    pub fn start_block(&mut self, params: Vec<VReg>) -> Block {
        let at = self.insts.len();
        self.blocks.push(MachineBlock { insts: at..at, params, ..Default::default() });
        Block::new(self.blocks.len() - 1)
    }

    /// Appends an instruction to the block that was started last.
    pub fn push(&mut self, op: MOp, operands: &[Operand]) {
        self.push_with(op, operands, Vec::new());
    }

    /// Appends a jump with block arguments.
    pub fn jump(&mut self, arguments: Vec<VReg>) {
        self.push_with(MOp::Jump, &[], arguments);
    }

    fn push_with(&mut self, op: MOp, operands: &[Operand], arguments: Vec<VReg>) {
        let start = self.operands.len();
        self.operands.extend_from_slice(operands);
        self.insts.push(MachineInst { op, operands: start..self.operands.len(), arguments });
        let end = self.insts.len();
        let block = self.blocks.last_mut().expect("a block was started before any instruction");
        block.insts.end = end;
    }

    /// Adds a control-flow edge.
    pub fn edge(&mut self, from: Block, to: Block) {
        self.blocks[from.index()].successors.push(to);
        self.blocks[to.index()].predecessors.push(from);
    }

    /// The instruction's operation.
    pub fn op(&self, inst: Inst) -> MOp {
        self.insts[inst.index()].op
    }
}

impl regalloc2::Function for MachineFunction {
    fn num_insts(&self) -> usize {
        self.insts.len()
    }

    fn num_blocks(&self) -> usize {
        self.blocks.len()
    }

    fn entry_block(&self) -> Block {
        Block::new(0)
    }

    fn block_insns(&self, block: Block) -> InstRange {
        let insts = &self.blocks[block.index()].insts;
        InstRange::new(Inst::new(insts.start), Inst::new(insts.end))
    }

    fn block_succs(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].successors
    }

    fn block_preds(&self, block: Block) -> &[Block] {
        &self.blocks[block.index()].predecessors
    }

    fn block_params(&self, block: Block) -> &[VReg] {
        &self.blocks[block.index()].params
    }

    fn is_ret(&self, inst: Inst) -> bool {
        self.op(inst) == MOp::Return
    }

    fn is_branch(&self, inst: Inst) -> bool {
        matches!(self.op(inst), MOp::Jump | MOp::BranchNotZero | MOp::BranchIfZero)
    }

    fn branch_blockparams(&self, _: Block, inst: Inst, _: usize) -> &[VReg] {
        &self.insts[inst.index()].arguments
    }

    fn inst_operands(&self, inst: Inst) -> &[Operand] {
        &self.operands[self.insts[inst.index()].operands.clone()]
    }

    fn inst_clobbers(&self, _: Inst) -> PRegSet {
        PRegSet::empty()
    }

    fn num_vregs(&self) -> usize {
        self.classes.len()
    }

    fn spillslot_size(&self, class: RegClass) -> usize {
        match class {
            RegClass::Float => self.lanes * 4 / SLOT_BYTES,
            _ => 1,
        }
    }
}

/// The registers that may be used: all but the stack pointer; callee-saved ones when the others are
/// taken.
pub fn environment(isa: WideIsa) -> MachineEnv {
    let set = |class, numbers: &mut dyn Iterator<Item = usize>| {
        let mut set = PRegSet::empty();
        numbers.for_each(|n| set.add(PReg::new(n, class)));
        set
    };
    let free = [0, 1, 2, 6, 7, 8, 9, 10, 11];
    MachineEnv {
        preferred_regs_by_class: [
            set(RegClass::Int, &mut free.into_iter()),
            set(RegClass::Float, &mut (0..isa.vector_registers())),
            PRegSet::empty(),
        ],
        non_preferred_regs_by_class: [
            set(RegClass::Int, &mut CALLEE_SAVED.into_iter()),
            PRegSet::empty(),
            PRegSet::empty(),
        ],
        scratch_by_class: [None; 3],
        fixed_stack_slots: Vec::new(),
    }
}
