//! The entry point of a network: native code that walks a table of its steps.
//!
//! The table is read-only data. A row is a step:
//!
//! | word | |
//! |---|---|
//! | 0 | address of the kernel's function |
//! | 1 | number of units |
//! | 2 | whether threads share the step (0 or 1) |
//! | 3 | number of operands |
//! | 4 + 2 i | operand `i`: index of its base address, byte offset |
//!
//! The rows of all rounds follow each other. Base addresses are those of the inputs, the outputs, the packed
//! weights and the arena.

use crate::error::CodegenError;
use crate::program::{Place, Program};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I32, I64};
use cranelift_codegen::ir::{
    AbiParam, BlockArg, FuncRef, InstBuilder, MemFlagsData, SigRef, Signature, StackSlotData,
    StackSlotKind, UserFuncName, Value,
};
use cranelift_codegen::isa::TargetFrontendConfig;
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use cranelift_module::{DataDescription, DataId, FuncId, Linkage, Module};

/// What the entry point needs to know of a step besides the program.
pub struct StepCode {
    /// The kernel's function.
    pub function: FuncId,
    /// Number of units.
    pub units: usize,
    /// Whether threads share it.
    pub shared: bool,
}

/// What [`define`] made.
pub struct Entry {
    /// `steps(inputs, outputs, weights, workspace, options, first, end)`: runs steps
    /// `first .. end`, those of each round numbered on from the round before.
    pub steps: FuncId,
    /// All functions that were defined, this one among them.
    pub functions: Vec<EntryFunction>,
}

/// A function that [`define`] made.
pub struct EntryFunction {
    /// Its handle.
    pub id: FuncId,
    /// Its symbol.
    pub name: String,
    /// Bytes of its code.
    pub bytes: usize,
}

/// The options of a call, as in the C interface; a null pointer means this thread alone.
#[repr(C)]
pub struct Options {
    /// Bytes of this structure.
    pub size: usize,
    /// Calls `task(arg, i)` for all `i` below `n`, and returns when all calls have returned.
    pub parallel_for: unsafe extern "C" fn(
        *mut std::ffi::c_void,
        usize,
        crate::pool::Task,
        *mut std::ffi::c_void,
    ),
    /// First argument of `parallel_for`.
    pub pool: *mut std::ffi::c_void,
    /// Number of threads for which the workspace is large enough.
    pub threads: usize,
}

/// Byte offsets in [`Options`].
pub(crate) mod option {
    pub const SIZE: i32 = 0;
    pub const PARALLEL_FOR: i32 = 8;
    pub const POOL: i32 = 16;
    pub const THREADS: i32 = 24;
    pub const BYTES: u32 = 32;
}

/// Words of a row before the operands.
const HEAD: usize = 4;

/// Byte offsets in the structure that a shared step hands to its tasks.
mod task {
    pub const FUNCTION: i32 = 0;
    pub const ARGS: i32 = 8;
    pub const UNITS: i32 = 16;
    pub const PIECES: i32 = 24;
    pub const SCRATCH: i32 = 32;
    pub const BYTES: u32 = 40;
}

/// The entry point's shape.
struct Layout {
    inputs: usize,
    outputs: usize,
    /// Most operands of a step.
    operands: usize,
    arena: usize,
    scratch: usize,
}

impl Layout {
    fn row_bytes(&self) -> usize {
        (HEAD + 2 * self.operands) * 8
    }

    fn bases(&self) -> usize {
        self.inputs + self.outputs + 2
    }

    fn base(&self, place: Place) -> (usize, usize) {
        match place {
            Place::Input(i) => (i, 0),
            Place::Output(i) => (self.inputs + i, 0),
            Place::Weights(offset) => (self.inputs + self.outputs, offset),
            Place::Arena(offset) => (self.inputs + self.outputs + 1, offset),
        }
    }
}

/// Defines the entry point of a checked program; `scratch` is the bytes of scratch memory of a thread,
/// which follow the arena in the workspace.
pub fn define<M: Module>(
    functions: &mut Functions<M>,
    program: &Program,
    steps: &[StepCode],
    scratch: usize,
) -> Result<Entry, CodegenError> {
    let layout = Layout {
        inputs: program.inputs.len(),
        outputs: program.outputs.len(),
        operands: program.steps.iter().map(|s| s.args.len()).max().unwrap_or(0),
        arena: program.arena_bytes.next_multiple_of(64),
        scratch,
    };
    let table = define_table(functions.module, program, functions.name, steps, &layout)?;
    let task = functions.task(&layout)?;
    let steps = functions.steps(&layout, table, task)?;
    Ok(Entry { steps, functions: std::mem::take(&mut functions.defined) })
}

fn define_table<M: Module>(
    module: &mut M,
    program: &Program,
    name: &str,
    steps: &[StepCode],
    layout: &Layout,
) -> Result<DataId, CodegenError> {
    let mut bytes = vec![0u8; layout.row_bytes() * program.turns().max(1)];
    let mut data = DataDescription::new();
    let rounds = (0..program.rounds).flat_map(|round| {
        let steps = program.steps.iter().zip(steps);
        steps.map(move |(step, code)| (round, step, code))
    });
    for (row, (round, step, code)) in rounds.enumerate() {
        // Where the round's part of a caller's buffer begins.
        let part = |place: &Place| match *place {
            Place::Input(i) => program.inputs[i] / program.rounds * round,
            Place::Output(i) => program.outputs[i] / program.rounds * round,
            Place::Arena(_) | Place::Weights(_) => 0,
        };
        let start = row * layout.row_bytes();
        let mut put = |word: usize, value: usize| {
            let at = start + word * 8;
            bytes[at..at + 8].copy_from_slice(&(value as u64).to_le_bytes());
        };
        put(1, code.units);
        put(2, usize::from(code.shared));
        put(3, step.args.len());
        for (i, place) in step.args.iter().enumerate() {
            let (base, offset) = layout.base(*place);
            put(HEAD + 2 * i, base);
            put(HEAD + 2 * i + 1, offset + part(place));
        }
        let function = module.declare_func_in_data(code.function, &mut data);
        data.write_function_addr(start as u32, function);
    }
    data.define(bytes.into_boxed_slice());
    data.set_align(64);
    let name = format!("{name}_steps_table");
    let id = module
        .declare_data(&name, Linkage::Local, false, false)
        .map_err(|e| CodegenError::module(&name, e))?;
    module.define_data(id, &data).map_err(|e| CodegenError::module(&name, e))?;
    Ok(id)
}

/// Defines functions of words in a module.
pub struct Functions<'a, M> {
    /// The module.
    pub module: &'a mut M,
    /// How to unwind from the functions defined so far.
    pub frames: Vec<(FuncId, UnwindInfo)>,
    context: FunctionBuilderContext,
    /// What all symbols begin with.
    name: &'a str,
    defined: Vec<EntryFunction>,
}

pub(crate) fn flags() -> MemFlagsData {
    MemFlagsData::trusted()
}

/// Appends a loop over `begin .. end`; `carried` values go from turn to turn.
pub(crate) fn each(
    b: &mut FunctionBuilder,
    begin: Value,
    end: Value,
    body: impl FnOnce(&mut FunctionBuilder, Value),
) {
    let (head, inner, after) = (b.create_block(), b.create_block(), b.create_block());
    b.append_block_param(head, I64);
    b.ins().jump(head, &[BlockArg::from(begin)]);
    b.switch_to_block(head);
    let i = b.block_params(head)[0];
    let more = b.ins().icmp(IntCC::UnsignedLessThan, i, end);
    b.ins().brif(more, inner, &[], after, &[]);
    b.switch_to_block(inner);
    body(b, i);
    let next = b.ins().iadd_imm_s(i, 1);
    b.ins().jump(head, &[BlockArg::from(next)]);
    b.switch_to_block(after);
}

impl<'a, M: Module> Functions<'a, M> {
    /// For functions whose symbols begin with `name`.
    pub fn new(module: &'a mut M, name: &'a str) -> Self {
        Functions {
            module,
            frames: Vec::new(),
            context: FunctionBuilderContext::new(),
            name,
            defined: Vec::new(),
        }
    }

    /// A signature of words, with an `i32` result if `result`.
    pub fn signature(&self, params: usize, result: bool) -> Signature {
        let mut signature = Signature::new(self.module.isa().default_call_conv());
        signature.params.extend((0..params).map(|_| AbiParam::new(I64)));
        if result {
            signature.returns.push(AbiParam::new(I32));
        }
        signature
    }

    /// Defines a function of `params` words.
    pub fn function(
        &mut self,
        name: &str,
        linkage: Linkage,
        params: usize,
        result: bool,
        body: impl FnOnce(&mut FunctionBuilder, &mut M, TargetFrontendConfig, &[Value]),
    ) -> Result<FuncId, CodegenError> {
        let signature = self.signature(params, result);
        let name = format!("{}_{name}", self.name);
        let id = self
            .module
            .declare_function(&name, linkage, &signature)
            .map_err(|e| CodegenError::module(&name, e))?;
        let mut context = self.module.make_context();
        context.func.signature = signature;
        context.func.name = UserFuncName::user(0, id.as_u32());
        let config = self.module.target_config();
        let mut b = FunctionBuilder::new(&mut context.func, &mut self.context);
        let block = b.create_block();
        b.append_block_params_for_function_params(block);
        b.switch_to_block(block);
        let params = b.block_params(block).to_vec();
        body(&mut b, self.module, config, &params);
        b.seal_all_blocks();
        b.finalize(config);
        self.module
            .define_function(id, &mut context)
            .map_err(|e| CodegenError::module(&name, e))?;
        let bytes = context.compiled_code().map_or(0, |code| code.code_buffer().len());
        self.defined.push(EntryFunction { id, name, bytes });
        let isa = self.module.isa();
        let unwind = context.compiled_code().map(|code| code.create_unwind_info(isa));
        if let Some(Ok(Some(unwind))) = unwind {
            self.frames.push((id, unwind));
        }
        Ok(id)
    }

    /// `task(arg, i)`: the `i`-th part of a shared step's units, with the `i`-th scratch memory.
    fn task(&mut self, layout: &Layout) -> Result<FuncId, CodegenError> {
        let kernel = self.signature(4, false);
        let scratch = layout.scratch as i64;
        self.function("task", Linkage::Local, 2, false, |b, _, _, params| {
            let (arg, i) = (params[0], params[1]);
            let kernel = b.import_signature(kernel);
            let mut field = |at| b.ins().load(I64, flags(), arg, at);
            let function = field(task::FUNCTION);
            let args = field(task::ARGS);
            let units = field(task::UNITS);
            let pieces = field(task::PIECES);
            let scratch_base = field(task::SCRATCH);
            let border = |b: &mut FunctionBuilder, i: Value| {
                let product = b.ins().imul(units, i);
                b.ins().udiv(product, pieces)
            };
            let begin = border(b, i);
            let next = b.ins().iadd_imm_s(i, 1);
            let end = border(b, next);
            let offset = b.ins().imul_imm_s(i, scratch);
            let scratch = b.ins().iadd(scratch_base, offset);
            b.ins().call_indirect(kernel, function, &[args, begin, end, scratch]);
            b.ins().return_(&[]);
        })
    }

    fn steps(
        &mut self,
        layout: &Layout,
        table: DataId,
        task: FuncId,
    ) -> Result<FuncId, CodegenError> {
        let kernel = self.signature(4, false);
        let parallel_for = self.signature(4, false);
        self.function("steps", Linkage::Local, 7, false, |b, module, _, params| {
            let code = StepsCode {
                layout,
                kernel: b.import_signature(kernel),
                parallel_for: b.import_signature(parallel_for),
                task: module.declare_func_in_func(task, b.func),
            };
            let table = module.declare_data_in_func(table, b.func);
            let table = b.ins().symbol_value(I64, table);
            code.emit(b, table, params);
        })
    }
}

struct StepsCode<'a> {
    layout: &'a Layout,
    kernel: SigRef,
    parallel_for: SigRef,
    task: FuncRef,
}

impl StepsCode<'_> {
    fn emit(&self, b: &mut FunctionBuilder, table: Value, params: &[Value]) {
        let [inputs, outputs, weights, workspace, options, first, end] =
            [0, 1, 2, 3, 4, 5, 6].map(|i| params[i]);
        let layout = self.layout;
        let mut slot = |bytes: usize| {
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes as u32, 4);
            let slot = b.create_sized_stack_slot(data);
            b.ins().stack_addr(I64, slot, 0)
        };
        let bases = slot(layout.bases() * 8);
        let args = slot(layout.operands.max(1) * 8);
        let argument = slot(task::BYTES as usize);
        for (list, start, count) in
            [(inputs, 0, layout.inputs), (outputs, layout.inputs, layout.outputs)]
        {
            for i in 0..count {
                let pointer = b.ins().load(I64, flags(), list, (i * 8) as i32);
                b.ins().store(flags(), pointer, bases, ((start + i) * 8) as i32);
            }
        }
        let last = (layout.inputs + layout.outputs) * 8;
        b.ins().store(flags(), weights, bases, last as i32);
        b.ins().store(flags(), workspace, bases, last as i32 + 8);
        let scratch = b.ins().iadd_imm_s(workspace, layout.arena as i64);

        // The number of threads; without options one.
        let (some, known) = (b.create_block(), b.create_block());
        b.append_block_param(known, I64);
        let one = b.ins().iconst(I64, 1);
        b.ins().brif(options, some, &[], known, &[BlockArg::from(one)]);
        b.switch_to_block(some);
        let given = b.ins().load(I64, flags(), options, option::THREADS);
        b.ins().jump(known, &[BlockArg::from(given)]);
        b.switch_to_block(known);
        let threads = b.block_params(known)[0];

        each(b, first, end, |b, step| {
            let offset = b.ins().imul_imm_s(step, layout.row_bytes() as i64);
            let row = b.ins().iadd(table, offset);
            let mut word = |i: i32| b.ins().load(I64, flags(), row, i * 8);
            let (function, units, shared, count) = (word(0), word(1), word(2), word(3));
            let zero = b.ins().iconst(I64, 0);
            each(b, zero, count, |b, i| {
                let entry = b.ins().ishl_imm_u(i, 4);
                let entry = b.ins().iadd(row, entry);
                let base = b.ins().load(I64, flags(), entry, (HEAD * 8) as i32);
                let offset = b.ins().load(I64, flags(), entry, (HEAD * 8 + 8) as i32);
                let base = b.ins().ishl_imm_u(base, 3);
                let base = b.ins().iadd(bases, base);
                let base = b.ins().load(I64, flags(), base, 0);
                let pointer = b.ins().iadd(base, offset);
                let at = b.ins().ishl_imm_u(i, 3);
                let at = b.ins().iadd(args, at);
                b.ins().store(flags(), pointer, at, 0);
            });
            let fewer = b.ins().icmp(IntCC::UnsignedLessThan, units, threads);
            let pieces = b.ins().select(fewer, units, threads);
            let one = b.ins().iconst(I64, 1);
            let pieces = b.ins().select(shared, pieces, one);
            let (together, alone, after) = (b.create_block(), b.create_block(), b.create_block());
            let several = b.ins().icmp(IntCC::UnsignedGreaterThan, pieces, one);
            b.ins().brif(several, together, &[], alone, &[]);

            b.switch_to_block(alone);
            b.ins().call_indirect(self.kernel, function, &[args, zero, units, scratch]);
            b.ins().jump(after, &[]);

            b.switch_to_block(together);
            for (value, at) in [
                (function, task::FUNCTION),
                (args, task::ARGS),
                (units, task::UNITS),
                (pieces, task::PIECES),
                (scratch, task::SCRATCH),
            ] {
                b.ins().store(flags(), value, argument, at);
            }
            let parallel_for = b.ins().load(I64, flags(), options, option::PARALLEL_FOR);
            let pool = b.ins().load(I64, flags(), options, option::POOL);
            let task = b.ins().func_addr(I64, self.task);
            b.ins().call_indirect(self.parallel_for, parallel_for, &[pool, pieces, task, argument]);
            b.ins().jump(after, &[]);
            b.switch_to_block(after);
        });
        b.ins().return_(&[]);
    }
}
