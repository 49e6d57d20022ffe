//! Networks that run.

use super::{Code, DriverError, Packed, Port, StepTime};
use netwright_codegen::buffer::AlignedBuffer;
use netwright_codegen::pool::{Pool, thread_count};
use std::sync::Arc;

/// What compiled and interpreted networks have in common.
pub trait Network {
    /// The inputs, in order; images are `[N, C, H, W]`.
    fn inputs(&self) -> &[Port];

    /// The outputs, in order, the main one first; maps are `[N, C, H, W]`.
    fn outputs(&self) -> &[Port];

    /// Runs the network: `inputs` and `outputs` are in the order of [`Network::inputs`] and
    /// [`Network::outputs`], row-major, with as many values as the ports' shapes have.
    ///
    /// # Errors
    /// When the number of buffers or the length of one does not fit.
    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) -> Result<(), DriverError>;

    /// Runs the network, and returns its outputs in new memory.
    ///
    /// # Errors
    /// As [`Network::run`].
    fn run_to_vec(&mut self, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>, DriverError> {
        let mut results: Vec<Vec<f32>> =
            self.outputs().iter().map(|port| vec![0.0; port.elements()]).collect();
        let mut outputs: Vec<&mut [f32]> = results.iter_mut().map(Vec::as_mut_slice).collect();
        self.run(inputs, &mut outputs)?;
        Ok(results)
    }
}

/// Code, weights, memory and threads. Running allocates nothing.
pub struct CompiledNetwork {
    code: Arc<Code>,
    weights: Arc<Packed>,
    workspace: AlignedBuffer,
    pool: Pool,
}

impl CompiledNetwork {
    pub(super) fn new(
        code: Arc<Code>,
        weights: Arc<Packed>,
        threads: usize,
    ) -> Result<Self, DriverError> {
        let (given, expected) = (weights.bytes().len(), code.plan().program.weights_bytes);
        if given != expected {
            return Err(DriverError::OtherWeights { given, expected });
        }
        let threads = thread_count(threads);
        let pool = Pool::new(threads);
        let workspace = code.program().workspace(pool.threads())?;
        Ok(CompiledNetwork { code, weights, workspace, pool })
    }

    /// The code that runs.
    pub fn code(&self) -> &Arc<Code> {
        &self.code
    }

    /// The weights it reads.
    pub fn weights(&self) -> &Arc<Packed> {
        &self.weights
    }

    /// Threads that run it.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// Bytes of intermediate values and scratch memory.
    pub fn workspace_bytes(&self) -> usize {
        self.workspace.len()
    }

    /// Milliseconds from the graph to callable code.
    pub fn compile_ms(&self) -> f64 {
        self.code.timings().total().as_secs_f64() * 1e3
    }

    /// Milliseconds of packing the weights.
    pub fn pack_ms(&self) -> f64 {
        self.weights.elapsed().as_secs_f64() * 1e3
    }

    /// As [`Network::run`], and writes the time of each step into `times`, which the program made
    /// ([`netwright_codegen::CompiledProgram::step_times`]).
    ///
    /// # Errors
    /// As [`Network::run`].
    pub fn run_timed(
        &mut self,
        inputs: &[&[f32]],
        outputs: &mut [&mut [f32]],
        times: &mut [StepTime],
    ) -> Result<(), DriverError> {
        let CompiledNetwork { code, weights, workspace, pool } = self;
        code.program().run_timed(inputs, outputs, weights.bytes(), workspace, pool, times)?;
        Ok(())
    }
}

impl Network for CompiledNetwork {
    fn inputs(&self) -> &[Port] {
        self.code.inputs()
    }

    fn outputs(&self) -> &[Port] {
        self.code.outputs()
    }

    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) -> Result<(), DriverError> {
        let CompiledNetwork { code, weights, workspace, pool } = self;
        code.program().run(inputs, outputs, weights.bytes(), workspace, pool)?;
        Ok(())
    }
}
