//! Measuring the ways to compute a network's layers.
//!
//! Kernels are timed where they are used: in the whole network, step by step, on the threads that it will run on. Timed
//! alone they would find their weights and maps in the nearest cache, where a network's are not. So the network is
//! compiled in several variants, such that each kernel in question runs in one of them; all questions are measured at
//! once by them. The variants take turns, so that all see the same machine, and each runs twice a turn: the first run
//! brings back what the others have driven out of the caches.
//!
//! Of many candidates one looks fastest by chance. So what won runs against what the planner estimated in a second
//! measurement, as whole networks, and what does not win there as well is not taken.

use super::decide::{self, Cluster, Costs};
use super::instructions;
use crate::error::Error;
use crate::median::median;
use crate::network::Network;
use crate::session::{Backend, RunOptions};
use netwright_codegen::buffer::AlignedBuffer;
use netwright_codegen::error::CodegenError;
use netwright_codegen::pool::{Pool, thread_count};
use netwright_codegen::program::{Kernel, Program};
use netwright_compiler::driver::{self, Code, Packed};
use netwright_compiler::passes;
use netwright_compiler::plan::{self, Choices, Measured, Question, Way};
use netwright_compiler::weights::image;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Effort {
    /// For all measurements together, about; compiling comes on top.
    pub time: Duration,
}

/// Turns of the first measurement: as many as there is time for.
const TURNS: [usize; 2] = [5, 40];
/// Turns of the second.
const FINAL_TURNS: [usize; 2] = [12, 100];
/// Least gain of layers that is taken.
const LEAST_GAIN: f64 = 0.01;
/// The gain has to be so many times its standard error.
const ERRORS: f64 = 3.0;
/// Seed of the input.
const INPUT_SEED: u64 = 0;

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// What is being done.
    pub what: &'static str,
    /// How much of that, from 0 to 1.
    pub done: f64,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What to remember: the answers that were measured, those that the planner would give by itself as well.
    pub choices: Choices,
    /// Which instructions the code has, as [`super::instructions`] calls them.
    pub instructions: &'static str,
    /// Threads that it ran on.
    pub threads: usize,
    /// Variants of the network that were compared.
    pub variants: usize,
    /// Layers with a choice, in the order of the network.
    pub groups: Vec<Group>,
    /// Median seconds of a run as the planner would have it.
    pub before: f64,
    /// Median seconds of a run with the measured choices.
    pub after: f64,
}

/// Layers whose choices belong together.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Their names in the order of the network; equal layers, which have one answer, among them.
    pub layers: Vec<String>,
    /// How often there are such layers.
    pub times: usize,
    /// How the planner would compute the first of them.
    pub estimated: String,
    /// How they are computed.
    pub tuned: String,
    /// Seconds of all of them, as the planner would have it.
    pub before: f64,
    /// Seconds of all of them, as they are computed.
    pub after: f64,
    /// Kernels that were timed for one time of the layers.
    pub candidates: Vec<Timed>,
}

/// A kernel with its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Timed {
    /// How it computes its layers.
    pub way: String,
    /// The first of its layers.
    pub layer: String,
    /// Seconds for one time.
    pub seconds: f64,
}

/// Measures a network. `options` say for which instructions and how many threads; their choices are not looked at.
///
/// # Errors
/// When it can't be compiled, or the back end is the interpreter.
pub fn measure(
    network: &Network,
    options: &RunOptions,
    effort: Effort,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, Error> {
    if options.backend == Backend::Interpreter {
        return Err(Error::Compile("the interpreter has no choices that could be measured".into()));
    }
    let driver = driver::Options { features: false, tuned: Arc::default(), ..options.driver()? };
    let mut bench = Bench::new(network, driver.clone(), thread_count(options.threads))?;
    let passes = passes::Options { features: false, fuse: driver.fuse, verify: driver.verify };
    let mut fused = passes::optimize(&network.expanded.graph, &passes)
        .map_err(driver::DriverError::from)?
        .graph;
    let plan_options = |choices: Choices| plan::Options {
        winograd: driver.winograd,
        depth_first: driver.fuse && driver.depth_first,
        tuned: Arc::new(choices),
    };
    // The images of a round are what is planned.
    plan::plan_batch(&mut fused, &plan_options(Choices::default()))
        .map_err(driver::DriverError::from)?;
    let questions = plan::questions(&fused, &plan_options(Choices::default()))
        .map_err(driver::DriverError::from)?;
    let variants =
        decide::variants(&questions, |choices| plan::plan(&fused, &plan_options(choices)))
            .map_err(driver::DriverError::from)?;
    let count = variants.len();
    let mut built = Vec::with_capacity(count);
    for (done, choices) in variants.into_iter().enumerate() {
        progress(Progress { what: "compiling", done: done as f64 / count as f64 });
        built.push(bench.build(choices)?);
    }
    let model = built[0].clone();
    if questions.is_empty() {
        let times = bench.turns(&[&model], TURNS, effort.time / 10, "measuring", progress)?;
        let before = median(times[0].iter().map(|run| run.whole));
        return Ok(bench.outcome(Choices::default(), 1, Vec::new(), [before; 2]));
    }
    let all: Vec<&Built> = built.iter().collect();
    let times = bench.turns(&all, TURNS, effort.time / 2, "measuring", progress)?;
    let costs = costs(&all, &times);
    drop(built);
    bench.packed.retain(|built| Arc::ptr_eq(&built.weights, &model.weights));

    let mut choices = decide::fastest(&questions, &costs);
    let mut tuned = bench.build(choices.clone())?;
    let mut time = effort.time / 4;
    loop {
        let pair = [&model, &tuned];
        let times = bench.turns(&pair, FINAL_TURNS, time, "comparing", progress)?;
        let programs = pair.map(Built::program);
        let clusters = decide::clusters(&questions, &choices, programs);
        let losers: Vec<&Cluster> = clusters
            .iter()
            .filter(|cluster| cluster.differs(programs) && !wins(cluster, &times))
            .collect();
        // What does not win goes back to the estimate, and the rest is measured again, until all of it wins.
        if !losers.is_empty() {
            time /= 2;
            for key in losers.iter().flat_map(|cluster| &cluster.keys) {
                choices.remove(key);
            }
            for question in &questions {
                if choices.get(&question.key).is_none() {
                    let model = question.model;
                    let measured =
                        Measured { answer: model, seconds: 0.0, model, model_seconds: 0.0 };
                    choices.insert(question.key.clone(), measured);
                }
            }
            let answer = |q: &Question| choices.get(&q.key).map_or(q.model, |one| one.answer);
            let reached = decide::reached(&questions, answer);
            let keys: Vec<String> = choices.iter().map(|(key, _)| key.to_string()).collect();
            for key in keys.iter().filter(|key| !reached.contains(key.as_str())) {
                choices.remove(key);
            }
            tuned = bench.build(choices.clone())?;
            continue;
        }
        let groups: Vec<Group> = clusters
            .iter()
            .map(|cluster| group(cluster, programs, &times, &questions, &costs))
            .collect();
        for (cluster, group) in clusters.iter().zip(&groups) {
            let each = cluster.times as f64;
            for key in &cluster.keys {
                if let Some(one) = choices.get(key).copied() {
                    let seconds = group.after / each;
                    let model_seconds = group.before / each;
                    choices.insert(key.clone(), Measured { seconds, model_seconds, ..one });
                }
            }
        }
        let whole = |side: usize| median(times[side].iter().map(|run| run.whole));
        let same = programs[0] == programs[1];
        let before = whole(0);
        let after = if same { before } else { whole(1) };
        return Ok(bench.outcome(choices, count, groups, [before, after]));
    }
}

/// Whether the second program computes a cluster clearly faster than the first.
fn wins(cluster: &Cluster, times: &[Vec<Run>]) -> bool {
    let sides = [0, 1].map(|side| cluster_times(cluster, side, times));
    let gains: Vec<f64> =
        sides[0].iter().zip(&sides[1]).map(|(before, after)| before - after).collect();
    let gain = median(gains.iter().copied());
    // Of the median, by the median deviation, which a few disturbed runs do not change.
    let deviation = 1.4826 * median(gains.iter().map(|one| (one - gain).abs()));
    let error = 1.2533 * deviation / (gains.len() as f64).sqrt();
    gain > LEAST_GAIN * median(sides[0].iter().copied()) && gain > ERRORS * error
}

/// Seconds of a cluster in each run.
fn cluster_times(cluster: &Cluster, side: usize, times: &[Vec<Run>]) -> Vec<f64> {
    let sum = |run: &Run| cluster.steps[side].iter().map(|step| run.steps[*step]).sum();
    times[side].iter().map(sum).collect()
}

fn group(
    cluster: &Cluster,
    programs: [&Program; 2],
    times: &[Vec<Run>],
    questions: &[Question],
    costs: &Costs,
) -> Group {
    let [before, after] = [0, 1].map(|side| median(cluster_times(cluster, side, times)));
    let same = !cluster.differs(programs);
    let [estimated, tuned] = [0, 1].map(|side| described(cluster, side, programs[side]));
    let mut candidates: Vec<Timed> = Vec::new();
    for key in &cluster.keys {
        let Some(question) = questions.iter().find(|question| &question.key == key) else {
            continue;
        };
        let timed = question.candidates.iter().filter_map(|candidate| {
            let seconds = *costs.get(&candidate.kernel)?;
            let layer = question.layers[0].node.clone();
            Some(Timed { way: way(&candidate.kernel), layer, seconds })
        });
        candidates.extend(timed);
    }
    Group {
        layers: cluster.nodes.clone(),
        times: cluster.times,
        estimated,
        tuned,
        before,
        after: if same { before } else { after },
        candidates,
    }
}

/// How a program computes the layers of a cluster up to the end of the first question's.
fn described(cluster: &Cluster, side: usize, program: &Program) -> String {
    let mut ways: Vec<(String, usize)> = Vec::new();
    let steps = cluster.steps[side].iter().map(|step| &program.steps[*step]);
    let shown = steps.take(cluster.steps[side].len().div_ceil(cluster.times.max(1)));
    for step in shown {
        let way = way(&program.kernels[step.kernel]);
        match ways.last_mut().filter(|last| last.0 == way) {
            Some(last) => last.1 += 1,
            None => ways.push((way, 1)),
        }
    }
    let texts = ways.into_iter().map(|(way, count)| match count {
        1 => way,
        n => format!("{way} ×{n}"),
    });
    texts.collect::<Vec<String>>().join(", ")
}

/// How a kernel computes its layers, in a few words.
fn way(kernel: &Kernel) -> String {
    match kernel {
        Kernel::Chain(chain) => format!("{} in bands of {}", chain.stages.len(), chain.rows),
        Kernel::Winograd(winograd) => format!("winograd {0}x{0}", winograd.tile),
        // The only elementwise steps that are asked about.
        Kernel::Map(_) => Way::GateOnMap.to_string(),
        Kernel::Scale(_) => Way::GateOnWeights.to_string(),
        _ => "plain".into(),
    }
}

/// The time of each kernel, whatever it fetches for later steps: the median over all runs in which it is.
fn costs(variants: &[&Built], times: &[Vec<Run>]) -> Costs {
    let mut samples: HashMap<Kernel, Vec<f64>> = HashMap::new();
    for (variant, runs) in variants.iter().zip(times) {
        let program = variant.program();
        for run in runs {
            // Equal kernels of a run are one sample: they differ in where they are, not by chance.
            let mut sums: HashMap<usize, (f64, usize)> = HashMap::new();
            for (step, seconds) in program.steps.iter().zip(&run.steps) {
                let sum = sums.entry(step.kernel).or_default();
                *sum = (sum.0 + seconds, sum.1 + 1);
            }
            for (kernel, (sum, count)) in sums {
                samples
                    .entry(program.kernels[kernel].without_ahead())
                    .or_default()
                    .push(sum / count as f64);
            }
        }
    }
    let samples = samples.into_iter();
    samples.map(|(kernel, times)| (kernel, median(times))).collect()
}

/// Seconds of a run.
struct Run {
    whole: f64,
    steps: Vec<f64>,
}

/// A variant of the network.
#[derive(Clone)]
struct Built {
    code: Arc<Code>,
    weights: Arc<Packed>,
}

impl Built {
    fn program(&self) -> &Program {
        self.code.program().program()
    }
}

/// What all variants run on: one pool of threads, so that idle threads of one do not disturb another, one
/// workspace, one input.
struct Bench<'n> {
    network: &'n Network,
    options: driver::Options,
    pool: Pool,
    workspace: AlignedBuffer,
    input: Vec<f32>,
    outputs: Vec<Vec<f32>>,
    /// Variants whose weights others share.
    packed: Vec<Built>,
}

impl Bench<'_> {
    fn new(
        network: &Network,
        options: driver::Options,
        threads: usize,
    ) -> Result<Bench<'_>, Error> {
        let [n, h, w, c] = network.expanded.input;
        Ok(Bench {
            network,
            options,
            pool: Pool::new(threads),
            workspace: AlignedBuffer::zeroed(0).map_err(failed)?,
            input: image(n, c, h, w, INPUT_SEED),
            outputs: Vec::new(),
            packed: Vec::new(),
        })
    }

    /// Compiles a variant. Those that lay out weights alike share them.
    fn build(&mut self, choices: Choices) -> Result<Built, Error> {
        let options = driver::Options { tuned: Arc::new(choices), ..self.options.clone() };
        let code = Arc::new(driver::compile(&self.network.expanded.graph, &options)?);
        let same = |built: &&Built| built.code.plan().items == code.plan().items;
        let weights = match self.packed.iter().find(same) {
            Some(built) => Arc::clone(&built.weights),
            None => Arc::new(code.pack(&*self.network.weights)?),
        };
        let bytes = code.workspace_bytes(self.pool.threads());
        if bytes > self.workspace.len() {
            self.workspace = AlignedBuffer::zeroed(bytes).map_err(failed)?;
        }
        self.outputs = code.outputs().iter().map(|port| vec![0.0; port.elements()]).collect();
        let built = Built { code, weights };
        if self.packed.iter().all(|known| !Arc::ptr_eq(&known.weights, &built.weights)) {
            self.packed.push(built.clone());
        }
        Ok(built)
    }

    /// Runs variants in turns; gives the runs of each.
    fn turns(
        &mut self,
        variants: &[&Built],
        [least, most]: [usize; 2],
        time: Duration,
        what: &'static str,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Vec<Vec<Run>>, Error> {
        let mut runs: Vec<Vec<Run>> = variants.iter().map(|_| Vec::new()).collect();
        let start = Instant::now();
        for turn in 0..most {
            let by_time = start.elapsed().as_secs_f64() / time.as_secs_f64().max(1e-9);
            if turn >= least && by_time >= 1.0 {
                break;
            }
            // Until both the least turns and the time are over, or all turns.
            let [to_least, to_most] = [least, most].map(|turns| turn as f64 / turns as f64);
            progress(Progress { what, done: to_least.min(by_time).max(to_most) });
            for i in 0..variants.len() {
                // Forth and back, so that none always comes after the same.
                let i = if turn % 2 == 0 { i } else { variants.len() - 1 - i };
                self.run(variants[i])?;
                runs[i].push(self.run(variants[i])?);
            }
        }
        Ok(runs)
    }

    /// Runs a variant once.
    fn run(&mut self, variant: &Built) -> Result<Run, Error> {
        let mut times = variant.code.program().step_times();
        let mut outputs: Vec<&mut [f32]> = self.outputs.iter_mut().map(Vec::as_mut_slice).collect();
        let program = variant.code.program();
        let weights = variant.weights.bytes();
        let start = Instant::now();
        program
            .run_timed(
                &[&self.input],
                &mut outputs,
                weights,
                &mut self.workspace,
                &self.pool,
                &mut times,
            )
            .map_err(failed)?;
        let whole = start.elapsed().as_secs_f64();
        Ok(Run { whole, steps: times.iter().map(|time| time.total.as_secs_f64()).collect() })
    }

    fn outcome(
        &self,
        choices: Choices,
        variants: usize,
        groups: Vec<Group>,
        [before, after]: [f64; 2],
    ) -> Outcome {
        let instructions = instructions(&self.options);
        let threads = self.pool.threads();
        Outcome { choices, instructions, threads, variants, groups, before, after }
    }
}

fn failed(error: CodegenError) -> Error {
    Error::from(driver::DriverError::from(error))
}
