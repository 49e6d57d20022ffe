//! Programs as callable code in this process.

mod timed;

pub use timed::StepTime;

use crate::buffer::{ALIGN, AlignedBuffer};
use crate::entry::{self, Functions, Options};
use crate::error::CodegenError;
use crate::kernels::{self, BuiltKernel, Target};
use crate::native::{self, Emitter, Leaf, Leaves};
use crate::pool::Pool;
use crate::portable::{Portable, PortableIsa};
use crate::program::Program;
use crate::validate::{self, MAX_BUFFERS, Table};
use crate::wide::WideIsa;
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, Signature};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{FuncId, Linkage, Module};
use timed::Timed;

/// Which emitter makes the kernels' code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Backend {
    /// The best that the machine can run.
    #[default]
    Auto,
    /// The widest vectors of the machine; an error where there are none.
    Wide,
    /// Cranelift's 128-bit vectors.
    Portable,
}

/// How to compile.
#[derive(Clone, Debug)]
pub struct CompileOptions {
    /// The emitter.
    pub backend: Backend,
    /// The instruction set of the wide emitter; by default the widest that the machine has.
    pub isa: Option<WideIsa>,
    /// Keep the portable emitter to what every machine of this kind has: the bits of an object that is
    /// built for such.
    pub baseline: bool,
    /// Threads that compile; 0 for one a core.
    pub threads: usize,
    /// Steps whose estimated time on one thread is less than this many nanoseconds are not shared
    /// among threads. Changes no result.
    pub share_from_ns: u64,
    /// Also make code that times the stages inside steps, for [`CompiledProgram::run_timed`]. Changes
    /// nothing else.
    pub stage_times: bool,
}

impl Default for CompileOptions {
    fn default() -> Self {
        CompileOptions {
            backend: Backend::Auto,
            isa: None,
            baseline: false,
            threads: 0,
            share_from_ns: 8_000,
            stage_times: false,
        }
    }
}

/// A program as code. Any number of threads may run it at once, each with its own workspace.
pub struct CompiledProgram {
    program: Program,
    /// Name, address and bytes of the kernels' functions.
    kernels: Vec<KernelCode>,
    /// Scratch bytes of a thread.
    scratch: usize,
    tables: Vec<Table>,
    steps: StepsFunction,
    /// With clocks between the stages of steps.
    timed: Option<Timed>,
    /// Name, address and bytes of the functions that walk the steps.
    entry: Vec<(String, *const u8, usize)>,
    emitter: Emitter,
    baseline: bool,
    target: Target,
    /// Owns the memory of the code; only taken by `drop`.
    module: Option<JITModule>,
}

// SAFETY: after compilation the module is only an owner of memory that is never written again;
// nothing but `drop` touches it. All other fields are plain data.
unsafe impl Send for CompiledProgram {}
// SAFETY: as above; shared references read immutable data and call code that is reentrant.
unsafe impl Sync for CompiledProgram {}

/// A function of a compiled program in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol<'a> {
    /// Its name: of a kernel the program, its number, and what [`crate::name::kernel`] says.
    pub name: &'a str,
    /// Where it starts.
    pub address: usize,
    /// Bytes of its instructions and constants.
    pub bytes: usize,
}

/// A kernel's code in memory.
struct KernelCode {
    leaf: Leaf,
    name: String,
    address: *const u8,
    bytes: usize,
    /// Bytes that are instructions; constants follow.
    instructions: usize,
}

type StepsFunction = unsafe extern "C" fn(
    inputs: *const *const f32,
    outputs: *const *mut f32,
    weights: *const u8,
    workspace: *mut u8,
    options: *const Options,
    first: usize,
    end: usize,
);

/// Compiles a program for this machine.
pub fn compile(
    program: &Program,
    options: &CompileOptions,
) -> Result<CompiledProgram, CodegenError> {
    let tables = validate::check(program)?;
    let (emitter, target) = choose(options)?;
    let portable = portable_isa(options.baseline)?;
    let leaves = Leaves::new(program, &target, options.stage_times);
    let names = leaves.names(&program.name);
    let compiled = native::compile_kernels(
        &leaves.all,
        &names,
        (emitter, &target),
        &portable,
        options.threads,
    )?;

    let builder =
        JITBuilder::with_isa(portable.isa.clone(), cranelift_module::default_libcall_names());
    let mut module = Owner(Some(JITModule::new(builder)));
    let mut functions = Vec::with_capacity(compiled.len());
    {
        let module = module.get()?;
        let mut signature = Signature::new(module.isa().default_call_conv());
        signature.params.extend((0..4).map(|_| AbiParam::new(I64)));
        for (name, code) in names.iter().zip(&compiled) {
            let id = module
                .declare_function(name, Linkage::Local, &signature)
                .map_err(|e| CodegenError::module(name, e))?;
            module
                .define_function_bytes(id, ALIGN as u64, &code.bytes, &[])
                .map_err(|e| CodegenError::module(name, e))?;
            functions.push(id);
        }
    }
    // The functions of steps, and the scratch bytes of a thread.
    let define = |module: &mut JITModule, name: &str, timed: bool| {
        let mut own = Functions::new(module, name);
        let linked = native::link(&mut own, program, &leaves, &compiled, &functions, timed)?;
        let scratch = linked.iter().map(|kernel| kernel.scratch).max().unwrap_or(0);
        let steps = native::step_codes(program, &linked, options.share_from_ns);
        Ok::<_, CodegenError>((entry::define(&mut own, program, &steps, scratch)?, scratch))
    };
    let (entry, scratch) = define(module.get()?, &program.name, false)?;
    let timed = match options.stage_times {
        true => Some(define(module.get()?, &format!("{}_timed", program.name), true)?),
        false => None,
    };
    let jit = module.get()?;
    jit.finalize_definitions().map_err(|e| CodegenError::module(&program.name, e))?;
    let address = |id: FuncId| jit.get_finalized_function(id);
    let kernels = names
        .into_iter()
        .zip(&compiled)
        .zip(&functions)
        .zip(leaves.all)
        .map(|(((name, code), id), leaf)| KernelCode {
            leaf,
            name,
            address: address(*id),
            bytes: code.bytes.len(),
            instructions: code.instructions,
        })
        .collect();
    let steps_function = |entry: &entry::Entry| {
        let steps = address(entry.steps);
        // SAFETY: `entry` defined the function with seven words and the host's calling convention.
        unsafe { std::mem::transmute::<*const u8, StepsFunction>(steps) }
    };
    let steps = steps_function(&entry);
    let mut functions = entry.functions;
    let timed = timed.map(|(entry, scratch)| {
        let steps = steps_function(&entry);
        functions.extend(entry.functions);
        let stages = program.steps.iter().map(|step| program.kernels[step.kernel].stages().len());
        Timed { function: steps, stages: stages.collect(), scratch }
    });
    let entry = functions.into_iter().map(|f| (f.name, address(f.id), f.bytes)).collect();
    let scratch = timed.as_ref().map_or(scratch, |timed| timed.scratch.max(scratch));
    Ok(CompiledProgram {
        program: program.clone(),
        kernels,
        scratch,
        tables,
        steps,
        timed,
        entry,
        emitter,
        baseline: options.baseline,
        target,
        module: module.0.take(),
    })
}

/// Frees a module's memory, also when compilation fails.
struct Owner(Option<JITModule>);

impl Owner {
    fn get(&mut self) -> Result<&mut JITModule, CodegenError> {
        self.0.as_mut().ok_or_else(|| CodegenError::Unsupported("the module is gone".into()))
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(module) = self.0.take() {
            // SAFETY: no address of the module's code was handed out.
            unsafe { module.free_memory() };
        }
    }
}

impl Drop for CompiledProgram {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: code is only called through `self`, which is borrowed while it runs.
            unsafe { module.free_memory() };
        }
    }
}

fn portable_isa(baseline: bool) -> Result<PortableIsa, CodegenError> {
    match baseline {
        true => PortableIsa::host_baseline(),
        false => PortableIsa::host(),
    }
}

/// The emitter, and what kernel builders may use.
fn choose(options: &CompileOptions) -> Result<(Emitter, Target), CodegenError> {
    let portable = if cfg!(target_arch = "x86_64") { Target::X86_128 } else { Target::NEON };
    let isa = match options.isa {
        Some(isa) => Some(isa).filter(|isa| isa.is_available()),
        None => WideIsa::detect(),
    };
    match (options.backend, isa) {
        (Backend::Portable, _) | (Backend::Auto, None) => Ok((Emitter::Portable, portable)),
        (Backend::Auto | Backend::Wide, Some(isa)) => {
            Ok((Emitter::Wide(isa), native::wide_target(isa)))
        }
        (Backend::Wide, None) => Err(CodegenError::Unsupported(
            "the wide back end needs a CPU with AVX2 and FMA; use the portable one here".into(),
        )),
    }
}

impl CompiledProgram {
    /// The program it was made from.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Bytes of workspace for that many threads.
    pub fn workspace_bytes(&self, threads: usize) -> usize {
        self.arena_bytes().saturating_add(self.scratch.saturating_mul(threads.max(1)))
    }

    fn arena_bytes(&self) -> usize {
        self.program.arena_bytes.next_multiple_of(ALIGN)
    }

    /// A workspace for that many threads.
    pub fn workspace(&self, threads: usize) -> Result<AlignedBuffer, CodegenError> {
        AlignedBuffer::zeroed(self.workspace_bytes(threads))
    }

    /// Runs the program. Buffers have the lengths that the program states; `weights` are aligned to
    /// 64 bytes; `workspace` is large enough for the pool's threads, or for fewer, of which
    /// the program then uses as many as fit. Nothing is allocated.
    pub fn run(
        &self,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
        weights: &[u8],
        workspace: &mut AlignedBuffer,
        pool: &Pool,
    ) -> Result<(), CodegenError> {
        self.run_in(inputs, outputs, weights, workspace.as_bytes_mut(), pool)
    }

    /// As [`CompiledProgram::run`], with a workspace from elsewhere, aligned to 64 bytes.
    pub fn run_in(
        &self,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
        weights: &[u8],
        workspace: &mut [u8],
        pool: &Pool,
    ) -> Result<(), CodegenError> {
        let call = self.prepare(inputs, outputs, weights, workspace, pool)?;
        // SAFETY: `prepare` checked all buffers against the checked program.
        unsafe { self.call(self.steps, &call, 0, self.program.turns()) };
        Ok(())
    }

    fn prepare(
        &self,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
        weights: &[u8],
        workspace: &mut [u8],
        pool: &Pool,
    ) -> Result<Call, CodegenError> {
        let program = &self.program;
        let count = |what: &str, given: usize, expected: usize| match given == expected {
            true => Ok(()),
            false => Err(CodegenError::Buffer {
                what: what.into(),
                message: format!("{given} buffers instead of {expected}"),
            }),
        };
        let length =
            |what: &str, i: usize, given: usize, expected: usize| match given * 4 == expected {
                true => Ok(()),
                false => Err(CodegenError::Buffer {
                    what: format!("{what} {i}"),
                    message: format!("{given} values instead of {}", expected / 4),
                }),
            };
        count("inputs", inputs.len(), program.inputs.len())?;
        count("outputs", outputs.len(), program.outputs.len())?;
        let mut call = Call {
            inputs: [std::ptr::null(); MAX_BUFFERS],
            outputs: [std::ptr::null_mut(); MAX_BUFFERS],
            weights: weights.as_ptr(),
            workspace: workspace.as_mut_ptr(),
            options: Options {
                size: size_of::<Options>(),
                parallel_for: Pool::parallel_for_c,
                pool: std::ptr::from_ref(pool).cast_mut().cast(),
                threads: 1,
            },
        };
        for (i, (buffer, bytes)) in inputs.iter().zip(&program.inputs).enumerate() {
            length("input", i, buffer.len(), *bytes)?;
            call.inputs[i] = buffer.as_ptr();
        }
        for (i, (buffer, bytes)) in outputs.iter_mut().zip(&program.outputs).enumerate() {
            length("output", i, buffer.len(), *bytes)?;
            call.outputs[i] = buffer.as_mut_ptr();
        }
        if weights.len() < program.weights_bytes {
            return Err(CodegenError::Buffer {
                what: "weights".into(),
                message: format!("{} bytes instead of {}", weights.len(), program.weights_bytes),
            });
        }
        for (what, start, len) in [
            ("weights", weights.as_ptr(), weights.len()),
            ("workspace", workspace.as_ptr(), workspace.len()),
        ] {
            if !(start as usize).is_multiple_of(ALIGN) && len > 0 {
                return Err(CodegenError::Buffer {
                    what: what.into(),
                    message: format!("not aligned to {ALIGN} bytes"),
                });
            }
        }
        if workspace.len() < self.workspace_bytes(1) {
            return Err(CodegenError::Buffer {
                what: "workspace".into(),
                message: format!(
                    "{} bytes; one thread needs {}",
                    workspace.len(),
                    self.workspace_bytes(1)
                ),
            });
        }
        validate::check_tables(&self.tables, weights)?;
        let scratch = workspace.len() - self.arena_bytes();
        let fitting = scratch.checked_div(self.scratch).unwrap_or(usize::MAX);
        call.options.threads = pool.threads().min(fitting).max(1);
        Ok(call)
    }

    /// # Safety
    ///
    /// `steps` is this program's, `call` comes from `prepare`, its buffers are still live and nobody else
    /// touches them, and steps before `first` ran.
    unsafe fn call(&self, steps: StepsFunction, call: &Call, first: usize, end: usize) {
        // SAFETY: the code touches only the buffers that `prepare` checked, within the operands
        // that `check` found to fit; the pool is borrowed for the call.
        unsafe {
            steps(
                call.inputs.as_ptr(),
                call.outputs.as_ptr(),
                call.weights,
                call.workspace,
                &call.options,
                first,
                end,
            )
        }
    }

    /// Every function of the program, for profilers and debuggers.
    pub fn symbols(&self) -> impl Iterator<Item = Symbol<'_>> {
        let kernels = self.kernels.iter().map(|k| (&k.name, k.address, k.bytes));
        let entry = self.entry.iter().map(|(name, address, bytes)| (name, *address, *bytes));
        let symbol = |(name, address, bytes): (_, *const u8, _)| {
            let name: &String = name;
            Symbol { name: name.as_str(), address: address as usize, bytes }
        };
        kernels.chain(entry).map(symbol)
    }

    /// Bytes of the kernels' code.
    pub fn code_bytes(&self) -> usize {
        self.kernels.iter().map(|k| k.bytes).sum()
    }

    fn built(&self, code: &KernelCode) -> Result<BuiltKernel, CodegenError> {
        let Leaf { kernel, timed } = &code.leaf;
        kernels::build_with(kernel, &code.name, &self.target, *timed)
    }

    /// The kernels in the vector kernel IR.
    pub fn vir_text(&self) -> Result<String, CodegenError> {
        let mut text = String::new();
        for code in &self.kernels {
            text += &self.built(code)?.function.to_string();
        }
        Ok(text)
    }

    /// What the emitter was given: Cranelift IR for the portable one, the vector kernel IR for the
    /// wide one.
    pub fn clif_text(&self) -> Result<String, CodegenError> {
        match self.emitter {
            Emitter::Portable => {
                let isa = portable_isa(self.baseline)?;
                let mut compiler = Portable::new(&isa);
                let mut text = String::new();
                for code in &self.kernels {
                    let built = self.built(code)?;
                    text += &format!("; {}\n{}\n", code.name, compiler.text(&built.function));
                }
                Ok(text)
            }
            Emitter::Wide(_) => self.vir_text(),
        }
    }

    /// The back end that was chosen.
    pub fn backend(&self) -> Backend {
        match self.emitter {
            Emitter::Portable => Backend::Portable,
            Emitter::Wide(_) => Backend::Wide,
        }
    }

    /// The kernels' machine code, disassembled on x86-64, as bytes elsewhere.
    pub fn asm_text(&self) -> String {
        let mut text = String::new();
        for kernel in &self.kernels {
            // SAFETY: the module owns these bytes as long as `self` lives.
            let code = unsafe { std::slice::from_raw_parts(kernel.address, kernel.bytes) };
            text += &format!("{}:\n", kernel.name);
            text += &crate::asm::listing(&code[..kernel.instructions]);
        }
        text
    }
}

/// Arguments of the generated code.
struct Call {
    inputs: [*const f32; MAX_BUFFERS],
    outputs: [*mut f32; MAX_BUFFERS],
    weights: *const u8,
    workspace: *mut u8,
    options: Options,
}
