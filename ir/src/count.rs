//! Parameters and multiply-accumulates.
//!
//! The convention is the papers': multiply-accumulates of convolutions, linear layers and matrix
//! products only (both products of attention, and those of weight expressions); bias,
//! normalisation, activations, pooling, softmax, sums and interpolation count nothing. A
//! convolution counts its border as if it were map.

use crate::graph::{Graph, NodeId};
use crate::op::Op;

/// Sizes of a graph.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Counts {
    /// Elements of all trained parameters, each once; statistics such as running means are left out.
    pub params: u64,
    /// Multiply-accumulates of the whole batch.
    pub macs: u64,
    /// Multiply-accumulates of each node.
    pub node_macs: Vec<u64>,
    /// Elements that convolutions, linear layers and matrix products make.
    pub activations: u64,
}

/// Counts parameters and multiply-accumulates. Numbers too large for `u64` stay at its maximum.
pub fn count(graph: &Graph) -> Counts {
    let params = graph.params.iter().filter(|param| param.trained);
    let node_macs: Vec<u64> = graph.ids().map(|id| graph.node_macs(id)).collect();
    let products = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::Conv(_) | Op::Linear | Op::MatMul { .. }));
    Counts {
        params: sum(params.map(|param| product(&param.shape))),
        macs: sum(node_macs.iter().copied()),
        activations: sum(products.map(|node| product(&node.shape))),
        node_macs,
    }
}

impl Graph {
    /// Multiply-accumulates of one node; 0 where operands are missing.
    pub fn node_macs(&self, id: NodeId) -> u64 {
        let node = self.node(id);
        let operand = |i: usize| {
            let id = node.inputs.get(i)?;
            self.nodes.get(id.index()).map(|node| node.shape.as_slice())
        };
        let length = match &node.op {
            Op::Conv(_) => operand(1).and_then(|weight| weight.get(1..)).map(product),
            Op::Linear => operand(1).and_then(|weight| weight.get(1..)).map(product),
            Op::MatMul { transpose_a, .. } => operand(0).and_then(|a| {
                let axis = a.len().checked_sub(if *transpose_a { 2 } else { 1 })?;
                Some(a[axis] as u64)
            }),
            _ => None,
        };
        length.map_or(0, |length| product(&node.shape).saturating_mul(length))
    }
}

fn product(shape: &[usize]) -> u64 {
    shape.iter().fold(1u64, |product, &n| product.saturating_mul(n as u64))
}

fn sum(numbers: impl Iterator<Item = u64>) -> u64 {
    numbers.fold(0, u64::saturating_add)
}
