//! What the machine could do at best: its measured peaks, and the roof that they set to a kernel.

use crate::error::Error;
use crate::tune::Cpu;
use netwright_codegen::bandwidth::{self, Bandwidth, Level};
use netwright_codegen::peak::{self, Peak};
use netwright_codegen::program::Kernel;
use netwright_codegen::work::{Stage, Work};

/// Measured peaks of the machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// What the CPU is called.
    pub cpu: String,
    /// Multiply-adds of one thread, with the widest vectors.
    pub one: Peak,
    /// Multiply-adds of all threads that the network runs on.
    pub all: Peak,
    /// Reading from each level of memory with all these threads, the fastest first.
    pub levels: Vec<Bandwidth>,
}

/// What bounds the time of a kernel from below.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The multipliers.
    Arithmetic,
    /// The way of its values from there.
    Bytes(Level),
}

impl Limit {
    /// In a word: `FMA`, `L2`.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Arithmetic => "FMA",
            Limit::Bytes(level) => level.name(),
        }
    }
}

/// The time that the machine would need at least, if nothing but its peaks held a kernel up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roof {
    /// The time.
    pub seconds: f64,
    /// The peak that sets it.
    pub limit: Limit,
}

impl Roof {
    /// Of so many kernels like this.
    pub fn times(self, n: usize) -> Roof {
        Roof { seconds: self.seconds * n as f64, ..self }
    }
}

/// Bytes that a whole network goes through in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Packed weights.
    pub weights: usize,
    /// Values between steps.
    pub arena: usize,
}

impl Sizes {
    fn all(self) -> u64 {
        (self.weights as u64).saturating_add(self.arena as u64)
    }
}

impl Machine {
    /// Measures the machine with one and with so many threads: a fraction of a second.
    ///
    /// # Errors
    /// When no native code can run here, or there is not enough memory.
    pub fn measure(threads: usize) -> Result<Machine, Error> {
        let failed = |error: netwright_codegen::CodegenError| {
            Error::Compile(format!("cannot measure the machine's peaks: {error}"))
        };
        let [one, all] = peak::one_and_all(threads).map_err(failed)?;
        let levels = bandwidth::measure(threads).map_err(failed)?;
        Ok(Machine { cpu: Cpu::host().name, one, all, levels })
    }

    /// The roof of a kernel in a network of that size.
    ///
    /// Values come from the first level that holds all that the kernel reads and writes. Weights come
    /// from the first level that holds the whole network: each is read once a run, and everything
    /// else is touched in between.
    pub fn roof(&self, work: &Work, network: Sizes) -> Roof {
        let values = work.read.saturating_add(work.written);
        self.lowest(work, [(values, values), (work.weights, network.all())])
    }

    /// The roof of a stage of `kernel`. What stages leave for each other comes from the first level that
    /// holds it; the rest as in [`Machine::roof`] of the whole kernel.
    pub fn stage_roof(&self, stage: &Stage, kernel: &Kernel, network: Sizes) -> Roof {
        let (work, whole) = (&stage.work, kernel.work());
        let inner = stage.inner_read.saturating_add(stage.inner_written);
        let outer = work.read.saturating_add(work.written).saturating_sub(inner);
        // Each thread holds such values of its own.
        let held = (kernel.held_bytes() as u64).saturating_mul(self.all.threads as u64);
        let values = whole.read.saturating_add(whole.written);
        self.lowest(work, [(inner, held), (outer, values), (work.weights, network.all())])
    }

    /// The roof of arithmetic, and of bytes that come from the level that holds so many.
    fn lowest<const N: usize>(&self, work: &Work, bytes: [(u64, u64); N]) -> Roof {
        let arithmetic = work.flops() as f64 / self.all.gflops / 1e9;
        let mut longest: Option<(f64, Level)> = None;
        let mut all = 0.0;
        for (bytes, held) in bytes {
            let Some(level) = self.level(held) else { continue };
            let time = bytes as f64 / level.gbps / 1e9;
            all += time;
            if longest.is_none_or(|(longest, _)| time > longest) {
                longest = Some((time, level.level));
            }
        }
        match longest {
            Some((_, level)) if all > arithmetic => {
                Roof { seconds: all, limit: Limit::Bytes(level) }
            }
            _ => Roof { seconds: arithmetic, limit: Limit::Arithmetic },
        }
    }

    /// The first level of which the threads' shares hold so many bytes.
    fn level(&self, bytes: u64) -> Option<&Bandwidth> {
        let holds =
            |level: &&Bandwidth| (level.share as u64) >= bytes.div_ceil(level.threads as u64);
        self.levels.iter().find(holds).or(self.levels.last())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// 100 GFLOP/s; 1 KiB at 200 GB/s, 64 KiB at 100, memory at 10.
    pub fn machine(threads: usize) -> Machine {
        let peak = |threads| Peak { bits: 256, threads, gflops: 100.0 };
        let level = |level, share, gbps| Bandwidth { level, share, working_set: 1, threads, gbps };
        Machine {
            cpu: "Test CPU".into(),
            one: peak(1),
            all: peak(threads),
            levels: vec![
                level(Level::L1, 1 << 10, 200.0),
                level(Level::L2, 1 << 16, 100.0),
                level(Level::Memory, usize::MAX, 10.0),
            ],
        }
    }

    #[test]
    fn the_lower_roof_counts() {
        let small = Sizes { weights: 100, arena: 100 };
        let large = Sizes { weights: 1 << 20, arena: 0 };
        let work = Work { macs: 1000, read: 300, written: 100, weights: 100, ..Work::default() };
        let roof = machine(1).roof(&work, small);
        assert_eq!(roof.limit, Limit::Arithmetic);
        assert!((roof.seconds - 20e-9).abs() < 1e-15);
        // The same weights from memory take 10 ns, not enough; with a tenth of the products it is.
        assert_eq!(machine(1).roof(&work, large).limit, Limit::Arithmetic);
        let roof = machine(1).roof(&Work { macs: 100, ..work }, large);
        assert_eq!(roof.limit, Limit::Bytes(Level::Memory));
        assert!((roof.seconds - 12e-9).abs() < 1e-15);
    }

    #[test]
    fn threads_bring_their_caches() {
        let work = Work { read: 1500, written: 500, ..Work::default() };
        let sizes = Sizes { weights: 0, arena: 0 };
        assert_eq!(machine(1).roof(&work, sizes).limit, Limit::Bytes(Level::L2));
        assert_eq!(machine(2).roof(&work, sizes).limit, Limit::Bytes(Level::L1));
        let nothing = machine(1).roof(&Work::default(), sizes);
        assert_eq!((nothing.seconds, nothing.limit), (0.0, Limit::Arithmetic));
    }
}
