//! Matrix products: the inner loop of convolutions, linear layers and [`crate::Op::MatMul`].

use super::parallel;
use crate::op::Conv;
use crate::padding::Windows;

/// Columns of a panel, and rows that are multiplied together: 16 sums stay in registers.
const TILE: usize = 4;

/// A `[k, n]` matrix in `f64`, stored as panels of [`TILE`] columns: `[n / TILE, k, TILE]`.
pub(super) struct Panels {
    k: usize,
    n: usize,
    data: Vec<f64>,
}

impl Panels {
    /// Packs the matrix whose element in row `i`, column `j` is `at(i, j)`.
    pub(super) fn new(k: usize, n: usize, at: impl Fn(usize, usize) -> f32) -> Self {
        let mut data = Vec::with_capacity(n.div_ceil(TILE) * TILE * k);
        for first in (0..n).step_by(TILE) {
            for i in 0..k {
                data.extend(
                    (first..first + TILE).map(|j| if j < n { at(i, j) as f64 } else { 0.0 }),
                );
            }
        }
        Panels { k, n, data }
    }

    /// `out[r][j] = bias[j] + sum over i of rows[r][i] * matrix[i][j]`, the sum in ascending `i`.
    /// Row `r` of the result starts at `r * stride` of `out`.
    pub(super) fn multiply(
        &self,
        rows: &[f64],
        bias: Option<&[f32]>,
        out: &mut [f32],
        stride: usize,
    ) {
        let count = rows.len() / self.k;
        for (p, panel) in self.data.chunks_exact(self.k * TILE).enumerate() {
            let columns = p * TILE..(p * TILE + TILE).min(self.n);
            for first in (0..count).step_by(TILE) {
                let block = first..(first + TILE).min(count);
                // A block that is not full repeats its last row; the copies are not stored.
                let row = |r: usize| {
                    let r = (first + r).min(count - 1);
                    &rows[r * self.k..(r + 1) * self.k]
                };
                let sums = tile(panel, [row(0), row(1), row(2), row(3)]);
                for r in block {
                    for j in columns.clone() {
                        let sum = sums[r - first][j - columns.start];
                        out[r * stride + j] = (sum + bias.map_or(0.0, |b| b[j] as f64)) as f32;
                    }
                }
            }
        }
    }
}

fn tile(panel: &[f64], rows: [&[f64]; TILE]) -> [[f64; TILE]; TILE] {
    let mut sums = [[0.0; TILE]; TILE];
    let [a, b, c, d] = rows;
    for ((((w, &a), &b), &c), &d) in panel.chunks_exact(TILE).zip(a).zip(b).zip(c).zip(d) {
        for j in 0..TILE {
            sums[0][j] += a * w[j];
            sums[1][j] += b * w[j];
            sums[2][j] += c * w[j];
            sums[3][j] += d * w[j];
        }
    }
    sums
}

/// `out [rows, O] = x [rows, I] · weightᵀ [O, I] + bias`.
pub(super) fn linear(
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    outputs: usize,
    threads: usize,
    out: &mut [f32],
) {
    let inputs = weight.len() / outputs;
    let panels = Panels::new(inputs, outputs, |i, o| weight[o * inputs + i]);
    let cost = x.len().saturating_mul(outputs);
    parallel::rows(threads, cost, out, outputs, 16, |first, out| {
        let count = out.len() / outputs;
        let rows: Vec<f64> =
            x[first * inputs..(first + count) * inputs].iter().map(|&v| v as f64).collect();
        panels.multiply(&rows, bias, out, outputs);
    });
}

/// One side of a batched product: where its matrices start, and how to step inside one.
pub(super) struct Side<'a> {
    /// Elements.
    pub data: &'a [f32],
    /// First element of the matrix of each batch index.
    pub starts: Vec<usize>,
    /// Elements between rows and between columns.
    pub strides: [usize; 2],
}

/// `out [batch, m, n] = a [batch, m, k] · b [batch, k, n]`.
pub(super) fn matmul(
    a: &Side<'_>,
    b: &Side<'_>,
    [m, k, n]: [usize; 3],
    threads: usize,
    out: &mut [f32],
) {
    let cost = out.len().saturating_mul(k);
    parallel::rows(threads, cost, out, m * n, 1, |batch, out| {
        let (a0, b0) = (a.starts[batch], b.starts[batch]);
        let panels = Panels::new(k, n, |i, j| b.data[b0 + i * b.strides[0] + j * b.strides[1]]);
        let mut rows = Vec::with_capacity(TILE * k);
        for (first, out) in out.chunks_mut(TILE * n).enumerate() {
            rows.clear();
            for r in first * TILE..first * TILE + out.len() / n {
                let start = a0 + r * a.strides[0];
                rows.extend((0..k).map(|i| a.data[start + i * a.strides[1]] as f64));
            }
            panels.multiply(&rows, None, out, n);
        }
    });
}

/// Shapes of a convolution.
pub(super) struct ConvShape {
    /// Rows and columns of the input map.
    pub input: [usize; 2],
    /// Channels of the input map.
    pub channels: usize,
    /// Channels of the output map.
    pub outputs: usize,
    /// Output size and border.
    pub windows: Windows,
}

impl ConvShape {
    /// Input row and column under a tap, unless it lies on the border.
    fn under(
        &self,
        conv: &Conv,
        [y, x]: [usize; 2],
        [ky, kx]: [usize; 2],
    ) -> Option<(usize, usize)> {
        let border = self.windows.border;
        let row = (y * conv.stride[0] + ky * conv.dilation[0]).checked_sub(border.top)?;
        let column = (x * conv.stride[1] + kx * conv.dilation[1]).checked_sub(border.left)?;
        (row < self.input[0] && column < self.input[1]).then_some((row, column))
    }
}

/// Convolution of `x [N, H, W, C]` by `weight [O, C/groups, kh, kw]`.
pub(super) fn conv(
    conv: &Conv,
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    threads: usize,
    out: &mut [f32],
) {
    if conv.groups == shape.channels && conv.groups > 1 {
        depthwise(conv, shape, x, weight, bias, threads, out);
    } else {
        dense(conv, shape, x, weight, bias, threads, out);
    }
}

/// Each row of output pixels is a product: the cells under each window, laid out in a row, times
/// the weights.
fn dense(
    conv: &Conv,
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    threads: usize,
    out: &mut [f32],
) {
    let [h, w] = shape.input;
    let [out_h, out_w] = shape.windows.output;
    let [kh, kw] = conv.kernel;
    let (depth, width) = (shape.channels / conv.groups, shape.outputs / conv.groups);
    let taps = kh * kw;
    let k = taps * depth;
    let groups: Vec<Panels> = (0..conv.groups)
        .map(|g| {
            let weight = &weight[g * width * k..(g + 1) * width * k];
            // Rows are ordered (tap, channel), the file's weights (output, channel, tap).
            Panels::new(k, width, |i, o| weight[o * k + i % depth * taps + i / depth])
        })
        .collect();
    let row_len = out_w * shape.outputs;
    let cost = out.len().saturating_mul(k);
    parallel::rows(threads, cost, out, row_len, 1, |row, out| {
        let (image, y) = (row / out_h, row % out_h);
        let mut cells = vec![0.0; out_w * k];
        for (g, panels) in groups.iter().enumerate() {
            for ox in 0..out_w {
                for tap in 0..taps {
                    let cell = &mut cells[ox * k + tap * depth..][..depth];
                    match shape.under(conv, [y, ox], [tap / kw, tap % kw]) {
                        None => cell.fill(0.0),
                        Some((iy, ix)) => {
                            let start = ((image * h + iy) * w + ix) * shape.channels + g * depth;
                            for (cell, &x) in cell.iter_mut().zip(&x[start..start + depth]) {
                                *cell = x as f64;
                            }
                        }
                    }
                }
            }
            let bias = bias.map(|b| &b[g * width..(g + 1) * width]);
            panels.multiply(&cells, bias, &mut out[g * width..], shape.outputs);
        }
    });
}

/// One input channel a group: the taps one after another, over all channels of a pixel.
fn depthwise(
    conv: &Conv,
    shape: &ConvShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    threads: usize,
    out: &mut [f32],
) {
    let [h, w] = shape.input;
    let [out_h, out_w] = shape.windows.output;
    let taps = conv.kernel[0] * conv.kernel[1];
    let outputs = shape.outputs;
    let multiplier = outputs / shape.channels;
    let mut by_tap = vec![0.0; taps * outputs];
    for (i, value) in by_tap.iter_mut().enumerate() {
        *value = weight[i % outputs * taps + i / outputs] as f64;
    }
    let cost = out.len().saturating_mul(taps);
    parallel::rows(threads, cost, out, out_w * outputs, 1, |row, out| {
        let (image, y) = (row / out_h, row % out_h);
        let mut sums = vec![0.0; outputs];
        for (ox, out) in out.chunks_exact_mut(outputs).enumerate() {
            sums.fill(0.0);
            for (tap, weights) in by_tap.chunks_exact(outputs).enumerate() {
                let tap = [tap / conv.kernel[1], tap % conv.kernel[1]];
                let Some((iy, ix)) = shape.under(conv, [y, ox], tap) else { continue };
                let cell = &x[((image * h + iy) * w + ix) * shape.channels..][..shape.channels];
                if multiplier == 1 {
                    for ((sum, &x), w) in sums.iter_mut().zip(cell).zip(weights) {
                        *sum += x as f64 * w;
                    }
                } else {
                    for (o, (sum, w)) in sums.iter_mut().zip(weights).enumerate() {
                        *sum += cell[o / multiplier] as f64 * w;
                    }
                }
            }
            for (o, (out, sum)) in out.iter_mut().zip(&sums).enumerate() {
                *out = (sum + bias.map_or(0.0, |b| b[o] as f64)) as f32;
            }
        }
    });
}
