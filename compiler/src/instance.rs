//! The tree of instances: which block, line and layer each parameter tensor belongs to. The expander
//! builds it while it builds the graph; [`crate::names`] turns it into the tensors' names.

use crate::value::Value;
use netwright_grammar::Span;

/// A node of the tree.
#[derive(Clone, Debug)]
pub struct Instance {
    /// The label at this level: of the row (empty for an unlabelled row), of the line, the
    /// primitive's name (`conv`, `bn`, made distinct as `conv_2`), the index within `repeat`, or the
    /// tensor's own name (`weight`).
    pub label: String,
    /// What it is.
    pub kind: Kind,
    /// What is inside, in the order of the text.
    pub children: Vec<Instance>,
    /// Where the spec says it.
    pub span: Span,
}

/// What a node of the tree is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// The whole network.
    Network,
    /// One repeat of a table's row.
    Row {
        /// 0-based number among the stages that hold unlabelled parameterised rows.
        stage: usize,
        /// Index of this instance within the stage (unlabelled parameterised ones).
        index: usize,
        /// Flat index among the unlabelled parameterised instances.
        flat: usize,
        /// Flat index among all row instances.
        all: usize,
    },
    /// The body of a block. Its children are the lines that are present.
    Block {
        /// The block's name.
        name: String,
        /// Arguments, for conditions and holes.
        args: Vec<(String, Value)>,
        /// Every label of the block, and whether its line is present.
        labels: Vec<(String, bool)>,
    },
    /// A labelled line that is present; children: layers, blocks, repeats, free parameters.
    Line,
    /// One round of `repeat`.
    Repeat {
        /// Which round.
        index: usize,
    },
    /// A primitive with parameters; children: tensors.
    Layer {
        /// The primitive: `conv`, `dwconv`, `linear`, `bn`, `layer_norm`.
        primitive: &'static str,
    },
    /// A parameter tensor.
    Tensor {
        /// Index into the graph's parameters.
        param: usize,
    },
}
