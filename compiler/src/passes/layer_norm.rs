//! Gamma and beta of a layer normalisation become part of the layers that read its value:
//! `W (g * n + b) + c = (W g) n + (W b + c)`.

use super::{Log, rewrite::Rewrite};
use netwright_ir::{Binary, Graph, NodeId, Op, ShapeError};

const FUSION: &str = "layer norm into weights";

pub(super) fn run(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    let ids: Vec<NodeId> = rewrite.ids().collect();
    for &id in &ids {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        let [x, gamma, beta] = node.inputs[..] else { continue };
        if !matches!(node.op, Op::LayerNorm { .. }) {
            continue;
        }
        let op = node.op.clone();
        let name = node.name.clone();
        match readers(&mut rewrite, &ids, id, [gamma, beta]) {
            Err(reason) => log.refused(FUSION, &[&name], reason),
            Ok(readers) => {
                for reader in readers {
                    absorb(&mut rewrite, reader, gamma, beta)?;
                    log.fired(FUSION, &[&name, rewrite.name(reader)], "");
                }
                rewrite.set(id, op, vec![x], Vec::new());
            }
        }
    }
    rewrite.finish();
    Ok(())
}

/// All readers of the normalisation's value, if every one can take gamma and beta.
fn readers(
    rewrite: &mut Rewrite<'_>,
    ids: &[NodeId],
    id: NodeId,
    vectors: [NodeId; 2],
) -> Result<Vec<NodeId>, String> {
    if !rewrite.node(id).post.is_empty() {
        return Err("its value goes through further steps".into());
    }
    if !vectors.iter().all(|&vector| rewrite.known(vector)) {
        return Err("gamma and beta are computed from the image".into());
    }
    let mut readers = Vec::new();
    for &reader in ids {
        if !rewrite.visit(reader) {
            continue;
        }
        let node = rewrite.node(reader);
        let reads = node.reads().filter(|&read| read == id).count();
        if reads == 0 {
            continue;
        }
        let pointwise = match &node.op {
            Op::Linear => true,
            Op::Conv(conv) => {
                let input = rewrite.shape(id);
                let borderless = conv.windows([input[1], input[2]]).is_ok_and(|windows| {
                    let border = windows.border;
                    border.top + border.bottom + border.left + border.right == 0
                });
                conv.kernel == [1, 1] && conv.groups == 1 && borderless
            }
            _ => false,
        };
        let node = rewrite.node(reader);
        let weights_known = node
            .inputs
            .get(1..)
            .is_some_and(|weights| weights.iter().all(|&weight| rewrite.known(weight)));
        if !(pointwise && weights_known && reads == 1 && node.inputs[0] == id) {
            return Err(format!("{} ({}) reads it too", node.name, node.op.mnemonic()));
        }
        readers.push(reader);
    }
    if readers.len() != rewrite.uses(id) {
        return Err("it is a result of the network".into());
    }
    Ok(readers)
}

fn absorb(
    rewrite: &mut Rewrite<'_>,
    reader: NodeId,
    gamma: NodeId,
    beta: NodeId,
) -> Result<(), ShapeError> {
    let node = rewrite.node(reader);
    let (op, mut inputs, post) = (node.op.clone(), node.inputs.clone(), node.post.clone());
    let name = node.name.clone();
    let weight = inputs[1];
    let [outputs, channels] = [rewrite.shape(weight)[0], rewrite.shape(weight)[1]];
    let per_column = match rewrite.shape(weight).len() {
        2 => gamma,
        _ => rewrite.reshape(gamma, &[channels, 1, 1])?,
    };
    let weight_name = rewrite.name(weight).to_string();
    let scaled = rewrite.push(weight_name, Op::Binary(Binary::Mul), vec![weight, per_column])?;
    let matrix = rewrite.reshape(weight, &[outputs, channels])?;
    let mut operands = vec![beta, matrix];
    operands.extend(inputs.get(2));
    let bias = rewrite.push(format!("{name}.bias"), Op::Linear, operands)?;
    inputs.truncate(1);
    inputs.extend([scaled, bias]);
    rewrite.set(reader, op, inputs, post);
    Ok(())
}
