//! Rewriting a graph in place: replacing values, appending nodes, counting uses.
//!
//! A pass walks the nodes in order. Values that it replaces are forwarded: whoever reads them later
//! sees the replacement. Nodes that it adds stand at the end until [`Rewrite::finish`], which puts
//! the graph in order again and drops what nobody needs.

use netwright_ir::{Graph, Node, NodeId, Op, PostOp, ShapeError, Tensor};

/// A graph while a pass rewrites it.
pub(super) struct Rewrite<'g> {
    graph: &'g mut Graph,
    /// What replaces each node; itself where nothing does.
    forward: Vec<NodeId>,
    /// How often each value is used: reads by live nodes, outputs, features.
    uses: Vec<usize>,
    /// Whether each value depends on parameters and constants alone.
    known: Vec<bool>,
}

impl<'g> Rewrite<'g> {
    pub fn new(graph: &'g mut Graph) -> Self {
        let forward = graph.ids().collect();
        let uses = graph.use_counts(true);
        let known = graph.weight_expressions();
        Rewrite { graph, forward, uses, known }
    }

    /// Ids of the nodes that the pass walks over: those that were there when it began.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        self.graph.ids()
    }

    pub fn node(&self, id: NodeId) -> &Node {
        self.graph.node(id)
    }

    /// Brings the operands of a node up to date; says whether anybody still uses it.
    pub fn visit(&mut self, id: NodeId) -> bool {
        let forward = &self.forward;
        self.graph.nodes[id.index()].map_reads(|read| resolve(forward, read));
        self.uses[id.index()] > 0
    }

    pub fn shape(&self, id: NodeId) -> &[usize] {
        self.graph.shape(id)
    }

    pub fn name(&self, id: NodeId) -> &str {
        &self.graph.node(id).name
    }

    pub fn uses(&self, id: NodeId) -> usize {
        self.uses[id.index()]
    }

    pub fn known(&self, id: NodeId) -> bool {
        self.known[id.index()]
    }

    /// Whether the value is a constant of one element, and which.
    pub fn scalar(&self, id: NodeId) -> Option<f64> {
        let node = self.node(id);
        match &node.op {
            Op::Const(tensor) if tensor.data.len() == 1 && node.post.is_empty() => {
                Some(f64::from(tensor.data[0]))
            }
            _ => None,
        }
    }

    /// Appends a node.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: Vec<NodeId>,
    ) -> Result<NodeId, ShapeError> {
        self.push_with(name, op, inputs, Vec::new())
    }

    /// Appends a node with fused steps, which must keep its shape.
    pub fn push_with(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: Vec<NodeId>,
        post: Vec<PostOp>,
    ) -> Result<NodeId, ShapeError> {
        let id = self.graph.push(name, op, inputs)?;
        self.graph.nodes[id.index()].post = post;
        let reads: Vec<NodeId> = self.node(id).reads().collect();
        for read in &reads {
            self.uses[read.index()] += 1;
        }
        let known = !matches!(self.node(id).op, Op::Input)
            && reads.iter().all(|read| self.known[read.index()]);
        self.known.push(known);
        self.uses.push(0);
        self.forward.push(id);
        Ok(id)
    }

    /// Appends a constant.
    pub fn constant(
        &mut self,
        name: impl Into<String>,
        tensor: Tensor,
    ) -> Result<NodeId, ShapeError> {
        self.push(name, Op::Const(std::sync::Arc::new(tensor)), Vec::new())
    }

    /// Appends a reshape, unless the value has that shape already.
    pub fn reshape(&mut self, x: NodeId, shape: &[usize]) -> Result<NodeId, ShapeError> {
        if self.shape(x) == shape {
            return Ok(x);
        }
        let name = self.name(x).to_string();
        self.push(name, Op::Reshape { shape: shape.to_vec() }, vec![x])
    }

    /// Changes what a node computes, in place. Its shape must stay.
    pub fn set(&mut self, id: NodeId, op: Op, inputs: Vec<NodeId>, post: Vec<PostOp>) {
        let old: Vec<NodeId> = self.node(id).reads().collect();
        let node = &mut self.graph.nodes[id.index()];
        (node.op, node.inputs, node.post) = (op, inputs, post);
        let new: Vec<NodeId> = self.node(id).reads().collect();
        for read in new {
            self.uses[resolve(&self.forward, read).index()] += 1;
        }
        self.release(old);
    }

    /// Lets `with` stand for `id` from now on. `id` may be among the operands of neither.
    pub fn replace(&mut self, id: NodeId, with: NodeId) {
        let with = resolve(&self.forward, with);
        if with == id {
            return;
        }
        self.forward[id.index()] = with;
        self.uses[with.index()] += std::mem::take(&mut self.uses[id.index()]);
        let reads: Vec<NodeId> = self.node(id).reads().collect();
        self.release(reads);
    }

    /// Takes back one use of each of `values`, and all that live only by them.
    fn release(&mut self, mut values: Vec<NodeId>) {
        while let Some(value) = values.pop() {
            let value = resolve(&self.forward, value);
            let uses = &mut self.uses[value.index()];
            // A value that reached 0 was released with its operands and is not read again.
            *uses = uses.saturating_sub(1);
            if *uses == 0 {
                values.extend(self.node(value).reads());
            }
        }
    }

    /// Name of a live node, other than `except`, that reads `value`, for messages.
    pub fn other_user(&self, value: NodeId, except: NodeId) -> String {
        let user = self.graph.ids().find(|&id| {
            id != except
                && self.uses[id.index()] > 0
                && self.node(id).reads().any(|read| resolve(&self.forward, read) == value)
        });
        match user {
            Some(user) => self.name(user).to_string(),
            None => "the network's result".to_string(),
        }
    }

    /// Brings the graph in order: all reads point to the replacements, nodes stand after their
    /// operands, weight expressions first, and what nobody needs is gone.
    pub fn finish(self) {
        let Rewrite { graph, forward, .. } = self;
        for node in &mut graph.nodes {
            node.map_reads(|read| resolve(&forward, read));
        }
        for (_, id) in graph.outputs.iter_mut().chain(&mut graph.features) {
            *id = resolve(&forward, *id);
        }
        tidy(graph);
    }
}

fn resolve(forward: &[NodeId], mut id: NodeId) -> NodeId {
    while forward[id.index()] != id {
        id = forward[id.index()];
    }
    id
}

/// Drops the nodes that no result needs (inputs stay: they are the network's interface) and orders
/// the rest: weight expressions, then the others, each after its operands and otherwise in the order
/// in which they stood.
pub(super) fn tidy(graph: &mut Graph) {
    let order = order(graph);
    let mut place = vec![NodeId(0); graph.nodes.len()];
    for (i, id) in order.iter().enumerate() {
        place[id.index()] = NodeId(i as u32);
    }
    let mut old: Vec<Option<Node>> =
        std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
    for id in order {
        if let Some(mut node) = old[id.index()].take() {
            node.map_reads(|read| place[read.index()]);
            graph.nodes.push(node);
        }
    }
    for (_, id) in graph.outputs.iter_mut().chain(&mut graph.features) {
        *id = place[id.index()];
    }
}

/// The order of [`tidy`]: what each result needs, depth first without recursion.
fn order(graph: &Graph) -> Vec<NodeId> {
    let roots: Vec<NodeId> =
        graph.outputs.iter().chain(&graph.features).map(|(_, id)| *id).collect();
    let inputs = graph.ids().filter(|&id| matches!(graph.node(id).op, Op::Input));
    let mut needed = vec![false; graph.nodes.len()];
    let mut varies = vec![false; graph.nodes.len()];
    let mut sequence = Vec::with_capacity(graph.nodes.len());
    let mut stack: Vec<(NodeId, bool)> = Vec::new();
    // First which nodes are needed, then a walk in index order, so that siblings keep their order.
    let mut reach: Vec<NodeId> = roots.into_iter().chain(inputs).collect();
    while let Some(id) = reach.pop() {
        if !std::mem::replace(&mut needed[id.index()], true) {
            reach.extend(graph.node(id).reads());
        }
    }
    let mut done = vec![false; graph.nodes.len()];
    for root in graph.ids().filter(|id| needed[id.index()]) {
        stack.push((root, false));
        while let Some((id, operands_done)) = stack.pop() {
            if done[id.index()] {
                continue;
            }
            if operands_done {
                done[id.index()] = true;
                varies[id.index()] = matches!(graph.node(id).op, Op::Input)
                    || graph.node(id).reads().any(|read| varies[read.index()]);
                sequence.push(id);
            } else {
                stack.push((id, true));
                let mut reads: Vec<NodeId> = graph.node(id).reads().collect();
                reads.reverse();
                stack.extend(reads.into_iter().map(|read| (read, false)));
            }
        }
    }
    let (varying, known): (Vec<NodeId>, Vec<NodeId>) =
        sequence.into_iter().partition(|id| varies[id.index()]);
    known.into_iter().chain(varying).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use netwright_ir::{Binary, Unary};

    fn constant(graph: &mut Graph, name: &str) -> NodeId {
        graph.constant(name, Tensor::new([1], vec![2.0])).unwrap()
    }

    #[test]
    fn tidy_drops_the_dead_and_puts_weights_first() {
        let mut graph = Graph::default();
        let x = graph.input("x", vec![1, 1, 1, 1]).unwrap();
        let dead = graph.push("dead", Op::Unary(Unary::Neg), vec![x]).unwrap();
        let y = graph.push("y", Op::Unary(Unary::Abs), vec![x]).unwrap();
        let c = constant(&mut graph, "c");
        let z = graph.push("z", Op::Binary(Binary::Add), vec![y, c]).unwrap();
        graph.outputs.push(("z".into(), z));
        assert_eq!(graph.node(dead).name, "dead");
        tidy(&mut graph);
        let names: Vec<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(names, ["c", "x", "y", "z"]);
        assert_eq!(graph.outputs[0].1, NodeId(3));
        assert_eq!(netwright_ir::verify(&graph), Ok(()));
    }

    #[test]
    fn an_unused_input_stays() {
        let mut graph = Graph::default();
        graph.input("x", vec![1, 1, 1, 1]).unwrap();
        let c = constant(&mut graph, "c");
        graph.outputs.push(("c".into(), c));
        tidy(&mut graph);
        assert_eq!(graph.nodes.len(), 2);
    }

    #[test]
    fn replacing_counts_uses() {
        let mut graph = Graph::default();
        let x = graph.input("x", vec![1, 1, 1, 1]).unwrap();
        let a = graph.push("a", Op::Unary(Unary::Neg), vec![x]).unwrap();
        let b = graph.push("b", Op::Unary(Unary::Neg), vec![a]).unwrap();
        let c = graph.push("c", Op::Unary(Unary::Abs), vec![b]).unwrap();
        graph.outputs.push(("c".into(), c));
        let mut rewrite = Rewrite::new(&mut graph);
        assert_eq!((rewrite.uses(x), rewrite.uses(a), rewrite.uses(b)), (1, 1, 1));
        rewrite.replace(b, x);
        assert_eq!((rewrite.uses(x), rewrite.uses(a), rewrite.uses(b)), (1, 0, 0));
        assert!(!rewrite.visit(a));
        assert!(rewrite.visit(c));
        assert_eq!(rewrite.node(c).inputs, [x]);
        rewrite.finish();
        assert_eq!(graph.nodes.len(), 2);
    }
}
