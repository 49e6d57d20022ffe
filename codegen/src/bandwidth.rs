//! The machine's measured bandwidths: reading from each cache and from memory, with nothing else to do.

use crate::buffer::AlignedBuffer;
use crate::error::CodegenError;
use crate::probe::{Probe, race};
use crate::vir::{BinOp, Builder, Count, KernelFunction};
use crate::wide::WideIsa;
use std::fmt;

/// Vectors that a turn of the loop reads, each into a register of its own.
const UNROLL: usize = 8;
/// Bytes that a measured call reads at least: a fraction of a millisecond from the caches.
const CALL_BYTES: usize = 1 << 23;
/// Calls, of which the fastest counts.
const CALLS: usize = 20;
/// Bytes of a thread's working set in memory, at least and at most.
const MEMORY_BYTES: [usize; 2] = [1 << 25, 1 << 27];

/// Where values lie when a kernel reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// First-level cache.
    L1,
    /// Second-level cache.
    L2,
    /// Third-level cache.
    L3,
    /// Memory.
    Memory,
}

impl Level {
    /// The level in a word.
    pub fn name(self) -> &'static str {
        match self {
            Level::L1 => "L1",
            Level::L2 => "L2",
            Level::L3 => "L3",
            Level::Memory => "memory",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A measured bandwidth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// The level of memory.
    pub level: Level,
    /// Bytes of it that a thread has for itself; unlimited for memory.
    pub share: usize,
    /// Bytes that each thread read over and over.
    pub working_set: usize,
    /// Threads that ran at once.
    pub threads: usize,
    /// Billions of bytes read a second, all threads together.
    pub gbps: f64,
}

/// Measures the bandwidth of each level for `threads` threads, the fastest level first. A third-level
/// cache of which a thread's share is no larger than its second level is left out.
pub fn measure(threads: usize) -> Result<Vec<Bandwidth>, CodegenError> {
    let threads = threads.max(1);
    let caches = Caches::of_this_machine();
    let isa = WideIsa::detect();
    let probe = Probe::new(&kernel(isa.map_or(4, WideIsa::lanes)), isa)?;
    let levels = caches.levels(threads).into_iter();
    levels.map(|(level, share)| run(&probe, &caches, (level, share), threads)).collect()
}

fn run(
    probe: &Probe,
    caches: &Caches,
    (level, share): (Level, usize),
    threads: usize,
) -> Result<Bandwidth, CodegenError> {
    let working_set = caches.working_set(level, share, threads) / TURN * TURN;
    let passes = (CALL_BYTES / working_set).max(1);
    // Memory for all threads is there before the first of them measures.
    let buffers = (0..threads).map(|_| AlignedBuffer::zeroed(working_set));
    let buffers = std::sync::Mutex::new(buffers.collect::<Result<Vec<_>, _>>()?);
    // Written, since all pages that were only read are one and the same page of zeros, which a cache holds; by
    // the thread that reads them, so that they are near it.
    let buffer = || {
        let mut buffer = buffers.lock().ok().and_then(|mut all| all.pop()).unwrap_or_default();
        buffer.as_f32_mut().fill(0.0);
        buffer
    };
    let times = race(threads, CALLS, buffer, |buffer| {
        let values = buffer.as_f32_mut();
        let turns = (values.len() * 4 / TURN) as u64;
        for _ in 0..passes {
            // SAFETY: each turn reads the next `TURN` bytes at most.
            unsafe { probe.call(values, turns) }
        }
    });
    let bytes = (working_set * passes) as f64;
    let gbps = times.iter().map(|time| bytes / time / 1e9).sum();
    Ok(Bandwidth { level, share, working_set, threads, gbps })
}

/// Bytes that a turn of the loop reads with the widest vectors.
const TURN: usize = UNROLL * 64;

/// `read(memory, turns)`: each turn reads [`TURN`] bytes (with any width of vectors).
fn kernel(lanes: u32) -> KernelFunction {
    let mut b = Builder::new("read", 2, lanes);
    let (memory, turns) = (b.param(0), b.param(1));
    let vector = b.vector_bytes();
    let sums: Vec<_> = (0..UNROLL).map(|_| b.load(memory, 0)).collect();
    let pointer = b.g_copy(memory);
    b.repeat(Count::Reg(turns), |b| {
        for i in 0..TURN as i32 / vector {
            let sum = sums[i as usize % UNROLL];
            let value = b.load(pointer, i * vector);
            b.bin_to(BinOp::Or, sum, sum, value);
        }
        b.g_advance(pointer, TURN as i64);
    });
    // All zeros, as they were: stored so that no reading is in vain.
    for sum in sums {
        b.store(sum, memory, 0);
    }
    b.finish()
}

/// Sizes of the caches in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Caches {
    l1: usize,
    l2: usize,
    /// 0 where there is none.
    l3: usize,
}

impl Caches {
    /// What the system tells, or what most CPUs have.
    fn of_this_machine() -> Caches {
        let mut caches = Caches { l1: 32 << 10, l2: 512 << 10, l3: 8 << 20 };
        for index in 0..8 {
            let folder = format!("/sys/devices/system/cpu/cpu0/cache/index{index}");
            let read = |file: &str| std::fs::read_to_string(format!("{folder}/{file}")).ok();
            let (Some(level), Some(kind), Some(size)) =
                (read("level"), read("type"), read("size").as_deref().and_then(size))
            else {
                continue;
            };
            match (level.trim(), kind.trim()) {
                (_, "Instruction") => {}
                ("1", _) => caches.l1 = size,
                ("2", _) => caches.l2 = size,
                ("3", _) => caches.l3 = size,
                _ => {}
            }
        }
        caches
    }

    /// The levels, with the bytes of each that one of so many threads has for itself: the first two
    /// are each core's own.
    fn levels(&self, threads: usize) -> Vec<(Level, usize)> {
        let mut levels = vec![(Level::L1, self.l1)];
        // Half of a level is read: it has to be far more than what fits the level before.
        if self.l2 >= 4 * self.l1 {
            levels.push((Level::L2, self.l2));
        }
        let share = self.l3 / threads;
        if share >= 4 * self.l2 {
            levels.push((Level::L3, share));
        }
        levels.push((Level::Memory, usize::MAX));
        levels
    }

    /// What a thread reads: well inside the level, and (see `levels`) well outside the one before.
    fn working_set(&self, level: Level, share: usize, threads: usize) -> usize {
        match level {
            Level::L1 | Level::L2 => share / 2,
            // Others may use the cache too, those outside a virtual machine for instance.
            Level::L3 => (share / 2).min(8 * self.l2),
            Level::Memory => {
                let [least, most] = MEMORY_BYTES;
                (4 * self.l3 / threads).clamp(least, most)
            }
        }
    }
}

/// `512K` in bytes.
fn size(text: &str) -> Option<usize> {
    let text = text.trim();
    let (digits, unit) = match text.strip_suffix(['K', 'M', 'G']) {
        Some(digits) => (digits, &text[digits.len()..]),
        None => (text, ""),
    };
    let shift = match unit {
        "K" => 10,
        "M" => 20,
        "G" => 30,
        _ => 0,
    };
    digits.parse::<usize>().ok()?.checked_mul(1 << shift).filter(|bytes| *bytes > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_level_is_measured() {
        let all = measure(2).unwrap();
        assert_eq!(all.first().map(|one| one.level), Some(Level::L1));
        assert_eq!(all.last().map(|one| one.level), Some(Level::Memory));
        for one in &all {
            assert!(one.gbps > 0.1 && one.gbps < 1e5, "{one:?}");
            assert!(one.working_set > 0 && one.threads == 2, "{one:?}");
        }
    }

    #[test]
    fn sizes_as_the_system_writes_them() {
        assert_eq!(size("32K\n"), Some(32 << 10));
        assert_eq!(size("2M"), Some(2 << 20));
        assert_eq!(size("4096"), Some(4096));
        assert_eq!([size(""), size("K"), size("-1K"), size("0"), size("99999999999G")], [None; 5]);
    }

    #[test]
    fn a_level_without_room_is_left_out() {
        let caches = Caches { l1: 32 << 10, l2: 1 << 20, l3: 8 << 20 };
        let levels = |threads| caches.levels(threads).into_iter().map(|l| l.0).collect::<Vec<_>>();
        assert_eq!(levels(2), [Level::L1, Level::L2, Level::L3, Level::Memory]);
        assert_eq!(levels(4), [Level::L1, Level::L2, Level::Memory]);
    }
}
