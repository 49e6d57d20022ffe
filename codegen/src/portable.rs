//! The portable emitter: kernel functions as Cranelift IR with 128-bit vectors, for every target of
//! Cranelift. A vector of 8 or 16 lanes becomes 2 or 4 of them.

use crate::error::CodegenError;
use crate::laps;
use crate::vir::{BinOp, Cmp, Count, FoldOp, G, GImmOp, GOp, KernelFunction, Mem, Op, UnOp, V};
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F32, F32X4, I8X16, I32, I32X4, I64, I64X2};
use cranelift_codegen::ir::{
    AbiParam, ConstantData, Endianness, InstBuilder, MemFlagsData, Signature, Type, UserFuncName,
    Value,
};
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_codegen::isa::{self, OwnedTargetIsa, TargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use target_lexicon::Triple;

/// What is compiled for: Cranelift's settings, and whether products and sums are fused.
pub struct PortableIsa {
    /// Cranelift's view of the target.
    pub isa: OwnedTargetIsa,
    /// Whether the CPU has fused multiply-add; without it, it would be a library call a lane.
    pub fma: bool,
}

impl PortableIsa {
    /// The machine this runs on.
    pub fn host() -> Result<PortableIsa, CodegenError> {
        let builder = cranelift_native::builder()
            .map_err(|e| CodegenError::Unsupported(format!("no native code: {e}")))?;
        PortableIsa::with(builder, false)
    }

    /// The machine this runs on, without what only some of its kind have.
    pub fn host_baseline() -> Result<PortableIsa, CodegenError> {
        PortableIsa::of(&Triple::host(), false)
    }

    /// Any machine of that kind; `pic` for code that a linker will place.
    pub fn of(triple: &Triple, pic: bool) -> Result<PortableIsa, CodegenError> {
        let builder = isa::lookup(triple.clone())
            .map_err(|e| CodegenError::Unsupported(format!("no code for `{triple}`: {e}")))?;
        PortableIsa::with(builder, pic)
    }

    fn with(builder: isa::Builder, pic: bool) -> Result<PortableIsa, CodegenError> {
        let unsupported = |e: String| CodegenError::Unsupported(format!("no native code: {e}"));
        let mut flags = settings::builder();
        // The optimiser moves pure operations to their uses, which turns tiles into spills.
        for (name, value) in [
            ("opt_level", "none"),
            ("is_pic", if pic { "true" } else { "false" }),
            ("use_colocated_libcalls", "false"),
            ("enable_verifier", if cfg!(debug_assertions) { "true" } else { "false" }),
        ] {
            flags.set(name, value).map_err(|e| unsupported(e.to_string()))?;
        }
        let isa =
            builder.finish(settings::Flags::new(flags)).map_err(|e| unsupported(e.to_string()))?;
        let fma = match isa.triple().architecture {
            target_lexicon::Architecture::X86_64 => {
                isa.isa_flags().iter().any(|f| f.name == "has_fma" && f.as_bool() == Some(true))
            }
            _ => true,
        };
        Ok(PortableIsa { isa, fma })
    }
}

/// A compiler of kernel functions; reused from function to function.
pub struct Portable<'a> {
    target: &'a PortableIsa,
    context: Context,
    frontend: FunctionBuilderContext,
}

impl<'a> Portable<'a> {
    /// A compiler for that target.
    pub fn new(target: &'a PortableIsa) -> Self {
        Portable { target, context: Context::new(), frontend: FunctionBuilderContext::new() }
    }

    /// Builds the Cranelift function.
    fn build(&mut self, function: &KernelFunction) {
        self.context.clear();
        let isa: &dyn TargetIsa = &*self.target.isa;
        let mut signature = Signature::new(isa.default_call_conv());
        signature.params.extend((0..function.params).map(|_| AbiParam::new(I64)));
        self.context.func.signature = signature;
        self.context.func.name = UserFuncName::testcase(&function.name);
        let mut b = FunctionBuilder::new(&mut self.context.func, &mut self.frontend);
        let parts = function.lanes as usize / 4;
        let vectors =
            (0..function.vectors as usize * parts).map(|_| b.declare_var(F32X4)).collect();
        let words: Vec<Variable> = (0..function.words).map(|_| b.declare_var(I64)).collect();
        let block = b.create_block();
        b.append_block_params_for_function_params(block);
        b.switch_to_block(block);
        for (i, word) in words.iter().take(function.params as usize).enumerate() {
            let value = b.block_params(block)[i];
            b.def_var(*word, value);
        }
        let mut emitter = Emitter { b, parts, vectors, words, fma: self.target.fma };
        emitter.body(&function.body);
        emitter.b.ins().return_(&[]);
        emitter.b.seal_all_blocks();
        emitter.b.finalize(isa.frontend_config());
    }

    /// Machine code of a function, which refers to nothing outside itself, and how to unwind from it.
    pub fn compile(
        &mut self,
        function: &KernelFunction,
    ) -> Result<(Vec<u8>, Option<UnwindInfo>), CodegenError> {
        let fail =
            |message: String| CodegenError::Compile { function: function.name.clone(), message };
        self.build(function);
        let code = self
            .context
            .compile(&*self.target.isa, &mut Default::default())
            .map_err(|e| fail(format!("{:?}", e.inner)))?;
        if !code.buffer.relocs().is_empty() {
            return Err(fail("the code refers to library functions".into()));
        }
        let unwind = code.create_unwind_info(&*self.target.isa).map_err(|e| fail(e.to_string()))?;
        Ok((code.buffer.data().to_vec(), unwind))
    }

    /// The Cranelift IR of a function.
    pub fn text(&mut self, function: &KernelFunction) -> String {
        self.build(function);
        self.context.func.display().to_string()
    }
}

struct Emitter<'a> {
    b: FunctionBuilder<'a>,
    /// 128-bit vectors in a vector register.
    parts: usize,
    /// Variables of the parts of `V(i)`: from `i * parts` on.
    vectors: Vec<Variable>,
    words: Vec<Variable>,
    fma: bool,
}

/// Accesses neither trap nor are known to be aligned.
fn flags() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

/// Reinterprets 128 bits as another type.
fn cast(b: &mut FunctionBuilder, to: Type, value: Value) -> Value {
    if b.func.dfg.value_type(value) == to {
        return value;
    }
    b.ins().bitcast(to, MemFlagsData::new().with_endianness(Endianness::Little), value)
}

impl Emitter<'_> {
    fn word(&mut self, g: G) -> Value {
        self.b.use_var(self.words[g.0 as usize])
    }

    fn set_word(&mut self, g: G, value: Value) {
        self.b.def_var(self.words[g.0 as usize], value);
    }

    fn part(&mut self, v: V, part: usize) -> Value {
        self.b.use_var(self.vectors[v.0 as usize * self.parts + part])
    }

    fn set_part(&mut self, v: V, part: usize, value: Value) {
        let value = cast(&mut self.b, F32X4, value);
        self.b.def_var(self.vectors[v.0 as usize * self.parts + part], value);
    }

    fn body(&mut self, ops: &[Op]) {
        for op in ops {
            self.op(op);
        }
    }

    fn op(&mut self, op: &Op) {
        match *op {
            Op::Loop { count, ref body } => self.repeat(count, body),
            Op::GConst { dst, value } => {
                let value = self.b.ins().iconst(I64, value);
                self.set_word(dst, value);
            }
            Op::GMov { dst, src } => {
                let value = self.word(src);
                self.set_word(dst, value);
            }
            Op::GBin { op, dst, a, b } => {
                let (x, y) = (self.word(a), self.word(b));
                let ins = self.b.ins();
                let value = match op {
                    GOp::Add => ins.iadd(x, y),
                    GOp::Sub => ins.isub(x, y),
                    GOp::Mul => ins.imul(x, y),
                    GOp::Min | GOp::Max => {
                        let order = match op {
                            GOp::Min => IntCC::SignedLessThan,
                            _ => IntCC::SignedGreaterThan,
                        };
                        let first = ins.icmp(order, x, y);
                        self.b.ins().select(first, x, y)
                    }
                };
                self.set_word(dst, value);
            }
            Op::GImm { op, dst, a, imm } => {
                let x = self.word(a);
                let ins = self.b.ins();
                let value = match op {
                    GImmOp::Add => ins.iadd_imm_s(x, imm),
                    GImmOp::Mul => match u64::try_from(imm) {
                        Ok(n) if n.is_power_of_two() => {
                            ins.ishl_imm_u(x, i64::from(n.trailing_zeros()))
                        }
                        _ => ins.imul_imm_s(x, imm),
                    },
                    GImmOp::Shl => ins.ishl_imm_u(x, imm),
                    GImmOp::Shr => ins.ushr_imm_u(x, imm),
                };
                self.set_word(dst, value);
            }
            Op::GSelect { dst, a, b, x, y } => {
                let (a, b, x, y) = (self.word(a), self.word(b), self.word(x), self.word(y));
                let less = self.b.ins().icmp(IntCC::UnsignedLessThan, a, b);
                let value = self.b.ins().select(less, x, y);
                self.set_word(dst, value);
            }
            Op::GLoad { dst, mem } => {
                let base = self.word(mem.base);
                let value = self.b.ins().load(I64, flags(), base, mem.disp);
                self.set_word(dst, value);
            }
            Op::GLoad32 { dst, mem } => {
                let base = self.word(mem.base);
                let value = self.b.ins().uload32(flags(), base, mem.disp);
                self.set_word(dst, value);
            }
            Op::GStore { src, mem } => {
                let (value, base) = (self.word(src), self.word(mem.base));
                self.b.ins().store(flags(), value, base, mem.disp);
            }
            Op::Clock { dst } => {
                let mut signature = Signature::new(self.b.func.signature.call_conv);
                signature.returns.push(AbiParam::new(I64));
                let signature = self.b.import_signature(signature);
                let clock: extern "C" fn() -> u64 = laps::ticks;
                let clock = self.b.ins().iconst(I64, clock as usize as i64);
                let call = self.b.ins().call_indirect(signature, clock, &[]);
                let value = self.b.inst_results(call)[0];
                self.set_word(dst, value);
            }
            Op::Broadcast { dst, mem } => {
                let base = self.word(mem.base);
                let value = self.b.ins().load(F32, flags(), base, mem.disp);
                let value = self.b.ins().splat(F32X4, value);
                (0..self.parts).for_each(|i| self.set_part(dst, i, value));
            }
            Op::FromInt { dst, src } => {
                let value = self.word(src);
                let value = self.b.ins().fcvt_from_sint(F32, value);
                let value = self.b.ins().splat(F32X4, value);
                (0..self.parts).for_each(|i| self.set_part(dst, i, value));
            }
            Op::Const { dst, bits } => {
                let value = self.constant([bits; 4]);
                (0..self.parts).for_each(|i| self.set_part(dst, i, value));
            }
            Op::Fold { op, dst, src } => self.fold(op, dst, src),
            _ => (0..self.parts).for_each(|i| self.lanes(op, i)),
        }
    }

    fn constant(&mut self, lanes: [u32; 4]) -> Value {
        let bytes: Vec<u8> = lanes.iter().flat_map(|x| x.to_le_bytes()).collect();
        let constant = self.b.func.dfg.constants.insert(ConstantData::from(bytes));
        self.b.ins().vconst(F32X4, constant)
    }

    fn repeat(&mut self, count: Count, body: &[Op]) {
        let turns = match count {
            Count::Static(0) => return,
            Count::Static(1) => return self.body(body),
            Count::Static(n) => self.b.ins().iconst(I64, i64::from(n)),
            Count::Reg(g) => self.word(g),
        };
        let (top, after) = (self.b.create_block(), self.b.create_block());
        let left = self.b.declare_var(I64);
        self.b.def_var(left, turns);
        match count {
            Count::Static(_) => self.b.ins().jump(top, &[]),
            Count::Reg(_) => self.b.ins().brif(turns, top, &[], after, &[]),
        };
        self.b.switch_to_block(top);
        self.body(body);
        let turns = self.b.use_var(left);
        let turns = self.b.ins().iadd_imm_s(turns, -1);
        self.b.def_var(left, turns);
        self.b.ins().brif(turns, top, &[], after, &[]);
        self.b.seal_block(top);
        self.b.switch_to_block(after);
        self.b.seal_block(after);
    }

    /// One part of an operation that works lane by lane.
    fn lanes(&mut self, op: &Op, i: usize) {
        match *op {
            // Cranelift has no such instruction, and it is only a hint.
            Op::Prefetch { .. } => {}
            Op::Load { dst, mem } => {
                let (base, disp) = self.address(mem, i);
                let value = self.b.ins().load(F32X4, flags(), base, disp);
                self.set_part(dst, i, value);
            }
            Op::LoadPart { dst, mem, n } => {
                let (base, disp) = self.address(mem, i);
                let value = self.load_part(base, disp, (n as usize).saturating_sub(4 * i));
                self.set_part(dst, i, value);
            }
            Op::Store { src, mem } => {
                let (base, disp) = self.address(mem, i);
                let value = self.part(src, i);
                self.b.ins().store(flags(), value, base, disp);
            }
            Op::StorePart { src, mem, n } => {
                let (base, disp) = self.address(mem, i);
                let value = self.part(src, i);
                self.store_part(value, base, disp, (n as usize).saturating_sub(4 * i));
            }
            Op::Mask { dst, n } => {
                let lane = |j: usize| if 4 * i + j < n as usize { u32::MAX } else { 0 };
                let value = self.constant([lane(0), lane(1), lane(2), lane(3)]);
                self.set_part(dst, i, value);
            }
            Op::Mov { dst, src } => {
                let value = self.part(src, i);
                self.set_part(dst, i, value);
            }
            Op::Fma { acc, a, b } => {
                let (x, y) = (self.part(a, i), self.part(b, i));
                let sum = self.part(acc, i);
                self.multiply_add(acc, i, [x, y, sum]);
            }
            Op::MulAdd { dst, a, b, c } => {
                let operands = [a, b, c].map(|v| self.part(v, i));
                self.multiply_add(dst, i, operands);
            }
            Op::FmaMem { acc, a, mem } => {
                let (base, disp) = self.address(mem, i);
                let y = self.b.ins().load(F32X4, flags(), base, disp);
                let (x, sum) = (self.part(a, i), self.part(acc, i));
                self.multiply_add(acc, i, [x, y, sum]);
            }
            Op::Bin { op, dst, a, b } => {
                let (x, y) = (self.part(a, i), self.part(b, i));
                let value = self.bin(op, x, y);
                self.set_part(dst, i, value);
            }
            Op::Un { op, dst, a } => {
                let x = self.part(a, i);
                let value = match op {
                    UnOp::Sqrt => self.b.ins().sqrt(x),
                    UnOp::Shl(n) | UnOp::Shr(n) => {
                        let bits = cast(&mut self.b, I32X4, x);
                        let n = self.b.ins().iconst(I32, i64::from(n));
                        match op {
                            UnOp::Shl(_) => self.b.ins().ishl(bits, n),
                            _ => self.b.ins().ushr(bits, n),
                        }
                    }
                };
                self.set_part(dst, i, value);
            }
            Op::Select { cmp, dst, a, b, x, y } => {
                let (a, b) = (self.part(a, i), self.part(b, i));
                let (x, y) = (self.part(x, i), self.part(y, i));
                let cmp = match cmp {
                    Cmp::Lt => FloatCC::LessThan,
                    Cmp::Le => FloatCC::LessThanOrEqual,
                    Cmp::Eq => FloatCC::Equal,
                    Cmp::Unordered => FloatCC::Unordered,
                };
                let value = self.select(cmp, a, b, x, y);
                self.set_part(dst, i, value);
            }
            // All other operations are handled as a whole by `op`.
            _ => debug_assert!(false, "{op}"),
        }
    }

    fn address(&mut self, mem: Mem, part: usize) -> (Value, i32) {
        (self.word(mem.base), mem.disp + part as i32 * 16)
    }

    fn select(&mut self, cmp: FloatCC, a: Value, b: Value, x: Value, y: Value) -> Value {
        let mask = self.b.ins().fcmp(cmp, a, b);
        let mask = cast(&mut self.b, F32X4, mask);
        self.b.ins().bitselect(mask, x, y)
    }

    fn bin(&mut self, op: BinOp, x: Value, y: Value) -> Value {
        let b = &mut self.b;
        match op {
            BinOp::Add => b.ins().fadd(x, y),
            BinOp::Sub => b.ins().fsub(x, y),
            BinOp::Mul => b.ins().fmul(x, y),
            BinOp::Div => b.ins().fdiv(x, y),
            // Comparison and choice are recognised as one instruction on x86-64.
            BinOp::Min => self.select(FloatCC::LessThan, x, y, x, y),
            BinOp::Max => self.select(FloatCC::LessThan, y, x, x, y),
            BinOp::And | BinOp::Or | BinOp::Xor | BinOp::IAdd | BinOp::ISub => {
                let (x, y) = (cast(b, I32X4, x), cast(b, I32X4, y));
                match op {
                    BinOp::And => b.ins().band(x, y),
                    BinOp::Or => b.ins().bor(x, y),
                    BinOp::Xor => b.ins().bxor(x, y),
                    BinOp::IAdd => b.ins().iadd(x, y),
                    _ => b.ins().isub(x, y),
                }
            }
            BinOp::ZipLow => self.shuffle([0, 4, 1, 5], x, y),
            BinOp::ZipHigh => self.shuffle([2, 6, 3, 7], x, y),
            BinOp::PairLow => self.shuffle([0, 1, 4, 5], x, y),
            BinOp::PairHigh => self.shuffle([2, 3, 6, 7], x, y),
        }
    }

    /// The lanes with these numbers among those of `x`, then `y`.
    fn shuffle(&mut self, lanes: [u8; 4], x: Value, y: Value) -> Value {
        let b = &mut self.b;
        let bytes = lanes.into_iter().flat_map(|lane| (0..4).map(move |byte| 4 * lane + byte));
        let bytes: Vec<u8> = bytes.collect();
        let mask = b.func.dfg.immediates.push(ConstantData::from(&bytes[..]));
        let (x, y) = (cast(b, I8X16, x), cast(b, I8X16, y));
        let lanes = b.ins().shuffle(x, y, mask);
        cast(b, F32X4, lanes)
    }

    fn multiply_add(&mut self, dst: V, part: usize, [x, y, sum]: [Value; 3]) {
        let value = if self.fma {
            self.b.ins().fma(x, y, sum)
        } else {
            let product = self.b.ins().fmul(x, y);
            self.b.ins().fadd(sum, product)
        };
        self.set_part(dst, part, value);
    }

    /// The first `n` of four values, the others 0.
    fn load_part(&mut self, base: Value, disp: i32, n: usize) -> Value {
        let b = &mut self.b;
        match n {
            0 => self.constant([0; 4]),
            1 => {
                let first = b.ins().load(F32, flags(), base, disp);
                b.ins().scalar_to_vector(F32X4, first)
            }
            2 | 3 => {
                let pair = b.ins().load(I64, flags(), base, disp);
                let pair = b.ins().scalar_to_vector(I64X2, pair);
                let pair = cast(b, F32X4, pair);
                if n == 2 {
                    return pair;
                }
                let third = b.ins().load(F32, flags(), base, disp + 8);
                b.ins().insertlane(pair, third, 2)
            }
            _ => b.ins().load(F32X4, flags(), base, disp),
        }
    }

    fn store_part(&mut self, value: Value, base: Value, disp: i32, n: usize) {
        let b = &mut self.b;
        match n {
            0 => {}
            1 => {
                let first = b.ins().extractlane(value, 0);
                b.ins().store(flags(), first, base, disp);
            }
            2 | 3 => {
                let pairs = cast(b, I64X2, value);
                let pair = b.ins().extractlane(pairs, 0);
                b.ins().store(flags(), pair, base, disp);
                if n == 3 {
                    let third = b.ins().extractlane(value, 2);
                    b.ins().store(flags(), third, base, disp + 8);
                }
            }
            _ => {
                b.ins().store(flags(), value, base, disp);
            }
        }
    }

    /// Folds the parts in halves, then the lanes of the last one.
    fn fold(&mut self, op: FoldOp, dst: V, src: V) {
        let op = match op {
            FoldOp::Add => BinOp::Add,
            FoldOp::Min => BinOp::Min,
            FoldOp::Max => BinOp::Max,
        };
        let mut parts: Vec<Value> = (0..self.parts).map(|i| self.part(src, i)).collect();
        while parts.len() > 1 {
            let upper = parts.split_off(parts.len() / 2);
            parts = parts.iter().zip(upper).map(|(x, y)| self.bin(op, *x, y)).collect();
        }
        let mut value = parts[0];
        for distance in [2usize, 1] {
            // The upper half moves down; the lanes it leaves are not looked at again.
            let from = |lane: usize| (lane + distance) % 4;
            let order: Vec<u8> =
                (0..16).map(|byte| (from(byte / 4) * 4 + byte % 4) as u8).collect();
            let mask = self.b.func.dfg.immediates.push(ConstantData::from(order));
            let bytes = cast(&mut self.b, cranelift_codegen::ir::types::I8X16, value);
            let moved = self.b.ins().shuffle(bytes, bytes, mask);
            let moved = cast(&mut self.b, F32X4, moved);
            value = self.bin(op, value, moved);
        }
        let value = self.b.ins().extractlane(value, 0);
        let value = self.b.ins().splat(F32X4, value);
        (0..self.parts).for_each(|i| self.set_part(dst, i, value));
    }
}
