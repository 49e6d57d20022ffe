//! The planner: from a fused graph to a [`Program`] of kernels over places.
//!
//! Each node becomes one step, or a few, or none: reshapes, transposes, slices and expansions are
//! only another view of their operand, which kernels with strides read directly; where a kernel
//! needs its operand dense, a copy step makes it so. Weight expressions become items of the packed
//! weights. Then every intermediate value gets its place in the arena by its lifetime.
//!
//! | module | what |
//! |---|---|
//! | `lower` | nodes to steps |
//! | `view` | strided views |
//! | `operand` | what an epilogue can address |
//! | `weights` | items of the packed weights |
//! | `attention` | what is computed head by head, with the scores in cache |
//! | `chain` | which convolutions are computed together, band by band |
//! | `excite` | means and gates of maps without reading the maps |
//! | `winograd` | which convolutions are computed by Winograd's algorithm |
//! | `ahead` | weights that are asked for before the step that reads them |
//! | `rounds` | large batches, some images at a time |
//! | `tuned` | measured answers to such questions |
//! | `place`, `arena` | lifetimes, values computed in place, offsets |
//! | `text` | the text form |

mod ahead;
mod arena;
mod attention;
mod chain;
mod choice;
mod excite;
mod lower;
pub(crate) mod operand;
mod place;
mod rounds;
mod text;
mod tuned;
mod view;
mod weights;
mod winograd;

pub use choice::{Choice, Way};
pub use rounds::{plan_batch, with_images};
pub use tuned::{Answer, Candidate, Choices, Layer, Measured, Question, Used};
pub use weights::{Content, Item};

use netwright_codegen::program::{Place, Program};
use netwright_ir::Graph;
use std::sync::Arc;
use thiserror::Error;

/// A program with all that is needed to fill its weights, call it, and explain it.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What code generation takes.
    pub program: Program,
    /// The packed weights, in order of their offsets.
    pub items: Vec<Item>,
    /// The intermediate values.
    pub buffers: Vec<Buffer>,
    /// The caller's input buffers.
    pub inputs: Vec<Port>,
    /// The caller's output buffers: the graph's outputs, then its features.
    pub outputs: Vec<Port>,
    /// How convolutions and attention for which there are several ways are computed.
    pub choices: Vec<Choice>,
    /// The measured answers among them, in order and each once.
    pub tuned: Vec<Used>,
}

/// What the planner may do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Use Winograd's algorithm where it is estimated to be faster.
    pub winograd: bool,
    /// Compute convolutions that follow each other depth first where it is estimated to be faster, and attention
    /// head by head.
    pub depth_first: bool,
    /// Measured answers, which go before estimates.
    pub tuned: Arc<Choices>,
}

impl Default for Options {
    fn default() -> Self {
        Options { winograd: true, depth_first: true, tuned: Arc::default() }
    }
}

/// An intermediate value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// The node that it is the value of.
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// The step that writes it first.
    pub first: usize,
    /// The last step that touches it.
    pub last: usize,
    /// Where it lies.
    pub place: Place,
}

/// An input or output of the program, as the caller sees it: maps are `[N, C, H, W]`, everything
/// else is as in the graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
}

impl Port {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }
}

/// Why a graph can't be planned.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A node that the passes have to replace first, or whose operands are not what kernels take.
    #[error("`{name}` ({op}) can't be compiled: {reason}")]
    Unsupported {
        /// The node.
        name: String,
        /// Its operator.
        op: &'static str,
        /// What is in the way, and what to do.
        reason: String,
    },
    /// A value is too large to be addressed.
    #[error("`{name}` has {elements} elements, more than can be compiled")]
    TooLarge {
        /// The node.
        name: String,
        /// Number of elements.
        elements: usize,
    },
}

/// Most elements of one value: kernels address by byte offsets of 31 bits.
const MAX_VALUE: usize = (1 << 29) - 1;

/// Plans a graph that has gone through [`crate::passes::optimize`] (at least its required passes).
///
/// # Errors
/// When a node is of a kind that no kernel computes (which the required passes replace), or a
/// value is too large.
pub fn plan(graph: &Graph, options: &Options) -> Result<Plan, PlanError> {
    let mut lowered = lower(graph, options)?;
    excite::gates(&mut lowered, options);
    chain::fuse(&mut lowered, options);
    lowered.tuned.sort();
    lowered.tuned.dedup();
    ahead::fetch(&mut lowered);
    Ok(place::place(graph, lowered))
}

/// The questions that measuring can answer for a graph, in the order of their first steps. Whether a question comes
/// up depends on the answers to those before it.
///
/// # Errors
/// As [`plan`].
pub fn questions(graph: &Graph, options: &Options) -> Result<Vec<Question>, PlanError> {
    let mut lowered = lower(graph, options)?;
    let mut questions = excite::questions(&lowered);
    excite::gates(&mut lowered, options);
    for (step, one) in lowered.steps.iter().enumerate() {
        if options.winograd {
            questions.extend(winograd::question(step, &one.name, &lowered.kernels[one.kernel]));
        }
    }
    if options.depth_first {
        questions.extend(chain::questions(&lowered));
    }
    questions.sort_by_key(|question| question.step);
    Ok(questions)
}

fn lower(graph: &Graph, options: &Options) -> Result<lower::Lowered, PlanError> {
    for node in &graph.nodes {
        let elements: usize = node.shape.iter().product();
        if elements > MAX_VALUE {
            return Err(PlanError::TooLarge { name: node.name.clone(), elements });
        }
    }
    let mut lowered = lower::lower(graph, options)?;
    excite::means(&mut lowered);
    Ok(lowered)
}

/// A C identifier made from any name.
pub fn identifier(name: &str) -> String {
    let mut identifier: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
        .collect();
    if !identifier.starts_with(|c: char| c.is_ascii_alphabetic()) {
        identifier.insert_str(0, "net_");
    }
    identifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_legal() {
        assert_eq!(identifier("mobilenet_v2:1.4"), "mobilenet_v2_1_4");
        assert_eq!(identifier("50"), "net_50");
        assert_eq!(identifier(""), "net_");
        assert_eq!(identifier("größe"), "gr__e");
    }
}
