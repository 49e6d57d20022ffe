//! A large batch, some images at a time.
//!
//! The values between the layers of many images fit no cache, and the time of an image grows: MobileNetV2 at 224
//! took 6.8 ms an image with 4 images and 7.9 with 16. Computed in rounds of fewer images by the same code,
//! it does not, and the arena stays small.

use super::{MAX_VALUE, Options, Plan, PlanError, plan};
use netwright_ir::infer::{infer, infer_post};
use netwright_ir::{Graph, Node, NodeId, Op, PostOp};

/// Bytes of the arena up to which all images are computed at once. It should stay in the last cache beside the weights:
/// MobileNetV2 (1.5 MiB an image) took, in milliseconds an image with 1, 2, 4, 8 and 16 at once, 7.1, 6.9, 6.8,
/// 7.0 and 7.9 (Zen 3, 32 MiB for several cores).
const STAYS: usize = 8 << 20;

/// Plans a graph of a batch: of all images at once, or of as many as are computed in a round. The graph is
/// that of a round afterwards; its nodes are the same.
///
/// # Errors
/// As [`plan`].
pub fn plan_batch(graph: &mut Graph, options: &Options) -> Result<Plan, PlanError> {
    let whole = match plan(graph, options) {
        Ok(whole) => whole,
        // In rounds, the values may be small enough.
        Err(error @ PlanError::TooLarge { .. }) => {
            let images = images(graph);
            let at_once = divisors(images).find_map(|n| {
                let part = with_images(graph, images, n)?;
                let fits = |node: &Node| node.shape.iter().product::<usize>() <= MAX_VALUE;
                part.nodes.iter().all(fits).then_some((n, part))
            });
            let Some((n, part)) = at_once.filter(|(n, _)| *n < images) else { return Err(error) };
            *graph = part;
            return Ok(in_rounds(plan(graph, options)?, images / n));
        }
        Err(error) => return Err(error),
    };
    let images = images(graph);
    let each = whole.program.arena_bytes / images;
    // Weights are read once a round.
    let stays = STAYS.max(whole.program.weights_bytes / 4);
    let at_once = divisors(images).find(|n| n * each <= stays).unwrap_or(1);
    if at_once == images {
        return Ok(whole);
    }
    let Some(part) = with_images(graph, images, at_once) else { return Ok(whole) };
    *graph = part;
    Ok(in_rounds(plan(graph, options)?, images / at_once))
}

/// The batch of a graph; 1 where its inputs differ.
fn images(graph: &Graph) -> usize {
    let inputs = graph.nodes.iter().filter(|node| matches!(node.op, Op::Input));
    let mut batches = inputs.filter_map(|node| node.shape.first().copied());
    let first = batches.next().unwrap_or(1);
    if batches.all(|one| one == first) { first.max(1) } else { 1 }
}

/// The divisors of a number, the largest first.
fn divisors(n: usize) -> impl Iterator<Item = usize> {
    (1..=n).rev().filter(move |d| n.is_multiple_of(*d))
}

/// The plan of a round as that of all rounds.
fn in_rounds(mut plan: Plan, rounds: usize) -> Plan {
    let program = &mut plan.program;
    program.rounds = rounds;
    program.inputs.iter_mut().chain(&mut program.outputs).for_each(|bytes| *bytes *= rounds);
    for port in plan.inputs.iter_mut().chain(&mut plan.outputs) {
        port.shape[0] *= rounds;
    }
    plan
}

/// The graph with `to` images instead of `from`; nothing if images may meet somewhere, or an operation has
/// them where they are not looked for.
///
/// Of each value it is followed which axis the images are the outermost part of.
pub fn with_images(graph: &Graph, from: usize, to: usize) -> Option<Graph> {
    let mut result = graph.clone();
    let mut axes: Vec<Option<usize>> = Vec::with_capacity(graph.nodes.len());
    for (at, node) in graph.nodes.iter().enumerate() {
        let change = Change { graph, axes: &axes, from, to };
        let axis = change.axis(node)?;
        let op = change.op(node, axis);
        let shape = match op {
            Op::Input => [&[to], &node.shape[1..]].concat(),
            _ => {
                let shapes: Vec<&[usize]> =
                    node.inputs.iter().map(|id| &result.nodes[id.index()].shape[..]).collect();
                infer(&op, &shapes, &graph.params).ok()?
            }
        };
        let mut expected = node.shape.clone();
        if let Some(axis) = axis {
            expected[axis] = change.scaled(expected[axis])?;
        }
        if shape != expected {
            return None;
        }
        for post in &node.post {
            let operand: &[usize] = match post {
                PostOp::Binary { operand, .. } => &result.nodes[operand.index()].shape,
                _ => &[],
            };
            infer_post(&shape, post, operand).ok()?;
        }
        (result.nodes[at].op, result.nodes[at].shape) = (op, shape);
        axes.push(axis);
    }
    let mut results = graph.outputs.iter().chain(&graph.features);
    results.all(|(_, id)| axes[id.index()] == Some(0)).then_some(result)
}

struct Change<'a> {
    graph: &'a Graph,
    /// The images' axis of the nodes so far.
    axes: &'a [Option<usize>],
    from: usize,
    to: usize,
}

impl Change<'_> {
    /// An axis's length with the other number of images.
    fn scaled(&self, length: usize) -> Option<usize> {
        length.is_multiple_of(self.from).then(|| length / self.from * self.to)
    }

    fn shape(&self, id: NodeId) -> &[usize] {
        &self.graph.node(id).shape
    }

    fn axis_of(&self, id: NodeId) -> Option<usize> {
        self.axes[id.index()]
    }

    /// The images' axis of a value counted from its end, from 1 on.
    fn axis_from_end(&self, id: NodeId) -> Option<usize> {
        self.axis_of(id).map(|axis| self.shape(id).len() - axis)
    }

    /// The images' axis of a node's value, `Some(None)` if it has none; nothing if it can't be said, or images meet.
    fn axis(&self, node: &Node) -> Option<Option<usize>> {
        let axis = self.of_op(node)?;
        // What a fused step reads lies as the value does.
        for post in &node.post {
            if let PostOp::Binary { operand, .. } = post
                && let Some(end) = self.axis_from_end(*operand)
                && axis != node.shape.len().checked_sub(end)
            {
                return None;
            }
        }
        Some(axis)
    }

    fn of_op(&self, node: &Node) -> Option<Option<usize>> {
        let first = node.inputs.first().copied();
        let x = first.and_then(|id| self.axis_of(id));
        let rest_is_constant = || node.inputs.iter().skip(1).all(|id| self.axis_of(*id).is_none());
        let away_from = |axis: usize| x != Some(axis);
        let kept = |condition: bool| condition.then_some(x);
        let rank = node.shape.len();
        match &node.op {
            Op::Input => Some(Some(0)),
            Op::Param(_) | Op::Const(_) => Some(None),
            Op::Conv(_) | Op::Pool(_) | Op::Resize { .. } => {
                kept(x.is_none_or(|axis| axis == 0) && rest_is_constant())
            }
            Op::BatchNorm { .. } | Op::LayerNorm { .. } | Op::Linear => {
                kept(away_from(rank - 1) && rest_is_constant())
            }
            Op::Unary(_) | Op::Clamp { .. } | Op::Affine { .. } => Some(x),
            Op::MatMul { .. } | Op::Binary(_) => {
                let mut ends = node.inputs.iter().filter_map(|id| self.axis_from_end(*id));
                let Some(end) = ends.next() else { return Some(None) };
                let product = matches!(node.op, Op::MatMul { .. });
                let same = ends.all(|other| other == end) && !(product && end <= 2);
                same.then(|| Some(rank - end))
            }
            Op::Reduce { axes, keep, .. } => {
                let before = |axis: usize| axes.iter().filter(|one| **one < axis).count();
                let moved = |axis: usize| if *keep { axis } else { axis - before(axis) };
                axes.iter().all(|axis| away_from(*axis)).then(|| x.map(moved))
            }
            Op::Softmax { axis } | Op::Slice { axis, .. } | Op::Roll { axis, .. } => {
                kept(away_from(*axis))
            }
            Op::Concat { axis } => {
                let same = node.inputs.iter().all(|id| self.axis_of(*id) == x);
                kept(same && away_from(*axis))
            }
            Op::Pad { amounts, .. } => kept(x.is_none_or(|axis| amounts[axis] == (0, 0))),
            Op::Gather { axis, shape, .. } => {
                let moved = |one: usize| if one > *axis { one + shape.len() - 1 } else { one };
                away_from(*axis).then(|| x.map(moved))
            }
            Op::Reshape { shape } => match x {
                None => Some(None),
                Some(axis) => self.reshaped(self.shape(first?), axis, shape).map(Some),
            },
            Op::Transpose { perm } => match x {
                None => Some(None),
                Some(axis) => perm.iter().position(|one| *one == axis).map(Some),
            },
            // A constant for each image (a class token) gets the images here.
            Op::Expand { shape } => match self.axis_from_end(first?) {
                Some(end) => Some(rank.checked_sub(end)),
                None => {
                    let operand = self.shape(first?);
                    let new = operand.len() < rank || operand[0] == 1;
                    Some((shape[0] == self.from && new).then_some(0))
                }
            },
        }
    }

    /// Where the images, the outermost part of an axis, are after a change of shape.
    fn reshaped(&self, old: &[usize], axis: usize, new: &[usize]) -> Option<usize> {
        let outer = old[..axis].iter().product::<usize>();
        let axis = match outer {
            1 => new.iter().position(|length| *length != 1)?,
            _ if new.len() > axis && new[..axis] == old[..axis] => axis,
            _ => return None,
        };
        new[axis].is_multiple_of(self.from).then_some(axis)
    }

    /// The operation with the other number of images.
    fn op(&self, node: &Node, axis: Option<usize>) -> Op {
        let mut op = node.op.clone();
        if let (Op::Reshape { shape } | Op::Expand { shape }, Some(axis)) = (&mut op, axis)
            && let Some(length) = self.scaled(shape[axis])
        {
            shape[axis] = length;
        }
        op
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn divisors_come_largest_first() {
        assert_eq!(divisors(12).collect::<Vec<_>>(), [12, 6, 4, 3, 2, 1]);
        assert_eq!(divisors(7).collect::<Vec<_>>(), [7, 1]);
    }
}
