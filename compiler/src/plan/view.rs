//! Strided views: how a value lies in memory. Slices, transposes, expansions and most reshapes are
//! no work at all but another view, which kernels with strides read directly.

/// What a value lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Root {
    /// The caller's input of that index.
    Input(usize),
    /// The caller's output of that index.
    Output(usize),
    /// An intermediate value, which gets its place in the arena later.
    Buffer(usize),
    /// An item of the weights.
    Weights(usize),
}

/// A value: element `[i, j, ..]` lies at `offset + i * strides[0] + j * strides[1] + ..`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub root: Root,
    pub offset: usize,
    pub shape: Vec<usize>,
    pub strides: Vec<usize>,
}

/// Strides of a dense row-major tensor.
pub(super) fn dense_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

impl View {
    pub fn dense(root: Root, shape: &[usize]) -> Self {
        View { root, offset: 0, shape: shape.to_vec(), strides: dense_strides(shape) }
    }

    /// A dense view under another shape of as many elements.
    pub fn renamed(&self, shape: &[usize]) -> Self {
        View { offset: self.offset, ..View::dense(self.root, shape) }
    }

    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the elements lie one after the other. Strides of unit axes do not matter.
    pub fn is_dense(&self) -> bool {
        let dense = dense_strides(&self.shape);
        (0..self.shape.len()).all(|i| self.shape[i] == 1 || self.strides[i] == dense[i])
    }

    /// Whether a kernel can be pointed at it: places are multiples of 64 bytes, and the caller's
    /// buffers can only be named from their beginning.
    pub fn is_addressable(&self) -> bool {
        match self.root {
            Root::Input(_) | Root::Output(_) => self.offset == 0,
            Root::Buffer(_) | Root::Weights(_) => self.offset.is_multiple_of(16),
        }
    }

    pub fn transpose(&self, perm: &[usize]) -> View {
        View {
            root: self.root,
            offset: self.offset,
            shape: perm.iter().map(|&axis| self.shape[axis]).collect(),
            strides: perm.iter().map(|&axis| self.strides[axis]).collect(),
        }
    }

    pub fn slice(&self, axis: usize, start: usize, len: usize, step: usize) -> View {
        let mut view = self.clone();
        view.offset += start * self.strides[axis];
        view.shape[axis] = len;
        view.strides[axis] *= step;
        view
    }

    /// Broadcasts to `shape`; the shapes must fit.
    pub fn expand(&self, shape: &[usize]) -> View {
        let missing = shape.len() - self.shape.len();
        let strides = (0..shape.len())
            .map(|i| match i.checked_sub(missing) {
                Some(axis) if self.shape[axis] == shape[i] => self.strides[axis],
                _ => 0,
            })
            .collect();
        View { root: self.root, offset: self.offset, shape: shape.to_vec(), strides }
    }

    /// The same elements under another shape, if strides can express that.
    pub fn reshape(&self, shape: &[usize]) -> Option<View> {
        let axes = [&self.strides[..]];
        let (groups, [steps]) = merge_axes(&self.shape, axes);
        let mut strides = vec![0; shape.len()];
        let mut axis = shape.len();
        for (&length, &step) in groups.iter().zip(&steps).rev() {
            let mut covered = 1;
            while covered < length {
                axis = axis.checked_sub(1)?;
                strides[axis] = step * covered;
                covered *= shape[axis];
            }
            if covered != length {
                return None;
            }
        }
        Some(View { root: self.root, offset: self.offset, shape: shape.to_vec(), strides })
    }
}

/// A number that strides are made of.
pub(super) trait Stride: Copy + PartialEq {
    /// `self * n`.
    fn times(self, n: usize) -> Self;
}

impl Stride for usize {
    fn times(self, n: usize) -> Self {
        self * n
    }
}

impl Stride for isize {
    fn times(self, n: usize) -> Self {
        self * n as isize
    }
}

/// An iteration space with fewer axes: unit axes go, and neighbours along which every operand walks
/// on evenly become one. A single element is no axis at all.
pub(super) fn merge_axes<T: Stride, const K: usize>(
    shape: &[usize],
    operands: [&[T]; K],
) -> (Vec<usize>, [Vec<T>; K]) {
    let (lengths, strides) = merge_many(shape, &operands);
    let mut strides = strides.into_iter();
    (lengths, std::array::from_fn(|_| strides.next().unwrap_or_default()))
}

/// As [`merge_axes`], for any number of operands.
pub(super) fn merge_many<T: Stride>(
    shape: &[usize],
    operands: &[&[T]],
) -> (Vec<usize>, Vec<Vec<T>>) {
    let mut lengths: Vec<usize> = Vec::new();
    let mut strides: Vec<Vec<T>> = vec![Vec::new(); operands.len()];
    for (i, &length) in shape.iter().enumerate() {
        if length == 1 {
            continue;
        }
        let even = !lengths.is_empty()
            && operands.iter().zip(&strides).all(|(operand, merged)| {
                merged.last().is_some_and(|&outer| outer == operand[i].times(length))
            });
        if even {
            let last = lengths.len() - 1;
            lengths[last] *= length;
            for (operand, merged) in operands.iter().zip(&mut strides) {
                merged[last] = operand[i];
            }
        } else {
            lengths.push(length);
            for (operand, merged) in operands.iter().zip(&mut strides) {
                merged.push(operand[i]);
            }
        }
    }
    (lengths, strides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dense(shape: &[usize]) -> View {
        View::dense(Root::Buffer(0), shape)
    }

    #[test]
    fn reshapes_split_and_merge() {
        let x = dense(&[2, 3, 4]);
        assert_eq!(x.reshape(&[6, 4]).unwrap(), dense(&[6, 4]));
        assert_eq!(x.reshape(&[1, 2, 12, 1]).unwrap().strides[1..3], [12, 1]);
        let y = x.transpose(&[1, 0, 2]);
        assert!(!y.is_dense());
        assert_eq!(y.reshape(&[6, 4]), None);
        assert_eq!(y.reshape(&[3, 2, 2, 2]).unwrap().strides, [4, 12, 2, 1]);
    }

    #[test]
    fn expansions_repeat() {
        let x = dense(&[2, 1, 4]).expand(&[2, 5, 4]);
        assert_eq!(x.strides, [4, 0, 1]);
        assert_eq!(x.reshape(&[10, 4]), None);
        assert_eq!(dense(&[1]).expand(&[2, 3]).reshape(&[6]).unwrap().strides, [0]);
    }

    #[test]
    fn slices_move_the_start() {
        let x = dense(&[4, 16]).slice(0, 1, 2, 2);
        assert_eq!((x.offset, x.strides[0]), (16, 32));
        assert!(x.is_addressable());
        assert!(!dense(&[4, 6]).slice(0, 1, 2, 1).is_addressable());
        assert!(dense(&[4, 6]).slice(0, 1, 2, 1).is_dense());
    }

    #[test]
    fn axes_merge_where_all_operands_walk_on() {
        let (shape, [a, b]) = merge_axes(&[2, 1, 3, 4], [&[12usize, 9, 4, 1], &[0, 0, 0, 1]]);
        assert_eq!((shape, a, b), (vec![6, 4], vec![4, 1], vec![0, 1]));
        let (shape, [a]) = merge_axes(&[1, 1], [&[5usize, 7]]);
        assert!(shape.is_empty() && a.is_empty());
    }
}
