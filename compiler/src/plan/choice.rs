//! What the planner chose where there are several ways to compute the same.

use std::fmt;

/// A way that was chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The node; of several, the first and the last.
    pub node: String,
    /// How it is computed.
    pub way: Way,
    /// Why.
    pub reason: String,
}

/// Ways to compute convolutions, what goes with them, and attention; and what products do beside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A 3x3 convolution by the sums of its definition.
    Plain,
    /// A 3x3 convolution by Winograd's algorithm with tiles of that many rows and columns.
    Winograd(usize),
    /// One after the other: convolutions, each over its whole map; products of attention, each for all heads.
    StageByStage,
    /// Convolutions together, in bands of that many rows.
    DepthFirst(usize),
    /// The mean of a map from the sums of its rows, which the convolution before adds up.
    FromRows,
    /// A gate over the values of a map.
    GateOnMap,
    /// A gate over the weights that read the map.
    GateOnWeights,
    /// Attention of one head after the other, so many queries at a time.
    HeadByHead(usize),
    /// A product that asks for weights of later steps while it multiplies.
    FetchesAhead,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Way::Plain => f.write_str("plain sums"),
            Way::Winograd(tile) => write!(f, "winograd, tiles of {tile}x{tile}"),
            Way::StageByStage => f.write_str("stage by stage"),
            Way::FromRows => f.write_str("mean from sums of rows"),
            Way::GateOnMap => f.write_str("gate on the map"),
            Way::GateOnWeights => f.write_str("gate on the weights"),
            Way::HeadByHead(1) => f.write_str("head by head, one query at a time"),
            Way::HeadByHead(rows) => write!(f, "head by head, {rows} queries at a time"),
            Way::FetchesAhead => f.write_str("fetches ahead"),
            Way::DepthFirst(1) => f.write_str("depth first, row by row"),
            Way::DepthFirst(rows) => write!(f, "depth first, bands of {rows} rows"),
        }
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.way, self.node, self.reason)
    }
}
