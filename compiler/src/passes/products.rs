//! Chooses between linear layers (whose weights are packed) and matrix products (whose operands are
//! both made while running), and makes additions of a vector the bias.

use super::{Log, rewrite::Rewrite};
use netwright_ir::{Binary, Graph, NodeId, Op, PostOp, ShapeError};

pub(super) fn run(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        match node.op {
            Op::Linear => dynamic_linear(&mut rewrite, id)?,
            Op::MatMul { transpose_a: false, transpose_b } => {
                product_by_weights(&mut rewrite, log, id, transpose_b)?;
            }
            _ => {}
        }
    }
    rewrite.finish();
    Ok(())
}

/// A linear layer whose weight is computed from the image is a product and an addition.
fn dynamic_linear(rewrite: &mut Rewrite<'_>, id: NodeId) -> Result<(), ShapeError> {
    let node = rewrite.node(id);
    let (inputs, mut post) = (node.inputs.clone(), node.post.clone());
    let weights_known = inputs[1..].iter().all(|&input| rewrite.known(input));
    if weights_known {
        return Ok(());
    }
    // A vector is a matrix of one row.
    let shape = node.shape.clone();
    if let Some(&bias) = inputs.get(2) {
        post.insert(0, PostOp::Binary { op: Binary::Add, operand: bias });
    }
    let op = Op::MatMul { transpose_a: false, transpose_b: true };
    if shape.len() >= 2 {
        rewrite.set(id, op, vec![inputs[0], inputs[1]], post);
        return Ok(());
    }
    let name = node.name.clone();
    let row = [1, rewrite.shape(inputs[0])[0]];
    let row = rewrite.reshape(inputs[0], &row)?;
    let product = rewrite.push(name, op, vec![row, inputs[1]])?;
    rewrite.set(id, Op::Reshape { shape }, vec![product], post);
    Ok(())
}

/// A product by a matrix of weights is a linear layer.
fn product_by_weights(
    rewrite: &mut Rewrite<'_>,
    log: &mut Log,
    id: NodeId,
    transpose_b: bool,
) -> Result<(), ShapeError> {
    let node = rewrite.node(id);
    let (a, b, post) = (node.inputs[0], node.inputs[1], node.post.clone());
    if rewrite.known(a) || !rewrite.known(b) || rewrite.shape(b).len() != 2 {
        return Ok(());
    }
    let weight = if transpose_b {
        b
    } else {
        let name = rewrite.name(b).to_string();
        rewrite.push(name, Op::Transpose { perm: vec![1, 0] }, vec![b])?
    };
    rewrite.set(id, Op::Linear, vec![a, weight], post);
    let names = [rewrite.name(id)];
    log.fired("product as linear layer", &names, "its second operand is a matrix of weights");
    Ok(())
}
