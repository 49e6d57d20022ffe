//! Moves elementwise steps before the reshapes and transposes that stand between them and the node
//! that makes their operand, so that they can join its epilogue.

use super::{Log, epilogue::has_epilogue, rewrite::Rewrite};
use netwright_ir::{Graph, NodeId, Op, ShapeError};

pub(super) fn run(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) || rewrite.known(id) {
            continue;
        }
        let node = rewrite.node(id);
        if !node.post.is_empty() {
            continue;
        }
        let operands = match node.op {
            Op::Unary(_) | Op::Affine { .. } | Op::Clamp { .. } => 1,
            Op::Binary(_) => 2,
            _ => continue,
        };
        for which in 0..operands {
            if sink(&mut rewrite, log, id, which)? {
                break;
            }
        }
    }
    rewrite.finish();
    Ok(())
}

/// Moves `id` before the view that is its operand `which`, if that view and what it views have no
/// other reader and what makes the viewed value has an epilogue.
fn sink(
    rewrite: &mut Rewrite<'_>,
    log: &mut Log,
    id: NodeId,
    which: usize,
) -> Result<bool, ShapeError> {
    let node = rewrite.node(id);
    let (op, name, inputs) = (node.op.clone(), node.name.clone(), node.inputs.clone());
    let view = inputs[which];
    let view_node = rewrite.node(view);
    let binary = inputs.len() == 2;
    let movable = match view_node.op {
        Op::Reshape { .. } => true,
        Op::Transpose { .. } => !binary,
        _ => false,
    };
    if !movable
        || !view_node.post.is_empty()
        || view_node.shape != node.shape
        || rewrite.uses(view) != 1
    {
        return Ok(false);
    }
    let (view_op, x) = (view_node.op.clone(), view_node.inputs[0]);
    if rewrite.uses(x) != 1 || rewrite.known(x) || !has_epilogue(&rewrite.node(x).op) {
        return Ok(false);
    }
    let mut operands = vec![x];
    if binary {
        let other = inputs[1 - which];
        let Some(shape) = shape_before(rewrite, other, id, x) else { return Ok(false) };
        operands.insert(1 - which, rewrite.reshape(other, &shape)?);
    }
    log.fired("elementwise before view", &[rewrite.name(view), &name], "");
    let moved = rewrite.push(name, op, operands)?;
    rewrite.set(id, view_op, vec![moved], Vec::new());
    Ok(true)
}

/// The shape that the other operand of `id` needs before the reshape of `x`, if there is one.
fn shape_before(rewrite: &Rewrite<'_>, other: NodeId, id: NodeId, x: NodeId) -> Option<Vec<usize>> {
    let (after, before) = (rewrite.shape(id), rewrite.shape(x));
    let shape = rewrite.shape(other);
    let length: usize = shape.iter().product();
    if length == 1 {
        return Some(vec![1]);
    }
    if shape == after {
        return Some(before.to_vec());
    }
    let channels = *after.last()?;
    let per_channel = length == channels && shape.last() == Some(&channels);
    (per_channel && before.last() == Some(&channels)).then(|| vec![channels])
}
