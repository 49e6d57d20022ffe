//! Interpolation along one axis as a table of taps, PyTorch's arithmetic.
//!
//! Interpolation is separable: a map is resampled by one table for its rows and one for its
//! columns. The interpreter and the planner take both from here.

use crate::op::Interpolation;

/// For each output cell, the input cells it is made of and their weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Taps {
    /// Taps of each output cell (cells that need fewer have some of weight 0).
    pub count: usize,
    /// Input cells, `count` for each output cell.
    pub cells: Vec<u32>,
    /// Weights, as many.
    pub weights: Vec<f64>,
}

impl Taps {
    /// Input cells and weights of one output cell.
    pub fn of(&self, output: usize) -> impl Iterator<Item = (usize, f64)> + '_ {
        let range = output * self.count..(output + 1) * self.count;
        let cells = self.cells[range.clone()].iter().map(|&cell| cell as usize);
        cells.zip(self.weights[range].iter().copied())
    }
}

/// The table that resamples `input` cells to `output` cells (both at least 1 and below 2^32).
///
/// - Nearest is PyTorch's `nearest`: `floor(i * input / output)` with a scale rounded to `f32`.
/// - Area is the mean of the cells from `floor(i * input / output)` to
///   `ceil((i + 1) * input / output)`, the last not included.
/// - Without `align_corners`, cell `i` lies at `(i + 1/2) * input / output - 1/2`; with it, the
///   first and last cells coincide.
/// - The cubic kernel has a = -0.75.
/// - `antialias` widens the kernel by the factor of reduction and normalises the weights; cubic
///   then has a = -0.5, also when the axis grows. Its positions are those without `align_corners`
///   in either case, only the scale differs (as PyTorch).
pub fn taps(
    input: usize,
    output: usize,
    mode: Interpolation,
    align_corners: bool,
    antialias: bool,
) -> Taps {
    let scale = if !align_corners {
        input as f64 / output as f64
    } else if output > 1 {
        (input - 1) as f64 / (output - 1) as f64
    } else {
        0.0
    };
    let rows: Vec<Vec<(usize, f64)>> = (0..output)
        .map(|i| match mode {
            Interpolation::Nearest => vec![(nearest(i, input, output), 1.0)],
            Interpolation::Area => area(i, input, output),
            _ if antialias => antialiased(i, input, scale, mode),
            Interpolation::Bilinear => linear(position(i, scale, align_corners).max(0.0), input),
            Interpolation::Bicubic => cubic(position(i, scale, align_corners), input),
        })
        .collect();
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut cells = Vec::with_capacity(count * output);
    let mut weights = Vec::with_capacity(count * output);
    for row in rows {
        // The filler repeats a cell that is in use, so that no stray infinity is multiplied by 0.
        let last = row[row.len() - 1].0;
        for (cell, weight) in row.into_iter().chain(std::iter::repeat((last, 0.0))).take(count) {
            cells.push(cell as u32);
            weights.push(weight);
        }
    }
    Taps { count, cells, weights }
}

/// The table that resamples distances: cell `i` of `input` stands for a distance from the middle cell that
/// grows by a factor from cell to cell, such that the last one reaches the last of `output`. What lies
/// between two cells is linear, what lies outside takes the last cell. Both lengths are odd.
///
/// This is how BEiT (Bao et al. 2022), and timm for Swin, fit a table of relative positions to another
/// window. For equal lengths the factor is 1.01, not 1, as there.
pub fn geometric_taps(input: usize, output: usize) -> Taps {
    let (half, reach) = (input / 2, (output / 2) as f64);
    let (mut left, mut right) = (1.01f64, 1.5f64);
    let mut factor = left;
    while right - left > 1e-6 {
        factor = (left + right) / 2.0;
        let sum = (1.0 - factor.powi(half as i32)) / (1.0 - factor);
        if sum > reach { right = factor } else { left = factor }
    }
    let mut places = vec![0.0; input];
    let (mut at, mut step) = (1.0, factor);
    for i in 1..=half {
        (places[half + i], places[half - i]) = (at, -at);
        at += step;
        step *= factor;
    }
    let (mut cells, mut weights) = (Vec::new(), Vec::new());
    for i in 0..output {
        let x = i as f64 - reach;
        let high = places.partition_point(|place| *place < x).min(input - 1);
        let low = high.saturating_sub(1);
        let (before, after) = ((x - places[low]).max(0.0), (places[high] - x).max(0.0));
        let t = if before + after > 0.0 { before / (before + after) } else { 0.5 };
        cells.extend([low as u32, high as u32]);
        weights.extend([1.0 - t, t]);
    }
    Taps { count: 2, cells, weights }
}

fn position(i: usize, scale: f64, align_corners: bool) -> f64 {
    if align_corners { i as f64 * scale } else { (i as f64 + 0.5) * scale - 0.5 }
}

fn nearest(i: usize, input: usize, output: usize) -> usize {
    // PyTorch takes these two exactly, all others with an f32 scale.
    if input == output {
        return i;
    }
    if output == 2 * input {
        return i / 2;
    }
    let scale = input as f32 / output as f32;
    ((i as f32 * scale).floor() as usize).min(input - 1)
}

fn area(i: usize, input: usize, output: usize) -> Vec<(usize, f64)> {
    let range = i * input / output..((i + 1) * input).div_ceil(output);
    let weight = 1.0 / range.len() as f64;
    range.map(|cell| (cell, weight)).collect()
}

fn linear(at: f64, input: usize) -> Vec<(usize, f64)> {
    let low = (at as usize).min(input - 1);
    let high = (low + 1).min(input - 1);
    let t = (at - low as f64).clamp(0.0, 1.0);
    vec![(low, 1.0 - t), (high, t)]
}

fn cubic(at: f64, input: usize) -> Vec<(usize, f64)> {
    let base = at.floor();
    let t = at - base;
    (-1..=2)
        .map(|k| {
            let cell = (base + k as f64).clamp(0.0, (input - 1) as f64) as usize;
            (cell, cubic_kernel(t - k as f64, -0.75))
        })
        .collect()
}

/// Keys' cubic convolution kernel (Keys 1981).
fn cubic_kernel(x: f64, a: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

fn antialiased(i: usize, input: usize, scale: f64, mode: Interpolation) -> Vec<(usize, f64)> {
    let stretch = scale.max(1.0);
    let radius = if mode == Interpolation::Bicubic { 2.0 } else { 1.0 };
    let center = scale * (i as f64 + 0.5);
    let first = (center - radius * stretch + 0.5).max(0.0) as usize;
    let end = ((center + radius * stretch + 0.5) as usize).min(input);
    let kernel = |x: f64| match mode {
        Interpolation::Bicubic => cubic_kernel(x, -0.5),
        _ => (1.0 - x.abs()).max(0.0),
    };
    let weights: Vec<f64> =
        (first..end).map(|j| kernel((j as f64 - center + 0.5) / stretch)).collect();
    let total: f64 = weights.iter().sum();
    if total == 0.0 {
        // Corners aligned at a strong reduction can leave the map; PyTorch then gives nothing.
        return vec![(first.min(input - 1), 0.0)];
    }
    (first..end).zip(weights.into_iter().map(|w| w / total)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Interpolation::{Area, Bicubic, Bilinear, Nearest};

    fn resample(x: &[f64], output: usize, mode: Interpolation, flags: [bool; 2]) -> Vec<f64> {
        let table = taps(x.len(), output, mode, flags[0], flags[1]);
        (0..output).map(|i| table.of(i).map(|(cell, weight)| x[cell] * weight).sum()).collect()
    }

    fn assert_near(actual: Vec<f64>, expected: &[f64]) {
        assert_eq!(actual.len(), expected.len());
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() < 1e-6, "{actual:?} is not {expected:?}");
        }
    }

    #[test]
    fn nearest_takes_the_floor() {
        let x = [0.0, 1.0, 2.0];
        assert_near(resample(&x, 6, Nearest, [false; 2]), &[0.0, 0.0, 1.0, 1.0, 2.0, 2.0]);
        assert_near(resample(&x, 5, Nearest, [false; 2]), &[0.0, 0.0, 1.0, 1.0, 2.0]);
        assert_near(resample(&x, 2, Nearest, [false; 2]), &[0.0, 1.0]);
    }

    /// The examples of PyTorch's documentation of `Upsample`: rows 1, 2 and 3, 4 doubled.
    #[test]
    fn bilinear_as_documented() {
        assert_near(resample(&[1.0, 2.0], 4, Bilinear, [false; 2]), &[1.0, 1.25, 1.75, 2.0]);
        assert_near(
            resample(&[1.0, 2.0], 4, Bilinear, [true, false]),
            &[1.0, 4.0 / 3.0, 5.0 / 3.0, 2.0],
        );
        assert_near(resample(&[1.0, 2.0, 4.0], 1, Bilinear, [true, false]), &[1.0]);
    }

    /// PyTorch's `AdaptiveAvgPool1d`.
    #[test]
    fn area_is_adaptive_average_pooling() {
        let x = [1.0, 2.0, 4.0, 8.0, 16.0];
        assert_near(resample(&x, 2, Area, [false; 2]), &[7.0 / 3.0, 28.0 / 3.0]);
        assert_near(resample(&x, 1, Area, [false; 2]), &[31.0 / 5.0]);
        assert_near(resample(&x, 5, Area, [false; 2]), &x);
        assert_near(resample(&[1.0, 2.0], 3, Area, [false; 2]), &[1.0, 1.5, 2.0]);
    }

    /// Weights at a quarter and three quarters for a = -0.75, worked out by hand.
    #[test]
    fn bicubic_of_an_impulse() {
        let x = [0.0, 0.0, 1.0, 0.0, 0.0];
        assert_near(
            resample(&x, 10, Bicubic, [false; 2]),
            &[
                0.0,
                -0.03515625,
                -0.10546875,
                0.26171875,
                0.87890625,
                0.87890625,
                0.26171875,
                -0.10546875,
                -0.03515625,
                0.0,
            ],
        );
    }

    /// Halving with the triangle of radius 2: weights 1/8, 3/8, 3/8, 1/8, cut and normalised at
    /// the ends.
    #[test]
    fn antialiased_halving() {
        let x = [8.0, 0.0, 0.0, 0.0, 0.0, 8.0];
        let expected = [8.0 * 3.0 / 7.0, 0.0, 8.0 * 3.0 / 7.0];
        assert_near(resample(&x, 3, Bilinear, [false, true]), &expected);
        let ramp: Vec<f64> = (0..8).map(f64::from).collect();
        assert_near(resample(&ramp, 4, Bilinear, [false, true])[1..3].to_vec(), &[2.5, 4.5]);
    }

    /// Values of timm's `resize_rel_pos_bias_table` (rows of windows 4 to 7, and 4 to 3).
    #[test]
    fn distances_grow_geometrically() {
        let x = [5.0, 2.0, 1.0, 0.0, 1.0, 2.0, 5.5];
        let row = |output: usize| -> Vec<f64> {
            let table = geometric_taps(7, output);
            (0..output).map(|i| table.of(i).map(|(cell, weight)| x[cell] * weight).sum()).collect()
        };
        let near = |found: Vec<f64>, right: &[f64]| {
            assert!(found.iter().zip(right).all(|(a, b)| (a - b).abs() < 1e-5), "{found:?}");
        };
        let wide = [
            5.0, 5.0, 4.0000038, 2.6666689, 1.6666671, 1.0, 0.0, 1.0, 1.6666671, 2.7777803,
            4.3333378, 5.5, 5.5,
        ];
        near(row(13), &wide);
        near(row(5), &[1.9900981, 1.0, 0.0, 1.0, 1.9900981]);
        for cells in [(1, 1), (1, 5), (13, 1), (13, 9), (13, 23), (3, 3)] {
            let table = geometric_taps(cells.0, cells.1);
            let sums = (0..cells.1).map(|i| table.of(i).map(|(_, weight)| weight).sum());
            assert_near(sums.collect(), &vec![1.0; cells.1]);
        }
    }

    #[test]
    fn every_table_keeps_constants_and_the_same_size_keeps_all() {
        for mode in [Bilinear, Bicubic] {
            for flags in [[false, false], [true, false], [false, true]] {
                for (from, to) in [(14, 24), (14, 7), (16, 5), (7, 12), (1, 3)] {
                    let result = resample(&vec![3.0; from], to, mode, flags);
                    assert_near(result, &vec![3.0; to]);
                }
                let x = [0.5, -1.0, 2.0, 7.0, 0.25];
                assert_near(resample(&x, 5, mode, flags), &x);
            }
        }
    }
}
