//! Times of the stages inside a function: of one that calls kernels, and of a kernel that does what several do.
//!
//! Such a function is also made with a clock, for profiles: it has counters at the front of its scratch memory, which is a
//! thread's own, and adds to them what the clock says between its stages. The words are:
//!
//! | word | |
//! |---|---|
//! | 0 | the clock at the last lap |
//! | 1 | the time before the function began, which says nothing |
//! | 2 | the time of the function's own work, between its stages |
//! | 3 + i | the time of stage `i` |
//!
//! Functions without a clock have no counters: they are the same as if there were no clocks at all.

use crate::kernels::round64;
use crate::vir::{Builder, G, GOp};
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{AbiParam, InstBuilder, SigRef, Signature, Value};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::FunctionBuilder;

/// What a lap is counted under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What was before the function.
    Before,
    /// The function's own work.
    Own,
    /// A stage.
    Stage(usize),
}

impl Part {
    fn word(self) -> usize {
        match self {
            Part::Before => 1,
            Part::Own => 2,
            Part::Stage(i) => 3 + i,
        }
    }
}

/// Bytes of the counters, a multiple of 64.
pub(crate) fn bytes(stages: usize) -> usize {
    round64(Part::Stage(stages).word() * 8)
}

/// Reads the counters of a function with so many stages: the ticks of each, and (the result) those of its
/// own work.
pub(crate) fn read(counters: &[u8], stages: usize, mut stage: impl FnMut(usize, u64)) -> u64 {
    let word = |part: Part| {
        let bytes = counters[part.word() * 8..].first_chunk::<8>();
        bytes.map_or(0, |bytes| u64::from_ne_bytes(*bytes))
    };
    (0..stages).for_each(|i| stage(i, word(Part::Stage(i))));
    word(Part::Own)
}

/// The code of laps in a kernel's own function; none in one without a clock.
#[derive(Clone, Copy)]
pub(crate) struct KernelLaps(Option<G>);

impl KernelLaps {
    /// Begins to time a kernel if it is `timed`; its counters are at the front of its scratch memory.
    pub fn begin(b: &mut Builder, timed: bool, scratch: G) -> KernelLaps {
        let laps = KernelLaps(timed.then_some(scratch));
        laps.end(b, Part::Before);
        laps
    }

    /// Counts the time since the last lap under a part, as [`lap`] does.
    pub fn end(self, b: &mut Builder, part: Part) {
        let Some(counters) = self.0 else { return };
        let at = 8 * part.word() as i32;
        let now = b.clock();
        let last = b.g_load(counters, 0);
        let time = b.g_bin(GOp::Sub, now, last);
        let sum = b.g_load(counters, at);
        let sum = b.g_bin(GOp::Add, sum, time);
        b.g_store(sum, counters, at);
        b.g_store(now, counters, 0);
    }
}

/// The code of laps in a function that calls kernels; none in one without a clock.
pub(crate) struct Laps(Option<Clock>);

struct Clock {
    signature: SigRef,
    /// Address of [`lap`].
    function: Value,
    /// Address of the counters.
    counters: Value,
}

impl Laps {
    /// No laps.
    pub fn none() -> Laps {
        Laps(None)
    }

    /// Begins to time the function, in its first block. Its code is for this process only.
    pub fn begin(b: &mut FunctionBuilder, call_conv: CallConv, counters: Value) -> Laps {
        let mut signature = Signature::new(call_conv);
        signature.params.extend([AbiParam::new(I64); 2]);
        let signature = b.import_signature(signature);
        let address: unsafe extern "C" fn(*mut u64, usize) = lap;
        let function = b.ins().iconst(I64, address as usize as i64);
        let laps = Laps(Some(Clock { signature, function, counters }));
        laps.end(b, Part::Before);
        laps
    }

    /// Counts the time since the last lap under a part.
    pub fn end(&self, b: &mut FunctionBuilder, part: Part) {
        let Some(Clock { signature, function, counters }) = self.0 else { return };
        let word = b.ins().iconst(I64, part.word() as i64);
        b.ins().call_indirect(signature, function, &[counters, word]);
    }
}

/// Ends a lap: its time is added to a word of the counters.
///
/// # Safety
///
/// `counters` points to at least `word + 1` words that no other thread touches.
unsafe extern "C" fn lap(counters: *mut u64, word: usize) {
    let now = ticks();
    // SAFETY: as the caller promises.
    unsafe {
        let sum = counters.add(word);
        *sum = (*sum).wrapping_add(now.wrapping_sub(*counters));
        *counters = now;
    }
}

/// A clock that is quick to read. What a tick is differs between machines.
pub(crate) extern "C" fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 has the instruction.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        use std::sync::OnceLock;
        use std::time::Instant;
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laps_add_up() {
        let mut words = [0u64; 8];
        let start = ticks();
        for word in [1, 2, 3, 4, 2, 3] {
            // SAFETY: there are so many words.
            unsafe { lap(words.as_mut_ptr(), word) };
        }
        let end = ticks();
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
        let mut stages = [0; 2];
        let own = read(&bytes, 2, |stage, ticks| stages[stage] = ticks);
        assert_eq!((own, stages), (words[2], [words[3], words[4]]));
        assert!(own + stages[0] + stages[1] <= end - start && words[0] <= end, "{words:?}");
        assert_eq!([1, 5, 6].map(super::bytes), [64, 64, 128]);
    }
}
