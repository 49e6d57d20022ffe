//! Where the time of a network goes: measured by layer, beside what the machine could do.
//!
//! A [`Profile`] is made by [`measure`]: whole runs and runs that are timed step by step take turns, so
//! that both see the same machine, and the one tells how much measuring disturbs the other. Each
//! step's time stands beside the [`Roof`] that the [`Machine`] sets to its work.

mod machine;
mod row;

pub use machine::{Limit, Machine, Roof, Sizes};
pub use row::{Row, RowKind, Totals};

use crate::error::Error;
use crate::median::median;
use crate::session::Session;
use netwright_codegen::jit::StepTime;
use netwright_codegen::name;
use netwright_codegen::program::{Kernel, Program, Step};
use netwright_codegen::work::{Class, Stage, Work};
use std::time::{Duration, Instant};

/// How long to measure: until both are reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// Runs that are timed step by step; as many whole runs beside them.
    pub runs: usize,
    /// Time for all of them.
    pub time: Duration,
}

/// Most runs of a profile: their times are all kept until the medians are taken.
const MAX_RUNS: usize = 10_000;
/// Runs and time before measuring: caches, clocks and threads settle.
const WARM_UP: (usize, Duration) = (3, Duration::from_millis(200));

/// Where the time of a network goes.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The machine's peaks, for as many threads as the network ran on.
    pub machine: Machine,
    /// Number of runs behind each median.
    pub runs: usize,
    /// Median of the whole runs in seconds.
    pub whole: f64,
    /// Median of the runs that were timed step by step, in seconds.
    pub timed: f64,
    /// The layers in the order of execution; steps in a row that belong to one layer are its parts.
    pub layers: Vec<Row>,
    /// Bytes of packed weights.
    pub weights_bytes: usize,
    /// Bytes of the values between steps.
    pub arena_bytes: usize,
}

impl Profile {
    /// Sum of the steps' medians in seconds.
    pub fn steps_sum(&self) -> f64 {
        self.layers.iter().map(|layer| layer.seconds).sum()
    }

    /// Whether the steps add up to clearly less than a run: something else used the machine, which hits
    /// the median of a run more often than the median of a step.
    pub fn disturbed(&self) -> bool {
        self.steps_sum() < 0.93 * self.whole
    }

    /// What the network has to do.
    pub fn work(&self) -> Work {
        self.layers.iter().map(|layer| layer.work).sum()
    }

    /// Billions of operations a second over the whole run; those of products only, as in `bench`.
    pub fn gflops(&self) -> f64 {
        2.0 * self.work().macs as f64 / self.whole / 1e9
    }

    /// Sums by class of kernel, the longest first.
    pub fn classes(&self) -> Vec<(Class, Totals)> {
        let mut classes: Vec<(Class, Totals)> = Vec::new();
        for row in self.layers.iter().flat_map(Row::kernels) {
            let at = classes.iter().position(|(class, _)| *class == row.class);
            let at = at.unwrap_or_else(|| {
                classes.push((row.class, Totals::default()));
                classes.len() - 1
            });
            classes[at].1.add(row);
        }
        classes.sort_by(|a, b| b.1.seconds.total_cmp(&a.1.seconds));
        classes
    }
}

/// Profiles a compiled network.
///
/// # Errors
/// When the session interprets its network, or the input has another length than the network's.
pub fn measure(session: &mut Session, input: &[f32], effort: Effort) -> Result<Profile, Error> {
    let Some(code) = session.code() else {
        return Err(Error::Compile("the interpreter runs no kernels that could be timed".into()));
    };
    let program = code.program().program().clone();
    let times = run(session, input, effort, code.program().step_times())?;
    let machine = Machine::measure(session.threads())?;
    let sizes = Sizes { weights: program.weights_bytes, arena: program.arena_bytes };
    let steps = rows(&program, &times.steps, &machine, sizes);
    Ok(Profile {
        machine,
        runs: times.runs,
        whole: times.whole,
        timed: times.timed,
        layers: Row::layers(steps),
        weights_bytes: program.weights_bytes,
        arena_bytes: program.arena_bytes,
    })
}

/// Medians in seconds.
struct Times {
    runs: usize,
    whole: f64,
    timed: f64,
    /// Of each step, and of its stages.
    steps: Vec<(f64, Vec<f64>)>,
}

fn run(
    session: &mut Session,
    input: &[f32],
    effort: Effort,
    mut times: Vec<StepTime>,
) -> Result<Times, Error> {
    let mut output = vec![0.0; session.outputs()[0].elements()];
    let start = Instant::now();
    let mut warm = 0;
    while warm < WARM_UP.0 || start.elapsed() < WARM_UP.1 {
        session.run(input, &mut output)?;
        warm += 1;
    }
    let (mut whole, mut timed) = (Vec::new(), Vec::new());
    let mut each: Vec<StepTimes> = times.iter().map(StepTimes::new).collect();
    let start = Instant::now();
    while whole.len() < MAX_RUNS && (whole.len() < effort.runs || start.elapsed() < effort.time) {
        let begin = Instant::now();
        session.run(input, &mut output)?;
        whole.push(begin.elapsed().as_secs_f64());
        let begin = Instant::now();
        session.run_timed(input, &mut output, &mut times)?;
        timed.push(begin.elapsed().as_secs_f64());
        for (all, time) in each.iter_mut().zip(&times) {
            all.add(time);
        }
    }
    Ok(Times {
        runs: whole.len(),
        whole: median(whole),
        timed: median(timed),
        steps: each.iter().map(StepTimes::medians).collect(),
    })
}

/// The times of a step in all runs.
struct StepTimes {
    totals: Vec<f64>,
    /// Of each stage, its shares of the step's times.
    shares: Vec<Vec<f64>>,
}

impl StepTimes {
    fn new(time: &StepTime) -> StepTimes {
        StepTimes { totals: Vec::new(), shares: vec![Vec::new(); time.stages.len()] }
    }

    fn add(&mut self, time: &StepTime) {
        let total = time.total.as_secs_f64();
        self.totals.push(total);
        for (shares, stage) in self.shares.iter_mut().zip(&time.stages) {
            shares.push(if total > 0.0 { stage.as_secs_f64() / total } else { 0.0 });
        }
    }

    /// The median of the step, and those of its stages' shares of it, which are no more than all of it.
    fn medians(&self) -> (f64, Vec<f64>) {
        let total = median(self.totals.iter().copied());
        let shares: Vec<f64> =
            self.shares.iter().map(|shares| median(shares.iter().copied())).collect();
        let all = shares.iter().sum::<f64>().max(1.0);
        (total, shares.into_iter().map(|share| total * share / all).collect())
    }
}

/// A row for each step.
fn rows(program: &Program, times: &[(f64, Vec<f64>)], machine: &Machine, sizes: Sizes) -> Vec<Row> {
    let step = |(step, (seconds, stages)): (&Step, &(f64, Vec<f64>))| {
        let kernel = &program.kernels[step.kernel];
        let row = |kernel: &Kernel, work: Work, seconds: f64, roof: Roof| Row {
            name: step.name.clone(),
            kernel: name::kernel(kernel),
            class: kernel.class(),
            work,
            seconds,
            roof,
            kind: RowKind::Kernel,
            parts: Vec::new(),
        };
        let rounds = program.rounds;
        let work = kernel.work();
        let roof = machine.roof(&work, sizes).times(rounds);
        let whole = row(kernel, work.times(rounds), *seconds, roof);
        let stage = |((of, stage), seconds): ((Kernel, Stage), &f64)| {
            let roof = machine.stage_roof(&stage, kernel, sizes).times(rounds);
            row(&of, stage.work.times(rounds), *seconds, roof)
        };
        let inside = kernel.stages().into_iter().zip(kernel.stage_work());
        whole.with_stages(inside.zip(stages).map(stage).collect())
    };
    program.steps.iter().zip(times).map(step).collect()
}
