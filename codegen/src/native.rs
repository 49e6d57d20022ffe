//! Kernels as machine code, whatever becomes of it: called in this process or put into an object.

use crate::entry::StepCode;
use crate::error::CodegenError;
use crate::kernels::{self, Target};
use crate::name;
use crate::portable::{Portable, PortableIsa};
use crate::program::{Kernel, Program};
use crate::vir;
use crate::wide::{self, WideIsa};
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_module::FuncId;
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

/// Symbols of a program's kernels, which begin with `prefix`.
pub(crate) fn kernel_names(program: &Program, prefix: &str) -> Vec<String> {
    let kernels = program.kernels.iter().enumerate();
    kernels.map(|(i, kernel)| format!("{prefix}_k{i}_{}", name::kernel(kernel))).collect()
}

/// The steps of a program with the functions of its kernels. Those that take less than
/// `share_from_ns` are not shared among threads.
pub(crate) fn step_codes(
    program: &Program,
    kernels: &[Code],
    functions: &[FuncId],
    share_from_ns: u64,
) -> Vec<StepCode> {
    let step = |kernel: usize| {
        let code = &kernels[kernel];
        let shared = code.cost >= share_from_ns && code.units > 1;
        StepCode { function: functions[kernel], units: code.units, shared }
    };
    program.steps.iter().map(|one| step(one.kernel)).collect()
}

/// Builds and compiles all kernels on several threads (0: one a core). Which thread compiles a kernel
/// does not change its code.
pub(crate) fn compile_kernels(
    program: &Program,
    names: &[String],
    (emitter, target): (Emitter, &Target),
    portable: &PortableIsa,
    threads: usize,
) -> Result<Vec<Code>, CodegenError> {
    let threads = match threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    };
    let next = AtomicUsize::new(0);
    let results: Mutex<Vec<Option<Result<_, CodegenError>>>> =
        Mutex::new((0..names.len()).map(|_| None).collect());
    let work = || {
        let mut compiler = Portable::new(portable);
        loop {
            let i = next.fetch_add(1, Ordering::Relaxed);
            let (Some(kernel), Some(name)) = (program.kernels.get(i), names.get(i)) else {
                return;
            };
            let result = compile_kernel(kernel, name, (emitter, target), &mut compiler);
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
    kernel: &Kernel,
    name: &str,
    (emitter, target): (Emitter, &Target),
    compiler: &mut Portable,
) -> Result<Code, CodegenError> {
    let built = kernels::build(kernel, name, target)?;
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
            let code = wide::emit(&built.function, isa).map_err(|e| CodegenError::Compile {
                function: name.into(),
                message: e.to_string(),
            })?;
            (code.bytes, code.code_len, None)
        }
    };
    let (units, scratch, cost) = (built.units, built.scratch, built.cost);
    Ok(Code { bytes, instructions, unwind, units, scratch, cost })
}
