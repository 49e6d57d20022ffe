//! The intermediate representation of a network.
//!
//! A [`Graph`] is a list of nodes in an order in which they can run. Each [`Node`] applies one
//! [`Op`] to earlier nodes, then its fused [`PostOp`] steps, and makes one dense `f32` value. The
//! tensors that the weights supply are [`Param`]s, each with the recipe ([`Source`]) that makes it
//! from a checkpoint.
//!
//! | module | what |
//! |---|---|
//! | [`op`], [`graph`], [`tensor`] | the types |
//! | [`builder`], [`analysis`] | making graphs, and who uses what |
//! | [`mod@infer`], [`padding`] | shapes |
//! | [`mod@verify`] | the invariants of a graph |
//! | [`text`], [`mod@parse`] | the text form, and back |
//! | [`mod@count`] | parameters and multiply-accumulates |
//! | [`interpret`] | the reference interpreter |
//! | [`weights`] | values of parameters, and of what depends on nothing else, as they are read |
//! | [`resample`], [`math`] | interpolation tables, and the error function |
//!
//! **Invariant of this crate:** it knows nothing of the text of specs, of checkpoint files or of
//! machine code, and no network has a case of its own here.
//!
//! ```
//! use netwright_ir::{Act, Graph, Interpreter, Op, Tensor, Unary};
//! use std::sync::Arc;
//!
//! let mut graph = Graph { name: "tiny".into(), ..Graph::default() };
//! let x = graph.input("image", vec![1, 1, 2, 1]).unwrap();
//! let y = graph.push("act", Op::Unary(Unary::Act(Act::Relu)), vec![x]).unwrap();
//! graph.outputs.push(("y".into(), y));
//! let image = Arc::new(Tensor::new([1, 1, 2, 1], vec![-1.0, 2.0]));
//! let no_params = |_| unreachable!("the graph has no parameters");
//! let result = Interpreter::new(&graph, &no_params).unwrap().run(&[image]).unwrap();
//! assert_eq!(result[0].data, [0.0, 2.0]);
//! ```

pub mod analysis;
pub mod builder;
pub mod count;
pub mod graph;
pub mod infer;
pub mod interpret;
mod lex;
pub mod math;
mod names;
pub mod op;
pub mod padding;
pub mod parse;
pub mod resample;
pub mod tensor;
pub mod text;
pub mod verify;
pub mod weights;

pub use count::{Counts, count};
pub use graph::{Graph, Node, NodeId, Param, Resampling, Source};
pub use infer::{MAX_ELEMENTS, ShapeError, broadcast, elements, infer, infer_post};
pub use interpret::{Interpreter, RunError, evaluate_weight_expressions};
pub use op::{
    Act, Binary, Conv, Interpolation, Op, PadMode, Padding, Pool, PoolKind, PostOp, Reduce, Size2,
    Unary,
};
pub use parse::{ParseError, parse};
pub use tensor::Tensor;
pub use verify::{Violation, verify};
pub use weights::{ParamSource, ParamValues, Stream, WeightExpressions, read_joined};
