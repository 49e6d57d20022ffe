//! Window pooling and interpolation of maps.

use super::parallel;
use crate::math;
use crate::op::{Pool, PoolKind};
use crate::padding::Windows;
use crate::resample::Taps;

/// Pooling of `x [N, H, W, C]`.
pub(super) fn pool(
    pool: &Pool,
    [h, w, channels]: [usize; 3],
    windows: Windows,
    x: &[f32],
    threads: usize,
    out: &mut [f32],
) {
    let [out_h, out_w] = windows.output;
    let border = windows.border;
    let cost = out.len().saturating_mul(pool.kernel[0] * pool.kernel[1]);
    parallel::rows(threads, cost, out, out_w * channels, 1, |row, out| {
        let (image, oy) = (row / out_h, row % out_h);
        let rows = span(oy * pool.stride[0], pool.kernel[0], border.top, border.bottom, h);
        let mut sums = vec![0.0; channels];
        for (ox, out) in out.chunks_exact_mut(channels).enumerate() {
            let columns = span(ox * pool.stride[1], pool.kernel[1], border.left, border.right, w);
            sums.fill(if pool.kind == PoolKind::Max { f64::NEG_INFINITY } else { 0.0 });
            for iy in rows.inside.clone() {
                for ix in columns.inside.clone() {
                    let cell = &x[((image * h + iy) * w + ix) * channels..][..channels];
                    for (sum, &x) in sums.iter_mut().zip(cell) {
                        *sum = match pool.kind {
                            PoolKind::Max => math::max(*sum, x as f64),
                            PoolKind::Avg => *sum + x as f64,
                        };
                    }
                }
            }
            let cells = match (pool.kind, pool.count_include_pad) {
                (PoolKind::Max, _) => 1,
                (PoolKind::Avg, true) => rows.padded * columns.padded,
                (PoolKind::Avg, false) => rows.inside.len() * columns.inside.len(),
            };
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = (sum / cells as f64) as f32;
            }
        }
    });
}

/// Part of an axis under a window.
struct Span {
    /// Cells of the map.
    inside: std::ops::Range<usize>,
    /// Number of cells of the map and its border: PyTorch cuts a window that hangs over.
    padded: usize,
}

/// The window of `kernel` cells that starts at cell `start` of the padded axis.
fn span(start: usize, kernel: usize, before: usize, after: usize, len: usize) -> Span {
    let end = (start + kernel).min(before + len + after);
    let inside = start.saturating_sub(before).min(len)..end.saturating_sub(before).min(len);
    Span { inside, padded: end - start }
}

/// Interpolation of `x [N, H, W, C]`: down the columns, then along the row.
pub(super) fn resize(
    x: &[f32],
    [h, w, channels]: [usize; 3],
    rows: &Taps,
    columns: &Taps,
    threads: usize,
    out: &mut [f32],
) {
    let out_h = rows.cells.len() / rows.count;
    let out_w = columns.cells.len() / columns.count;
    let cost = out.len().saturating_mul(rows.count + columns.count);
    parallel::rows(threads, cost, out, out_w * channels, 1, |row, out| {
        let (image, oy) = (row / out_h, row % out_h);
        let mut blend = vec![0.0; w * channels];
        for (iy, weight) in rows.of(oy) {
            let line = &x[(image * h + iy) * w * channels..][..w * channels];
            for (blend, &x) in blend.iter_mut().zip(line) {
                *blend += weight * x as f64;
            }
        }
        for (ox, out) in out.chunks_exact_mut(channels).enumerate() {
            for (c, out) in out.iter_mut().enumerate() {
                let sum: f64 =
                    columns.of(ox).map(|(ix, weight)| weight * blend[ix * channels + c]).sum();
                *out = sum as f32;
            }
        }
    });
}
