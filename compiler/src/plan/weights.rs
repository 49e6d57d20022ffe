//! The layout of the packed weights: which item lies where, and which nodes of the graph (weight
//! expressions) supply it.

use netwright_codegen::pack;
use netwright_codegen::program::Kernel;
use netwright_ir::NodeId;
use std::collections::HashMap;

/// Alignment of everything in the arena and in the weights.
pub(super) const ALIGN: usize = 64;

/// The next multiple of [`ALIGN`].
pub(super) fn aligned(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGN)
}

/// What an item of the packed weights holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Weights and bias of a convolution or linear layer, packed for its kernel.
    Conv {
        /// The kernel that reads it; the epilogue is empty, since packing does not depend on it.
        kernel: Kernel,
        /// Node that makes the weights `[O, I/groups, kh, kw]` or `[O, I]`.
        weight: NodeId,
        /// Node that makes the bias `[O]`; zeros where there is none.
        bias: Option<NodeId>,
    },
    /// The value of a node as it is.
    Tensor(NodeId),
    /// Words that the planner made: indices, interpolation tables.
    Words(Vec<u32>),
}

/// An item of the packed weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is for: a node's name.
    pub name: String,
    /// What it holds.
    pub content: Content,
    /// Where it begins, in bytes; a multiple of 64.
    pub offset: usize,
    /// Its length in bytes.
    pub bytes: usize,
}

/// Collects the items while the graph is lowered; equal ones are there once.
#[derive(Default)]
pub(super) struct Weights {
    pub items: Vec<Item>,
    known: HashMap<Content, usize>,
    bytes: usize,
}

impl Weights {
    /// Index of the item with that content.
    pub fn item(&mut self, name: &str, content: Content, elements: usize) -> usize {
        if let Some(&item) = self.known.get(&content) {
            return item;
        }
        let bytes = match &content {
            Content::Conv { kernel, .. } => pack::packed_bytes(kernel),
            Content::Tensor(_) => elements * 4,
            Content::Words(words) => words.len() * 4,
        };
        let item = Item { name: name.into(), content: content.clone(), offset: self.bytes, bytes };
        self.bytes = aligned(self.bytes + bytes);
        self.items.push(item);
        self.known.insert(content, self.items.len() - 1);
        self.items.len() - 1
    }

    /// Bytes of all items.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}
