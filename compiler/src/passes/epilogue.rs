//! Elementwise steps join the node that makes their operand: [`netwright_ir::Node::post`].
//!
//! A step may join when the operand has no other reader (else the value before it would be lost),
//! when the result has the operand's shape, and when the kernel's epilogue can address the step's
//! other operand ([`operand_class`]).

use super::{Log, rewrite::Rewrite};
use crate::plan::operand::operand_class;
use netwright_ir::{Binary, Graph, NodeId, Op, PostOp, ShapeError, Unary};

/// Whether the kernels of this operator have an epilogue.
pub(super) fn has_epilogue(op: &Op) -> bool {
    match op {
        Op::Conv(_)
        | Op::Linear
        | Op::MatMul { .. }
        | Op::LayerNorm { .. }
        | Op::Pool(_)
        | Op::Reduce { .. }
        | Op::Unary(_)
        | Op::Clamp { .. }
        | Op::Affine { .. }
        | Op::Binary(_) => true,
        Op::Input
        | Op::Param(_)
        | Op::Const(_)
        | Op::BatchNorm { .. }
        | Op::Softmax { .. }
        | Op::Concat { .. }
        | Op::Slice { .. }
        | Op::Pad { .. }
        | Op::Roll { .. }
        | Op::Gather { .. }
        | Op::Reshape { .. }
        | Op::Transpose { .. }
        | Op::Expand { .. }
        | Op::Resize { .. } => false,
    }
}

pub(super) fn run(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let candidates = candidates(&rewrite, id);
        if candidates.is_empty() {
            continue;
        }
        let mut refusals = Vec::new();
        let mut fired = false;
        for (producer, steps) in candidates {
            match allowed(&rewrite, id, producer, &steps) {
                Ok(()) => {
                    report(&rewrite, log, id, producer, Ok(()));
                    join(&mut rewrite, id, producer, steps);
                    fired = true;
                    break;
                }
                Err(reason) => refusals.push((producer, reason)),
            }
        }
        if !fired {
            // A smaller operand that is repeated was no candidate where there is one of full size.
            let full =
                |(producer, _): &(NodeId, String)| rewrite.shape(*producer) == rewrite.shape(id);
            if refusals.iter().any(full) {
                refusals.retain(full);
            }
            for (producer, reason) in refusals {
                report(&rewrite, log, id, producer, Err(reason));
            }
        }
    }
    rewrite.finish();
    Ok(())
}

fn report(
    rewrite: &Rewrite<'_>,
    log: &mut Log,
    id: NodeId,
    producer: NodeId,
    outcome: Result<(), String>,
) {
    // What is done once when the weights are packed is nobody's concern.
    if rewrite.known(id) {
        return;
    }
    let names = [rewrite.name(producer), rewrite.name(id)];
    let fusion = fusion(rewrite, id);
    match outcome {
        Ok(()) => log.fired(fusion, &names, ""),
        Err(reason) => log.refused(fusion, &names, reason),
    }
}

fn fusion(rewrite: &Rewrite<'_>, id: NodeId) -> &'static str {
    let node = rewrite.node(id);
    let full = |&input: &NodeId| rewrite.shape(input) == node.shape && !rewrite.known(input);
    match node.op {
        Op::Unary(Unary::Act(_)) => "activation into producer",
        Op::Binary(Binary::Add) if node.inputs.iter().all(full) => "residual add into producer",
        Op::Binary(Binary::Mul) => "multiplication into producer",
        _ => "elementwise into producer",
    }
}

/// The nodes that `id` could join, the best first, each with the steps that it would become there.
fn candidates(rewrite: &Rewrite<'_>, id: NodeId) -> Vec<(NodeId, Vec<PostOp>)> {
    let node = rewrite.node(id);
    let one = |step: PostOp| vec![(node.inputs[0], vec![step])];
    let mut candidates = match node.op {
        Op::Unary(unary) => one(PostOp::Unary(unary)),
        Op::Clamp { low, high } => one(PostOp::Clamp { low, high }),
        Op::Affine { mul, add } => one(PostOp::Affine { mul, add }),
        Op::Binary(op) => {
            let (a, b) = (node.inputs[0], node.inputs[1]);
            let mut both = vec![(a, vec![PostOp::Binary { op, operand: b }])];
            if a != b {
                both.extend(swapped(op, a).map(|steps| (b, steps)));
            }
            // The later one: the other is there by then.
            both.sort_by_key(|(producer, _)| std::cmp::Reverse(*producer));
            both
        }
        _ => Vec::new(),
    };
    candidates.retain(|(producer, _)| {
        !rewrite.known(*producer)
            || (rewrite.known(id) && has_epilogue(&rewrite.node(*producer).op))
    });
    candidates
}

/// `first op x` as steps on `x`.
fn swapped(op: Binary, first: NodeId) -> Option<Vec<PostOp>> {
    let step = |op| PostOp::Binary { op, operand: first };
    match op {
        Binary::Add | Binary::Mul | Binary::Max | Binary::Min => Some(vec![step(op)]),
        Binary::Sub => Some(vec![PostOp::Unary(Unary::Neg), step(Binary::Add)]),
        Binary::Div | Binary::Pow => None,
    }
}

fn allowed(
    rewrite: &Rewrite<'_>,
    id: NodeId,
    producer: NodeId,
    steps: &[PostOp],
) -> Result<(), String> {
    let node = rewrite.node(producer);
    if !has_epilogue(&node.op) {
        return Err(format!("{} has no epilogue", node.op.mnemonic()));
    }
    if node.shape != rewrite.shape(id) {
        return Err(format!(
            "the result {:?} is larger than the producer's value {:?}",
            rewrite.shape(id),
            node.shape
        ));
    }
    if rewrite.uses(producer) != 1 {
        return Err(format!(
            "the value before is also read by {}",
            rewrite.other_user(producer, id)
        ));
    }
    for step in steps {
        if let PostOp::Binary { operand, .. } = step
            && !rewrite.known(id)
            && operand_class(node, rewrite.shape(node.inputs[0]), rewrite.shape(*operand)).is_none()
        {
            return Err(format!(
                "an operand of shape {:?} can't be addressed from the epilogue of {}",
                rewrite.shape(*operand),
                node.op.mnemonic()
            ));
        }
    }
    Ok(())
}

/// The producer's only reader is `id`, so no operand of `id` depends on the producer in another way,
/// and reading the other operand there makes no cycle.
fn join(rewrite: &mut Rewrite<'_>, id: NodeId, producer: NodeId, steps: Vec<PostOp>) {
    let node = rewrite.node(producer);
    let (op, inputs, mut post) = (node.op.clone(), node.inputs.clone(), node.post.clone());
    post.extend(steps);
    post.extend(rewrite.node(id).post.iter().cloned());
    rewrite.set(producer, op, inputs, post);
    rewrite.replace(id, producer);
}
