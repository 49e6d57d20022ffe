//! What the names in holes and conditions stand for.

use crate::instance::{Instance, Kind};
use crate::pure::Lookup;
use crate::value::Value;

/// Holes that every dialect can use, for messages.
pub const HOLES: &str = "{s} {i} {n} {N} {m} of the row, {#} {#bn} {#conv} of the block, {r} inside \
                         `repeat`, parameters of the block and of the network";

/// Kinds of layers that `{#kind}` counts; `bn` are all normalisations, `conv` all convolutions.
const KINDS: [&str; 5] = ["bn", "conv", "dwconv", "linear", "layer_norm"];

/// Where the numbers of a row come from.
#[derive(Clone, Copy, Debug)]
pub struct RowNumbers {
    /// `{s}`
    pub stage: usize,
    /// `{i}`
    pub index: usize,
    /// `{n}`
    pub flat: usize,
    /// `{m}`
    pub all: usize,
}

/// The surroundings of a target that is being evaluated.
pub struct Scope<'a, 'b> {
    /// Numbers of the row.
    pub row: Option<RowNumbers>,
    /// `{N}`
    pub rows: usize,
    /// `{r}`
    pub round: Option<usize>,
    /// Enclosing blocks, innermost last; the network itself first.
    pub blocks: &'b [&'a Instance],
    /// A row's own block, whose parameters its rule can see.
    pub own: Option<&'a Instance>,
    /// The line of the innermost block that the thing is, or is in.
    pub line: Option<&'a Instance>,
    /// The layer that the target names, or the first one in the thing.
    pub unit: Option<&'a Instance>,
    /// In a hole, the letters of holes come first; in a condition, the block's parameters do.
    pub hole: bool,
    /// The network's parameters.
    pub outside: &'b dyn Lookup,
}

impl Scope<'_, '_> {
    fn number(&self, name: &str) -> Option<usize> {
        if let Some(kind) = name.strip_prefix('#') {
            return self.ordinal(kind);
        }
        match name {
            "s" => self.row.map(|row| row.stage),
            "i" => self.row.map(|row| row.index),
            "n" => self.row.map(|row| row.flat),
            "m" => self.row.map(|row| row.all),
            "N" => Some(self.rows),
            "r" => self.round,
            _ => None,
        }
    }

    /// `{#}`: 1-based number of the line among the block's lines with parameters; `{#bn}`: of the
    /// layer among the block's layers of that kind.
    fn ordinal(&self, kind: &str) -> Option<usize> {
        let block = self.blocks.last()?;
        if kind.is_empty() {
            let line = self.line?;
            let lines = block.children.iter().filter(|child| {
                matches!(child.kind, Kind::Line | Kind::Row { .. }) && has_params(child)
            });
            return lines.zip(1..).find(|(child, _)| std::ptr::eq(*child, line)).map(|(_, at)| at);
        }
        if !KINDS.contains(&kind) {
            return None;
        }
        let unit = self.unit?;
        let mut all = Vec::new();
        units(block, &mut all);
        let at = all.iter().position(|other| std::ptr::eq(*other, unit))?;
        Some(1 + all[..at].iter().filter(|other| is_kind(other, kind)).count())
    }

    fn given(&self, name: &str) -> Option<Value> {
        let inside = self.own.into_iter().chain(self.blocks.iter().rev().copied());
        for block in inside {
            let Kind::Block { args, labels, .. } = &block.kind else { continue };
            if let Some((_, present)) = labels.iter().find(|(label, _)| label == name) {
                return Some(Value::Bool(*present));
            }
            if let Some((_, value)) = args.iter().find(|(arg, _)| arg == name) {
                return Some(value.clone());
            }
        }
        None
    }
}

impl Lookup for Scope<'_, '_> {
    fn name(&self, name: &str) -> Option<Value> {
        let number = || self.number(name).map(Value::from);
        if self.hole {
            number().or_else(|| self.given(name)).or_else(|| self.outside.name(name))
        } else {
            self.given(name).or_else(number).or_else(|| self.outside.name(name))
        }
    }

    fn known(&self) -> Vec<String> {
        let mut names = self.outside.known();
        for block in self.own.iter().chain(self.blocks) {
            if let Kind::Block { args, labels, .. } = &block.kind {
                names.extend(args.iter().map(|(name, _)| name.clone()));
                names.extend(labels.iter().map(|(name, _)| name.clone()));
            }
        }
        names
    }
}

/// Whether a node is, or holds, parameter tensors.
pub fn has_params(node: &Instance) -> bool {
    matches!(node.kind, Kind::Tensor { .. }) || node.children.iter().any(has_params)
}

/// The layers and free parameters inside a node, in the order of the text.
pub fn units<'a>(node: &'a Instance, found: &mut Vec<&'a Instance>) {
    match node.kind {
        Kind::Tensor { .. } => found.push(node),
        Kind::Layer { .. } if has_params(node) => found.push(node),
        Kind::Layer { .. } => {}
        _ => node.children.iter().for_each(|child| units(child, found)),
    }
}

fn is_kind(unit: &Instance, kind: &str) -> bool {
    let Kind::Layer { primitive } = unit.kind else { return false };
    match kind {
        "bn" => matches!(primitive, "bn" | "layer_norm"),
        "conv" => matches!(primitive, "conv" | "dwconv"),
        other => primitive == other,
    }
}
