//! Which blocks each file sees: its own, those of the files it uses, and those of `std.arch`. A nearer
//! one hides a farther one of the same name, for that file alone.

use super::Spec;
use netwright_grammar::Diagnostic;
use netwright_grammar::ast::Name;
use std::collections::BTreeMap;

/// A block of the spec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct BlockId(pub usize);

/// What one file sees.
#[derive(Debug, Default)]
pub(super) struct Visible {
    pub blocks: BTreeMap<String, BlockId>,
    pub files: Vec<usize>,
}

impl Spec {
    /// Indexes the blocks once all files are there. `uses[f]` are the files that file `f` uses
    /// directly; `std` is visible everywhere.
    pub(super) fn index(&mut self, uses: &[Vec<usize>], std: Option<usize>) {
        for (file, tree) in self.files.iter().enumerate() {
            self.blocks.extend((0..tree.blocks.len()).map(|index| (file, index)));
        }
        for file in 0..self.files.len() {
            let mut files = vec![file];
            let mut next = 0;
            while next < files.len() {
                for &used in &uses[files[next]] {
                    if !files.contains(&used) {
                        files.push(used);
                    }
                }
                next += 1;
            }
            if let Some(std) = std {
                files.retain(|&f| f != std || f == file);
                if file != std {
                    files.push(std);
                }
            }
            let mut blocks = BTreeMap::new();
            for &seen in &files {
                for (id, &(of, index)) in self.blocks.iter().enumerate() {
                    if of == seen {
                        let name = &self.files[of].blocks[index].name.text;
                        blocks.entry(name.clone()).or_insert(BlockId(id));
                    }
                }
            }
            self.visible.push(Visible { blocks, files });
        }
        self.keys = (0..self.blocks.len())
            .map(|id| {
                let (file, index) = self.blocks[id];
                let name = &self.files[file].blocks[index].name.text;
                let first = self.visible.first().and_then(|visible| visible.blocks.get(name));
                if first.is_none_or(|&first| first == BlockId(id)) {
                    name.clone()
                } else {
                    format!("{name} ({})", self.sources.files[file].0)
                }
            })
            .collect();
        self.find_duplicates();
    }

    fn find_duplicates(&mut self) {
        let mut found = Vec::new();
        for file in &self.files {
            duplicates(file.blocks.iter().map(|block| &block.name), "block", &mut found);
            duplicates(file.settings.iter().map(|setting| &setting.name), "setting", &mut found);
            duplicates(file.operators.iter().map(|op| &op.pattern), "operator", &mut found);
        }
        self.diagnostics.extend(found);
    }
}

/// Reports each name that already stands earlier in the list.
pub(crate) fn duplicates<'a>(
    names: impl Iterator<Item = &'a Name>,
    what: &str,
    found: &mut Vec<Diagnostic>,
) {
    let mut seen: BTreeMap<&str, &Name> = BTreeMap::new();
    for name in names {
        match seen.get(name.text.as_str()) {
            Some(first) => found.push(
                Diagnostic::error(
                    crate::expand::codes::DEFINED_TWICE,
                    name.span,
                    format!("{what} `{}` is defined twice", name.text),
                )
                .related(first.span, "first defined here")
                .help("rename one of them, or remove it"),
            ),
            None => {
                seen.insert(&name.text, name);
            }
        }
    }
}
