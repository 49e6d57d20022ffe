//! Driving: from a graph to a network that runs.
//!
//! [`compile`] makes [`Code`] from a graph alone: passes, plan, machine code. [`Code::pack`] brings
//! the weights into the order in which the code reads them. A [`CompiledNetwork`] is both with
//! memory and threads to run them; an [`InterpretedNetwork`] has the same interface and runs the
//! graph in the reference interpreter.
//!
//! ```
//! use netwright_compiler::driver::{Network, Options, compile};
//! use netwright_ir::{Graph, Op, Reduce, Tensor};
//! use std::sync::Arc;
//!
//! let mut graph = Graph { name: "means".into(), ..Graph::default() };
//! let x = graph.input("image", vec![1, 2, 2, 3]).unwrap();
//! let axes = vec![1, 2];
//! let y = graph.push("mean", Op::Reduce { kind: Reduce::Mean, axes, keep: false }, vec![x]).unwrap();
//! graph.outputs.push(("means".into(), y));
//!
//! let code = Arc::new(compile(&graph, &Options::default()).unwrap());
//! let none = |_| -> Arc<Tensor> { unreachable!("the graph has no parameters") };
//! let weights = Arc::new(code.pack(&none).unwrap());
//! let mut network = code.network(weights, 1).unwrap();
//! // Planes of one channel each: [N, C, H, W].
//! let image = [1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0, 1.0, 2.0, 3.0, 4.0];
//! let mut means = [0.0; 3];
//! network.run(&[&image], &mut [&mut means]).unwrap();
//! assert_eq!(means, [1.0, 2.0, 2.5]);
//! ```

mod code;
mod interpreted;
mod network;
mod object;
mod pack;

pub use code::{Code, Timings, compile, compile_and_pack};
pub use interpreted::InterpretedNetwork;
pub use network::{CompiledNetwork, Network};
pub use object::{HalfCost, NetworkObject, ObjectRequest, object};
pub use pack::Packed;

pub use crate::plan::{Choices, Port};
pub use netwright_codegen::jit::{Backend, StepTime};
pub use netwright_codegen::object::{Level, ObjectFile, ObjectOptions, Triple, header};
pub use netwright_codegen::program::Half;
pub use netwright_codegen::wide::WideIsa;
pub use netwright_ir::ParamSource;

use crate::passes::PassError;
use crate::plan::PlanError;
use netwright_codegen::error::CodegenError;
use netwright_ir::RunError;
use std::sync::Arc;
use thiserror::Error;

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which emitter makes the machine code.
    pub backend: Backend,
    /// Instruction set of the wide emitter; by default the widest that the machine has.
    pub isa: Option<WideIsa>,
    /// Keep the portable emitter to what every machine of this kind has.
    pub baseline: bool,
    /// Threads that compile and pack; 0 for one a core.
    pub compile_threads: usize,
    /// Deliver the graph's features after its outputs.
    pub features: bool,
    /// Run all passes (true), or the required ones only.
    pub fuse: bool,
    /// Use Winograd's algorithm for 3x3 convolutions where it is estimated to be faster. It needs more
    /// memory for weights, and its rounding errors are larger.
    pub winograd: bool,
    /// Compute convolutions that follow each other depth first where it is estimated to be faster, and attention
    /// head by head.
    pub depth_first: bool,
    /// Also make code that times the stages inside steps, for [`CompiledNetwork::run_timed`].
    pub stage_times: bool,
    /// Measured choices, which go before estimates.
    pub tuned: Arc<Choices>,
    /// Check the graph after each pass.
    pub verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options {
            backend: Backend::Auto,
            isa: None,
            baseline: false,
            compile_threads: 0,
            features: false,
            fuse: true,
            winograd: true,
            depth_first: true,
            stage_times: false,
            tuned: Arc::default(),
            verify: cfg!(debug_assertions),
        }
    }
}

/// Why a network can't be compiled or run.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DriverError {
    /// The graph is not valid.
    #[error(transparent)]
    Passes(#[from] PassError),
    /// The graph can't be planned.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Code generation failed, or a buffer does not fit the network.
    #[error(transparent)]
    Codegen(#[from] CodegenError),
    /// The weights do not fit, or the interpreter can't run the graph.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A buffer does not fit the network.
    #[error("{what}: {given} values given, {expected} expected")]
    Buffer {
        /// Which buffer.
        what: String,
        /// Its length.
        given: usize,
        /// The length it should have.
        expected: usize,
    },
    /// The weights were packed for other code.
    #[error(
        "the packed weights have {given} bytes, the code reads {expected}: pack them with this code"
    )]
    OtherWeights {
        /// Bytes given.
        given: usize,
        /// Bytes expected.
        expected: usize,
    },
}
