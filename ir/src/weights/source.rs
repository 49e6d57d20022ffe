//! Where the values of parameters come from.

use crate::tensor::Tensor;
use std::fmt;
use std::sync::Arc;

/// Gives the values of a graph's parameters. Several threads ask at once.
pub trait ParamSource: Sync {
    /// The values of a parameter by its index in [`crate::Graph::params`], row-major, as many as the
    /// shape has that the graph states.
    fn values(&self, param: usize) -> ParamValues<'_>;

    /// Says that nobody reads what [`ParamSource::values`] gave of this parameter for the time being:
    /// memory that can be filled again, such as the pages of a mapped file, may go.
    fn release(&self, _param: usize) {}
}

/// Whole tensors made by a function.
impl<F: Fn(usize) -> Arc<Tensor> + Sync> ParamSource for F {
    fn values(&self, param: usize) -> ParamValues<'_> {
        ParamValues::Tensor(self(param))
    }
}

/// Makes the values from an index on.
pub type FillValues<'a> = dyn Fn(usize, &mut [f32]) + Sync + Send + 'a;

/// The values of a parameter.
pub enum ParamValues<'a> {
    /// A tensor, whose shape has to be the parameter's.
    Tensor(Arc<Tensor>),
    /// Values that lie in memory.
    Slice(&'a [f32]),
    /// Values that were made.
    Owned(Vec<f32>),
    /// Values that are made as they are read: from 16-bit numbers, or by a generator.
    Made {
        /// How many there are.
        len: usize,
        /// Writes those from an index on into a slice.
        fill: Box<FillValues<'a>>,
    },
}

/// Reads what lies one after the other, from index `start` on: `read` gets the part, an index in it, and what to
/// fill from there.
pub fn read_joined<P>(
    parts: &[P],
    len: impl Fn(&P) -> usize,
    read: impl Fn(&P, usize, &mut [f32]),
    start: usize,
    mut out: &mut [f32],
) {
    let mut at = start;
    for part in parts {
        let count = len(part);
        if at < count {
            let (now, later) = out.split_at_mut(out.len().min(count - at));
            read(part, at, now);
            (at, out) = (at + now.len(), later);
        }
        at -= count.min(at);
    }
}

impl fmt::Debug for ParamValues<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ParamValues({} values)", self.len())
    }
}

impl ParamValues<'_> {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match self {
            ParamValues::Tensor(tensor) => tensor.data.len(),
            ParamValues::Slice(values) => values.len(),
            ParamValues::Owned(values) => values.len(),
            ParamValues::Made { len, .. } => *len,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The values, where they lie in memory.
    pub fn slice(&self) -> Option<&[f32]> {
        match self {
            ParamValues::Tensor(tensor) => Some(&tensor.data),
            ParamValues::Slice(values) => Some(values),
            ParamValues::Owned(values) => Some(values),
            ParamValues::Made { .. } => None,
        }
    }

    /// Copies the values from index `start` on.
    ///
    /// # Panics
    /// When there are not as many as `out` takes.
    pub fn read(&self, start: usize, out: &mut [f32]) {
        match (self, self.slice()) {
            (ParamValues::Made { fill, .. }, _) => fill(start, out),
            (_, values) => {
                out.copy_from_slice(&values.unwrap_or(&[])[start..start + out.len()]);
            }
        }
    }

    /// All values with a shape, for whoever needs a tensor of its own.
    pub fn into_tensor(self, shape: &[usize]) -> Arc<Tensor> {
        let data = match self {
            ParamValues::Tensor(tensor) => return tensor,
            ParamValues::Owned(values) => values,
            values => {
                let mut data = vec![0.0; values.len()];
                values.read(0, &mut data);
                data
            }
        };
        Arc::new(Tensor { shape: shape.to_vec(), data })
    }
}
