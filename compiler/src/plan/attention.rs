//! Which parts of a graph are attention that one kernel computes, head by head.
//!
//! What is looked for is `softmax(steps(q k^T)) v`: a product, elementwise steps on its value (scaling, bias,
//! mask), a softmax over the last axis, and a product with the shares on the left, where nothing else reads
//! the values between.

use super::choice::{Choice, Way};
use netwright_ir::{Binary, Graph, NodeId, Op, PostOp};
use std::collections::HashMap;

/// How far before a softmax its product is looked for, past what stands between.
const FAR: usize = 6;

/// Attention in a graph.
#[derive(Clone, Debug)]
pub(super) struct Attention {
    /// The product of queries and keys.
    pub scores: NodeId,
    /// What is computed of the scores before the softmax, in order.
    pub steps: Vec<PostOp>,
    /// The nodes whose values are inside: the product of queries and keys, the steps, the softmax.
    pub inside: Vec<NodeId>,
    /// The transposition of the result, where nothing else reads it and its rows stay whole.
    pub turned: Option<Vec<usize>>,
}

/// All attention in a graph.
#[derive(Default)]
pub(super) struct Found {
    /// By the product with the values.
    pub by_result: HashMap<NodeId, Attention>,
    /// What looks like attention but is not computed head by head, and why.
    pub refused: Vec<Choice>,
}

/// Finds all attention.
pub(super) fn find(graph: &Graph) -> Found {
    let known = graph.weight_expressions();
    let search = Search { graph, uses: graph.use_counts(true), users: graph.users() };
    let mut found = Found::default();
    for id in graph.ids().filter(|id| !known[id.index()]) {
        match search.at(id) {
            Some(Ok((result, attention))) => {
                found.by_result.insert(result, attention);
            }
            Some(Err(reason)) => {
                let node = graph.node(id).name.clone();
                found.refused.push(Choice { node, way: Way::StageByStage, reason });
            }
            None => {}
        }
    }
    found
}

struct Search<'g> {
    graph: &'g Graph,
    uses: Vec<usize>,
    users: Vec<Vec<NodeId>>,
}

impl Search<'_> {
    /// The attention around a softmax, and the node of its result; nothing where there is no product
    /// before it.
    fn at(&self, softmax: NodeId) -> Option<Result<(NodeId, Attention), String>> {
        let node = self.graph.node(softmax);
        let Op::Softmax { axis } = node.op else { return None };
        let scores = self.product_before(softmax)?;
        Some(self.attention(softmax, axis, scores))
    }

    /// The product that a softmax comes from, whatever stands between.
    fn product_before(&self, softmax: NodeId) -> Option<NodeId> {
        let mut at = *self.graph.node(softmax).inputs.first()?;
        for _ in 0..FAR {
            if let Op::MatMul { .. } = self.graph.node(at).op {
                return Some(at);
            }
            at = self.before(at)?;
        }
        None
    }

    /// The value that a node changes, if it is of those that may stand between a product and a softmax.
    fn before(&self, id: NodeId) -> Option<NodeId> {
        let node = self.graph.node(id);
        match node.op {
            Op::Linear | Op::Slice { .. } | Op::Pad { .. } => node.inputs.first().copied(),
            _ if is_view(&node.op) => node.inputs.first().copied(),
            _ => Some(self.step(id)?.0),
        }
    }

    /// What stands between scores and their softmax, from the node `last` back: what computes rather than what
    /// only lies otherwise.
    fn obstacle(&self, last: NodeId, scores: NodeId) -> String {
        let mut named = last;
        let mut at = Some(last);
        while let Some(id) = at.filter(|id| *id != scores) {
            let op = &self.graph.node(id).op;
            if is_view(&self.graph.node(named).op) && !is_view(op) && self.step(id).is_none() {
                named = id;
            }
            at = self.before(id);
        }
        let node = self.graph.node(named);
        format!(
            "`{}` ({}) stands between the scores and their softmax",
            node.name,
            node.op.mnemonic()
        )
    }

    /// The value that an elementwise node changes, and how.
    fn step(&self, id: NodeId) -> Option<(NodeId, PostOp)> {
        let node = self.graph.node(id);
        let x = *node.inputs.first()?;
        let binary = |x, op, operand| Some((x, PostOp::Binary { op, operand }));
        match node.op {
            Op::Unary(unary) => Some((x, PostOp::Unary(unary))),
            Op::Clamp { low, high } => Some((x, PostOp::Clamp { low, high })),
            Op::Affine { mul, add } => Some((x, PostOp::Affine { mul, add })),
            Op::Binary(op) => {
                let y = *node.inputs.get(1)?;
                let other = self.graph.shape(x) != node.shape || self.is_simpler(x, y);
                match op {
                    Binary::Add | Binary::Mul if other => binary(y, op, x),
                    _ => binary(x, op, y),
                }
            }
            _ => None,
        }
    }

    /// Whether `x` is known when the weights are, and `y` is not.
    fn is_simpler(&self, x: NodeId, y: NodeId) -> bool {
        let made = |id: NodeId| matches!(self.graph.node(id).op, Op::Param(_) | Op::Const(_));
        made(x) && !made(y)
    }

    fn attention(
        &self,
        softmax: NodeId,
        axis: usize,
        scores: NodeId,
    ) -> Result<(NodeId, Attention), String> {
        let graph = self.graph;
        let shape = graph.shape(scores);
        let node = graph.node(softmax);
        let mut inside = vec![softmax];
        let mut steps = Vec::new();
        let mut at = node.inputs[0];
        while at != scores {
            let between = graph.node(at);
            let (x, step) = match self.step(at) {
                Some(found) if between.shape == shape => found,
                _ => return Err(self.obstacle(at, scores)),
            };
            steps.splice(0..0, std::iter::once(step).chain(between.post.iter().cloned()));
            inside.push(at);
            at = x;
        }
        inside.push(scores);
        steps.splice(0..0, graph.node(scores).post.iter().cloned());
        let name = |id: &NodeId| format!("`{}`", graph.node(*id).name);
        if let Some(read) = inside.iter().find(|id| self.uses[id.index()] != 1) {
            return Err(format!("{} is read {} times", name(read), self.uses[read.index()]));
        }
        let [result] = self.users[softmax.index()][..] else {
            return Err(format!("{} is a result", name(&softmax)));
        };
        let mixed = graph.node(result);
        let on_the_left = match mixed.op {
            Op::MatMul { transpose_a, .. } => !transpose_a && mixed.inputs[0] == softmax,
            _ => false,
        };
        if !on_the_left {
            return Err(format!(
                "`{}` ({}) reads the shares of the softmax, not a product with them on its left",
                mixed.name,
                mixed.op.mnemonic()
            ));
        }
        if axis + 1 != shape.len() || !node.post.is_empty() {
            return Err("the softmax is not over the last axis alone".into());
        }
        let leading = shape.len() - 2;
        if mixed.shape.len() != shape.len() || mixed.shape[..leading] != shape[..leading] {
            return Err("several products share their scores".into());
        }
        let turned = self.turned(result);
        Ok((result, Attention { scores, steps, inside, turned }))
    }

    fn turned(&self, result: NodeId) -> Option<Vec<usize>> {
        let node = self.graph.node(result);
        let [reader] = self.users[result.index()][..] else { return None };
        let last = node.shape.len() - 1;
        match &self.graph.node(reader).op {
            Op::Transpose { perm }
                if self.uses[result.index()] == 1 && node.post.is_empty() && perm[last] == last =>
            {
                Some(perm.clone())
            }
            _ => None,
        }
    }
}

/// Whether an operation only says that a value lies otherwise.
fn is_view(op: &Op) -> bool {
    matches!(op, Op::Reshape { .. } | Op::Transpose { .. } | Op::Expand { .. })
}
