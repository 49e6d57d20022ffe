//! Walks over several dense values at once, each with its own strides.

/// Elements between neighbours along each axis of a dense value.
pub(super) fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// Strides by which a value of shape `from` is read as if it had shape `to` (0 where it repeats).
pub(super) fn broadcast_strides(from: &[usize], to: &[usize]) -> Vec<usize> {
    let own = strides(from);
    let missing = to.len() - from.len();
    (0..to.len())
        .map(|i| if i < missing || from[i - missing] == 1 { 0 } else { own[i - missing] })
        .collect()
}

/// Visits the elements of `shape` in row-major order, a run along the innermost axis at a time:
/// `f(length, starts, steps)`, with the position and the step in each of `N` values. Axes that all
/// values step through alike are visited as one.
pub(super) fn walk<const N: usize>(
    shape: &[usize],
    strides: [&[usize]; N],
    mut f: impl FnMut(usize, [usize; N], [usize; N]),
) {
    // (length, steps), outermost first.
    let mut axes: Vec<(usize, [usize; N])> = Vec::new();
    for (i, &len) in shape.iter().enumerate().filter(|(_, len)| **len != 1) {
        let steps: [usize; N] = std::array::from_fn(|k| strides[k][i]);
        match axes.last_mut() {
            Some((outer, outer_steps)) if (0..N).all(|k| outer_steps[k] == steps[k] * len) => {
                *outer *= len;
                *outer_steps = steps;
            }
            _ => axes.push((len, steps)),
        }
    }
    let (len, steps) = axes.pop().unwrap_or((1, [0; N]));
    let mut index = vec![0; axes.len()];
    let mut starts = [0; N];
    loop {
        f(len, starts, steps);
        let mut axis = axes.len();
        loop {
            if axis == 0 {
                return;
            }
            axis -= 1;
            let (length, steps) = &axes[axis];
            index[axis] += 1;
            if index[axis] < *length {
                for k in 0..N {
                    starts[k] += steps[k];
                }
                break;
            }
            index[axis] = 0;
            for k in 0..N {
                starts[k] -= steps[k] * (length - 1);
            }
        }
    }
}

/// A shape seen from one axis: lengths before, of, and after it.
pub(super) fn around(shape: &[usize], axis: usize) -> [usize; 3] {
    [shape[..axis].iter().product(), shape[axis], shape[axis + 1..].iter().product()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walk_visits_in_row_major_order() {
        // A transposed [2, 3, 4] read as [4, 2, 3], beside a vector that repeats.
        let shape = [4, 2, 3];
        let mut seen = Vec::new();
        walk(&shape, [&[1, 12, 4], &[0, 0, 1]], |len, starts, steps| {
            for i in 0..len {
                seen.push((starts[0] + i * steps[0], starts[1] + i * steps[1]));
            }
        });
        let mut expected = Vec::new();
        for a in 0..4 {
            for b in 0..2 {
                for c in 0..3 {
                    expected.push((a + 12 * b + 4 * c, c));
                }
            }
        }
        assert_eq!(seen, expected);
    }

    #[test]
    fn dense_axes_are_one_run() {
        let mut runs = 0;
        walk(&[2, 1, 3, 4], [&strides(&[2, 1, 3, 4])], |len, starts, steps| {
            runs += 1;
            assert_eq!((len, starts, steps), (24, [0], [1]));
        });
        assert_eq!(runs, 1);
        walk::<1>(&[], [&[]], |len, _, _| assert_eq!(len, 1));
    }
}
