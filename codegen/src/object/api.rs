//! The function that C calls: looks at its arguments, chooses the code for the machine, runs the steps.
//!
//! `run(input, outputs, workspace, options)`, and before these `weights, weights_bytes` where the weights
//! are not in the object. One output is its buffer; several are a list of them. Nothing is written before
//! all arguments are found good.

use super::external::{self, Header};
use crate::buffer::ALIGN;
use crate::entry::{Functions, each, flags, option};
use crate::error::CodegenError;
use crate::program::Program;
use crate::validate::Table;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{I8, I32, I64};
use cranelift_codegen::ir::{
    BlockArg, FuncRef, GlobalValueData, InstBuilder, StackSlotData, StackSlotKind, Value,
};
use cranelift_frontend::FunctionBuilder;
use cranelift_module::{DataId, FuncId, Linkage, Module};

/// What the function returns: a name as in the C header, the number, and what it means.
pub const ERRORS: [(&str, i64, &str); 5] = [
    ("E_NULL", -1, "a pointer is NULL"),
    ("E_ALIGN", -2, "a pointer is not aligned"),
    ("E_CPU", -3, "built for more than this CPU has"),
    ("E_WEIGHTS", -4, "not these weights: another file, or a part of it"),
    ("E_OPTIONS", -5, "options->size is less than that of the structure"),
];

fn code(name: &str) -> i64 {
    ERRORS.iter().find(|error| error.0 == name).map_or(-1, |error| error.1)
}

/// Code for one instruction set.
pub struct LevelCode {
    /// Runs steps: see [`crate::entry::define`].
    pub steps: FuncId,
    /// The least that the CPU test must return; nothing where every machine can run it.
    pub rank: Option<i64>,
}

/// What the function is made of.
pub struct Api<'a> {
    /// The program.
    pub program: &'a Program,
    /// Code in the order of preference.
    pub levels: &'a [LevelCode],
    /// The CPU test and the word that remembers its result, if any level needs it.
    pub cpu: Option<(FuncId, DataId)>,
    /// Weights in the object.
    pub weights: Option<DataId>,
    /// The header that weights from outside must have, and the rows of [`external::table_rows`].
    pub external: Option<(Header, Option<DataId>)>,
    /// Index tables in the weights.
    pub tables: &'a [Table],
    /// Alignment of the input: that of its elements.
    pub input_align: usize,
    /// Most threads.
    pub threads: usize,
}

impl Api<'_> {
    /// Defines `run`.
    pub fn define<M: Module>(&self, functions: &mut Functions<M>) -> Result<FuncId, CodegenError> {
        let params = 4 + if self.external.is_some() { 2 } else { 0 };
        functions.function("run", Linkage::Export, params, true, |b, module, _, params| {
            self.emit(b, module, params);
        })
    }

    fn emit<M: Module>(&self, b: &mut FunctionBuilder, module: &mut M, params: &[Value]) {
        let (own, rest) = params.split_at(params.len() - 4);
        let [input, output, workspace, options] = [0, 1, 2, 3].map(|i| rest[i]);
        let outputs = self.program.outputs.len();

        // A list of outputs can be read once it is known to be there.
        let mut pointers = vec![input, output, workspace];
        pointers.extend(own.first());
        for pointer in &pointers {
            fail_unless_set(b, *pointer);
        }
        let buffers: Vec<Value> = match outputs {
            1 => vec![output],
            n => (0..n).map(|i| b.ins().load(I64, flags(), output, i as i32 * 8)).collect(),
        };
        if outputs != 1 {
            buffers.iter().for_each(|buffer| fail_unless_set(b, *buffer));
        }
        fail_unless_aligned(b, workspace, ALIGN);
        fail_unless_aligned(b, input, self.input_align);
        buffers.iter().for_each(|buffer| fail_unless_aligned(b, *buffer, 4));
        let weights = self.weights(b, module, own);

        let options = self.options(b, options);
        let input_list = slot(b, self.program.inputs.len().max(1) as u32 * 8);
        b.ins().store(flags(), input, input_list, 0);
        let output_list = slot(b, outputs.max(1) as u32 * 8);
        for (i, buffer) in buffers.iter().enumerate() {
            b.ins().store(flags(), *buffer, output_list, i as i32 * 8);
        }
        let first = b.ins().iconst(I64, 0);
        let end = b.ins().iconst(I64, self.program.turns() as i64);
        let arguments = [input_list, output_list, weights, workspace, options, first, end];
        self.dispatch(b, module, &arguments);
    }

    /// Calls the first level that the machine can run.
    fn dispatch<M: Module>(&self, b: &mut FunctionBuilder, module: &mut M, arguments: &[Value]) {
        let level = self.cpu.map(|(test, memory)| {
            let test = module.declare_func_in_func(test, b.func);
            let memory = module.declare_data_in_func(memory, b.func);
            let memory = b.ins().symbol_value(I64, memory);
            cpu_level(b, test, memory)
        });
        for one in self.levels {
            let next = match (level, one.rank) {
                (Some(level), Some(rank)) => {
                    let (here, next) = (b.create_block(), b.create_block());
                    let rank = b.ins().iconst(I32, rank);
                    let able = b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, level, rank);
                    b.ins().brif(able, here, &[], next, &[]);
                    b.switch_to_block(here);
                    Some(next)
                }
                _ => None,
            };
            let steps = module.declare_func_in_func(one.steps, b.func);
            b.ins().call(steps, arguments);
            give(b, 0);
            let Some(next) = next else { return };
            b.switch_to_block(next);
        }
        give(b, code("E_CPU"));
    }

    /// Where the weights are; those from outside are checked.
    fn weights<M: Module>(&self, b: &mut FunctionBuilder, module: &mut M, own: &[Value]) -> Value {
        let (Some((header, rows)), [weights, bytes]) = (&self.external, own) else {
            return match self.weights {
                Some(data) => {
                    let data = module.declare_data_in_func(data, b.func);
                    // The linker is told of the symbol by name, but it is in this object.
                    if let GlobalValueData::Symbol { colocated, .. } =
                        &mut b.func.global_values[data]
                    {
                        *colocated = true;
                    }
                    b.ins().symbol_value(I64, data)
                }
                None => b.ins().iconst(I64, 0),
            };
        };
        fail_unless_aligned(b, *weights, ALIGN);
        let least = b.ins().iconst(I64, external::HEADER_BYTES as i64 + header.bytes as i64);
        let enough = b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, *bytes, least);
        fail_unless(b, enough, "E_WEIGHTS");
        for (i, expected) in header.words().into_iter().enumerate() {
            let word = b.ins().load(I64, flags(), *weights, i as i32 * 8);
            let expected = b.ins().iconst(I64, expected as i64);
            let same = b.ins().icmp(IntCC::Equal, word, expected);
            fail_unless(b, same, "E_WEIGHTS");
        }
        let payload = b.ins().iadd_imm_s(*weights, external::HEADER_BYTES as i64);
        if let Some(rows) = rows {
            let rows = module.declare_data_in_func(*rows, b.func);
            let rows = b.ins().symbol_value(I64, rows);
            check_tables(b, payload, rows, self.tables.len());
        }
        payload
    }

    /// The options as the steps read them: a null pointer for this thread alone, else a copy with as
    /// many threads as the workspace has room for.
    fn options(&self, b: &mut FunctionBuilder, options: Value) -> Value {
        let (some, fields, parallel, known) =
            (b.create_block(), b.create_block(), b.create_block(), b.create_block());
        b.append_block_param(known, I64);
        let none = b.ins().iconst(I64, 0);
        b.ins().brif(options, some, &[], known, &[BlockArg::from(none)]);

        b.switch_to_block(some);
        let size = b.ins().load(I64, flags(), options, option::SIZE);
        let least = b.ins().iconst(I64, i64::from(option::BYTES));
        let large = b.ins().icmp(IntCC::UnsignedGreaterThanOrEqual, size, least);
        fail_unless(b, large, "E_OPTIONS");
        let parallel_for = b.ins().load(I64, flags(), options, option::PARALLEL_FOR);
        b.ins().brif(parallel_for, fields, &[], known, &[BlockArg::from(none)]);

        b.switch_to_block(fields);
        let threads = b.ins().load(I64, flags(), options, option::THREADS);
        let one = b.ins().iconst(I64, 1);
        let several = b.ins().icmp(IntCC::UnsignedGreaterThan, threads, one);
        b.ins().brif(several, parallel, &[], known, &[BlockArg::from(none)]);

        b.switch_to_block(parallel);
        let most = b.ins().iconst(I64, self.threads as i64);
        let fewer = b.ins().icmp(IntCC::UnsignedLessThan, threads, most);
        let threads = b.ins().select(fewer, threads, most);
        let pool = b.ins().load(I64, flags(), options, option::POOL);
        let copy = slot(b, option::BYTES);
        for (value, at) in [
            (least, option::SIZE),
            (parallel_for, option::PARALLEL_FOR),
            (pool, option::POOL),
            (threads, option::THREADS),
        ] {
            b.ins().store(flags(), value, copy, at);
        }
        b.ins().jump(known, &[BlockArg::from(copy)]);
        b.switch_to_block(known);
        b.block_params(known)[0]
    }
}

/// The result of the CPU test, which is remembered: every thread that asks stores the same.
fn cpu_level(b: &mut FunctionBuilder, test: FuncRef, memory: Value) -> Value {
    let (ask, known) = (b.create_block(), b.create_block());
    b.append_block_param(known, I32);
    let seen = b.ins().atomic_load(I32, flags(), memory);
    b.ins().brif(seen, known, &[BlockArg::from(seen)], ask, &[]);
    b.switch_to_block(ask);
    let call = b.ins().call(test, &[]);
    let level = b.inst_results(call)[0];
    b.ins().atomic_store(flags(), level, memory);
    b.ins().jump(known, &[BlockArg::from(level)]);
    b.switch_to_block(known);
    b.block_params(known)[0]
}

/// Checks that all indices in the weights are within what is read through them.
fn check_tables(b: &mut FunctionBuilder, weights: Value, rows: Value, count: usize) {
    let zero = b.ins().iconst(I64, 0);
    let count = b.ins().iconst(I64, count as i64);
    each(b, zero, count, |b, i| {
        let at = b.ins().imul_imm_s(i, external::TABLE_ROW as i64);
        let row = b.ins().iadd(rows, at);
        let mut word = |i: i32| b.ins().load(I64, flags(), row, i * 8);
        let (offset, entries, stride, limit) = (word(0), word(1), word(2), word(3));
        let table = b.ins().iadd(weights, offset);
        each(b, zero, entries, |b, i| {
            let at = b.ins().imul(i, stride);
            let at = b.ins().iadd(table, at);
            let index = b.ins().uload32(flags(), at, 0);
            let inside = b.ins().icmp(IntCC::UnsignedLessThan, index, limit);
            fail_unless(b, inside, "E_WEIGHTS");
        });
    });
}

fn slot(b: &mut FunctionBuilder, bytes: u32) -> Value {
    let slot = b.create_sized_stack_slot(StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4));
    b.ins().stack_addr(I64, slot, 0)
}

/// Returns a number.
fn give(b: &mut FunctionBuilder, number: i64) {
    let number = b.ins().iconst(I32, number);
    b.ins().return_(&[number]);
}

fn fail_unless(b: &mut FunctionBuilder, condition: Value, error: &str) {
    let (fine, fail) = (b.create_block(), b.create_block());
    b.ins().brif(condition, fine, &[], fail, &[]);
    b.switch_to_block(fail);
    give(b, code(error));
    b.switch_to_block(fine);
}

fn fail_unless_set(b: &mut FunctionBuilder, pointer: Value) {
    fail_unless(b, pointer, "E_NULL");
}

fn fail_unless_aligned(b: &mut FunctionBuilder, pointer: Value, align: usize) {
    if align > 1 {
        let rest = b.ins().band_imm_u(pointer, align as i64 - 1);
        let aligned = b.ins().icmp_imm_u(IntCC::Equal, rest, 0);
        debug_assert_eq!(b.func.dfg.value_type(aligned), I8);
        fail_unless(b, aligned, "E_ALIGN");
    }
}
