//! Who uses what, and what depends on what.
//!
//! Everything here takes graphs as they are, also before [`crate::verify()`]: operands that do not
//! come earlier are left out instead of being followed.

use crate::graph::{Graph, Node, NodeId};
use crate::op::{Op, PostOp};

impl PostOp {
    /// The value that the step reads beside the one that it changes.
    pub fn operand(&self) -> Option<NodeId> {
        match self {
            PostOp::Binary { operand, .. } => Some(*operand),
            _ => None,
        }
    }
}

impl Node {
    /// All values that the node reads: its operands, then those of its fused steps.
    pub fn reads(&self) -> impl Iterator<Item = NodeId> + '_ {
        let fused = self.post.iter().filter_map(PostOp::operand);
        self.inputs.iter().copied().chain(fused)
    }

    /// Applies `f` to every value that the node reads, in place.
    pub fn map_reads(&mut self, mut f: impl FnMut(NodeId) -> NodeId) {
        for input in &mut self.inputs {
            *input = f(*input);
        }
        for post in &mut self.post {
            if let PostOp::Binary { operand, .. } = post {
                *operand = f(*operand);
            }
        }
    }
}

impl Graph {
    /// For each node, the nodes that read its value, in order; a node that reads it twice is there
    /// twice. Outputs and features are not nodes and not counted.
    pub fn users(&self) -> Vec<Vec<NodeId>> {
        let mut users = vec![Vec::new(); self.nodes.len()];
        for id in self.ids() {
            for read in self.earlier_reads(id) {
                users[read.index()].push(id);
            }
        }
        users
    }

    /// For each node, how often its value is used: reads by nodes, and outputs. Features count
    /// only `with_features`.
    pub fn use_counts(&self, with_features: bool) -> Vec<usize> {
        let mut counts: Vec<usize> = self.users().iter().map(Vec::len).collect();
        let features = self.features.iter().filter(|_| with_features);
        for (_, id) in self.outputs.iter().chain(features) {
            if let Some(count) = counts.get_mut(id.index()) {
                *count += 1;
            }
        }
        counts
    }

    /// For each node, whether its value depends on nothing but parameters and constants, and so is
    /// known when the weights are.
    pub fn weight_expressions(&self) -> Vec<bool> {
        let mut known = vec![false; self.nodes.len()];
        for id in self.ids() {
            let node = self.node(id);
            known[id.index()] = !matches!(node.op, Op::Input)
                && node.reads().all(|read| read < id && known[read.index()]);
        }
        known
    }

    /// For each node, whether any of `roots` is it or depends on it.
    pub fn needed(&self, roots: impl IntoIterator<Item = NodeId>) -> Vec<bool> {
        let mut needed = vec![false; self.nodes.len()];
        for root in roots {
            if let Some(needed) = needed.get_mut(root.index()) {
                *needed = true;
            }
        }
        for id in self.ids().rev() {
            if needed[id.index()] {
                for read in self.earlier_reads(id) {
                    needed[read.index()] = true;
                }
            }
        }
        needed
    }

    fn earlier_reads(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.node(id).reads().filter(move |read| *read < id)
    }
}
