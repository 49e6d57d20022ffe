//! Weight expressions: values that parameters and constants determine, made as they are read.
//!
//! Folding leaves nodes in the graph that compute new weights from parameters: a filter times a
//! vector of scales, most often. [`WeightExpressions`] gives the values of such nodes as
//! [`Stream`]s, of which any range can be read: the elementwise steps run on that range alone, so that a
//! large tensor is nowhere in memory but where it came from and where it goes.
//!
//! What is not elementwise, or costly and used several times, is computed as a whole by the
//! interpreter's loops and kept while it is in use. Each value is the interpreter's, bit for bit.

mod source;
mod stream;
#[cfg(test)]
mod tests;

pub use source::{FillValues, ParamSource, ParamValues, read_joined};
pub use stream::Stream;

use crate::graph::{Graph, Node, NodeId};
use crate::infer::elements;
use crate::interpret::{self, MAX_VALUE, RunError, reduction};
use crate::op::{Op, PostOp};
use crate::tensor::Tensor;
use crate::verify::verify;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use stream::{Kind, Map, Operand};

/// Most steps of an expression that are computed anew wherever it is read.
const CHEAP: usize = 8;

/// Most steps of any expression that is not kept: it bounds the depth of streams, too.
const LONGEST: usize = 64;

/// Weight expressions of a graph for a list of items, each of which needs the values of some nodes.
/// Several threads may open and close items at once.
pub struct WeightExpressions<'a> {
    graph: &'a Graph,
    params: &'a dyn ParamSource,
    /// By node: where its whole value is kept, if it is.
    held: Vec<Option<Held>>,
    items: Vec<Item>,
}

struct Held {
    value: Mutex<Option<Arc<Tensor>>>,
    /// Items that are not closed yet and need it.
    items: AtomicUsize,
}

struct Item {
    nodes: Vec<NodeId>,
    /// The kept values that it needs, in the graph's order.
    held: Vec<NodeId>,
    params: Vec<usize>,
}

impl<'a> WeightExpressions<'a> {
    /// The expressions of the nodes of each item.
    ///
    /// # Errors
    /// When the graph is not valid, or a node is not in it, depends on an input, or is too large.
    pub fn new(
        graph: &'a Graph,
        params: &'a dyn ParamSource,
        items: Vec<Vec<NodeId>>,
    ) -> Result<Self, RunError> {
        verify(graph).map_err(RunError::Invalid)?;
        if let Some(id) = items.iter().flatten().find(|id| id.index() >= graph.nodes.len()) {
            return Err(RunError::NoSuchNode(*id));
        }
        let needed = graph.needed(items.iter().flatten().copied());
        let mut readers = vec![0usize; graph.nodes.len()];
        for id in items.iter().flatten() {
            readers[id.index()] += 1;
        }
        for id in graph.ids().filter(|id| needed[id.index()]) {
            graph.node(id).reads().for_each(|read| readers[read.index()] += 1);
        }
        let mut held: Vec<Option<Held>> = Vec::with_capacity(graph.nodes.len());
        // Steps that it takes to compute a node from parameters, constants and what is kept.
        let mut steps = vec![1usize; graph.nodes.len()];
        for id in graph.ids() {
            let node = graph.node(id);
            let keep = needed[id.index()] && {
                let (name, shape) = (&node.name, &node.shape);
                if matches!(node.op, Op::Input) {
                    return Err(RunError::NotAWeight { id, name: name.clone() });
                }
                if elements(shape).is_ok_and(|n| n > MAX_VALUE) {
                    return Err(RunError::TooLarge { name: name.clone(), shape: shape.clone() });
                }
                let own = node.post.len() + 1;
                let all =
                    node.reads().fold(own, |sum, read| sum.saturating_add(steps[read.index()]));
                steps[id.index()] = all;
                let costly = all > LONGEST || (all > CHEAP && readers[id.index()] > 1);
                costly || !can_stream(graph, node)
            };
            if keep {
                steps[id.index()] = 1;
            }
            held.push(keep.then(|| Held { value: Mutex::new(None), items: AtomicUsize::new(0) }));
        }
        let items = items.into_iter().map(|nodes| item(graph, nodes, &held)).collect::<Vec<_>>();
        for id in items.iter().flat_map(|item| &item.held) {
            if let Some(held) = &held[id.index()] {
                held.items.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(WeightExpressions { graph, params, held, items })
    }

    /// The values of an item's nodes, in their order.
    ///
    /// # Errors
    /// When a tensor does not have its parameter's shape.
    ///
    /// # Panics
    /// For an item that does not exist, or is closed already.
    pub fn open(&self, item: usize) -> Result<Vec<Stream<'a>>, RunError> {
        let item = &self.items[item];
        for &id in &item.held {
            if let Some(held) = &self.held[id.index()] {
                // Values that a lock needs come before it in the graph: there is no circle.
                let mut value = held.value.lock().unwrap_or_else(PoisonError::into_inner);
                if value.is_none() {
                    *value = Some(self.compute(id)?);
                }
            }
        }
        item.nodes.iter().map(|id| self.value(*id)).collect()
    }

    /// Frees what only that item needed. An item is closed once.
    pub fn close(&self, item: usize) {
        let item = &self.items[item];
        for held in item.held.iter().filter_map(|id| self.held[id.index()].as_ref()) {
            if held.items.fetch_sub(1, Ordering::AcqRel) == 1 {
                *held.value.lock().unwrap_or_else(PoisonError::into_inner) = None;
            }
        }
        item.params.iter().for_each(|param| self.params.release(*param));
    }

    /// The whole value of a node that is kept.
    fn compute(&self, id: NodeId) -> Result<Arc<Tensor>, RunError> {
        let node = self.graph.node(id);
        if can_stream(self.graph, node) {
            let data = self.stream(id)?.to_vec();
            return Ok(Arc::new(Tensor { shape: node.shape.clone(), data }));
        }
        let operands =
            node.inputs.iter().map(|id| self.tensor(*id)).collect::<Result<Vec<_>, _>>()?;
        let operands: Vec<&Tensor> = operands.iter().map(|operand| &**operand).collect();
        // Items are shared among threads already.
        let mut value = Arc::new(interpret::compute(node, &operands, 1));
        for post in &node.post {
            let operand = post.operand().map(|id| self.tensor(id)).transpose()?;
            interpret::apply(post, &mut value, operand.as_deref(), 1);
        }
        Ok(value)
    }

    fn tensor(&self, id: NodeId) -> Result<Arc<Tensor>, RunError> {
        let stream = self.value(id)?;
        let shape = self.graph.shape(id);
        // A reshaped value is its operand's stream.
        let shared = stream.tensor().filter(|tensor| tensor.shape == shape);
        Ok(shared
            .unwrap_or_else(|| Arc::new(Tensor { shape: shape.to_vec(), data: stream.to_vec() })))
    }

    /// The value of a node, computed before if it is kept.
    fn value(&self, id: NodeId) -> Result<Stream<'a>, RunError> {
        let Some(held) = &self.held[id.index()] else { return self.stream(id) };
        let value = held.value.lock().unwrap_or_else(PoisonError::into_inner);
        let tensor = Arc::clone(value.as_ref().expect("an open item's values are there"));
        Ok(Stream::new(tensor.data.len(), Kind::Tensor(tensor)))
    }

    /// The value of a node that [`can_stream`].
    fn stream(&self, id: NodeId) -> Result<Stream<'a>, RunError> {
        let node = self.graph.node(id);
        let len = |id: NodeId| self.graph.shape(id).iter().product::<usize>();
        let input = |i: usize| self.value(node.inputs[i]);
        // Shape and number of values of the operator's own value are the node's: no fused step changes
        // them.
        let new = |kind| Stream::new(len(id), kind);
        let map = |map| Ok(new(Kind::Map(Box::new(input(0)?), map)));
        let mut stream = match &node.op {
            Op::Param(index) => new(Kind::Param(self.param(*index)?)),
            Op::Const(tensor) => new(Kind::Tensor(Arc::clone(tensor))),
            Op::Reshape { .. } => input(0)?,
            Op::Slice { axis, start, .. } => {
                let shape = self.graph.shape(node.inputs[0]);
                let row: usize = shape[axis + 1..].iter().product();
                new(Kind::Part(Box::new(input(0)?), start * row))
            }
            Op::Concat { .. } => {
                let parts = node.inputs.iter().map(|id| self.value(*id));
                new(Kind::Joined(parts.collect::<Result<_, _>>()?))
            }
            Op::Unary(function) => map(Map::Unary(*function))?,
            Op::Clamp { low, high } => map(Map::Clamp { low: *low, high: *high })?,
            Op::Affine { mul, add } => map(Map::Affine { mul: *mul, add: *add })?,
            Op::Binary(op) => {
                let side = |i: usize| self.operand(node.inputs[i], node);
                new(Kind::Zip(*op, side(0)?, side(1)?))
            }
            Op::BatchNorm { eps } => {
                let vector = |i: usize| Ok::<_, RunError>(input(i)?.to_vec());
                let scale = reduction::batch_norm_scale(&vector(1)?, &vector(4)?, *eps);
                let (beta, mean) = (vector(2)?, vector(3)?);
                new(Kind::BatchNorm { x: Box::new(input(0)?), scale, mean, beta })
            }
            Op::Linear => {
                let x = input(0)?.to_vec().into_iter().map(f64::from).collect();
                let bias = node.inputs.get(2).map(|id| self.value(*id)).transpose()?;
                let weight = Box::new(input(1)?);
                new(Kind::Linear { x, weight, bias: bias.map(Box::new) })
            }
            _ => unreachable!("`can_stream` lists the operators"),
        };
        for post in &node.post {
            stream = match (Map::of(post), post) {
                (Some(map), _) => new(Kind::Map(Box::new(stream), map)),
                (None, PostOp::Binary { op, operand }) => {
                    let left = Operand::Same(Box::new(stream));
                    new(Kind::Zip(*op, left, self.operand(*operand, node)?))
                }
                (None, _) => unreachable!("other steps have no operand"),
            };
        }
        Ok(stream)
    }

    /// The value of `id` as an elementwise operator of `node`'s shape reads it.
    fn operand(&self, id: NodeId, node: &Node) -> Result<Operand<'a>, RunError> {
        let value = self.value(id)?;
        Ok(match repeated(self.graph.shape(id), &node.shape) {
            Some(Repeat::No) => Operand::Same(Box::new(value)),
            Some(Repeat::Each(inner)) => Operand::Repeated { values: value.to_vec(), inner },
            None => unreachable!("`can_stream` has seen the shapes"),
        })
    }

    fn param(&self, index: usize) -> Result<ParamValues<'a>, RunError> {
        let param = &self.graph.params[index];
        let values = self.params.values(index);
        let given = match &values {
            ParamValues::Tensor(tensor) => tensor.shape.clone(),
            values if values.len() == param.shape.iter().product::<usize>() => param.shape.clone(),
            values => vec![values.len()],
        };
        if given == param.shape && values.len() == param.shape.iter().product::<usize>() {
            return Ok(values);
        }
        Err(RunError::ParamShape { path: param.path.clone(), expected: param.shape.clone(), given })
    }
}

/// An item with what its nodes depend on.
fn item(graph: &Graph, nodes: Vec<NodeId>, kept: &[Option<Held>]) -> Item {
    let (mut held, mut params) = (Vec::new(), Vec::new());
    let mut seen = std::collections::HashSet::new();
    let mut open = nodes.clone();
    while let Some(id) = open.pop() {
        if !seen.insert(id) {
            continue;
        }
        if kept[id.index()].is_some() {
            held.push(id);
        }
        if let Op::Param(index) = graph.node(id).op {
            params.push(index);
        }
        open.extend(graph.node(id).reads());
    }
    held.sort_unstable();
    Item { nodes, held, params }
}

/// How a value is read as one of another shape.
enum Repeat {
    /// It has as many values.
    No,
    /// Each value so many times, and all of that again and again.
    Each(usize),
}

/// How a value of shape `from` is read as one of shape `to`; `None` where its axes are not all side by
/// side.
fn repeated(from: &[usize], to: &[usize]) -> Option<Repeat> {
    let missing = to.len() - from.len();
    let own = |i: usize| i >= missing && from[i - missing] != 1;
    let axes = (0..to.len()).filter(|&i| to[i] != 1);
    let (mut inner, mut seen, mut ended) = (1, false, false);
    for i in axes.rev() {
        if own(i) {
            if ended {
                return None;
            }
            seen = true;
        } else if seen {
            ended = true;
        } else {
            inner *= to[i];
        }
    }
    let count: usize = from.iter().product();
    Some(if count == to.iter().product() { Repeat::No } else { Repeat::Each(inner) })
}

/// Whether any range of a node's values can be made from its operands' ranges.
fn can_stream(graph: &Graph, node: &Node) -> bool {
    let shape = |i: usize| graph.shape(node.inputs[i]);
    let broadcasts = |id: NodeId| repeated(graph.shape(id), &node.shape).is_some();
    let own = match &node.op {
        Op::Param(_)
        | Op::Const(_)
        | Op::Reshape { .. }
        | Op::Unary(_)
        | Op::Clamp { .. }
        | Op::Affine { .. }
        | Op::BatchNorm { .. } => true,
        Op::Binary(_) => node.inputs.iter().all(|id| broadcasts(*id)),
        // What is cut or joined has to be consecutive.
        Op::Slice { axis, step, .. } => *step == 1 && shape(0)[..*axis].iter().all(|n| *n == 1),
        Op::Concat { axis } => shape(0)[..*axis].iter().all(|n| *n == 1),
        // One row: the weights are read once.
        Op::Linear => shape(0).iter().product::<usize>() == shape(1)[1],
        _ => false,
    };
    own && node.post.iter().filter_map(PostOp::operand).all(broadcasts)
}
