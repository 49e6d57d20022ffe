//! A graph as machine code, without its weights.

use super::{CompiledNetwork, DriverError, Options, Packed, ParamSource, pack};
use crate::passes::{self, Fused};
use crate::plan::{self, Plan, Port};
use netwright_codegen::jit::{self, CompileOptions, CompiledProgram};
use netwright_codegen::pool::thread_count;
use netwright_ir::Graph;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time that the phases took.
#[derive(Clone, Debug, Default)]
pub struct Timings {
    /// All passes.
    pub passes: Duration,
    /// Lowering and placing.
    pub plan: Duration,
    /// Machine code.
    pub codegen: Duration,
}

impl Timings {
    /// From the graph to callable code.
    pub fn total(&self) -> Duration {
        self.passes + self.plan + self.codegen
    }
}

/// Machine code of a network. It holds no weights, and any number of [`CompiledNetwork`]s share it.
pub struct Code {
    fused: Fused,
    plan: Plan,
    program: CompiledProgram,
    timings: Timings,
    threads: usize,
}

/// Compiles a graph for this machine.
///
/// # Errors
/// When the graph is not valid, is too large, or its weights depend on the image; when the back end
/// that `options` ask for is not there.
pub fn compile(graph: &Graph, options: &Options) -> Result<Code, DriverError> {
    let (fused, plan, mut timings) = prepare(graph, options)?;
    let program = generate(&plan, options, &mut timings)?;
    Ok(Code { fused, plan, program, timings, threads: options.compile_threads })
}

/// Compiles a graph and packs its weights, at the same time where there are several threads: sooner
/// ready, but neither of the two times is then what it would be alone.
///
/// # Errors
/// As [`compile`] and [`Code::pack`].
pub fn compile_and_pack(
    graph: &Graph,
    options: &Options,
    params: &dyn ParamSource,
) -> Result<(Code, Packed), DriverError> {
    let threads = thread_count(options.compile_threads);
    if threads == 1 {
        let code = compile(graph, options)?;
        let packed = code.pack(params)?;
        return Ok((code, packed));
    }
    let (fused, plan, mut timings) = prepare(graph, options)?;
    let (program, packed) = std::thread::scope(|scope| {
        let pack = || pack::pack(&fused.graph, &plan, params, threads);
        let packing = std::thread::Builder::new().spawn_scoped(scope, pack);
        let program = generate(&plan, options, &mut timings);
        let packed = match packing {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // The system gives no thread for it.
            Err(_) => pack(),
        };
        (program, packed)
    });
    let program = program?;
    let code = Code { fused, plan, program, timings, threads: options.compile_threads };
    Ok((code, packed?))
}

/// What comes before machine code.
fn prepare(graph: &Graph, options: &Options) -> Result<(Fused, Plan, Timings), DriverError> {
    let start = Instant::now();
    let mut fused = passes::optimize(
        graph,
        &passes::Options { features: options.features, fuse: options.fuse, verify: options.verify },
    )?;
    let passes = start.elapsed();
    let start = Instant::now();
    let plan = plan::plan_batch(
        &mut fused.graph,
        &plan::Options {
            winograd: options.winograd,
            depth_first: options.fuse && options.depth_first,
            tuned: Arc::clone(&options.tuned),
        },
    )?;
    Ok((fused, plan, Timings { passes, plan: start.elapsed(), codegen: Duration::ZERO }))
}

/// The machine code of a plan.
fn generate(
    plan: &Plan,
    options: &Options,
    timings: &mut Timings,
) -> Result<CompiledProgram, DriverError> {
    let start = Instant::now();
    let program = jit::compile(
        &plan.program,
        &CompileOptions {
            backend: options.backend,
            isa: options.isa,
            baseline: options.baseline,
            threads: options.compile_threads,
            stage_times: options.stage_times,
            ..CompileOptions::default()
        },
    )?;
    timings.codegen = start.elapsed();
    Ok(program)
}

impl Code {
    /// The graph after the passes, with the log of fusions; of the images of one round.
    pub fn fused(&self) -> &Fused {
        &self.fused
    }

    /// Steps, kernels, places.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The machine code.
    pub fn program(&self) -> &CompiledProgram {
        &self.program
    }

    /// How long compilation took.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    /// The inputs, in order.
    pub fn inputs(&self) -> &[Port] {
        &self.plan.inputs
    }

    /// The outputs, in order: the graph's outputs, then features if they were asked for.
    pub fn outputs(&self) -> &[Port] {
        &self.plan.outputs
    }

    /// Bytes of memory that a run with that many threads needs.
    pub fn workspace_bytes(&self, threads: usize) -> usize {
        self.program.workspace_bytes(threads)
    }

    /// Evaluates the weight expressions and packs them as the code reads them, on as many threads as
    /// compiled it.
    ///
    /// # Errors
    /// When a tensor does not have its parameter's shape, or there is not enough memory.
    pub fn pack(&self, params: &dyn ParamSource) -> Result<Packed, DriverError> {
        pack::pack(&self.fused.graph, &self.plan, params, self.threads)
    }

    /// A network that runs with that many threads (0: one a core).
    ///
    /// # Errors
    /// When the weights were packed for other code, or there is not enough memory.
    pub fn network(
        self: &Arc<Self>,
        weights: Arc<Packed>,
        threads: usize,
    ) -> Result<CompiledNetwork, DriverError> {
        CompiledNetwork::new(Arc::clone(self), weights, threads)
    }
}
