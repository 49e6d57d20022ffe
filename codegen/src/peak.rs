//! The machine's measured peak: fused multiply-adds on registers, with nothing else to do.

use crate::error::CodegenError;
use crate::probe::{Probe, race};
use crate::vir::{Builder, Count, KernelFunction};
use crate::wide::WideIsa;

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
    let wide = [WideIsa::Avx2, WideIsa::Avx512].into_iter().filter(|isa| isa.is_available());
    std::iter::once(None).chain(wide.map(Some)).map(|isa| run(isa, threads)).collect()
}

/// Measures the peak of the widest vectors that the machine has: in each of some rounds on one thread,
/// then on `threads` threads, so that what changes meanwhile changes both. The best round of each counts.
pub fn one_and_all(threads: usize) -> Result<[Peak; 2], CodegenError> {
    const ROUNDS: usize = 3;
    let isa = WideIsa::detect();
    let mut best = [run(isa, 1)?, run(isa, threads)?];
    for _ in 1..ROUNDS {
        for (best, threads) in best.iter_mut().zip([1, threads]) {
            let peak = run(isa, threads)?;
            best.gflops = best.gflops.max(peak.gflops);
        }
    }
    Ok(best)
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

fn run(isa: Option<WideIsa>, threads: usize) -> Result<Peak, CodegenError> {
    let lanes = isa.map_or(4, WideIsa::lanes);
    let probe = Probe::new(&kernel(lanes), isa)?;
    let flops = (TURNS as usize * SUMS * UNROLL * lanes as usize * 2) as f64;
    let times = race(
        threads,
        CALLS,
        // Small values: the sums stay normal numbers.
        || Memory([1e-3; 48]),
        // SAFETY: the function touches the first 192 bytes.
        |memory| unsafe { probe.call(&mut memory.0, TURNS) },
    );
    let gflops = times.iter().map(|time| flops / time / 1e9).sum();
    Ok(Peak { bits: lanes * 32, threads: threads.max(1), gflops })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_peak_is_measured() {
        for peak in super::measure(1).unwrap() {
            assert!(peak.gflops > 0.5 && peak.gflops < 10_000.0, "{peak:?}");
        }
    }

    #[test]
    fn one_thread_and_several() {
        let [one, all] = super::one_and_all(2).unwrap();
        assert_eq!([one.threads, all.threads], [1, 2]);
        assert!(one.gflops > 0.5 && all.gflops > 0.5, "{one:?} {all:?}");
    }
}
