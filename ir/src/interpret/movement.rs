//! Operators that move values without changing them.

use super::strided::{around, broadcast_strides, strides, walk};
use crate::op::PadMode;
use crate::tensor::Tensor;

/// The elements of `x` read by `strides` in the order of `shape`.
fn copy(x: &[f32], shape: &[usize], strides: &[usize]) -> Vec<f32> {
    let mut out = Vec::with_capacity(shape.iter().product());
    walk(shape, [strides], |len, [start], [step]| match step {
        1 => out.extend_from_slice(&x[start..start + len]),
        _ => out.extend((0..len).map(|i| x[start + i * step])),
    });
    out
}

/// Axes in another order; `shape` is the result's.
pub(super) fn transpose(x: &Tensor, perm: &[usize], shape: &[usize]) -> Vec<f32> {
    let own = strides(&x.shape);
    let strides: Vec<usize> = perm.iter().map(|&axis| own[axis]).collect();
    copy(&x.data, shape, &strides)
}

/// Broadcast to `shape`.
pub(super) fn expand(x: &Tensor, shape: &[usize]) -> Vec<f32> {
    copy(&x.data, shape, &broadcast_strides(&x.shape, shape))
}

/// Cells of `axis`, in the order of `cells`; `None` is `fill`.
fn select(x: &Tensor, axis: usize, cells: &[Option<usize>], fill: f32) -> Tensor {
    let [outer, len, inner] = around(&x.shape, axis);
    let mut out = Vec::with_capacity(outer * cells.len() * inner);
    for o in 0..outer {
        for cell in cells {
            match cell {
                Some(cell) => {
                    let start = (o * len + cell) * inner;
                    out.extend_from_slice(&x.data[start..start + inner]);
                }
                None => out.extend(std::iter::repeat_n(fill, inner)),
            }
        }
    }
    let mut shape = x.shape.clone();
    shape[axis] = cells.len();
    Tensor { shape, data: out }
}

/// Every `step`-th of the cells from `start`.
pub(super) fn slice(x: &Tensor, axis: usize, start: usize, len: usize, step: usize) -> Vec<f32> {
    let cells: Vec<_> = (0..len).map(|i| Some(start + i * step)).collect();
    select(x, axis, &cells, 0.0).data
}

/// Cells by index.
pub(super) fn gather(x: &Tensor, axis: usize, indices: &[u32]) -> Vec<f32> {
    let cells: Vec<_> = indices.iter().map(|&i| Some(i as usize)).collect();
    select(x, axis, &cells, 0.0).data
}

/// Cyclic shift.
pub(super) fn roll(x: &Tensor, axis: usize, shift: i64) -> Vec<f32> {
    let len = x.shape[axis];
    // A length fits i64: it is at most 2^40.
    let shift = shift.rem_euclid(len as i64) as usize;
    let cells: Vec<_> = (0..len).map(|i| Some((i + len - shift) % len)).collect();
    select(x, axis, &cells, 0.0).data
}

/// Borders, one axis after the other.
pub(super) fn pad(x: &Tensor, amounts: &[(usize, usize)], mode: PadMode) -> Vec<f32> {
    let mut value = std::borrow::Cow::Borrowed(x);
    for (axis, &(before, after)) in amounts.iter().enumerate() {
        if (before, after) == (0, 0) {
            continue;
        }
        let len = x.shape[axis];
        let cells: Vec<_> = (0..before + len + after)
            .map(|i| match mode {
                PadMode::Constant(_) => i.checked_sub(before).filter(|&cell| cell < len),
                PadMode::Replicate => Some(i.saturating_sub(before).min(len - 1)),
                PadMode::Reflect if i < before => Some(before - i),
                PadMode::Reflect if i - before >= len => Some(2 * (len - 1) - (i - before)),
                PadMode::Reflect => Some(i - before),
            })
            .collect();
        let fill = if let PadMode::Constant(bits) = mode { f32::from_bits(bits) } else { 0.0 };
        value = std::borrow::Cow::Owned(select(&value, axis, &cells, fill));
    }
    value.into_owned().data
}

/// Operands one after the other along `axis`.
pub(super) fn concat(operands: &[&Tensor], axis: usize) -> Vec<f32> {
    let parts: Vec<[usize; 3]> = operands.iter().map(|x| around(&x.shape, axis)).collect();
    let mut out = Vec::with_capacity(operands.iter().map(|x| x.data.len()).sum());
    for o in 0..parts[0][0] {
        for (x, [_, len, inner]) in operands.iter().zip(&parts) {
            out.extend_from_slice(&x.data[o * len * inner..(o + 1) * len * inner]);
        }
    }
    out
}
