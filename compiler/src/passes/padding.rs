//! A border of zeros becomes the padding of the convolutions (and averages) that read it.

use super::{Log, rewrite::Rewrite};
use netwright_ir::{Graph, NodeId, Op, PadMode, Padding, PoolKind, ShapeError, infer};

const FUSION: &str = "padding into window";

pub(super) fn run(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        if !matches!(node.op, Op::Conv(_) | Op::Pool(_)) {
            continue;
        }
        let pad = node.inputs[0];
        if !matches!(rewrite.node(pad).op, Op::Pad { .. }) {
            continue;
        }
        let names = [rewrite.name(pad).to_string(), rewrite.name(id).to_string()];
        let names = [names[0].as_str(), names[1].as_str()];
        match padded(&rewrite, id, pad) {
            Ok(op) => {
                let node = rewrite.node(id);
                let (mut inputs, post) = (node.inputs.clone(), node.post.clone());
                inputs[0] = rewrite.node(pad).inputs[0];
                rewrite.set(id, op, inputs, post);
                log.fired(FUSION, &names, "");
            }
            Err(reason) => log.refused(FUSION, &names, reason),
        }
    }
    rewrite.finish();
    Ok(())
}

/// The window operator with the border of `pad` added to its own.
fn padded(rewrite: &Rewrite<'_>, id: NodeId, pad: NodeId) -> Result<Op, String> {
    let border = rewrite.node(pad);
    let Op::Pad { amounts, mode } = &border.op else { return Err("not a border".into()) };
    if !border.post.is_empty() {
        return Err("the border's value goes through further steps".into());
    }
    if *mode != PadMode::Constant(0) {
        return Err("the border is not of zeros".into());
    }
    if amounts[0] != (0, 0) || amounts[3] != (0, 0) {
        return Err("the border is not around rows and columns only".into());
    }
    let node = rewrite.node(id);
    let inner = rewrite.shape(border.inputs[0]);
    let outer = [border.shape[1], border.shape[2]];
    let add = |own: netwright_ir::padding::Border| Padding::Explicit {
        top: own.top + amounts[1].0,
        bottom: own.bottom + amounts[1].1,
        left: own.left + amounts[2].0,
        right: own.right + amounts[2].1,
    };
    let op = match &node.op {
        Op::Conv(conv) => {
            let own = conv.windows(outer).map_err(|error| error.to_string())?.border;
            Op::Conv(netwright_ir::Conv { padding: add(own), ..conv.clone() })
        }
        Op::Pool(pool) if pool.kind == PoolKind::Max => {
            return Err("maximum pooling ignores its own border, but sees these zeros".into());
        }
        Op::Pool(pool) => {
            let own = pool.windows(outer).map_err(|error| error.to_string())?.border;
            let borderless = own.top + own.bottom + own.left + own.right == 0;
            if pool.ceil_mode || !(borderless || pool.count_include_pad) {
                return Err("the average counts its own border in another way".into());
            }
            Op::Pool(netwright_ir::Pool {
                padding: add(own),
                count_include_pad: true,
                ..pool.clone()
            })
        }
        _ => return Err("the border is not read by a window".into()),
    };
    let mut operands = vec![inner];
    operands.extend(node.inputs[1..].iter().map(|&input| rewrite.shape(input)));
    match infer(&op, &operands, &[]) {
        Ok(shape) if shape == node.shape => Ok(op),
        Ok(_) => Err("the windows would move".into()),
        Err(error) => Err(error.to_string()),
    }
}
