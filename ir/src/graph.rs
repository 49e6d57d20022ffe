//! The graph: nodes in execution order, parameters, named outputs.

use crate::op::{Interpolation, Op, PostOp};
use std::fmt;

/// Index of a node, and name of the value it makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u32);

impl NodeId {
    /// Index into [`Graph::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// One operation and the one value it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it stands in the network, as the spec's labels say it: `blocks.3.expand`.
    pub name: String,
    /// What it computes.
    pub op: Op,
    /// Operands, all of them earlier nodes.
    pub inputs: Vec<NodeId>,
    /// Elementwise steps fused into it.
    pub post: Vec<PostOp>,
    /// Shape of the value, after `post`.
    pub shape: Vec<usize>,
}

/// A tensor that the weights supply.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its path in the network by the spec's labels: `blocks.3.expand.conv.weight`.
    pub path: String,
    /// Shape that the network computes with, PyTorch's layout.
    pub shape: Vec<usize>,
    /// Trained (counts as a parameter), or a statistic such as a running mean.
    pub trained: bool,
    /// How it is made from the checkpoint's tensors.
    pub source: Source,
}

/// A recipe over the checkpoint's tensors.
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// The tensor of that name, in that shape; unit axes do not matter.
    Tensor {
        /// Name in the file.
        name: String,
        /// Shape in the file as this dialect's library has it.
        shape: Vec<usize>,
    },
    /// Parts joined along an axis.
    Concat {
        /// The axis.
        axis: usize,
        /// The parts, each with its own shape.
        parts: Vec<Source>,
    },
    /// `len` rows of axis 0 of another source.
    Rows {
        /// What is cut.
        of: Box<Source>,
        /// First row.
        start: usize,
        /// Number of rows.
        len: usize,
    },
    /// Zeros of that shape.
    Zeros {
        /// The shape.
        shape: Vec<usize>,
    },
    /// A table of positions resampled to another grid (ViT at another resolution, Swin with another
    /// window).
    Resample {
        /// The table `[1, prefix + h*w, C]` or `[prefix + h*w, C]`; its own grid is read from the file.
        of: Box<Source>,
        /// Rows before the grid (class token) that are kept as they are.
        prefix: usize,
        /// The grid to make.
        grid: [usize; 2],
        /// The arithmetic.
        way: Resampling,
    },
}

/// How a table of positions is resampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resampling {
    /// As a map: see [`Op::Resize`].
    Interpolated {
        /// Kernel.
        mode: Interpolation,
        /// First and last cells of both grids coincide.
        align_corners: bool,
        /// Widen the kernel where the grid shrinks.
        antialias: bool,
    },
    /// As a table of distances, dense around its centre: see
    /// [`geometric_taps`](crate::resample::geometric_taps).
    Geometric,
}

/// A network as data: nodes in an order in which they can run, and which of them are results.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Graph {
    /// Name of the network and variant (for people).
    pub name: String,
    /// Nodes; operands always come earlier.
    pub nodes: Vec<Node>,
    /// Tensors that the weights supply.
    pub params: Vec<Param>,
    /// Named results; the first is the network's main output.
    pub outputs: Vec<(String, NodeId)>,
    /// Named values on the way (each stage's end, taps), for `--features`; they keep nothing alive
    /// unless asked for.
    pub features: Vec<(String, NodeId)>,
}
