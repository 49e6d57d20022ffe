//! Shape inference: the shape of a node's value from its operands' shapes.

use crate::graph::Param;
use crate::op::{Interpolation, Op, PadMode, PostOp};
use thiserror::Error;

/// Most elements that one value may have.
pub const MAX_ELEMENTS: usize = 1 << 40;

/// Most axes that one value may have.
pub const MAX_RANK: usize = 16;

/// Why an operator does not apply to its operands.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct ShapeError {
    /// A sentence for people, without the node's name.
    pub message: String,
}

impl ShapeError {
    /// An error that says `message`.
    pub fn new(message: impl Into<String>) -> Self {
        ShapeError { message: message.into() }
    }
}

type Result<T> = std::result::Result<T, ShapeError>;

macro_rules! ensure {
    ($condition:expr, $($message:tt)*) => {
        if !$condition {
            return Err(ShapeError::new(format!($($message)*)));
        }
    };
}

/// Number of elements of a shape.
///
/// # Errors
/// When an axis is empty, or there are more than [`MAX_ELEMENTS`] elements or [`MAX_RANK`] axes.
pub fn elements(shape: &[usize]) -> Result<usize> {
    ensure!(shape.len() <= MAX_RANK, "{} axes are more than {MAX_RANK}", shape.len());
    ensure!(!shape.contains(&0), "shape {shape:?} has an axis of length 0");
    shape
        .iter()
        .try_fold(1usize, |product, &n| product.checked_mul(n))
        .filter(|&n| n <= MAX_ELEMENTS)
        .ok_or_else(|| {
            ShapeError::new(format!("shape {shape:?} has more than {MAX_ELEMENTS} elements"))
        })
}

/// The shape to which two shapes broadcast (trailing axes aligned, as NumPy).
///
/// # Errors
/// When aligned axes differ and neither is 1.
pub fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>> {
    let rank = a.len().max(b.len());
    let axis = |shape: &[usize], i: usize| {
        let missing = rank - shape.len();
        if i < missing { 1 } else { shape[i - missing] }
    };
    (0..rank)
        .map(|i| match (axis(a, i), axis(b, i)) {
            (x, y) if x == y || y == 1 => Ok(x),
            (1, y) => Ok(y),
            (x, y) => Err(ShapeError::new(format!(
                "shapes {a:?} and {b:?} do not broadcast: axis lengths {x} and {y} differ"
            ))),
        })
        .collect()
}

/// The shape of the value that `op` makes from operands of those shapes.
///
/// [`Op::Input`] has no inferred shape (the graph's maker states it) and is an error here.
///
/// # Errors
/// When the number of operands, a rank, a length or an attribute does not fit, or the result would
/// be empty or larger than [`MAX_ELEMENTS`].
pub fn infer(op: &Op, operands: &[&[usize]], params: &[Param]) -> Result<Vec<usize>> {
    let (low, high) = op.arity();
    if operands.len() < low || high.is_some_and(|high| operands.len() > high) {
        let wanted = match high {
            Some(high) if high == low => format!("{low}"),
            Some(high) => format!("{low} to {high}"),
            None => format!("at least {low}"),
        };
        return Err(ShapeError::new(format!(
            "{} takes {wanted} operands, not {}",
            op.mnemonic(),
            operands.len()
        )));
    }
    for shape in operands {
        elements(shape)?;
    }
    let shape = infer_unbounded(op, operands, params)?;
    elements(&shape)?;
    Ok(shape)
}

/// Checks a fused step against the value's shape, which it keeps. `operand` is the shape of a
/// [`PostOp::Binary`]'s operand, and is not looked at for the others.
///
/// # Errors
/// When the operand does not broadcast to the value's shape, or a constant is not usable.
pub fn infer_post(value: &[usize], post: &PostOp, operand: &[usize]) -> Result<()> {
    match post {
        PostOp::Unary(_) => Ok(()),
        PostOp::Clamp { low, high } => check_clamp(*low, *high),
        PostOp::Affine { mul, add } => check_affine(*mul, *add),
        PostOp::Binary { .. } => {
            ensure!(
                broadcast(value, operand)? == value,
                "a fused operand of shape {operand:?} does not broadcast to the value's {value:?}"
            );
            Ok(())
        }
    }
}

fn infer_unbounded(op: &Op, operands: &[&[usize]], params: &[Param]) -> Result<Vec<usize>> {
    match op {
        Op::Input => Err(ShapeError::new("the shape of an input is stated, not inferred")),
        Op::Param(index) => match params.get(*index) {
            Some(param) => Ok(param.shape.clone()),
            None => Err(ShapeError::new(format!(
                "parameter #{index} does not exist: there are {}",
                params.len()
            ))),
        },
        Op::Const(tensor) => {
            ensure!(
                elements(&tensor.shape)? == tensor.data.len(),
                "a constant of shape {:?} holds {} elements",
                tensor.shape,
                tensor.data.len()
            );
            Ok(tensor.shape.clone())
        }
        Op::Conv(conv) => {
            let [n, h, w, channels] = map(op, operands[0])?;
            let weight = operands[1];
            let groups = conv.groups;
            ensure!(groups > 0, "conv must have at least 1 group");
            ensure!(
                channels.is_multiple_of(groups),
                "conv has {channels} input channels, which {groups} groups do not divide"
            );
            ensure!(
                weight.len() == 4
                    && weight[1] == channels / groups
                    && weight[2..] == conv.kernel[..],
                "conv weight has shape {weight:?}, expected [O, {}, {}, {}]",
                channels / groups,
                conv.kernel[0],
                conv.kernel[1]
            );
            ensure!(
                weight[0].is_multiple_of(groups),
                "conv has {} output channels, which {groups} groups do not divide",
                weight[0]
            );
            bias(op, operands.get(2), weight[0])?;
            let [rows, columns] = conv.windows([h, w])?.output;
            Ok(vec![n, rows, columns, weight[0]])
        }
        Op::BatchNorm { eps } | Op::LayerNorm { eps } => {
            ensure!(
                eps.is_finite() && *eps >= 0.0,
                "{} epsilon must be a number of at least 0, not {eps}",
                op.mnemonic()
            );
            ensure!(
                operands.len() != 2,
                "layer_norm takes both gamma and beta or neither, not one of them"
            );
            let channels = last(op, operands[0])?;
            for shape in &operands[1..] {
                ensure!(
                    **shape == [channels],
                    "{} over {channels} channels has a vector of shape {shape:?}",
                    op.mnemonic()
                );
            }
            Ok(operands[0].to_vec())
        }
        Op::Linear => {
            let (x, weight) = (operands[0], operands[1]);
            let features = last(op, x)?;
            ensure!(
                weight.len() == 2 && weight[1] == features,
                "linear weight has shape {weight:?}, expected [O, {features}]"
            );
            bias(op, operands.get(2), weight[0])?;
            let mut shape = x.to_vec();
            shape[x.len() - 1] = weight[0];
            Ok(shape)
        }
        Op::MatMul { transpose_a, transpose_b } => {
            let (a, b) = (operands[0], operands[1]);
            ensure!(a.len() >= 2 && b.len() >= 2, "matmul of {a:?} and {b:?}: both need 2 axes");
            let matrix = |s: &[usize], transpose| {
                let (r, c) = (s[s.len() - 2], s[s.len() - 1]);
                if transpose { (c, r) } else { (r, c) }
            };
            let ((m, k), (l, n)) = (matrix(a, *transpose_a), matrix(b, *transpose_b));
            ensure!(k == l, "matmul of {a:?} and {b:?}: inner lengths {k} and {l} differ");
            let mut shape = broadcast(&a[..a.len() - 2], &b[..b.len() - 2])?;
            shape.extend([m, n]);
            Ok(shape)
        }
        Op::Unary(_) => Ok(operands[0].to_vec()),
        Op::Clamp { low, high } => {
            check_clamp(*low, *high)?;
            Ok(operands[0].to_vec())
        }
        Op::Affine { mul, add } => {
            check_affine(*mul, *add)?;
            Ok(operands[0].to_vec())
        }
        Op::Binary(_) => broadcast(operands[0], operands[1]),
        Op::Pool(pool) => {
            let [n, h, w, channels] = map(op, operands[0])?;
            let [rows, columns] = pool.windows([h, w])?.output;
            Ok(vec![n, rows, columns, channels])
        }
        Op::Reduce { axes, keep, .. } => {
            let x = operands[0];
            ensure!(!axes.is_empty(), "a reduction needs at least one axis");
            ensure!(
                axes.windows(2).all(|pair| pair[0] < pair[1]),
                "the axes of a reduction must ascend, not {axes:?}"
            );
            for &axis in axes {
                check_axis(op, x, axis)?;
            }
            let kept = x.iter().enumerate().filter_map(|(i, &n)| {
                if !axes.contains(&i) {
                    Some(n)
                } else if *keep {
                    Some(1)
                } else {
                    None
                }
            });
            Ok(kept.collect())
        }
        Op::Softmax { axis } => {
            check_axis(op, operands[0], *axis)?;
            Ok(operands[0].to_vec())
        }
        Op::Concat { axis } => {
            let first = operands[0];
            check_axis(op, first, *axis)?;
            let mut shape = first.to_vec();
            shape[*axis] = 0;
            for other in operands {
                let fits = other.len() == first.len()
                    && (0..first.len()).all(|i| i == *axis || other[i] == first[i]);
                ensure!(
                    fits,
                    "concat along axis {axis}: shapes {first:?} and {other:?} differ elsewhere"
                );
                shape[*axis] = add(shape[*axis], other[*axis])?;
            }
            Ok(shape)
        }
        Op::Slice { axis, start, len, step } => {
            let x = operands[0];
            check_axis(op, x, *axis)?;
            ensure!(*step > 0 && *len > 0, "slice needs a length and a step of at least 1");
            let end = (len - 1)
                .checked_mul(*step)
                .and_then(|v| v.checked_add(*start))
                .unwrap_or(usize::MAX);
            ensure!(
                end < x[*axis],
                "slice of {len} from {start} by {step} leaves axis {axis} of length {}",
                x[*axis]
            );
            let mut shape = x.to_vec();
            shape[*axis] = *len;
            Ok(shape)
        }
        Op::Pad { amounts, mode } => {
            let x = operands[0];
            ensure!(
                amounts.len() == x.len(),
                "pad states {} axes, the operand {x:?} has {}",
                amounts.len(),
                x.len()
            );
            let mut shape = x.to_vec();
            for (i, &(before, after)) in amounts.iter().enumerate() {
                ensure!(
                    *mode != PadMode::Reflect || before.max(after) < x[i],
                    "a mirrored border of {} needs an axis longer than {}",
                    before.max(after),
                    x[i]
                );
                shape[i] = add(add(shape[i], before)?, after)?;
            }
            Ok(shape)
        }
        Op::Roll { axis, .. } => {
            check_axis(op, operands[0], *axis)?;
            Ok(operands[0].to_vec())
        }
        Op::Gather { axis, indices, shape } => {
            let x = operands[0];
            check_axis(op, x, *axis)?;
            ensure!(
                elements(shape)? == indices.len(),
                "gather has {} indices for shape {shape:?}",
                indices.len()
            );
            if let Some(index) = indices.iter().find(|&&index| index as usize >= x[*axis]) {
                return Err(ShapeError::new(format!(
                    "gather index {index} leaves axis {axis} of length {}",
                    x[*axis]
                )));
            }
            Ok([&x[..*axis], shape, &x[axis + 1..]].concat())
        }
        Op::Reshape { shape } => {
            let (from, to) = (elements(operands[0])?, elements(shape)?);
            ensure!(
                from == to,
                "reshape of {:?} ({from} elements) to {shape:?} ({to} elements)",
                operands[0]
            );
            Ok(shape.clone())
        }
        Op::Transpose { perm } => {
            let x = operands[0];
            let mut seen = vec![false; x.len()];
            for &axis in perm {
                if let Some(seen) = seen.get_mut(axis) {
                    *seen = true;
                }
            }
            ensure!(
                perm.len() == x.len() && seen.iter().all(|&s| s),
                "{perm:?} is not an order of the axes of {x:?}"
            );
            Ok(perm.iter().map(|&axis| x[axis]).collect())
        }
        Op::Expand { shape } => {
            ensure!(
                broadcast(operands[0], shape).ok().as_ref() == Some(shape),
                "shape {:?} does not broadcast to {shape:?}",
                operands[0]
            );
            Ok(shape.clone())
        }
        Op::Resize { size, mode, align_corners, antialias } => {
            let [n, _, _, channels] = map(op, operands[0])?;
            let kernel = matches!(mode, Interpolation::Bilinear | Interpolation::Bicubic);
            ensure!(
                kernel || !(*align_corners || *antialias),
                "resize in the mode {} takes neither align_corners nor antialias",
                mode.name()
            );
            Ok(vec![n, size[0], size[1], channels])
        }
    }
}

fn map(op: &Op, shape: &[usize]) -> Result<[usize; 4]> {
    shape.try_into().map_err(|_| {
        ShapeError::new(format!(
            "{} expects a map [N, H, W, C], not a value of shape {shape:?}",
            op.mnemonic()
        ))
    })
}

fn last(op: &Op, shape: &[usize]) -> Result<usize> {
    shape.last().copied().ok_or_else(|| {
        ShapeError::new(format!("{} needs an operand with at least one axis", op.mnemonic()))
    })
}

fn bias(op: &Op, shape: Option<&&[usize]>, outputs: usize) -> Result<()> {
    if let Some(shape) = shape {
        ensure!(
            **shape == [outputs],
            "{} bias has shape {shape:?}, expected [{outputs}]",
            op.mnemonic()
        );
    }
    Ok(())
}

fn check_axis(op: &Op, shape: &[usize], axis: usize) -> Result<()> {
    ensure!(axis < shape.len(), "{} along axis {axis} of a value {shape:?}", op.mnemonic());
    Ok(())
}

fn check_clamp(low: f64, high: f64) -> Result<()> {
    let ordered = low <= high; // False also when either is not a number.
    ensure!(ordered, "clamp from {low} to {high} is empty");
    Ok(())
}

fn check_affine(mul: f64, add: f64) -> Result<()> {
    ensure!(mul.is_finite() && add.is_finite(), "affine by {mul} and {add} is not finite");
    Ok(())
}

fn add(a: usize, b: usize) -> Result<usize> {
    a.checked_add(b).ok_or_else(|| ShapeError::new("an axis is too long"))
}
