//! Weights for Winograd's algorithm.
//!
//! First the bias, `[ceil(O / 16)][16]`, then for each of the `(tile + 2)^2` points panels of 16
//! output channels, `[points][ceil(O / 16)][I][16]`. A filter `g` becomes `G g G^T`, computed in
//! `f64` and rounded once.

use crate::kernels::PANEL;
use crate::program::WinogradKernel;

/// The rows of `G` for tiles of 2.
const FILTER_2: [[f64; 3]; 4] =
    [[1.0, 0.0, 0.0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0.0, 0.0, 1.0]];

/// The points other than 0 and infinity at which tiles of 4 take the filter and the window as
/// polynomials, both with either sign. 1 and 2 are the usual choice; the same ratio around 1 halves
/// the error and its largest values are a fifth (simulated with 40 channels).
pub(crate) const POINTS: [f64; 2] = [0.75, 1.5];

/// The rows of `G` for tiles of 4: the values `1, p, p^2` of the filter's monomials at the points 0,
/// a, -a, b, -b and infinity, with the denominators that the other two transforms leave out.
fn filter_4() -> [[f64; 3]; 6] {
    let [a, b] = POINTS;
    let at = |p: f64, denominator: f64| [1.0 / denominator, p / denominator, p * p / denominator];
    let (inner, outer) = (2.0 * a * a * (a * a - b * b), 2.0 * b * b * (b * b - a * a));
    [
        at(0.0, a * a * b * b),
        at(a, inner),
        at(-a, inner),
        at(b, outer),
        at(-b, outer),
        [0.0, 0.0, 1.0],
    ]
}

/// One row of a panel.
type Columns = [f64; PANEL];

/// Bytes of the packed weights.
pub(crate) fn bytes(w: &WinogradKernel) -> u128 {
    let rows = (w.points() as u128).saturating_mul(w.conv.in_c as u128).saturating_add(1);
    rows.saturating_mul(w.conv.out_c.div_ceil(PANEL) as u128 * PANEL as u128 * 4)
}

/// The places of 16 output channels: their biases, and their weights at each point.
pub(super) struct Panel<'a> {
    tile: usize,
    bias: &'a mut [u8],
    points: Vec<&'a mut [u8]>,
}

/// Cuts the packed weights into their panels. Sizes have been checked.
pub(super) fn panels<'a>(w: &WinogradKernel, out: &'a mut [u8]) -> Vec<Panel<'a>> {
    let row = PANEL * 4;
    let count = w.conv.out_c.div_ceil(PANEL);
    let (head, points) = out.split_at_mut(count * row);
    let mut panels: Vec<Panel<'a>> = head
        .chunks_exact_mut(row)
        .map(|bias| Panel { tile: w.tile, bias, points: Vec::with_capacity(w.points()) })
        .collect();
    for point in points.chunks_exact_mut(count * w.conv.in_c * row) {
        for (panel, bytes) in panels.iter_mut().zip(point.chunks_exact_mut(w.conv.in_c * row)) {
            panel.points.push(bytes);
        }
    }
    panels
}

impl Panel<'_> {
    /// Packs weights `[channels, I, 3, 3]` and biases, as many as there are channels or none.
    pub(super) fn fill(self, weights: &[f32], bias: &[f32]) {
        let filter: &[[f64; 3]] = if self.tile == 2 { &FILTER_2 } else { &filter_4() };
        self.bias.fill(0);
        for (bytes, value) in self.bias.chunks_exact_mut(4).zip(bias) {
            bytes.copy_from_slice(&value.to_le_bytes());
        }
        let mut points: Vec<&mut [[u8; PANEL * 4]]> =
            self.points.into_iter().map(|point| point.as_chunks_mut().0).collect();
        let inputs = points.first().map_or(0, |rows| rows.len());
        for input in 0..inputs {
            let mut taps = [[0.0; PANEL]; 9];
            for (column, filters) in weights.chunks_exact(inputs * 9).enumerate() {
                for (tap, value) in taps.iter_mut().zip(&filters[input * 9..][..9]) {
                    tap[column] = f64::from(*value);
                }
            }
            transform(filter, &taps, |point, values| {
                let row = points[point][input].as_chunks_mut::<4>().0;
                for (bytes, value) in row.iter_mut().zip(values) {
                    *bytes = (*value as f32).to_le_bytes();
                }
            });
        }
    }
}

/// Gives `G g G^T` of 16 filters, point by point.
fn transform(filter: &[[f64; 3]], taps: &[Columns; 9], mut put: impl FnMut(usize, &Columns)) {
    for (i, vertical) in filter.iter().enumerate() {
        // A row of `G g`.
        let mut row = [[0.0; PANEL]; 3];
        for (x, sums) in row.iter_mut().enumerate() {
            for (y, factor) in vertical.iter().enumerate() {
                add(sums, &taps[y * 3 + x], *factor);
            }
        }
        for (j, horizontal) in filter.iter().enumerate() {
            let mut values = [0.0; PANEL];
            for (column, factor) in row.iter().zip(horizontal) {
                add(&mut values, column, *factor);
            }
            put(i * filter.len() + j, &values);
        }
    }
}

fn add(sums: &mut Columns, values: &Columns, factor: f64) {
    for (sum, value) in sums.iter_mut().zip(values) {
        *sum += value * factor;
    }
}
