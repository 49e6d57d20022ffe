//! Kernels as machine code, whatever becomes of it: called in this process or put into an object.

use crate::chain;
use crate::entry::{Functions, StepCode};
use crate::error::CodegenError;
use crate::kernels::{self, Target};
use crate::laps;
use crate::name;
use crate::pool::thread_count;
use crate::portable::{Portable, PortableIsa};
use crate::program::{Kernel, Program};
use crate::vir;
use crate::wide::{self, WideIsa};
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_module::{FuncId, Module};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What makes the kernels' code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Emitter {
    /// Cranelift, 128-bit vectors.
    Portable,
    /// The wide emitter.
    Wide(WideIsa),
}

/// Machine code of a kernel; it refers to nothing outside itself.
pub(crate) struct Code {
    /// Instructions, then constants.
    pub bytes: Vec<u8>,
    /// Bytes that are instructions.
    pub instructions: usize,
    /// How to unwind from it, where Cranelift made it.
    pub unwind: Option<UnwindInfo>,
    /// Number of units.
    pub units: usize,
    /// Bytes of scratch memory that a thread needs, a multiple of 64.
    pub scratch: usize,
    /// Approximate time on one thread in nanoseconds.
    pub cost: u64,
}

/// What kernel builders may use of an instruction set of the wide emitter.
pub(crate) fn wide_target(isa: WideIsa) -> Target {
    match isa {
        WideIsa::Avx2 => Target::AVX2,
        WideIsa::Avx512 => Target::AVX512,
    }
}

/// A kernel that an emitter makes code of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leaf {
    pub kernel: Kernel,
    /// Whether it has a clock between its stages.
    pub timed: bool,
}

/// The kernels of a program that an emitter makes code of: chains as the kernels of their stages.
pub(crate) struct Leaves {
    /// The kernels, each once.
    pub all: Vec<Leaf>,
    /// For each kernel of the program the numbers of its own, or its stages'.
    of: Vec<Vec<usize>>,
    /// For each kernel of the program the number of the one with a clock, where it times itself.
    timed: Vec<Option<usize>>,
}

impl Leaves {
    /// The leaves of a program for a target, in order of appearance; if `timed`, also those with clocks, behind the
    /// others. Where nothing can be fetched ahead, kernels that differ in it are one.
    pub fn new(program: &Program, target: &Target, timed: bool) -> Leaves {
        let mut all = Vec::new();
        let mut numbers: HashMap<Leaf, usize> = HashMap::new();
        let mut number = |kernel: Kernel, timed: bool| {
            *numbers.entry(Leaf { kernel, timed }).or_insert_with_key(|leaf| {
                all.push(leaf.clone());
                all.len() - 1
            })
        };
        let of = program.kernels.iter().map(|kernel| match kernel {
            Kernel::Chain(chain) => {
                chain.stage_kernels().map(|stage| number(stage, false)).collect()
            }
            _ if target.prefetch => vec![number(kernel.clone(), false)],
            _ => vec![number(kernel.without_ahead(), false)],
        });
        let of = of.collect();
        let with_clock = |kernel: &Kernel| {
            (timed && kernel.times_itself()).then(|| number(kernel.clone(), true))
        };
        let timed = program.kernels.iter().map(with_clock).collect();
        Leaves { all, of, timed }
    }

    /// Their symbols, which begin with `prefix`.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let name = |(i, leaf): (usize, &Leaf)| {
            let timed = if leaf.timed { "_timed" } else { "" };
            format!("{prefix}_k{i}_{}{timed}", name::kernel(&leaf.kernel))
        };
        self.all.iter().enumerate().map(name).collect()
    }
}

/// What steps need to know of a kernel's function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Linked {
    pub function: FuncId,
    pub units: usize,
    /// Bytes of scratch memory that a thread needs.
    pub scratch: usize,
    cost: u64,
}

/// The functions of a program's kernels, of which those of the leaves are defined; defines those of
/// chains, with a clock if `timed`.
pub(crate) fn link<M: Module>(
    own: &mut Functions<M>,
    program: &Program,
    leaves: &Leaves,
    codes: &[Code],
    functions: &[FuncId],
    timed: bool,
) -> Result<Vec<Linked>, CodegenError> {
    let mut linked = Vec::with_capacity(program.kernels.len());
    let with_clock = &leaves.timed;
    for (i, (kernel, leaves)) in program.kernels.iter().zip(&leaves.of).enumerate() {
        let Kernel::Chain(chain) = kernel else {
            let leaf = with_clock[i].filter(|_| timed).unwrap_or(leaves[0]);
            let Code { units, scratch, cost, .. } = codes[leaf];
            linked.push(Linked { function: functions[leaf], units, scratch, cost });
            continue;
        };
        let stages: Vec<FuncId> = leaves.iter().map(|leaf| functions[*leaf]).collect();
        let name = format!("c{i}_{}", name::kernel(kernel));
        let function = chain::define(own, &name, chain, &stages, timed)?;
        let inner = leaves.iter().map(|leaf| codes[*leaf].scratch).max().unwrap_or(0);
        let counters = if timed { laps::bytes(stages.len()) } else { 0 };
        let scratch = counters + chain::Layout::new(chain).bytes() + inner;
        if scratch >= 1 << 31 {
            let message = format!("needs {scratch} bytes of scratch memory a thread");
            return Err(CodegenError::Kernel { kernel: name, message });
        }
        let cost = leaves.iter().map(|leaf| codes[*leaf].cost).sum();
        linked.push(Linked { function, units: chain::units(chain), scratch, cost });
    }
    Ok(linked)
}

/// The steps of a program with the functions of its kernels. Those that take less than
/// `share_from_ns` are not shared among threads.
pub(crate) fn step_codes(
    program: &Program,
    kernels: &[Linked],
    share_from_ns: u64,
) -> Vec<StepCode> {
    let step = |kernel: usize| {
        let Linked { function, units, cost, .. } = kernels[kernel];
        StepCode { function, units, shared: cost >= share_from_ns && units > 1 }
    };
    program.steps.iter().map(|one| step(one.kernel)).collect()
}

/// Builds and compiles all kernels on several threads (0: one a core). Which thread compiles a kernel
/// does not change its code.
pub(crate) fn compile_kernels(
    kernels: &[Leaf],
    names: &[String],
    (emitter, target): (Emitter, &Target),
    portable: &PortableIsa,
    threads: usize,
) -> Result<Vec<Code>, CodegenError> {
    let threads = thread_count(threads);
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<_, CodegenError>>>> =
        Mutex::new((0..names.len()).map(|_| None).collect());
    let work = || {
        let mut compiler = Portable::new(portable);
        let mut memory = wide::Memory::default();
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let (Some(leaf), Some(name)) = (kernels.get(i), names.get(i)) else {
                return;
            };
            let result = compile_kernel(leaf, name, (emitter, target), &mut compiler, &mut memory);
            if let Ok(mut results) = results.lock() {
                results[i] = Some(result);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(names.len()) {
            // Threads that cannot be started leave their work to the others.
            let _ = std::thread::Builder::new().spawn_scoped(scope, work);
        }
        work();
    });
    let results = results.into_inner().unwrap_or_else(|e| e.into_inner());
    let missing = |name: &String| CodegenError::Compile {
        function: name.clone(),
        message: "its compilation did not finish".into(),
    };
    results
        .into_iter()
        .zip(names)
        .map(|(r, name)| r.unwrap_or_else(|| Err(missing(name))))
        .collect()
}

fn compile_kernel(
    leaf: &Leaf,
    name: &str,
    (emitter, target): (Emitter, &Target),
    compiler: &mut Portable,
    memory: &mut wide::Memory,
) -> Result<Code, CodegenError> {
    let built = kernels::build_with(&leaf.kernel, name, target, leaf.timed)?;
    if cfg!(debug_assertions) {
        vir::check(&built.function)
            .map_err(|e| CodegenError::Compile { function: name.into(), message: e.message })?;
    }
    let (bytes, instructions, unwind) = match emitter {
        Emitter::Portable => {
            let (bytes, unwind) = compiler.compile(&built.function)?;
            let instructions = bytes.len();
            (bytes, instructions, unwind)
        }
        Emitter::Wide(isa) => {
            let code = wide::emit_with(&built.function, isa, memory).map_err(|e| {
                CodegenError::Compile { function: name.into(), message: e.to_string() }
            })?;
            (code.bytes, code.code_len, None)
        }
    };
    let (units, scratch, cost) = (built.units, built.scratch, built.cost);
    Ok(Code { bytes, instructions, unwind, units, scratch, cost })
}
