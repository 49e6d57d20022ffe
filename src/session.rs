//! A network that runs.

use crate::error::Error;
use crate::network::Network;
use netwright_compiler::driver::{
    self, Choices, Code, CompiledNetwork, DriverError, InterpretedNetwork, Network as _, Options,
    Port, StepTime, WideIsa, compile, compile_and_pack,
};
use netwright_compiler::expand::Expanded;
use netwright_compiler::value::Value;
use netwright_compiler::weights::BoundWeights;
use netwright_ir::Graph;
use std::sync::Arc;
use std::time::Duration;

/// What computes the kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Backend {
    /// The fastest that this machine can run.
    #[default]
    Auto,
    /// Machine code with the machine's widest vectors.
    Wide,
    /// Machine code by Cranelift, 128-bit vectors.
    Portable,
    /// The reference interpreter: slow, and the judge of the others.
    Interpreter,
}

/// How to compile and run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// What computes.
    pub backend: Backend,
    /// Instructions to use: `native`, `baseline` (128-bit vectors), `x86-64-v3` (AVX2) or `x86-64-v4`
    /// (AVX-512).
    pub cpu: String,
    /// Threads that compile, pack and run, the caller's included; 0 for one a core. Results do not depend
    /// on it.
    pub threads: usize,
    /// Deliver the network's features (each stage's end, labelled rows) after its outputs.
    pub features: bool,
    /// Use Winograd's algorithm for 3x3 convolutions where it is faster.
    pub winograd: bool,
    /// Compute convolutions that follow each other depth first where it is estimated to be faster, and attention
    /// head by head.
    pub depth_first: bool,
    /// Also make code that times the stages inside steps, for [`Session::run_timed`].
    pub stage_times: bool,
    /// Measured choices, which go before estimates: [`crate::tune::remembered`] has those of this CPU.
    pub tuned: Arc<Choices>,
    /// Pack weights after compiling instead of meanwhile, so that the time of each is its own.
    pub separate: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        RunOptions {
            backend: Backend::Auto,
            cpu: "native".into(),
            threads: 0,
            features: false,
            winograd: true,
            depth_first: true,
            stage_times: false,
            tuned: Arc::default(),
            separate: false,
        }
    }
}

/// The names that [`RunOptions::cpu`] can have.
pub const CPUS: [&str; 6] = ["native", "baseline", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4"];

impl RunOptions {
    /// For the compiler.
    ///
    /// # Errors
    /// An unknown CPU, or one that this machine is not.
    pub fn driver(&self) -> Result<Options, Error> {
        let mut options = Options {
            backend: match self.backend {
                Backend::Auto | Backend::Interpreter => driver::Backend::Auto,
                Backend::Wide => driver::Backend::Wide,
                Backend::Portable => driver::Backend::Portable,
            },
            features: self.features,
            winograd: self.winograd,
            depth_first: self.depth_first,
            stage_times: self.stage_times,
            tuned: Arc::clone(&self.tuned),
            compile_threads: self.threads,
            ..Options::default()
        };
        let isa = match self.cpu.as_str() {
            "native" => return Ok(options),
            "baseline" | "x86-64" | "x86-64-v2" => None,
            "x86-64-v3" => Some(WideIsa::Avx2),
            "x86-64-v4" => Some(WideIsa::Avx512),
            other => {
                let known = CPUS.join(", ");
                return Err(Error::Compile(format!("there is no CPU `{other}`: {known}")));
            }
        };
        match isa {
            Some(isa) if !isa.is_available() => {
                return Err(Error::Compile(format!(
                    "this machine has not what `{}` needs: leave --cpu out for what it has",
                    self.cpu
                )));
            }
            Some(isa) => options.isa = Some(isa),
            None if self.backend == Backend::Wide => {
                return Err(Error::Compile(format!(
                    "`{}` has 128-bit vectors only: leave the wide back end out",
                    self.cpu
                )));
            }
            None => (options.backend, options.baseline) = (driver::Backend::Portable, true),
        }
        Ok(options)
    }
}

/// A network compiled for this machine (or ready to be interpreted), with its memory and threads.
///
/// Buffers are dense and row-major. The input is `[N, C, H, W]`; maps come out as `[N, C, H, W]`,
/// tokens as `[N, T, C]`, vectors as `[N, C]`.
pub struct Session {
    engine: Engine,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// How many of the outputs are the network's; features follow.
    own: usize,
    compile: Duration,
    pack: Duration,
    /// For outputs that the caller of [`Session::run`] does not ask for.
    unwanted: Vec<Vec<f32>>,
}

enum Engine {
    Compiled(Box<CompiledNetwork>),
    Interpreted { graph: Graph, weights: Arc<BoundWeights>, features: bool, threads: usize },
}

impl Session {
    /// Compiles a network, and packs its weights.
    ///
    /// # Errors
    /// When it is too large, or needs a back end or a CPU that this machine has not.
    pub fn new(network: &Network, options: &RunOptions) -> Result<Session, Error> {
        let graph = &network.expanded.graph;
        Session::of_graph(graph, &network.weights, options)
    }

    /// As [`Session::new`], of a graph and the values of its parameters.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn of_graph(
        graph: &Graph,
        weights: &Arc<BoundWeights>,
        options: &RunOptions,
    ) -> Result<Session, Error> {
        let driver = options.driver()?;
        let params = &**weights;
        let own = graph.outputs.len();
        if options.backend == Backend::Interpreter {
            let (features, threads) = (options.features, options.threads);
            let network = InterpretedNetwork::new(graph, params, features, threads)?;
            let (inputs, outputs) = (network.inputs().to_vec(), network.outputs().to_vec());
            let engine = Engine::Interpreted {
                graph: graph.clone(),
                weights: weights.clone(),
                features,
                threads,
            };
            return Ok(Session::with(engine, inputs, outputs, own, [Duration::ZERO; 2]));
        }
        let (code, packed) = match options.separate {
            true => {
                let code = compile(graph, &driver)?;
                let packed = code.pack(params)?;
                (code, packed)
            }
            false => compile_and_pack(graph, &driver, params)?,
        };
        let (compile, pack) = (code.timings().total(), packed.elapsed());
        let network = Arc::new(code).network(Arc::new(packed), options.threads)?;
        let (inputs, outputs) = (network.inputs().to_vec(), network.outputs().to_vec());
        Ok(Session::with(
            Engine::Compiled(Box::new(network)),
            inputs,
            outputs,
            own,
            [compile, pack],
        ))
    }

    fn with(
        engine: Engine,
        inputs: Vec<Port>,
        outputs: Vec<Port>,
        own: usize,
        [compile, pack]: [Duration; 2],
    ) -> Session {
        let others = outputs.iter().skip(1);
        let unwanted = others.map(|port| vec![0.0; port.elements()]).collect();
        Session { engine, inputs, outputs, own, compile, pack, unwanted }
    }

    /// The input: its shape is `[N, C, H, W]`.
    pub fn input(&self) -> &Port {
        &self.inputs[0]
    }

    /// The network's outputs, the main one first, then its features if they were asked for.
    pub fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    /// The features among [`Session::outputs`].
    pub fn features(&self) -> &[Port] {
        &self.outputs[self.own..]
    }

    /// Runs the network on one batch. Of a compiled network with one output, this allocates nothing.
    ///
    /// # Errors
    /// When a buffer has another length than the network's input or first output.
    pub fn run(&mut self, input: &[f32], output: &mut [f32]) -> Result<(), Error> {
        length("the input", input.len(), self.input().elements())?;
        length("the output", output.len(), self.outputs[0].elements())?;
        let mut unwanted = std::mem::take(&mut self.unwanted);
        let result = match unwanted.as_mut_slice() {
            // The common case, without a list of slices.
            [] => self.engine.run(input, &mut [output]),
            others => {
                let mut all = vec![output];
                all.extend(others.iter_mut().map(Vec::as_mut_slice));
                self.engine.run(input, &mut all)
            }
        };
        self.unwanted = unwanted;
        result
    }

    /// As [`Session::run`], and writes the time of each step of the compiled program into `times`, which the
    /// program made ([`netwright_codegen::CompiledProgram::step_times`]).
    ///
    /// # Errors
    /// As [`Session::run`]; and the interpreter has no steps.
    pub fn run_timed(
        &mut self,
        input: &[f32],
        output: &mut [f32],
        times: &mut [StepTime],
    ) -> Result<(), Error> {
        length("the input", input.len(), self.input().elements())?;
        length("the output", output.len(), self.outputs[0].elements())?;
        let Engine::Compiled(network) = &mut self.engine else {
            return Err(Error::Compile("the interpreter has no steps to time".into()));
        };
        let mut all = vec![output];
        all.extend(self.unwanted.iter_mut().map(Vec::as_mut_slice));
        Ok(network.run_timed(&[input], &mut all, times)?)
    }

    /// Runs the network on one batch, and gives all outputs, in the order of [`Session::outputs`].
    ///
    /// # Errors
    /// When the input has another length than the network's.
    pub fn run_all(&mut self, input: &[f32]) -> Result<Vec<Vec<f32>>, Error> {
        length("the input", input.len(), self.input().elements())?;
        let mut all: Vec<Vec<f32>> =
            self.outputs.iter().map(|port| vec![0.0; port.elements()]).collect();
        let mut slices: Vec<&mut [f32]> = all.iter_mut().map(Vec::as_mut_slice).collect();
        self.engine.run(input, &mut slices)?;
        Ok(all)
    }

    /// Time from the expanded graph to callable code; zero in the interpreter.
    pub fn compile_time(&self) -> Duration {
        self.compile
    }

    /// Time in which weights were folded and packed; zero in the interpreter.
    pub fn pack_time(&self) -> Duration {
        self.pack
    }

    /// Threads that run it.
    pub fn threads(&self) -> usize {
        match &self.engine {
            Engine::Compiled(network) => network.threads(),
            Engine::Interpreted { threads, .. } => (*threads).max(1),
        }
    }

    /// Bytes of memory for values between layers; 0 in the interpreter.
    pub fn workspace_bytes(&self) -> usize {
        match &self.engine {
            Engine::Compiled(network) => network.workspace_bytes(),
            Engine::Interpreted { .. } => 0,
        }
    }

    /// What computes: `wide`, `portable` or `interpreter`.
    pub fn backend_name(&self) -> &'static str {
        match self.code().map(|code| code.program().backend()) {
            Some(driver::Backend::Portable) => "portable",
            Some(_) => "wide",
            None => "interpreter",
        }
    }

    /// The machine code; `None` in the interpreter.
    pub fn code(&self) -> Option<&Code> {
        match &self.engine {
            Engine::Compiled(network) => Some(network.code()),
            Engine::Interpreted { .. } => None,
        }
    }
}

impl Engine {
    fn run(&mut self, input: &[f32], outputs: &mut [&mut [f32]]) -> Result<(), Error> {
        match self {
            Engine::Compiled(network) => network.run(&[input], outputs)?,
            Engine::Interpreted { graph, weights, features, threads } => {
                InterpretedNetwork::new(graph, &**weights, *features, *threads)?
                    .run(&[input], outputs)?;
            }
        }
        Ok(())
    }
}

fn length(what: &str, given: usize, wanted: usize) -> Result<(), Error> {
    if given == wanted {
        return Ok(());
    }
    Err(Error::Length { what: what.to_string(), given, wanted })
}

impl From<DriverError> for Error {
    fn from(error: DriverError) -> Error {
        Error::Compile(error.to_string())
    }
}

/// Number of classes that the first output has a number for; `None` where it is no vector for each
/// image, or the network is headless (`classes = 0`).
pub fn classes(expanded: &Expanded) -> Option<usize> {
    let parameter = expanded.parameters.iter().find(|(name, _)| name == "classes");
    if matches!(parameter, Some((_, Value::Number(count))) if *count == 0.0) {
        return None;
    }
    let (_, id) = expanded.graph.outputs.first()?;
    match expanded.graph.node(*id).shape[..] {
        [_, classes] => Some(classes),
        _ => None,
    }
}
