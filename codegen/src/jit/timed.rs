//! Runs that are timed.

use super::{Call, CompiledProgram, StepsFunction};
use crate::buffer::AlignedBuffer;
use crate::error::CodegenError;
use crate::laps;
use crate::pool::Pool;
use std::time::{Duration, Instant};

/// Code that times stages.
pub(super) struct Timed {
    pub function: StepsFunction,
    /// Number of stages of each step.
    pub stages: Vec<usize>,
    /// Scratch bytes of a thread in it.
    pub scratch: usize,
}

/// The time of a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepTime {
    /// All of it.
    pub total: Duration,
    /// The time of each of the kernel's stages ([`crate::program::Kernel::stages`]): that of a thread, the mean of the
    /// threads that had a part in the step. What the total is longer is the step's own work between its
    /// stages, and waiting for the last thread. None if the program was compiled without
    /// [`super::CompileOptions::stage_times`].
    pub stages: Vec<Duration>,
}

impl CompiledProgram {
    /// What [`CompiledProgram::run_timed`] fills.
    pub fn step_times(&self) -> Vec<StepTime> {
        let time = |step| StepTime {
            total: Duration::ZERO,
            stages: vec![Duration::ZERO; self.stages(step)],
        };
        (0..self.program.steps.len()).map(time).collect()
    }

    /// How many stages of a step are timed.
    fn stages(&self, step: usize) -> usize {
        self.timed.as_ref().map_or(0, |timed| timed.stages[step])
    }

    /// As [`CompiledProgram::run`], and writes the time of each step, in all rounds together, into `times`, which
    /// [`CompiledProgram::step_times`] made.
    ///
    /// The same kernels run as in [`CompiledProgram::run`], called step by step. The clock is read once
    /// between two steps (some 20 ns), so the times add up to the whole. Where stages are timed, it is
    /// read before and after each turn of a stage (some 20 ns together).
    pub fn run_timed(
        &self,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
        weights: &[u8],
        workspace: &mut AlignedBuffer,
        pool: &Pool,
        times: &mut [StepTime],
    ) -> Result<(), CodegenError> {
        let call = self.prepare(inputs, outputs, weights, workspace.as_bytes_mut(), pool)?;
        let steps = self.program.steps.len();
        let fits = |(step, time): (usize, &StepTime)| time.stages.len() == self.stages(step);
        if times.len() != steps || !times.iter().enumerate().all(fits) {
            return Err(CodegenError::Buffer {
                what: "times".into(),
                message: format!("not made for this program, which has {steps} steps"),
            });
        }
        let function = self.timed.as_ref().map_or(self.steps, |timed| timed.function);
        let (start, start_ticks) = (Instant::now(), laps::ticks());
        let mut last = start;
        for time in times.iter_mut() {
            time.total = Duration::ZERO;
            time.stages.fill(Duration::ZERO);
        }
        for turn in 0..self.program.turns() {
            let time = &mut times[turn % steps];
            self.clear_counters(&call, time.stages.len());
            // SAFETY: as in `run`; all steps run, in order.
            unsafe { self.call(function, &call, turn, turn + 1) };
            let now = Instant::now();
            time.total += now - last;
            last = now;
            self.read_counters(&call, &mut time.stages);
        }
        // Ticks to nanoseconds.
        let ticks = laps::ticks().wrapping_sub(start_ticks).max(1);
        let tick = start.elapsed().as_nanos() as f64 / ticks as f64;
        for stage in times.iter_mut().flat_map(|time| &mut time.stages) {
            *stage = stage.mul_f64(tick);
        }
        Ok(())
    }

    /// The counters of all threads' laps in a step with so many stages.
    fn counters<'a>(
        &self,
        call: &'a Call,
        stages: usize,
    ) -> impl Iterator<Item = &'a mut [u8]> + use<'a> {
        let (threads, scratch) = match &self.timed {
            Some(timed) if stages > 0 => (call.options.threads, timed.scratch),
            _ => (0, 0),
        };
        let start = self.arena_bytes();
        (0..threads).map(move |thread| {
            // SAFETY: the workspace holds the scratch memory of so many threads, and each at least these
            // bytes, which `link` counted in; the parts of threads are disjoint, and no step runs now.
            unsafe {
                let counters = call.workspace.add(start + thread * scratch);
                std::slice::from_raw_parts_mut(counters, laps::bytes(stages))
            }
        })
    }

    fn clear_counters(&self, call: &Call, stages: usize) {
        self.counters(call, stages).for_each(|counters| counters.fill(0));
    }

    /// Adds the ticks of a step's stages, the mean of the threads that counted any, as nanoseconds.
    fn read_counters(&self, call: &Call, stages: &mut [Duration]) {
        let count = stages.len();
        let counters = || self.counters(call, count);
        let threads = counters().filter(|own| laps::read(own, count, |_, _| ()) > 0).count().max(1);
        for own in counters() {
            laps::read(own, count, |stage, ticks| {
                stages[stage] += Duration::from_nanos(ticks / threads as u64);
            });
        }
    }
}
