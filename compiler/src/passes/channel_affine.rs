//! Scales and shifts per channel (biases written apart, LayerScale, scalars) become part of the
//! weights of the layer that makes the value.

use super::{
    Log,
    fold::{Layer, layer},
    rewrite::Rewrite,
};
use netwright_ir::{Binary, Graph, NodeId, Op, ShapeError, Tensor, Unary};

const FUSION: &str = "channel affine into weights";

/// What is done to each channel of a layer's value.
enum Step {
    /// `x * mul + add` with constants.
    Affine(f64, f64),
    /// `x op vector`.
    Vector(Binary, NodeId),
    /// `vector - x`.
    SubFrom(NodeId),
}

pub(super) fn run(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) || rewrite.known(id) {
            continue;
        }
        let Some((x, step)) = step(&rewrite, id) else { continue };
        // Other producers are not worth a word here: the step joins their epilogue later.
        if !matches!(rewrite.node(x).op, Op::Conv(_) | Op::Linear) {
            continue;
        }
        let names = [rewrite.name(x).to_string(), rewrite.name(id).to_string()];
        let names = [names[0].as_str(), names[1].as_str()];
        match layer(&rewrite, x, id) {
            Err(reason) => log.refused(FUSION, &names, reason),
            Ok(layer) => {
                absorb(&mut rewrite, layer, id, step)?;
                log.fired(FUSION, &names, "");
            }
        }
    }
    rewrite.finish();
    Ok(())
}

/// The operand of a step per channel, and the step.
fn step(rewrite: &Rewrite<'_>, id: NodeId) -> Option<(NodeId, Step)> {
    let node = rewrite.node(id);
    match node.op {
        Op::Affine { mul, add } => Some((node.inputs[0], Step::Affine(mul, add))),
        Op::Binary(op) => {
            let (a, b) = (node.inputs[0], node.inputs[1]);
            let per_channel = |x: NodeId, vector: NodeId| {
                let channels = *rewrite.shape(id).last()?;
                let shape = rewrite.shape(vector);
                let length: usize = shape.iter().product();
                let fits = length == 1 || (length == channels && shape.last() == Some(&channels));
                (rewrite.known(vector) && fits && rewrite.shape(x) == rewrite.shape(id))
                    .then_some(())
            };
            if per_channel(a, b).is_some() {
                let known = matches!(op, Binary::Add | Binary::Sub | Binary::Mul | Binary::Div);
                return known.then_some((a, Step::Vector(op, b)));
            }
            per_channel(b, a)?;
            match op {
                Binary::Add | Binary::Mul => Some((b, Step::Vector(op, a))),
                Binary::Sub => Some((b, Step::SubFrom(a))),
                _ => None,
            }
        }
        _ => None,
    }
}

fn absorb(
    rewrite: &mut Rewrite<'_>,
    layer: Layer,
    id: NodeId,
    step: Step,
) -> Result<(), ShapeError> {
    let name = rewrite.name(layer.weight).to_string();
    let bias_name = format!("{}.bias", rewrite.name(layer.id));
    let outputs = layer.outputs;
    let (weight, bias) = match step {
        Step::Affine(mul, add) => {
            let weight = match mul {
                1.0 => layer.weight,
                _ => rewrite.push(name, Op::Affine { mul, add: 0.0 }, vec![layer.weight])?,
            };
            let bias = match layer.bias {
                Some(bias) => rewrite.push(bias_name, Op::Affine { mul, add }, vec![bias])?,
                None => {
                    let shift = Tensor::new([outputs], vec![add as f32; outputs]);
                    rewrite.constant(bias_name, shift)?
                }
            };
            (weight, bias)
        }
        Step::Vector(op @ (Binary::Add | Binary::Sub), vector) => {
            let vector = per_output(rewrite, vector, outputs)?;
            let bias = match (op, layer.bias) {
                (Binary::Add, None) => vector,
                _ => {
                    let bias = layer.bias_or_zeros(rewrite)?;
                    rewrite.push(bias_name, Op::Binary(op), vec![bias, vector])?
                }
            };
            (layer.weight, bias)
        }
        Step::Vector(op, vector) => {
            let vector = per_output(rewrite, vector, outputs)?;
            let weight = layer.scaled_weight(rewrite, op, vector)?;
            let bias = match layer.bias {
                Some(bias) => rewrite.push(bias_name, Op::Binary(op), vec![bias, vector])?,
                None => layer.bias_or_zeros(rewrite)?,
            };
            (weight, bias)
        }
        Step::SubFrom(vector) => {
            let vector = per_output(rewrite, vector, outputs)?;
            let weight = rewrite.push(name, Op::Unary(Unary::Neg), vec![layer.weight])?;
            let bias = match layer.bias {
                Some(bias) => {
                    rewrite.push(bias_name, Op::Binary(Binary::Sub), vec![vector, bias])?
                }
                None => vector,
            };
            (weight, bias)
        }
    };
    layer.absorb(rewrite, id, weight, bias);
    Ok(())
}

/// A vector (or single value) of any rank as `[outputs]`.
fn per_output(
    rewrite: &mut Rewrite<'_>,
    vector: NodeId,
    outputs: usize,
) -> Result<NodeId, ShapeError> {
    let length: usize = rewrite.shape(vector).iter().product();
    let flat = rewrite.reshape(vector, &[length])?;
    if length == outputs {
        return Ok(flat);
    }
    let name = rewrite.name(vector).to_string();
    rewrite.push(name, Op::Expand { shape: vec![outputs] }, vec![flat])
}
