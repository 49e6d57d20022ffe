//! Equal expressions are computed once.

use super::{Log, rewrite::Rewrite};
use netwright_ir::{Graph, Node, NodeId, Op, ShapeError};
use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

pub(super) fn run(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    let mut seen: HashMap<u64, Vec<NodeId>> = HashMap::new();
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        if matches!(node.op, Op::Input) {
            continue;
        }
        let same = seen.entry(key(node)).or_default();
        match same.iter().find(|&&other| equal(rewrite.node(other), rewrite.node(id))) {
            Some(&other) => {
                if !rewrite.known(id) {
                    let names = [rewrite.name(other), rewrite.name(id)];
                    log.fired("common expressions", &names, "both compute the same");
                }
                rewrite.replace(id, other);
            }
            None => same.push(id),
        }
    }
    rewrite.finish();
    Ok(())
}

fn equal(a: &Node, b: &Node) -> bool {
    a.inputs == b.inputs && a.shape == b.shape && a.post == b.post && a.op == b.op
}

/// A hash that equal nodes share. Large constants are hashed by a few of their elements.
fn key(node: &Node) -> u64 {
    let mut hasher = DefaultHasher::new();
    (node.op.mnemonic(), &node.inputs, &node.shape, node.post.len()).hash(&mut hasher);
    match &node.op {
        Op::Const(tensor) => {
            for value in tensor.data.iter().take(64) {
                // Zeros of both signs are equal.
                (value + 0.0).to_bits().hash(&mut hasher);
            }
        }
        Op::Param(index) => index.hash(&mut hasher),
        _ => {}
    }
    hasher.finish()
}
