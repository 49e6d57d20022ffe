//! Passes: from the graph as the spec says it to the fused graph that the planner lowers.
//!
//! [`PASSES`] is the whole list, in order. A pass rewrites the graph and writes a [`Decision`] into
//! the [`Log`] for each place where its fusion could have fired: that it did, or why not. Passes
//! are symbolic: they look at shapes and attributes, never at the data of weights. What they need of
//! weights (a convolution's filters times a normalisation's scale) becomes nodes of the graph that
//! depend on parameters alone, which are evaluated once when the weights are packed.

mod arithmetic;
mod batch_norm;
mod channel_affine;
mod common;
mod epilogue;
mod fold;
mod layer_norm;
mod log;
mod padding;
mod pooling;
mod products;
mod rewrite;
mod through_views;
mod views;

pub use log::{Decision, Log};

use netwright_ir::{Graph, ShapeError, Violation};
use std::time::{Duration, Instant};
use thiserror::Error;

/// One pass of the list.
pub struct Pass {
    /// Its name in logs and timings.
    pub name: &'static str,
    /// What it is for, in one sentence.
    pub purpose: &'static str,
    /// Whether the planner relies on it; the others may be left out ([`Options::fuse`]).
    pub required: bool,
    run: fn(&mut Graph, &mut Log) -> Result<(), ShapeError>,
}

/// All passes, in the order in which they run.
pub const PASSES: &[Pass] = &[
    Pass {
        name: "arithmetic",
        purpose: "scalars become attributes, spelled-out activations become activations",
        required: false,
        run: arithmetic::run,
    },
    Pass {
        name: "views",
        purpose: "removes operations that change nothing, merges reshapes and transposes",
        required: false,
        run: views::run,
    },
    Pass {
        name: "pooling",
        purpose: "pooling over the whole map becomes a reduction",
        required: false,
        run: pooling::run,
    },
    Pass {
        name: "padding",
        purpose: "a border of zeros becomes the padding of the windows that read it",
        required: false,
        run: padding::run,
    },
    Pass {
        name: "products",
        purpose: "products by weights become linear layers, linear layers by activations products",
        required: true,
        run: products::run,
    },
    Pass {
        name: "batch norm into weights",
        purpose: "a normalisation after a convolution or linear layer becomes part of its weights",
        required: false,
        run: batch_norm::fold,
    },
    Pass {
        name: "batch norm as affine",
        purpose: "the other normalisations become a multiplication and an addition per channel",
        required: true,
        run: batch_norm::lower,
    },
    Pass {
        name: "channel affine into weights",
        purpose: "scales and shifts per channel become part of the weights that make the value",
        required: false,
        run: channel_affine::run,
    },
    Pass {
        name: "layer norm into weights",
        purpose: "gamma and beta become part of the linear layers that read the normalised value",
        required: false,
        run: layer_norm::run,
    },
    Pass {
        name: "elementwise before views",
        purpose: "moves elementwise steps before reshapes, where they can join the producer",
        required: false,
        run: through_views::run,
    },
    Pass {
        name: "common expressions",
        purpose: "computes equal expressions once",
        required: false,
        run: common::run,
    },
    Pass {
        name: "epilogues",
        purpose: "elementwise steps join the node that makes their operand",
        required: false,
        run: epilogue::run,
    },
    Pass {
        name: "views again",
        purpose: "merges the reshapes that the passes before left behind",
        required: false,
        run: views::run,
    },
];

/// What to do with a graph.
#[derive(Clone, Debug)]
pub struct Options {
    /// Keep the graph's features (as further results) instead of dropping them.
    pub features: bool,
    /// Run all passes (true) or the required ones only.
    pub fuse: bool,
    /// Check the graph's invariants after each pass.
    pub verify: bool,
}

impl Default for Options {
    fn default() -> Self {
        Options { features: false, fuse: true, verify: cfg!(debug_assertions) }
    }
}

/// A graph after the passes.
#[derive(Clone, Debug)]
pub struct Fused {
    /// The graph: the same results, the same parameters. Weight expressions stand first.
    pub graph: Graph,
    /// What each fusion did and did not do.
    pub log: Log,
    /// Time that each pass took.
    pub timings: Vec<(&'static str, Duration)>,
}

/// A pass broke the graph, or the graph was broken before: an error of the program, not of the user.
#[derive(Debug, Error)]
pub enum PassError {
    /// An invariant does not hold.
    #[error("the graph is not valid {when}: {}", list(.violations))]
    Invalid {
        /// `before the passes`, or `after the pass NAME`.
        when: String,
        /// What does not hold.
        violations: Vec<Violation>,
    },
    /// A pass made an operation that does not fit its operands.
    #[error("the pass {pass} made an operation that does not fit its operands: {error}")]
    Shape {
        /// The pass.
        pass: &'static str,
        /// What does not fit.
        error: ShapeError,
    },
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

/// Runs the passes over a graph.
///
/// The results, their names, shapes and order stay; the parameters stay, used or not. Values change
/// only by rounding.
///
/// # Errors
/// When the graph is not valid, or a pass makes it so (an error of the program).
pub fn optimize(graph: &Graph, options: &Options) -> Result<Fused, PassError> {
    let mut graph = graph.clone();
    let mut log = Log::default();
    let mut timings = Vec::with_capacity(PASSES.len());
    if !options.features {
        graph.features.clear();
    }
    // What comes in is checked always: passes rely on operands that exist and come earlier.
    check(&graph, || "before the passes".into())?;
    rewrite::tidy(&mut graph);
    for pass in PASSES.iter().filter(|pass| options.fuse || pass.required) {
        let start = Instant::now();
        (pass.run)(&mut graph, &mut log)
            .map_err(|error| PassError::Shape { pass: pass.name, error })?;
        timings.push((pass.name, start.elapsed()));
        if options.verify {
            check(&graph, || format!("after the pass {}", pass.name))?;
        }
    }
    Ok(Fused { graph, log, timings })
}

fn check(graph: &Graph, when: impl Fn() -> String) -> Result<(), PassError> {
    netwright_ir::verify(graph)
        .map_err(|violations| PassError::Invalid { when: when(), violations })
}
