//! Position tables resampled to another grid, as the libraries do it.

use netwright_ir::Resampling;
use netwright_ir::resample::{Taps, geometric_taps, taps};

/// The grid of a table of `rows` rows, `prefix` of them before the grid. `image` is the size of the
/// images that the table was made for, where that is known: its sides are as those of the grid. Without
/// it the grid is square, as that of almost all published tables. `None` if it cannot be.
pub fn grid_of(rows: usize, prefix: usize, image: Option<[usize; 2]>) -> Option<[usize; 2]> {
    let cells = rows.checked_sub(prefix).filter(|cells| *cells > 0)?;
    let alike = |[h, w]: [usize; 2]| {
        let height = (cells as u128 * h as u128).checked_div(w as u128)?.isqrt();
        let height = usize::try_from(height).ok().filter(|height| *height > 0)?;
        let width = cells / height;
        let fits =
            height * width == cells && height as u128 * w as u128 == width as u128 * h as u128;
        fits.then_some([height, width])
    };
    image.and_then(alike).or_else(|| alike([1, 1]))
}

/// Resamples a table `[prefix + from[0] * from[1], channels]` to the grid `to`, keeping the first
/// `prefix` rows. Computed in `f64` and rounded once.
pub fn resample(
    table: &[f32],
    prefix: usize,
    channels: usize,
    from: [usize; 2],
    to: [usize; 2],
    way: Resampling,
) -> Vec<f32> {
    let along = |from, to| -> Taps {
        match way {
            Resampling::Interpolated { mode, align_corners, antialias } => {
                taps(from, to, mode, align_corners, antialias)
            }
            Resampling::Geometric => geometric_taps(from, to),
        }
    };
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
    use netwright_ir::Interpolation::Bicubic;

    const SMOOTH: Resampling =
        Resampling::Interpolated { mode: Bicubic, align_corners: false, antialias: true };
    const CORNERS: Resampling =
        Resampling::Interpolated { mode: Bicubic, align_corners: true, antialias: false };

    #[test]
    fn grids() {
        assert_eq!(grid_of(197, 1, None), Some([14, 14]));
        assert_eq!(grid_of(196, 1, None), None);
        assert_eq!(grid_of(1, 1, None), None);
        assert_eq!(grid_of(0, 1, None), None);
        assert_eq!(grid_of(193, 1, Some([256, 192])), Some([16, 12]));
        assert_eq!(grid_of(65, 1, Some([256, 64])), Some([16, 4]));
        assert_eq!(grid_of(65, 1, Some([224, 160])), Some([8, 8]));
        assert_eq!(grid_of(65, 1, Some([0, 0])), Some([8, 8]));
        assert_eq!(grid_of(65, 1, Some([usize::MAX, 1])), Some([8, 8]));
    }

    #[test]
    fn the_same_grid_stays() {
        let table: Vec<f32> = (0..20).map(|v| (v * v) as f32).collect();
        for way in [SMOOTH, CORNERS] {
            assert_eq!(resample(&table, 1, 2, [3, 3], [3, 3], way), table);
        }
    }

    #[test]
    fn a_constant_stays_and_corners_align() {
        let mut table = vec![7.0f32];
        table.extend([1.0, 2.0, 3.0, 4.0]);
        let wide = resample(&table, 1, 1, [2, 2], [5, 4], CORNERS);
        assert_eq!(wide.len(), 21);
        assert_eq!((wide[0], wide[1], wide[4], wide[17], wide[20]), (7.0, 1.0, 2.0, 3.0, 4.0));
        let flat = resample(&[2.5; 17], 1, 1, [4, 4], [7, 3], SMOOTH);
        assert!(flat.iter().all(|v| (v - 2.5).abs() < 1e-6), "{flat:?}");
    }
}
