//! The machine's measured peak: fused multiply-adds on registers, with nothing else to do.

use crate::error::CodegenError;
use crate::portable::{Portable, PortableIsa};
use crate::vir::{Builder, Count, KernelFunction};
use crate::wide::{self, WideIsa};
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, Signature};
use cranelift_jit::{JITBuilder, JITModule};
use cranelift_module::{Linkage, Module};
use std::sync::Barrier;
use std::time::Instant;

/// Independent sums: more than latency times throughput of the multipliers of any CPU so far.
const SUMS: usize = 12;
/// Multiply-adds of each sum in a turn of the loop.
const UNROLL: usize = 4;
/// Turns of a call: well below a millisecond, so that interrupts hit few calls.
const TURNS: u64 = 20_000;
/// Calls, of which the fastest counts.
const CALLS: usize = 40;

/// A measured peak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Peak {
    /// Width of the vectors in bits.
    pub bits: u32,
    /// Threads that ran at once.
    pub threads: usize,
    /// Billions of `f32` operations a second, all threads together; a multiply-add is two.
    pub gflops: f64,
}

/// Measures the peak of `threads` threads for each width of vectors that the machine has and that
/// a kernel may use: 128 and, on x86-64, 256 and 512 bits.
pub fn measure(threads: usize) -> Result<Vec<Peak>, CodegenError> {
    let isa = PortableIsa::host()?;
    let code = Portable::new(&isa).compile(&kernel(4))?;
    let mut result = vec![run(&isa, &code, 4, threads)?];
    for wide in [WideIsa::Avx2, WideIsa::Avx512] {
        if wide.is_available() {
            let code = wide::emit(&kernel(wide.lanes()), wide).map_err(|e| {
                CodegenError::Compile { function: "peak".into(), message: e.to_string() }
            })?;
            result.push(run(&isa, &code.bytes, wide.lanes(), threads)?);
        }
    }
    Ok(result)
}

/// `peak(memory, turns)`: multiply-adds on values of `memory`, whose sums it stores there.
fn kernel(lanes: u32) -> KernelFunction {
    let mut b = Builder::new("peak", 2, lanes);
    let (memory, turns) = (b.param(0), b.param(1));
    let sums: Vec<_> = (0..SUMS).map(|_| b.load(memory, 0)).collect();
    let (x, y) = (b.load(memory, 64), b.load(memory, 128));
    b.repeat(Count::Reg(turns), |b| {
        for _ in 0..UNROLL {
            for sum in &sums {
                b.fma(*sum, x, y);
            }
        }
    });
    for sum in sums {
        b.store(sum, memory, 0);
    }
    b.finish()
}

#[repr(C, align(64))]
struct Memory([f32; 48]);

fn run(isa: &PortableIsa, code: &[u8], lanes: u32, threads: usize) -> Result<Peak, CodegenError> {
    let fail = |e| CodegenError::module("peak", e);
    let builder = JITBuilder::with_isa(isa.isa.clone(), cranelift_module::default_libcall_names());
    let mut module = JITModule::new(builder);
    let mut signature = Signature::new(module.isa().default_call_conv());
    signature.params.extend([AbiParam::new(I64), AbiParam::new(I64)]);
    let id = module.declare_function("peak", Linkage::Local, &signature).map_err(fail)?;
    module.define_function_bytes(id, 64, code, &[]).map_err(fail)?;
    module.finalize_definitions().map_err(fail)?;
    let address = module.get_finalized_function(id);
    // SAFETY: the function takes two words in the host's calling convention, and stays in memory
    // until `free_memory` below.
    let function = unsafe {
        std::mem::transmute::<*const u8, unsafe extern "C" fn(*mut Memory, u64)>(address)
    };
    let threads = threads.max(1);
    let barrier = Barrier::new(threads);
    let work = || {
        // Small values: the sums stay normal numbers.
        let mut memory = Memory([1e-3; 48]);
        // SAFETY: the function touches 192 bytes of its own memory.
        let mut call = |turns| unsafe { function(&mut memory, turns) };
        call(TURNS);
        barrier.wait();
        (0..CALLS)
            .map(|_| {
                let start = Instant::now();
                call(TURNS);
                start.elapsed().as_secs_f64()
            })
            .fold(f64::INFINITY, f64::min)
    };
    let flops = (TURNS as usize * SUMS * UNROLL * lanes as usize * 2) as f64;
    let gflops = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let own = flops / work();
        let others = others.into_iter().filter_map(|t| t.join().ok()).map(|time| flops / time);
        (own + others.sum::<f64>()) / 1e9
    });
    // SAFETY: all threads that ran the code have ended.
    unsafe { module.free_memory() };
    Ok(Peak { bits: lanes * 32, threads, gflops })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_peak_is_measured() {
        for peak in super::measure(1).unwrap() {
            assert!(peak.gflops > 0.5 && peak.gflops < 10_000.0, "{peak:?}");
        }
    }
}
