//! Small functions that measure the machine, and threads that run them together.

use crate::error::CodegenError;
use crate::portable::{Portable, PortableIsa};
use crate::vir::KernelFunction;
use crate::wide::{self, WideIsa};
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, Signature};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module};
use std::sync::Barrier;
use std::time::Instant;

/// A function of two words as code of this process.
pub(crate) struct Probe {
    /// Only taken by `drop`.
    module: Option<JITModule>,
    function: unsafe extern "C" fn(*mut f32, u64),
}

// SAFETY: the module only owns memory that is never written again, until `drop`.
unsafe impl Sync for Probe {}

impl Probe {
    /// Makes code of a kernel function with two parameters: by the wide emitter, or by the portable
    /// one.
    pub fn new(function: &KernelFunction, isa: Option<WideIsa>) -> Result<Probe, CodegenError> {
        let host = PortableIsa::host()?;
        let name = &function.name;
        let code = match isa {
            None => Portable::new(&host).compile(function)?.0,
            Some(isa) => {
                let emitted = wide::emit(function, isa).map_err(|e| CodegenError::Compile {
                    function: name.clone(),
                    message: e.to_string(),
                });
                emitted?.bytes
            }
        };
        let fail = |e| CodegenError::module(name, e);
        let libcalls = cranelift_module::default_libcall_names();
        let module = JITModule::new(JITBuilder::with_isa(host.isa.clone(), libcalls));
        // From here on `drop` frees the module.
        let mut probe = Probe { module: Some(module), function: nothing };
        let Some(module) = probe.module.as_mut() else { return Ok(probe) };
        let mut signature = Signature::new(module.isa().default_call_conv());
        signature.params.extend([AbiParam::new(I64), AbiParam::new(I64)]);
        let id = module.declare_function(name, Linkage::Local, &signature).map_err(fail)?;
        module.define_function_bytes(id, 64, &code, &[]).map_err(fail)?;
        module.finalize_definitions().map_err(fail)?;
        let address = module.get_finalized_function(id);
        // SAFETY: the function takes two words in the host's calling convention, and its memory
        // lives as long as the probe.
        probe.function = unsafe {
            std::mem::transmute::<*const u8, unsafe extern "C" fn(*mut f32, u64)>(address)
        };
        Ok(probe)
    }

    /// Calls the function.
    ///
    /// # Safety
    ///
    /// What the function does with a pointer to `memory` and with `count` stays within `memory`.
    pub unsafe fn call(&self, memory: &mut [f32], count: u64) {
        // SAFETY: the caller vouches for it.
        unsafe { (self.function)(memory.as_mut_ptr(), count) }
    }
}

unsafe extern "C" fn nothing(_: *mut f32, _: u64) {}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(module) = self.module.take() {
            // SAFETY: `call` borrows the probe, so nobody runs the code.
            unsafe { module.free_memory() };
        }
    }
}

/// Runs `work` on so many threads at once, each with a state of its own that it makes first, and
/// gives each thread's shortest of `turns` times in seconds.
pub(crate) fn race<S>(
    threads: usize,
    turns: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S) + Sync,
) -> Vec<f64> {
    let threads = threads.max(1);
    let barrier = Barrier::new(threads);
    let one = || {
        let mut state = state();
        work(&mut state);
        barrier.wait();
        let times = (0..turns).map(|_| {
            let start = Instant::now();
            work(&mut state);
            start.elapsed().as_secs_f64()
        });
        times.fold(f64::INFINITY, f64::min)
    };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(one)).collect();
        let own = one();
        std::iter::once(own).chain(others.into_iter().filter_map(|t| t.join().ok())).collect()
    })
}
