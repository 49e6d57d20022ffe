//! Position tables resampled to another grid, as the libraries do it.

use netwright_ir::resample::taps;
use netwright_ir::{Interpolation, ResampleWay};

/// The grid of a table of `rows` rows, `prefix` of them before the grid: square, as all published
/// tables are. `None` if it cannot be.
pub fn square_grid(rows: usize, prefix: usize) -> Option<[usize; 2]> {
    let cells = rows.checked_sub(prefix)?;
    let side = cells.isqrt();
    (side > 0 && side * side == cells).then_some([side, side])
}

/// Resamples a table `[prefix + from[0] * from[1], channels]` to the grid `to`, keeping the first
/// `prefix` rows: bicubic in both ways, with antialiasing (timm) or with aligned corners
/// (torchvision). Computed in `f64` and rounded once.
pub fn resample(
    table: &[f32],
    prefix: usize,
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
    way: ResampleWay,
) -> Vec<f32> {
    let (align_corners, antialias) = match way {
        ResampleWay::Timm => (false, true),
        ResampleWay::Torchvision => (true, false),
    };
    let along = |from, to| taps(from, to, Interpolation::Bicubic, align_corners, antialias);
    let (rows, columns) = (along(from[0], to[0]), along(from[1], to[1]));
    let (kept, grid) = table.split_at(prefix * channels);
    let mut wide = vec![0.0f64; from[0] * to[1] * channels];
    for y in 0..from[0] {
        for x in 0..to[1] {
            let out = &mut wide[(y * to[1] + x) * channels..][..channels];
            for (cell, weight) in columns.of(x) {
                let source = &grid[(y * from[1] + cell) * channels..][..channels];
                out.iter_mut().zip(source).for_each(|(out, v)| *out += weight * f64::from(*v));
            }
        }
    }
    let mut result = kept.to_vec();
    result.reserve(to[0] * to[1] * channels);
    let mut line = vec![0.0f64; to[1] * channels];
    for y in 0..to[0] {
        line.fill(0.0);
        for (cell, weight) in rows.of(y) {
            let source = &wide[cell * line.len()..][..line.len()];
            line.iter_mut().zip(source).for_each(|(out, v)| *out += weight * v);
        }
        result.extend(line.iter().map(|v| *v as f32));
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids() {
        assert_eq!(square_grid(197, 1), Some([14, 14]));
        assert_eq!(square_grid(196, 1), None);
        assert_eq!(square_grid(1, 1), None);
        assert_eq!(square_grid(0, 1), None);
    }

    #[test]
    fn the_same_grid_stays() {
        let table: Vec<f32> = (0..20).map(|v| (v * v) as f32).collect();
        for way in [ResampleWay::Timm, ResampleWay::Torchvision] {
            assert_eq!(resample(&table, 1, 2, [3, 3], [3, 3], way), table);
        }
    }

    #[test]
    fn a_constant_stays_and_corners_align() {
        let mut table = vec![7.0f32];
        table.extend([1.0, 2.0, 3.0, 4.0]);
        let wide = resample(&table, 1, 1, [2, 2], [5, 4], ResampleWay::Torchvision);
        assert_eq!(wide.len(), 21);
        assert_eq!((wide[0], wide[1], wide[4], wide[17], wide[20]), (7.0, 1.0, 2.0, 3.0, 4.0));
        let flat = resample(&[2.5; 17], 1, 1, [4, 4], [7, 3], ResampleWay::Timm);
        assert!(flat.iter().all(|v| (v - 2.5).abs() < 1e-6), "{flat:?}");
    }
}
