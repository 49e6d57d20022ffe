//! The reference interpreter: plain loops that say what each operator means.
//!
//! Sums are `f64` in a fixed order; the value of every node, and of every fused step, is rounded
//! to `f32`. So moving an elementwise node into [`Node::post`] of its operand changes no bit, and
//! the number of threads changes none either: a thread makes whole rows of a result.

pub(crate) mod elementwise;
mod movement;
mod parallel;
mod product;
pub(crate) mod reduction;
pub(crate) mod strided;
mod windowed;

use crate::graph::{Graph, Node, NodeId};
use crate::infer::elements;
use crate::op::{Op, PostOp};
use crate::resample::taps;
use crate::tensor::Tensor;
use crate::verify::{Violation, verify};
use std::sync::Arc;
use thiserror::Error;

/// Most elements of one value that the interpreter takes on.
pub const MAX_VALUE: usize = 1 << 31;

/// Why a graph could not be interpreted.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RunError {
    /// The graph breaks an invariant.
    #[error("the graph is not valid: {}", list(.0))]
    Invalid(Vec<Violation>),
    /// Not as many tensors as the graph has inputs.
    #[error("the graph has {expected} inputs, {given} were given")]
    InputCount {
        /// Inputs of the graph.
        expected: usize,
        /// Tensors given.
        given: usize,
    },
    /// A tensor of another shape than the input that it is for.
    #[error("input `{name}` has shape {expected:?}, the tensor given has {given:?}")]
    InputShape {
        /// Name of the input.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
        /// Shape of the tensor.
        given: Vec<usize>,
    },
    /// A tensor of another shape than the parameter that it is for.
    #[error("parameter `{path}` has shape {expected:?}, the tensor given has {given:?}")]
    ParamShape {
        /// Path of the parameter.
        path: String,
        /// Its shape.
        expected: Vec<usize>,
        /// Shape of the tensor.
        given: Vec<usize>,
    },
    /// A value is too large for the interpreter.
    #[error("the value of `{name}` has shape {shape:?}, too large to be interpreted")]
    TooLarge {
        /// Name of the node.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// An asked-for node is not in the graph.
    #[error("node {0} is not in the graph")]
    NoSuchNode(NodeId),
    /// A node that was asked for as a weight expression depends on an input.
    #[error("node {id} (`{name}`) depends on an input, so the weights do not determine it")]
    NotAWeight {
        /// The node.
        id: NodeId,
        /// Its name.
        name: String,
    },
}

fn list(violations: &[Violation]) -> String {
    violations.iter().map(Violation::to_string).collect::<Vec<_>>().join("; ")
}

/// Gives the tensor of a parameter by its index in [`Graph::params`].
pub type ParamTensor<'a> = dyn Fn(usize) -> Arc<Tensor> + 'a;

/// Results of [`Interpreter::run_keeping`].
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Values of the graph's outputs, in their order.
    pub outputs: Vec<Arc<Tensor>>,
    /// Values of the nodes that were asked for, in the order asked.
    pub nodes: Vec<Arc<Tensor>>,
}

/// Runs a graph, node by node.
#[derive(Clone, Copy)]
pub struct Interpreter<'a> {
    graph: &'a Graph,
    params: &'a ParamTensor<'a>,
    threads: usize,
}

impl<'a> Interpreter<'a> {
    /// An interpreter of `graph` with as many threads as the machine has cores.
    ///
    /// # Errors
    /// When the graph breaks an invariant of [`crate::verify()`].
    pub fn new(graph: &'a Graph, params: &'a ParamTensor<'a>) -> Result<Self, RunError> {
        verify(graph).map_err(RunError::Invalid)?;
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
        Ok(Interpreter { graph, params, threads })
    }

    /// The same with another number of threads; results do not depend on it.
    pub fn threads(self, threads: usize) -> Self {
        Interpreter { threads: threads.max(1), ..self }
    }

    /// Values of the graph's outputs, in their order. `inputs` are the tensors of the graph's
    /// [`Op::Input`] nodes in order.
    ///
    /// # Errors
    /// When a given tensor does not have the shape that the graph states, or a value is larger
    /// than [`MAX_VALUE`].
    pub fn run(&self, inputs: &[Arc<Tensor>]) -> Result<Vec<Arc<Tensor>>, RunError> {
        Ok(self.run_keeping(inputs, &[])?.outputs)
    }

    /// Values of the graph's outputs and of any other nodes.
    ///
    /// # Errors
    /// As [`Interpreter::run`], and when a node is not in the graph.
    pub fn run_keeping(&self, inputs: &[Arc<Tensor>], keep: &[NodeId]) -> Result<Kept, RunError> {
        let outputs = self.graph.outputs.iter().map(|(_, id)| *id);
        let wanted: Vec<NodeId> = outputs.chain(keep.iter().copied()).collect();
        let mut outputs = self.collect(Some(inputs), &wanted)?;
        let nodes = outputs.split_off(self.graph.outputs.len());
        Ok(Kept { outputs, nodes })
    }

    /// Runs what the `wanted` nodes need, and hands each of them to `sink` as soon as it is known,
    /// in the graph's order. A value that `sink` does not keep is freed after its last use.
    ///
    /// # Errors
    /// As [`Interpreter::run_keeping`].
    pub fn run_each(
        &self,
        inputs: &[Arc<Tensor>],
        wanted: &[NodeId],
        sink: &mut dyn FnMut(NodeId, &Arc<Tensor>),
    ) -> Result<(), RunError> {
        self.execute(Some(inputs), wanted, sink)
    }

    fn collect(
        &self,
        inputs: Option<&[Arc<Tensor>]>,
        wanted: &[NodeId],
    ) -> Result<Vec<Arc<Tensor>>, RunError> {
        let mut found = std::collections::HashMap::new();
        self.execute(inputs, wanted, &mut |id, value| {
            found.insert(id, Arc::clone(value));
        })?;
        Ok(wanted.iter().map(|id| Arc::clone(&found[id])).collect())
    }

    fn execute(
        &self,
        inputs: Option<&[Arc<Tensor>]>,
        wanted: &[NodeId],
        sink: &mut dyn FnMut(NodeId, &Arc<Tensor>),
    ) -> Result<(), RunError> {
        let graph = self.graph;
        if let Some(id) = wanted.iter().find(|id| id.index() >= graph.nodes.len()) {
            return Err(RunError::NoSuchNode(*id));
        }
        if let Some(inputs) = inputs {
            self.check_inputs(inputs)?;
        }
        let needed = graph.needed(wanted.iter().copied());
        let mut is_wanted = vec![false; graph.nodes.len()];
        for id in wanted {
            is_wanted[id.index()] = true;
        }
        // Values whose last use is at each node.
        let mut dying = vec![Vec::new(); graph.nodes.len()];
        let mut seen = vec![false; graph.nodes.len()];
        for id in graph.ids().rev().filter(|id| needed[id.index()]) {
            for read in graph.node(id).reads() {
                if !std::mem::replace(&mut seen[read.index()], true) {
                    dying[id.index()].push(read);
                }
            }
        }
        let mut values: Vec<Option<Arc<Tensor>>> = vec![None; graph.nodes.len()];
        let mut next_input = 0;
        for id in graph.ids() {
            let node = graph.node(id);
            let input = match (&node.op, inputs) {
                (Op::Input, Some(inputs)) => {
                    next_input += 1;
                    Some(&inputs[next_input - 1])
                }
                _ => None,
            };
            if !needed[id.index()] {
                continue;
            }
            if elements(&node.shape).is_ok_and(|n| n > MAX_VALUE) {
                let (name, shape) = (node.name.clone(), node.shape.clone());
                return Err(RunError::TooLarge { name, shape });
            }
            let mut value = match (&node.op, input) {
                (Op::Input, Some(input)) => Arc::clone(input),
                (Op::Input, None) => {
                    return Err(RunError::NotAWeight { id, name: node.name.clone() });
                }
                (Op::Param(index), _) => self.param(*index)?,
                (Op::Const(tensor), _) => Arc::clone(tensor),
                _ => {
                    let operands: Vec<&Tensor> =
                        node.inputs.iter().map(|id| read(&values, *id)).collect();
                    Arc::new(compute(node, &operands, self.threads))
                }
            };
            for post in &node.post {
                let operand = post.operand().map(|id| read(&values, id));
                apply(post, &mut value, operand, self.threads);
            }
            for read in dying[id.index()].drain(..) {
                values[read.index()] = None;
            }
            if is_wanted[id.index()] {
                sink(id, &value);
            }
            // A value that nothing reads is dropped here.
            values[id.index()] = seen[id.index()].then_some(value);
        }
        Ok(())
    }

    fn check_inputs(&self, inputs: &[Arc<Tensor>]) -> Result<(), RunError> {
        let nodes: Vec<&Node> =
            self.graph.nodes.iter().filter(|node| matches!(node.op, Op::Input)).collect();
        if nodes.len() != inputs.len() {
            return Err(RunError::InputCount { expected: nodes.len(), given: inputs.len() });
        }
        match nodes.iter().zip(inputs).find(|(node, input)| !has_shape(input, &node.shape)) {
            None => Ok(()),
            Some((node, input)) => Err(RunError::InputShape {
                name: node.name.clone(),
                expected: node.shape.clone(),
                given: input.shape.clone(),
            }),
        }
    }

    fn param(&self, index: usize) -> Result<Arc<Tensor>, RunError> {
        let param = &self.graph.params[index];
        let tensor = (self.params)(index);
        if has_shape(&tensor, &param.shape) {
            return Ok(tensor);
        }
        Err(RunError::ParamShape {
            path: param.path.clone(),
            expected: param.shape.clone(),
            given: tensor.shape.clone(),
        })
    }
}

/// The value of a node that has operands, which are in the order of its inputs, without its fused
/// steps. The graph is verified, so operands have the shapes and attributes the ranges that the loops
/// rely on.
pub(crate) fn compute(node: &Node, operands: &[&Tensor], threads: usize) -> Tensor {
    let x = operands[0];
    let shape = &node.shape;
    let fresh = |f: &dyn Fn(&mut [f32])| {
        let mut tensor = Tensor::zeros(shape.clone());
        f(&mut tensor.data);
        tensor.data
    };
    let in_place = |f: &dyn Fn(&mut [f32])| {
        let mut data = x.data.clone();
        f(&mut data);
        data
    };
    let size = |x: &Tensor| [x.shape[1], x.shape[2], x.shape[3]];
    let data = match &node.op {
        Op::Input | Op::Param(_) | Op::Const(_) => {
            unreachable!("nodes without operands are not computed")
        }
        Op::Conv(conv) => {
            let [h, w, channels] = size(x);
            let conv_shape = product::ConvShape {
                input: [h, w],
                channels,
                outputs: shape[3],
                windows: conv.windows([h, w]).expect("the graph is verified"),
            };
            let weight = &operands[1].data;
            let bias = operands.get(2).map(|b| b.data.as_slice());
            fresh(&|out| product::conv(conv, &conv_shape, &x.data, weight, bias, threads, out))
        }
        Op::BatchNorm { eps } => {
            let vectors = std::array::from_fn(|i| operands[i + 1].data.as_slice());
            fresh(&|out| reduction::batch_norm(x, vectors, *eps, threads, out))
        }
        Op::LayerNorm { eps } => {
            let affine = operands.get(1).map(|g| (&g.data[..], &operands[2].data[..]));
            fresh(&|out| reduction::layer_norm(x, affine, *eps, threads, out))
        }
        Op::Linear => {
            let weight = operands[1];
            let bias = operands.get(2).map(|b| b.data.as_slice());
            fresh(&|out| {
                let outputs = weight.shape[0];
                product::linear(&x.data, &weight.data, bias, outputs, threads, out)
            })
        }
        Op::MatMul { transpose_a, transpose_b } => {
            let [m, n] = [shape[shape.len() - 2], shape[shape.len() - 1]];
            let batch = &shape[..shape.len() - 2];
            let a = side(x, *transpose_a, batch);
            let b = side(operands[1], *transpose_b, batch);
            let k = x.shape[x.shape.len() - if *transpose_a { 2 } else { 1 }];
            fresh(&|out| product::matmul(&a, &b, [m, k, n], threads, out))
        }
        Op::Unary(function) => in_place(&|data| elementwise::unary(*function, data, threads)),
        Op::Clamp { low, high } => in_place(&|data| elementwise::clamp(*low, *high, data, threads)),
        Op::Affine { mul, add } => in_place(&|data| elementwise::affine(*mul, *add, data, threads)),
        Op::Binary(op) => elementwise::binary(*op, x, operands[1], shape),
        Op::Pool(pool) => {
            let [h, w, _] = size(x);
            let windows = pool.windows([h, w]).expect("the graph is verified");
            fresh(&|out| windowed::pool(pool, size(x), windows, &x.data, threads, out))
        }
        Op::Reduce { kind, axes, .. } => reduction::reduce(x, *kind, axes),
        Op::Softmax { axis } => fresh(&|out| reduction::softmax(x, *axis, threads, out)),
        Op::Concat { axis } => movement::concat(operands, *axis),
        Op::Slice { axis, start, len, step } => movement::slice(x, *axis, *start, *len, *step),
        Op::Pad { amounts, mode } => movement::pad(x, amounts, *mode),
        Op::Roll { axis, shift } => movement::roll(x, *axis, *shift),
        Op::Gather { axis, indices, .. } => movement::gather(x, *axis, indices),
        Op::Reshape { .. } => x.data.clone(),
        Op::Transpose { perm } => movement::transpose(x, perm, shape),
        Op::Expand { .. } => movement::expand(x, shape),
        Op::Resize { size: [rows, columns], mode, align_corners, antialias } => {
            let [h, w, _] = size(x);
            let rows = taps(h, *rows, *mode, *align_corners, *antialias);
            let columns = taps(w, *columns, *mode, *align_corners, *antialias);
            fresh(&|out| windowed::resize(&x.data, size(x), &rows, &columns, threads, out))
        }
    };
    Tensor { shape: shape.clone(), data }
}

/// A fused step; `operand` is the value that it reads, if any.
pub(crate) fn apply(
    post: &PostOp,
    value: &mut Arc<Tensor>,
    operand: Option<&Tensor>,
    threads: usize,
) {
    match (post, operand) {
        (PostOp::Unary(function), _) => {
            elementwise::unary(*function, &mut Arc::make_mut(value).data, threads);
        }
        (PostOp::Clamp { low, high }, _) => {
            elementwise::clamp(*low, *high, &mut Arc::make_mut(value).data, threads);
        }
        (PostOp::Affine { mul, add }, _) => {
            elementwise::affine(*mul, *add, &mut Arc::make_mut(value).data, threads);
        }
        (PostOp::Binary { op, .. }, Some(operand)) => {
            let data = elementwise::binary(*op, value, operand, &value.shape);
            *value = Arc::new(Tensor { shape: value.shape.clone(), data });
        }
        (PostOp::Binary { .. }, None) => unreachable!("the caller gives the operand"),
    }
}

fn has_shape(tensor: &Tensor, shape: &[usize]) -> bool {
    tensor.shape == shape && tensor.data.len() == shape.iter().product::<usize>()
}

fn read(values: &[Option<Arc<Tensor>>], id: NodeId) -> &Tensor {
    values[id.index()].as_ref().expect("a value lives until its last use")
}

/// One operand of a matrix product whose leading axes broadcast to `batch`.
fn side<'a>(x: &'a Tensor, transpose: bool, batch: &[usize]) -> product::Side<'a> {
    let rank = x.shape.len();
    let columns = x.shape[rank - 1];
    let matrix = x.shape[rank - 2] * columns;
    let strides = strided::broadcast_strides(&x.shape[..rank - 2], batch);
    let mut starts = Vec::new();
    strided::walk(batch, [&strides], |len, [start], [step]| {
        starts.extend((0..len).map(|i| (start + i * step) * matrix));
    });
    let strides = if transpose { [1, columns] } else { [columns, 1] };
    product::Side { data: &x.data, starts, strides }
}

/// Values of nodes that depend only on parameters and constants: what packing the weights needs.
///
/// # Errors
/// When the graph is not valid, a parameter's tensor has another shape than the graph states, or a
/// wanted node is not in the graph or depends on an input.
pub fn evaluate_weight_expressions(
    graph: &Graph,
    params: &ParamTensor<'_>,
    wanted: &[NodeId],
) -> Result<Vec<Arc<Tensor>>, RunError> {
    Interpreter::new(graph, params)?.collect(None, wanted)
}

#[cfg(test)]
mod tests;
