//! Scalars become attributes; activations that a spec spells out become activations.

use super::{Log, rewrite::Rewrite};
use netwright_ir::{Act, Binary, Graph, NodeId, Op, ShapeError, Unary};

pub(super) fn run(graph: &mut Graph, log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        if !node.post.is_empty() {
            continue;
        }
        let (op, inputs) = (node.op.clone(), node.inputs.clone());
        match op {
            Op::Binary(binary) => {
                let (a, b) = (inputs[0], inputs[1]);
                if !with_itself(&mut rewrite, id, binary, a, b)
                    && !with_scalar(&mut rewrite, id, binary, a, b)
                {
                    gated(&mut rewrite, log, id, binary, a, b);
                }
            }
            Op::Affine { mul, add } => affine(&mut rewrite, log, id, inputs[0], mul, add),
            Op::Clamp { low, high } => clamp(&mut rewrite, log, id, inputs[0], low, high),
            _ => {}
        }
    }
    rewrite.finish();
    Ok(())
}

fn set(rewrite: &mut Rewrite<'_>, id: NodeId, op: Op, x: NodeId) {
    rewrite.set(id, op, vec![x], Vec::new());
}

/// `x + x`, `x * x`.
fn with_itself(rewrite: &mut Rewrite<'_>, id: NodeId, op: Binary, a: NodeId, b: NodeId) -> bool {
    if a != b {
        return false;
    }
    match op {
        Binary::Add => set(rewrite, id, Op::Affine { mul: 2.0, add: 0.0 }, a),
        Binary::Mul => set(rewrite, id, Op::Unary(Unary::Square), a),
        Binary::Max | Binary::Min => rewrite.replace(id, a),
        Binary::Sub | Binary::Div | Binary::Pow => return false,
    }
    true
}

/// Arithmetic with one constant.
fn with_scalar(rewrite: &mut Rewrite<'_>, id: NodeId, op: Binary, a: NodeId, b: NodeId) -> bool {
    let (x, c, constant_first) = match (rewrite.scalar(a), rewrite.scalar(b)) {
        (None, Some(c)) => (a, c, false),
        (Some(c), None) => (b, c, true),
        _ => return false,
    };
    if !c.is_finite() || rewrite.shape(x) != rewrite.shape(id) {
        return false;
    }
    let new = match (op, constant_first) {
        (Binary::Add, _) => Op::Affine { mul: 1.0, add: c },
        (Binary::Sub, false) => Op::Affine { mul: 1.0, add: -c },
        (Binary::Sub, true) => Op::Affine { mul: -1.0, add: c },
        (Binary::Mul, _) => Op::Affine { mul: c, add: 0.0 },
        (Binary::Div, false) if (1.0 / c).is_finite() => Op::Affine { mul: 1.0 / c, add: 0.0 },
        (Binary::Div, true) if c == 1.0 => Op::Unary(Unary::Recip),
        (Binary::Max, _) => Op::Clamp { low: c, high: f64::INFINITY },
        (Binary::Min, _) => Op::Clamp { low: f64::NEG_INFINITY, high: c },
        (Binary::Pow, false) if c == 2.0 => Op::Unary(Unary::Square),
        (Binary::Pow, false) if c == 0.5 => Op::Unary(Unary::Sqrt),
        (Binary::Pow, false) if c == -0.5 => Op::Unary(Unary::Rsqrt),
        (Binary::Pow, false) if c == -1.0 => Op::Unary(Unary::Recip),
        _ => return false,
    };
    set(rewrite, id, new, x);
    true
}

/// `x * sigmoid(x)` and `x * hard_sigmoid(x)`.
fn gated(rewrite: &mut Rewrite<'_>, log: &mut Log, id: NodeId, op: Binary, a: NodeId, b: NodeId) {
    if op != Binary::Mul {
        return;
    }
    for (x, gate) in [(a, b), (b, a)] {
        let node = rewrite.node(gate);
        let act = match node.op {
            Op::Unary(Unary::Act(Act::Sigmoid)) => Act::Silu,
            Op::Unary(Unary::Act(Act::HardSigmoid)) => Act::HardSwish,
            _ => continue,
        };
        if node.post.is_empty() && node.inputs == [x] && rewrite.uses(gate) == 1 {
            let names = [rewrite.name(gate), rewrite.name(id)];
            log.fired("spelled-out activation", &names, act.name());
            set(rewrite, id, Op::Unary(Unary::Act(act)), x);
            return;
        }
    }
}

/// The operand of a node that nobody else reads, with its operator.
fn sole<'r>(rewrite: &'r Rewrite<'_>, x: NodeId) -> Option<(&'r Op, NodeId)> {
    let node = rewrite.node(x);
    let sole = rewrite.uses(x) == 1 && node.post.is_empty() && node.inputs.len() == 1;
    sole.then(|| (&node.op, node.inputs[0]))
}

fn close(a: f64, b: f64) -> bool {
    // Constants of a spec went through f32 on the way.
    (a - b).abs() <= 1e-7
}

fn affine(rewrite: &mut Rewrite<'_>, log: &mut Log, id: NodeId, x: NodeId, mul: f64, add: f64) {
    if mul == 1.0 && add == 0.0 {
        return rewrite.replace(id, x);
    }
    match sole(rewrite, x) {
        Some((&Op::Affine { mul: first, add: offset }, inner)) => {
            let merged = Op::Affine { mul: first * mul, add: offset * mul + add };
            set(rewrite, id, merged, inner);
        }
        // relu6(y + 3) / 6
        Some((Op::Unary(Unary::Act(Act::Relu6)), inner)) if close(mul, 1.0 / 6.0) && add == 0.0 => {
            if let Some((&Op::Affine { mul: one, add: three }, y)) = sole(rewrite, inner)
                && one == 1.0
                && three == 3.0
            {
                hard_sigmoid(rewrite, log, id, inner, y);
            }
        }
        _ => {}
    }
}

fn clamp(rewrite: &mut Rewrite<'_>, log: &mut Log, id: NodeId, x: NodeId, low: f64, high: f64) {
    if low == f64::NEG_INFINITY && high == f64::INFINITY {
        return rewrite.replace(id, x);
    }
    if low == 0.0 && high == f64::INFINITY {
        return set(rewrite, id, Op::Unary(Unary::Act(Act::Relu)), x);
    }
    if low == 0.0 && high == 6.0 {
        return set(rewrite, id, Op::Unary(Unary::Act(Act::Relu6)), x);
    }
    match sole(rewrite, x) {
        // clamp(y / 6 + 1/2, 0, 1)
        Some((&Op::Affine { mul, add }, y))
            if low == 0.0 && high == 1.0 && close(mul, 1.0 / 6.0) && add == 0.5 =>
        {
            hard_sigmoid(rewrite, log, id, x, y);
        }
        Some((&Op::Clamp { low: first, high: last }, inner)) => {
            let merged = Op::Clamp { low: first.max(low).min(high), high: last.min(high).max(low) };
            set(rewrite, id, merged, inner);
        }
        _ => {}
    }
}

fn hard_sigmoid(rewrite: &mut Rewrite<'_>, log: &mut Log, id: NodeId, inner: NodeId, y: NodeId) {
    let names = [rewrite.name(inner), rewrite.name(id)];
    log.fired("spelled-out activation", &names, Act::HardSigmoid.name());
    set(rewrite, id, Op::Unary(Unary::Act(Act::HardSigmoid)), y);
}
