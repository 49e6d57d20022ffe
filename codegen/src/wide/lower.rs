//! Kernel IR to machine instructions in SSA form.
//!
//! The kernel IR has no control flow but counted loops, so SSA construction needs no dominance
//! frontiers: a loop's header takes a block parameter for each register that the body reads before
//! it writes it and also writes; the exit of a loop that may be skipped takes one for each register
//! that the body writes. Edges between a block with several successors and one with several
//! predecessors get a block of their own, as the register allocator requires.

use super::WideIsa;
use super::machine::{ARGUMENTS, CLOCK, MOp, MachineFunction};
use crate::vir::{Count, G, GImmOp, GOp, KernelFunction, Op, V};
use regalloc2::{Block, Operand, PReg, RegClass, VReg};

/// A register of the kernel IR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Var {
    Vector(u32),
    Word(u32),
}

/// Some of a function's registers.
#[derive(Clone)]
struct Vars {
    /// How many vectors there are; words follow them.
    vectors: u32,
    bits: Vec<u64>,
}

impl Vars {
    /// None of the registers.
    fn none(&self) -> Vars {
        Vars { vectors: self.vectors, bits: vec![0; self.bits.len()] }
    }

    fn index(&self, var: Var) -> usize {
        match var {
            Var::Vector(v) => v as usize,
            Var::Word(g) => (self.vectors + g) as usize,
        }
    }

    fn insert(&mut self, var: Var) {
        let index = self.index(var);
        self.bits[index / 64] |= 1 << (index % 64);
    }

    fn contains(&self, var: Var) -> bool {
        let index = self.index(var);
        self.bits[index / 64] >> (index % 64) & 1 != 0
    }

    fn extend(&mut self, vars: impl IntoIterator<Item = Var>) {
        vars.into_iter().for_each(|var| self.insert(var));
    }

    /// Vectors first, each kind by number.
    fn iter(&self) -> impl Iterator<Item = Var> + '_ {
        let set = |bits: u64| (0..64u32).filter(move |bit| bits >> bit & 1 != 0);
        let words = (0u32..).step_by(64).zip(&self.bits).filter(|(_, bits)| **bits != 0);
        words.flat_map(move |(first, bits)| set(*bits).map(move |bit| first + bit)).map(|index| {
            match index.checked_sub(self.vectors) {
                None => Var::Vector(index),
                Some(word) => Var::Word(word),
            }
        })
    }
}

/// Lowers a checked function.
pub fn lower(function: &KernelFunction, isa: WideIsa) -> MachineFunction {
    let mut code = MachineFunction::new(function.lanes);
    let block = code.start_block(Vec::new());
    let mut lowering = Lowering {
        code,
        block,
        masks: isa == WideIsa::Avx512,
        vectors: vec![None; function.vectors as usize],
        words: vec![None; function.words as usize],
    };
    let arguments: Vec<Operand> = (0..function.params)
        .map(|i| {
            let vreg = lowering.define(Var::Word(i));
            Operand::reg_fixed_def(vreg, PReg::new(ARGUMENTS[i as usize], RegClass::Int))
        })
        .collect();
    lowering.code.push(MOp::Arguments, &arguments);
    lowering.body(&function.body);
    lowering.code.push(MOp::Return, &[]);
    lowering.code
}

struct Lowering {
    code: MachineFunction,
    /// The block that instructions go to.
    block: Block,
    /// Whether comparisons go through mask registers.
    masks: bool,
    /// The current value of each register.
    vectors: Vec<Option<VReg>>,
    words: Vec<Option<VReg>>,
}

impl Lowering {
    fn get(&self, var: Var) -> Option<VReg> {
        match var {
            Var::Vector(v) => self.vectors[v as usize],
            Var::Word(g) => self.words[g as usize],
        }
    }

    fn set(&mut self, var: Var, value: Option<VReg>) {
        match var {
            Var::Vector(v) => self.vectors[v as usize] = value,
            Var::Word(g) => self.words[g as usize] = value,
        }
    }

    /// A fresh virtual register that is the register's value from here on.
    fn define(&mut self, var: Var) -> VReg {
        let class = match var {
            Var::Vector(_) => RegClass::Float,
            Var::Word(_) => RegClass::Int,
        };
        let vreg = self.code.vreg(class);
        self.set(var, Some(vreg));
        vreg
    }

    fn v(&self, v: V) -> VReg {
        self.get(Var::Vector(v.0)).expect("checked: written before it is read")
    }

    fn g(&self, g: G) -> VReg {
        self.get(Var::Word(g.0)).expect("checked: written before it is read")
    }

    fn use_v(&self, v: V) -> Operand {
        Operand::reg_use(self.v(v))
    }

    fn use_g(&self, g: G) -> Operand {
        Operand::reg_use(self.g(g))
    }

    fn def_v(&mut self, v: V) -> Operand {
        Operand::reg_def(self.define(Var::Vector(v.0)))
    }

    fn def_g(&mut self, g: G) -> Operand {
        Operand::reg_def(self.define(Var::Word(g.0)))
    }

    fn reuse_g(&mut self, g: G, operand: usize) -> Operand {
        Operand::reg_reuse_def(self.define(Var::Word(g.0)), operand)
    }

    /// A scratch vector register for the length of one instruction, distinct from its operands.
    fn scratch(&mut self) -> Operand {
        Operand::reg_temp(self.code.vreg(RegClass::Float))
    }

    fn body(&mut self, body: &[Op]) {
        for op in body {
            self.op(op);
        }
    }

    fn op(&mut self, op: &Op) {
        match *op {
            Op::Load { dst, mem } => {
                let operands = [self.use_g(mem.base), self.def_v(dst)];
                self.code.push(MOp::Load(mem.disp), &operands);
            }
            Op::Prefetch { mem } => {
                let operands = [self.use_g(mem.base)];
                self.code.push(MOp::Prefetch(mem.disp), &operands);
            }
            Op::LoadPart { dst, mem, n } => {
                let operands = [self.use_g(mem.base), self.def_v(dst), self.scratch()];
                self.code.push(MOp::LoadPart(mem.disp, n), &operands);
            }
            Op::Broadcast { dst, mem } => {
                let operands = [self.use_g(mem.base), self.def_v(dst)];
                self.code.push(MOp::Broadcast(mem.disp), &operands);
            }
            Op::Store { src, mem } => {
                let operands = [self.use_v(src), self.use_g(mem.base)];
                self.code.push(MOp::Store(mem.disp), &operands);
            }
            Op::StorePart { src, mem, n } => {
                let operands = [self.use_v(src), self.use_g(mem.base), self.scratch()];
                self.code.push(MOp::StorePart(mem.disp, n), &operands);
            }
            Op::Const { dst, bits } => {
                let operands = [self.def_v(dst)];
                self.code.push(MOp::Const(bits), &operands);
            }
            Op::Mask { dst, n } => {
                let operands = [self.def_v(dst)];
                self.code.push(MOp::Mask(n), &operands);
            }
            Op::FromInt { dst, src } => {
                let operands = [self.use_g(src), self.def_v(dst)];
                self.code.push(MOp::FromInt, &operands);
            }
            Op::Mov { dst, src } => self.set(Var::Vector(dst.0), Some(self.v(src))),
            Op::Fma { acc, a, b } => {
                let uses = [self.use_v(acc), self.use_v(a), self.use_v(b)];
                let result = Operand::reg_reuse_def(self.define(Var::Vector(acc.0)), 0);
                self.code.push(MOp::Fma, &[uses[0], uses[1], uses[2], result]);
            }
            Op::FmaMem { acc, a, mem } => {
                let uses = [self.use_v(acc), self.use_v(a), self.use_g(mem.base)];
                let result = Operand::reg_reuse_def(self.define(Var::Vector(acc.0)), 0);
                self.code.push(MOp::FmaMem(mem.disp), &[uses[0], uses[1], uses[2], result]);
            }
            Op::MulAdd { dst, a, b, c } => {
                let uses = [self.use_v(a), self.use_v(b), self.use_v(c)];
                let result = Operand::reg_reuse_def(self.define(Var::Vector(dst.0)), 0);
                self.code.push(MOp::MulAdd, &[uses[0], uses[1], uses[2], result]);
            }
            Op::Bin { op, dst, a, b } => {
                let operands = [self.use_v(a), self.use_v(b), self.def_v(dst)];
                self.code.push(MOp::Bin(op), &operands);
            }
            Op::Un { op, dst, a } => {
                let operands = [self.use_v(a), self.def_v(dst)];
                self.code.push(MOp::Un(op), &operands);
            }
            Op::Select { cmp, dst, a, b, x, y } => {
                let uses = [a, b, x, y].map(|v| self.use_v(v));
                if self.masks {
                    let operands = [uses[0], uses[1], uses[2], uses[3], self.def_v(dst)];
                    self.code.push(MOp::Select(cmp), &operands);
                } else {
                    let mask = self.code.vreg(RegClass::Float);
                    let compared = [uses[0], uses[1], Operand::reg_def(mask)];
                    self.code.push(MOp::Compare(cmp), &compared);
                    let operands = [Operand::reg_use(mask), uses[2], uses[3], self.def_v(dst)];
                    self.code.push(MOp::Blend, &operands);
                }
            }
            Op::Fold { op, dst, src } => {
                let operands = [self.use_v(src), self.def_v(dst), self.scratch()];
                self.code.push(MOp::Fold(op), &operands);
            }
            Op::GConst { dst, value } => {
                let operands = [self.def_g(dst)];
                self.code.push(MOp::GConst(value), &operands);
            }
            Op::GMov { dst, src } => self.set(Var::Word(dst.0), Some(self.g(src))),
            Op::GBin { op, dst, a, b } => {
                let (a, b) = (self.use_g(a), self.use_g(b));
                self.word_op(op, dst, a, b);
            }
            Op::GImm { op, dst, a, imm } => self.immediate_op(op, dst, a, imm),
            Op::GSelect { dst, a, b, x, y } => {
                let uses = [a, b, x, y].map(|g| self.use_g(g));
                let result = self.reuse_g(dst, 3);
                self.code.push(MOp::GSelect, &[uses[0], uses[1], uses[2], uses[3], result]);
            }
            Op::GLoad { dst, mem } => {
                let operands = [self.use_g(mem.base), self.def_g(dst)];
                self.code.push(MOp::GLoad(mem.disp), &operands);
            }
            Op::GLoad32 { dst, mem } => {
                let operands = [self.use_g(mem.base), self.def_g(dst)];
                self.code.push(MOp::GLoad32(mem.disp), &operands);
            }
            Op::GStore { src, mem } => {
                let operands = [self.use_g(src), self.use_g(mem.base)];
                self.code.push(MOp::GStore(mem.disp), &operands);
            }
            Op::Clock { dst } => {
                let results = [self.define(Var::Word(dst.0)), self.code.vreg(RegClass::Int)];
                let fixed = |i: usize| {
                    Operand::reg_fixed_def(results[i], PReg::new(CLOCK[i], RegClass::Int))
                };
                self.code.push(MOp::Clock, &[fixed(0), fixed(1)]);
            }
            Op::Loop { count: Count::Static(0), .. } => {}
            Op::Loop { count: Count::Static(1), ref body } => self.body(body),
            Op::Loop { count: Count::Static(n), ref body } => self.counted_loop(n, body),
            Op::Loop { count: Count::Reg(n), ref body } => self.skippable_loop(n, body),
        }
    }

    fn word_op(&mut self, op: GOp, dst: G, a: Operand, b: Operand) {
        if op == GOp::Add {
            let operands = [a, b, self.def_g(dst)];
            self.code.push(MOp::GAdd, &operands);
        } else {
            let operands = [a, b, self.reuse_g(dst, 0)];
            self.code.push(MOp::GBin(op), &operands);
        }
    }

    fn immediate_op(&mut self, op: GImmOp, dst: G, a: G, imm: i64) {
        let a = self.use_g(a);
        match (op, i32::try_from(imm)) {
            (GImmOp::Add, Ok(imm)) => {
                let operands = [a, self.def_g(dst)];
                self.code.push(MOp::GAddImm(imm), &operands);
            }
            (GImmOp::Mul, Ok(imm)) => {
                let operands = [a, self.def_g(dst)];
                self.code.push(MOp::GMulImm(imm), &operands);
            }
            (GImmOp::Shl, _) => {
                let operands = [a, self.reuse_g(dst, 0)];
                self.code.push(MOp::GShl(imm as u8), &operands);
            }
            (GImmOp::Shr, _) => {
                let operands = [a, self.reuse_g(dst, 0)];
                self.code.push(MOp::GShr(imm as u8), &operands);
            }
            (GImmOp::Add | GImmOp::Mul, Err(_)) => {
                let constant = self.code.vreg(RegClass::Int);
                self.code.push(MOp::GConst(imm), &[Operand::reg_def(constant)]);
                let op = if op == GImmOp::Add { GOp::Add } else { GOp::Mul };
                self.word_op(op, dst, a, Operand::reg_use(constant));
            }
        }
    }

    /// Leaves the current block by a jump to `to` with arguments.
    fn leave(&mut self, to: Block, arguments: Vec<VReg>) {
        self.code.jump(arguments);
        self.code.edge(self.block, to);
    }

    /// A loop that runs at least twice: header and body, latch, edge back.
    fn counted_loop(&mut self, count: u32, body: &[Op]) {
        let counter = self.code.vreg(RegClass::Int);
        self.code.push(MOp::GConst(count.into()), &[Operand::reg_def(counter)]);
        self.loop_from(counter, body);
    }

    /// The loop itself, entered from the current block; afterwards the current block is its exit.
    fn loop_from(&mut self, counter: VReg, body: &[Op]) {
        let carried = self.carried(body);
        let mut arguments = self.values(&carried);
        arguments.push(counter);
        self.code.jump(arguments);
        let entry = self.block;

        let mut params: Vec<VReg> = carried.iter().map(|var| self.define(*var)).collect();
        let count = self.code.vreg(RegClass::Int);
        params.push(count);
        let header = self.code.start_block(params);
        self.code.edge(entry, header);
        self.block = header;
        self.body(body);

        let next = self.code.vreg(RegClass::Int);
        let operands = [Operand::reg_use(count), Operand::reg_reuse_def(next, 0)];
        self.code.push(MOp::Decrement, &operands);
        self.code.push(MOp::BranchNotZero, &[]);
        let latch = self.block;

        let back = self.code.start_block(Vec::new());
        self.code.edge(latch, back);
        self.block = back;
        let mut arguments = self.values(&carried);
        arguments.push(next);
        self.leave(header, arguments);

        let exit = self.code.start_block(Vec::new());
        self.code.edge(latch, exit);
        self.block = exit;
    }

    fn skippable_loop(&mut self, count: G, body: &[Op]) {
        let counter = self.g(count);
        let mut written = self.no_vars();
        defs(body, &mut written);
        let (merged, local): (Vec<Var>, Vec<Var>) =
            written.iter().partition(|var| self.get(*var).is_some());
        let before = self.values(&merged);

        self.code.push(MOp::BranchIfZero, &[Operand::reg_use(counter)]);
        let fork = self.block;
        let enter = self.code.start_block(Vec::new());
        self.code.edge(fork, enter);
        self.block = enter;
        self.loop_from(counter, body);

        let after = self.values(&merged);
        self.code.jump(after);
        let done = self.block;

        let skip = self.code.start_block(Vec::new());
        self.code.edge(fork, skip);
        self.code.jump(before);

        let params: Vec<VReg> = merged.iter().map(|var| self.define(*var)).collect();
        let exit = self.code.start_block(params);
        self.code.edge(done, exit);
        self.code.edge(skip, exit);
        self.block = exit;
        // What only the body wrote has no value where it was skipped.
        for var in local {
            self.set(var, None);
        }
    }

    fn values(&self, vars: &[Var]) -> Vec<VReg> {
        vars.iter().map(|var| self.get(*var).expect("only registers with a value")).collect()
    }

    /// The registers whose value one round of `body` hands to the next.
    fn carried(&self, body: &[Op]) -> Vec<Var> {
        let mut written = self.no_vars();
        defs(body, &mut written);
        let mut exposed = self.no_vars();
        reads_first(body, &mut self.no_vars(), &mut exposed);
        written.iter().filter(|var| exposed.contains(*var) && self.get(*var).is_some()).collect()
    }

    fn no_vars(&self) -> Vars {
        let vars = self.vectors.len() + self.words.len();
        Vars { vectors: self.vectors.len() as u32, bits: vec![0; vars.div_ceil(64)] }
    }
}

/// All registers that `body` writes.
fn defs(body: &[Op], out: &mut Vars) {
    for op in body {
        out.extend(op.vector_def().map(|v| Var::Vector(v.0)));
        out.extend(op.word_def().map(|g| Var::Word(g.0)));
        if let Op::Loop { body, .. } = op {
            defs(body, out);
        }
    }
}

/// All registers that `body` reads before it has surely written them.
fn reads_first(body: &[Op], written: &mut Vars, out: &mut Vars) {
    for op in body {
        let mut read = |var: Var| {
            if !written.contains(var) {
                out.insert(var);
            }
        };
        op.vector_uses(|v| read(Var::Vector(v.0)));
        op.word_uses(|g| read(Var::Word(g.0)));
        match op {
            Op::Loop { count: Count::Static(0), .. } => {}
            Op::Loop { count: Count::Static(_), body } => reads_first(body, written, out),
            Op::Loop { count: Count::Reg(_), body } => {
                // Where it is skipped, the registers it writes keep their values: they are read.
                let mut inner = written.none();
                defs(body, &mut inner);
                out.extend(inner.iter().filter(|var| !written.contains(*var)));
                reads_first(body, &mut written.clone(), out);
            }
            _ => {
                written.extend(op.vector_def().map(|v| Var::Vector(v.0)));
                written.extend(op.word_def().map(|g| Var::Word(g.0)));
            }
        }
    }
}
