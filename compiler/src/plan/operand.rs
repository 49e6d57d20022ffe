//! How the epilogue of a kernel addresses an operand: the rule that both the fusion of epilogues and
//! the planner keep to.

use netwright_codegen::program::Operand;
use netwright_ir::{Node, Op};

/// How an epilogue step of `node` (whose first operand has shape `x`) would index an operand of
/// shape `operand`; nothing if its kernel can't.
pub(crate) fn operand_class(node: &Node, x: &[usize], operand: &[usize]) -> Option<Operand> {
    let value = &node.shape;
    // Elementwise kernels take any strides; the class is not looked at.
    if matches!(node.op, Op::Unary(_) | Op::Clamp { .. } | Op::Affine { .. } | Op::Binary(_)) {
        return Some(Operand::Full);
    }
    let class = classify(value, operand)?;
    let possible = match &node.op {
        Op::Conv(_) | Op::Linear | Op::Pool(_) => true,
        Op::MatMul { .. } | Op::LayerNorm { .. } => class != Operand::ImageChannel,
        // The kernel's channel is the position in the axes after the reduced ones.
        Op::Reduce { axes, .. } => match class {
            Operand::Full | Operand::Scalar => true,
            Operand::Channel => axes.last().is_some_and(|&last| {
                x[last + 1..].iter().product::<usize>() == value[value.len() - 1]
            }),
            Operand::ImageChannel => false,
        },
        _ => false,
    };
    possible.then_some(class)
}

/// How an operand that broadcasts to a value `[image, .., channel]` is indexed by it.
fn classify(value: &[usize], operand: &[usize]) -> Option<Operand> {
    if operand.iter().product::<usize>() == 1 {
        return Some(Operand::Scalar);
    }
    let missing = value.len().checked_sub(operand.len())?;
    let axis = |i: usize| if i < missing { 1 } else { operand[i - missing] };
    let last = value.len().checked_sub(1)?;
    let unit = |axes: std::ops::Range<usize>| axes.into_iter().all(|i| axis(i) == 1);
    if (0..=last).all(|i| axis(i) == value[i]) {
        Some(Operand::Full)
    } else if axis(last) == value[last] && unit(0..last) {
        Some(Operand::Channel)
    } else if axis(last) == value[last] && axis(0) == value[0] && unit(1..last) {
        Some(Operand::ImageChannel)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes() {
        let map = [2, 7, 7, 8];
        assert_eq!(classify(&map, &[2, 7, 7, 8]), Some(Operand::Full));
        assert_eq!(classify(&map, &[8]), Some(Operand::Channel));
        assert_eq!(classify(&map, &[1, 1, 1, 8]), Some(Operand::Channel));
        assert_eq!(classify(&map, &[2, 1, 1, 8]), Some(Operand::ImageChannel));
        assert_eq!(classify(&map, &[1]), Some(Operand::Scalar));
        assert_eq!(classify(&map, &[]), Some(Operand::Scalar));
        assert_eq!(classify(&map, &[7, 8]), None);
        assert_eq!(classify(&map, &[2, 7, 7, 1]), None);
        assert_eq!(classify(&[1, 7, 7, 8], &[1, 1, 1, 8]), Some(Operand::Channel));
        assert_eq!(classify(&[2, 1, 1, 8], &[2, 1, 1, 8]), Some(Operand::Full));
    }
}
