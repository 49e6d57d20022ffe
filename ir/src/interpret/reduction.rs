//! Reductions, softmax and normalisation.

use super::parallel;
use super::strided::{around, strides, walk};
use crate::math;
use crate::op::Reduce;
use crate::tensor::Tensor;

/// Reduction over `axes`; sums run in row-major order.
pub(super) fn reduce(x: &Tensor, kind: Reduce, axes: &[usize]) -> Vec<f32> {
    let kept: Vec<usize> =
        x.shape.iter().enumerate().map(|(i, &n)| if axes.contains(&i) { 1 } else { n }).collect();
    let mut out_strides = strides(&kept);
    for &axis in axes {
        out_strides[axis] = 0;
    }
    let (start, step): (f64, fn(f64, f64) -> f64) = match kind {
        Reduce::Sum | Reduce::Mean => (0.0, |sum, x| sum + x),
        Reduce::L2 => (0.0, |sum, x| sum + x * x),
        Reduce::Max => (f64::NEG_INFINITY, math::max),
        Reduce::Min => (f64::INFINITY, math::min),
    };
    let mut sums = vec![start; kept.iter().product()];
    walk(&x.shape, [&strides(&x.shape), &out_strides], |len, [i, o], [_, out_step]| {
        for (k, &x) in x.data[i..i + len].iter().enumerate() {
            let sum = &mut sums[o + k * out_step];
            *sum = step(*sum, x as f64);
        }
    });
    let count = x.data.len() / sums.len();
    sums.into_iter()
        .map(|sum| match kind {
            Reduce::Mean => sum / count as f64,
            Reduce::L2 => sum.sqrt(),
            Reduce::Sum | Reduce::Max | Reduce::Min => sum,
        } as f32)
        .collect()
}

/// Softmax along `axis`; the largest value is taken off first.
pub(super) fn softmax(x: &Tensor, axis: usize, threads: usize, out: &mut [f32]) {
    let [_, len, inner] = around(&x.shape, axis);
    let cost = x.data.len().saturating_mul(16);
    parallel::rows(threads, cost, out, len * inner, 1, |row, out| {
        let x = &x.data[row * len * inner..][..len * inner];
        let mut powers = vec![0.0; len];
        for i in 0..inner {
            let line = || x[i..].iter().step_by(inner).map(|&x| x as f64);
            let largest = line().fold(f64::NEG_INFINITY, math::max);
            for (power, x) in powers.iter_mut().zip(line()) {
                *power = (x - largest).exp();
            }
            let sum: f64 = powers.iter().sum();
            for (k, power) in powers.iter().enumerate() {
                out[k * inner + i] = (power / sum) as f32;
            }
        }
    });
}

/// Layer normalisation over the last axis, with the biased variance.
pub(super) fn layer_norm(
    x: &Tensor,
    affine: Option<(&[f32], &[f32])>,
    eps: f64,
    threads: usize,
    out: &mut [f32],
) {
    let len = x.shape[x.shape.len() - 1];
    let cost = x.data.len().saturating_mul(4);
    parallel::rows(threads, cost, out, len, 16, |first, out| {
        let x = &x.data[first * len..][..out.len()];
        for (x, out) in x.chunks_exact(len).zip(out.chunks_exact_mut(len)) {
            let mean = x.iter().map(|&x| x as f64).sum::<f64>() / len as f64;
            let variance = x.iter().map(|&x| (x as f64 - mean).powi(2)).sum::<f64>() / len as f64;
            let scale = 1.0 / (variance + eps).sqrt();
            for (i, (out, &x)) in out.iter_mut().zip(x).enumerate() {
                let y = (x as f64 - mean) * scale;
                *out = match affine {
                    Some((gamma, beta)) => y * gamma[i] as f64 + beta[i] as f64,
                    None => y,
                } as f32;
            }
        }
    });
}

/// What batch normalisation multiplies each channel by.
pub(crate) fn batch_norm_scale(gamma: &[f32], variance: &[f32], eps: f64) -> Vec<f64> {
    gamma.iter().zip(variance).map(|(&g, &v)| g as f64 / (v as f64 + eps).sqrt()).collect()
}

/// Batch normalisation over the last axis by known statistics: `[gamma, beta, mean, variance]`.
pub(super) fn batch_norm(
    x: &Tensor,
    [gamma, beta, mean, variance]: [&[f32]; 4],
    eps: f64,
    threads: usize,
    out: &mut [f32],
) {
    let channels = gamma.len();
    let scale = batch_norm_scale(gamma, variance, eps);
    parallel::rows(threads, x.data.len(), out, channels, 256, |first, out| {
        let x = &x.data[first * channels..][..out.len()];
        for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
            for c in 0..channels {
                out[c] = ((x[c] as f64 - mean[c] as f64) * scale[c] + beta[c] as f64) as f32;
            }
        }
    });
}
