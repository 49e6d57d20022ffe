//! Specs: where they are found, which files belong to one, and what it offers without expanding it.

mod builtin;
mod catalog;
mod load;
mod scope;

pub use builtin::{builtin_names, builtin_text};
pub(crate) use catalog::IMPLICIT;
pub use catalog::{Catalog, CatalogParameter, catalog};
pub use load::{LoadError, MAX_FILE, split_variant};
pub(crate) use scope::{BlockId, duplicates};

use netwright_grammar::ast::{Block, File, Network, Weights};
use netwright_grammar::{Diagnostic, Severity, Sources};
use scope::Visible;

/// A spec with everything that it uses: parsed, not yet expanded.
#[derive(Debug)]
pub struct Spec {
    /// The reference it was loaded by, without its variant: `efficientnet`, `specs/mine.arch`.
    pub name: String,
    /// The variant that the reference named: `b3` of `efficientnet:b3`.
    pub variant: Option<String>,
    /// The texts of all files; what spans point into.
    pub sources: Sources,
    /// The files' trees, by the index of [`Sources::files`]. The first is the spec itself.
    pub files: Vec<File>,
    /// What loading found: syntax errors, files that `use` cannot find, names defined twice.
    pub diagnostics: Vec<Diagnostic>,
    blocks: Vec<(usize, usize)>,
    keys: Vec<String>,
    visible: Vec<Visible>,
}

impl Spec {
    /// The network of the spec.
    pub fn network(&self) -> Option<&Network> {
        self.files.first().and_then(|file| file.networks.first())
    }

    /// The dialects of the network (its `weights` sections), in the order of the text. The first is
    /// the one that holds where nothing says otherwise.
    pub fn dialects(&self) -> Vec<&str> {
        let weights = self.network().map(|network| network.weights.as_slice()).unwrap_or_default();
        weights.iter().map(|weights| weights.name.text.as_str()).collect()
    }

    /// A dialect's section.
    pub fn weights(&self, dialect: &str) -> Option<&Weights> {
        self.network()?.weights.iter().find(|weights| weights.name.text == dialect)
    }

    /// The names of the variants, in the order of the text; empty if there is no such table.
    pub fn variants(&self) -> Vec<String> {
        self.network().map(catalog::variant_names).unwrap_or_default()
    }

    /// Whether loading found errors, which an expansion reports again.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// A block by its place in the spec.
    pub(crate) fn block(&self, id: BlockId) -> (usize, &Block) {
        let (file, index) = self.blocks[id.0];
        (file, &self.files[file].blocks[index])
    }

    /// The name by which values call a block: its own, unless a nearer one of that name hides it.
    pub(crate) fn block_key(&self, id: BlockId) -> &str {
        &self.keys[id.0]
    }

    /// The block of that key.
    pub(crate) fn block_of_key(&self, key: &str) -> Option<BlockId> {
        self.keys.iter().position(|known| known == key).map(BlockId)
    }

    /// The block that `name` means in a file.
    pub(crate) fn find_block(&self, file: usize, name: &str) -> Option<BlockId> {
        self.visible[file].blocks.get(name).copied()
    }

    /// All blocks.
    pub(crate) fn block_ids(&self) -> impl Iterator<Item = BlockId> + use<> {
        (0..self.blocks.len()).map(BlockId)
    }

    /// Names of the blocks that a file sees, for near misses.
    pub(crate) fn visible_blocks(&self, file: usize) -> impl Iterator<Item = &str> {
        self.visible[file].blocks.keys().map(String::as_str)
    }

    /// The files that a file sees, itself first, `std.arch` last.
    pub(crate) fn seen_files(&self, file: usize) -> &[usize] {
        &self.visible[file].files
    }
}
