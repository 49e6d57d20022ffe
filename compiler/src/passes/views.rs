//! Removes operations that change nothing, and merges those that only rename elements.

use super::{Log, rewrite::Rewrite};
use netwright_ir::{Graph, NodeId, Op, Reduce, ShapeError, broadcast};

pub(super) fn run(graph: &mut Graph, _log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        if node.inputs.is_empty() || !node.post.is_empty() {
            continue;
        }
        if nothing_changes(&rewrite, id) {
            let x = rewrite.node(id).inputs[0];
            rewrite.replace(id, x);
            continue;
        }
        if let Op::Binary(_) = rewrite.node(id).op {
            drop_expansions(&mut rewrite, id);
            continue;
        }
        if let Some((axis, start, len)) = consecutive(&rewrite, id) {
            let node = rewrite.node(id);
            let (name, x, shape) = (node.name.clone(), node.inputs[0], node.shape.clone());
            let slice = rewrite.push(name, Op::Slice { axis, start, len, step: 1 }, vec![x])?;
            rewrite.set(id, Op::Reshape { shape }, vec![slice], Vec::new());
            continue;
        }
        if only_renames(&rewrite, id) {
            let node = rewrite.node(id);
            let (shape, x) = (node.shape.clone(), node.inputs[0]);
            rewrite.set(id, Op::Reshape { shape }, vec![x], Vec::new());
        }
        merge(&mut rewrite, id);
    }
    rewrite.finish();
    Ok(())
}

/// Whether the node's value is its first operand.
fn nothing_changes(rewrite: &Rewrite<'_>, id: NodeId) -> bool {
    let node = rewrite.node(id);
    let x = rewrite.shape(node.inputs[0]);
    match &node.op {
        Op::Reshape { shape } | Op::Expand { shape } => shape == x,
        Op::Transpose { perm } => perm.iter().enumerate().all(|(i, &axis)| i == axis),
        Op::Slice { axis, len, .. } => *len == x[*axis],
        Op::Pad { amounts, .. } => amounts.iter().all(|&amount| amount == (0, 0)),
        Op::Roll { axis, shift } => *shift % x[*axis] as i64 == 0,
        Op::Concat { .. } => node.inputs.len() == 1,
        // Without a change of size every interpolation meets its own cells.
        Op::Resize { size, .. } => size[..] == x[1..3],
        Op::Pool(pool) => pool.kernel == [1, 1] && pool.stride == [1, 1] && node.shape == x,
        _ => false,
    }
}

/// Whether the node's value has its operand's elements in the same order, under another shape.
fn only_renames(rewrite: &Rewrite<'_>, id: NodeId) -> bool {
    let node = rewrite.node(id);
    let x = rewrite.shape(node.inputs[0]);
    match &node.op {
        Op::Transpose { perm } => {
            let moved: Vec<usize> = perm.iter().copied().filter(|&axis| x[axis] != 1).collect();
            moved.is_sorted()
        }
        Op::Expand { .. } => x.iter().product::<usize>() == node.shape.iter().product::<usize>(),
        Op::Reduce { kind, axes, .. } => {
            *kind != Reduce::L2 && axes.iter().all(|&axis| x[axis] == 1)
        }
        Op::Gather { axis, indices, .. } => {
            indices.len() == x[*axis] && indices.iter().enumerate().all(|(i, &at)| i == at as usize)
        }
        _ => false,
    }
}

/// Whether a gather takes consecutive rows; then the axis, the first row and their number.
fn consecutive(rewrite: &Rewrite<'_>, id: NodeId) -> Option<(usize, usize, usize)> {
    let Op::Gather { axis, indices, .. } = &rewrite.node(id).op else { return None };
    let first = *indices.first()? as usize;
    let rows = rewrite.shape(rewrite.node(id).inputs[0])[*axis];
    let run = indices.iter().enumerate().all(|(i, &at)| at as usize == first + i);
    (run && indices.len() < rows).then_some((*axis, first, indices.len()))
}

/// Arithmetic broadcasts by itself: it reads what an expansion would have repeated.
fn drop_expansions(rewrite: &mut Rewrite<'_>, id: NodeId) {
    for which in 0..2 {
        let node = rewrite.node(id);
        let source = rewrite.node(node.inputs[which]);
        if !matches!(source.op, Op::Expand { .. }) || !source.post.is_empty() {
            continue;
        }
        let (op, mut inputs) = (node.op.clone(), node.inputs.clone());
        inputs[which] = source.inputs[0];
        let shape = broadcast(rewrite.shape(inputs[0]), rewrite.shape(inputs[1]));
        if shape.is_ok_and(|shape| shape == rewrite.shape(id)) {
            rewrite.set(id, op, inputs, Vec::new());
        }
    }
}

/// Merges a reshape, transpose or concatenation with the same in front of it.
fn merge(rewrite: &mut Rewrite<'_>, id: NodeId) {
    let node = rewrite.node(id);
    let (op, x) = (node.op.clone(), node.inputs[0]);
    let before = rewrite.node(x);
    if !before.post.is_empty() {
        return;
    }
    match (op, &before.op) {
        (op @ Op::Reshape { .. }, Op::Reshape { .. }) => {
            let inner = before.inputs[0];
            if rewrite.shape(inner) == rewrite.shape(id) {
                rewrite.replace(id, inner);
            } else {
                rewrite.set(id, op, vec![inner], Vec::new());
            }
        }
        (Op::Transpose { perm }, Op::Transpose { perm: first }) => {
            let inner = before.inputs[0];
            let perm: Vec<usize> = perm.iter().map(|&axis| first[axis]).collect();
            if perm.is_sorted() {
                rewrite.replace(id, inner);
            } else {
                rewrite.set(id, Op::Transpose { perm }, vec![inner], Vec::new());
            }
        }
        _ => {}
    }
}
