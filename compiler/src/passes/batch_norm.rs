//! Batch normalisation into the weights of the layer before it; the rest as a multiplication and an
//! addition per channel.
//!
//! The folded bias is the normalisation applied to the old bias, and the scale is the normalisation
//! of ones without a shift: so the interpreter rounds each of them once only.

use super::{Log, fold::layer, rewrite::Rewrite};
use netwright_ir::{Binary, Graph, NodeId, Op, PostOp, ShapeError, Tensor, Unary};

const FUSION: &str = "batch norm into weights";

pub(super) fn fold(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        let Op::BatchNorm { eps } = node.op else { continue };
        if rewrite.known(id) {
            continue;
        }
        let x = node.inputs[0];
        let vectors = node.inputs[1..].to_vec();
        let names = [rewrite.name(x).to_string(), rewrite.name(id).to_string()];
        let names = [names[0].as_str(), names[1].as_str()];
        if !vectors.iter().all(|&vector| rewrite.known(vector)) {
            log.refused(FUSION, &names, "its vectors are computed from the image");
            continue;
        }
        match layer(&rewrite, x, id) {
            Err(reason) => log.refused(FUSION, &names, reason),
            Ok(layer) => {
                let scale = scale(&mut rewrite, id, eps, &vectors)?;
                let weight = layer.scaled_weight(&mut rewrite, Binary::Mul, scale)?;
                let bias = layer.bias_or_zeros(&mut rewrite)?;
                let bias = normalised(&mut rewrite, id, eps, bias, &vectors)?;
                layer.absorb(&mut rewrite, id, weight, bias);
                log.fired(FUSION, &names, "");
            }
        }
    }
    rewrite.finish();
    Ok(())
}

/// `gamma / sqrt(var + eps)`.
fn scale(
    rewrite: &mut Rewrite<'_>,
    id: NodeId,
    eps: f64,
    vectors: &[NodeId],
) -> Result<NodeId, ShapeError> {
    let name = rewrite.name(id).to_string();
    let channels = rewrite.shape(vectors[0])[0];
    let ones =
        rewrite.constant(format!("{name}.ones"), Tensor::new([channels], vec![1.0; channels]))?;
    let zeros = rewrite.constant(format!("{name}.zeros"), Tensor::zeros([channels]))?;
    let operands = vec![ones, vectors[0], zeros, zeros, vectors[3]];
    rewrite.push(format!("{name}.scale"), Op::BatchNorm { eps }, operands)
}

/// The normalisation of a vector.
fn normalised(
    rewrite: &mut Rewrite<'_>,
    id: NodeId,
    eps: f64,
    vector: NodeId,
    vectors: &[NodeId],
) -> Result<NodeId, ShapeError> {
    let name = format!("{}.shift", rewrite.name(id));
    let operands = [&[vector], vectors].concat();
    rewrite.push(name, Op::BatchNorm { eps }, operands)
}

/// Normalisations that stay become `x * scale + shift`.
pub(super) fn lower(graph: &mut Graph, _log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        let Op::BatchNorm { eps } = node.op else { continue };
        if rewrite.known(id) {
            continue;
        }
        let (x, mut post) = (node.inputs[0], node.post.clone());
        let vectors = node.inputs[1..].to_vec();
        let name = node.name.clone();
        if vectors.iter().all(|&vector| rewrite.known(vector)) {
            let channels = rewrite.shape(vectors[0])[0];
            let zeros = rewrite.constant(format!("{name}.zeros"), Tensor::zeros([channels]))?;
            let scale = scale(&mut rewrite, id, eps, &vectors)?;
            let shift = normalised(&mut rewrite, id, eps, zeros, &vectors)?;
            post.insert(0, PostOp::Binary { op: Binary::Add, operand: shift });
            rewrite.set(id, Op::Binary(Binary::Mul), vec![x, scale], post);
        } else {
            let [gamma, beta, mean, var] = [vectors[0], vectors[1], vectors[2], vectors[3]];
            let rsqrt = vec![
                PostOp::Unary(Unary::Rsqrt),
                PostOp::Binary { op: Binary::Mul, operand: gamma },
            ];
            let op = Op::Affine { mul: 1.0, add: eps };
            let scale = rewrite.push_with(format!("{name}.scale"), op, vec![var], rsqrt)?;
            let steps = [(Binary::Mul, scale), (Binary::Add, beta)];
            post.splice(0..0, steps.map(|(op, operand)| PostOp::Binary { op, operand }));
            rewrite.set(id, Op::Binary(Binary::Sub), vec![x, mean], post);
        }
    }
    rewrite.finish();
    Ok(())
}
