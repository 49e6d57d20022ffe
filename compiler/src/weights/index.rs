//! The index of weights that are in several files, as `save_pretrained` writes it beside them:
//!
//! ```json
//! { "metadata": { "total_size": 16 }, "weight_map": { "stem.weight": "model-00001-of-00002.safetensors", ... } }
//! ```
//!
//! An index can come from anywhere: the names of its files are names alone, never paths.

use super::entries::Entries;
use super::shown::shown;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// Longest index that is read.
const MAX_INDEX: u64 = 64 << 20;

/// Most files that an index may name.
const MAX_SHARDS: usize = 1000;

/// Longest name of a file, in bytes: what file systems allow.
const MAX_NAME: usize = 255;

/// What an index says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// The files, each once, in the order of their names. All are beside the index.
    pub shards: Vec<String>,
    /// The tensors, each with the number of its file.
    pub tensors: BTreeMap<String, usize>,
}

#[derive(Deserialize)]
struct Text {
    weight_map: Option<Entries>,
}

/// Whether a file is an index, by its name: a checkpoint is no `.json`.
pub fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"))
}

impl Index {
    /// Reads an index.
    ///
    /// # Errors
    /// One sentence: the file cannot be read, is no index, contradicts itself, or names files that are
    /// not beside it.
    pub fn read(path: &Path) -> Result<Index, String> {
        let about = std::fs::metadata(path).map_err(|error| error.to_string())?;
        if about.len() > MAX_INDEX {
            return Err(format!(
                "this is no index of weights: it has {} bytes, at most {MAX_INDEX} are read",
                about.len()
            ));
        }
        Index::parse(&std::fs::read(path).map_err(|error| error.to_string())?)
    }

    /// Reads the text of an index.
    ///
    /// # Errors
    /// As [`Index::read`].
    pub fn parse(text: &[u8]) -> Result<Index, String> {
        let text: Text = serde_json::from_slice(text).map_err(|error| {
            format!("this is no index of weights ({})", shown(&error.to_string()))
        })?;
        let Some(map) = text.weight_map else {
            return Err("this JSON text has no `weight_map`, so it is no index of weights; give the path \
                        of a safetensors file, or of the `model.safetensors.index.json` beside several"
                .into());
        };
        let mut found: Vec<(String, String)> = Vec::with_capacity(map.0.len());
        for (tensor, shard) in map.0 {
            let Some(shard) = shard.as_str() else {
                return Err(format!("the file of tensor `{}` is no text", shown(&tensor)));
            };
            if let Some(reason) = wrong_name(shard) {
                return Err(format!(
                    "tensor `{}` would be in `{}`, which {reason}; the files of an index are beside it",
                    shown(&tensor),
                    shown(shard)
                ));
            }
            found.push((tensor, shard.to_string()));
        }
        if found.is_empty() {
            return Err("the index names no tensor".into());
        }
        let mut shards: Vec<String> = found.iter().map(|(_, shard)| shard.clone()).collect();
        shards.sort_unstable();
        shards.dedup();
        if shards.len() > MAX_SHARDS {
            return Err(format!(
                "the index names {} files, at most {MAX_SHARDS} make sense",
                shards.len()
            ));
        }
        let mut tensors = BTreeMap::new();
        for (tensor, shard) in found {
            let number = shards.binary_search(&shard).unwrap_or_default();
            if tensors.insert(tensor.clone(), number).is_some() {
                return Err(format!("tensor `{}` is there twice", shown(&tensor)));
            }
        }
        Ok(Index { shards, tensors })
    }
}

/// Why a text cannot be the name of a file of weights in the index's own folder.
fn wrong_name(name: &str) -> Option<&'static str> {
    let foreign = |c: char| matches!(c, '/' | '\\' | ':') || c.is_control();
    if name.is_empty() || name == "." || name == ".." || name.contains(foreign) {
        return Some("is no name of a file");
    }
    if name.len() > MAX_NAME {
        return Some("is too long for a name");
    }
    (!name.ends_with(".safetensors")).then_some("is no safetensors file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_tensors() {
        let text = br#"{"metadata": {"total_size": 3}, "weight_map": {"b": "2.safetensors", "a": "1.safetensors", "c": "2.safetensors"}}"#;
        let index = Index::parse(text).unwrap();
        assert_eq!(index.shards, ["1.safetensors", "2.safetensors"]);
        let tensors: Vec<_> = index.tensors.iter().map(|(name, at)| (name.as_str(), *at)).collect();
        assert_eq!(tensors, [("a", 0), ("b", 1), ("c", 1)]);
    }

    #[test]
    fn texts_that_are_no_index() {
        let long = format!(r#"{{"weight_map": {{"a": "{}"}}}}"#, "x".repeat(300));
        let many: Vec<String> =
            (0..=MAX_SHARDS).map(|at| format!("\"t{at}\": \"{at}.safetensors\"")).collect();
        let many = format!("{{\"weight_map\": {{{}}}}}", many.join(","));
        let said: Vec<String> = [
            "{",
            "[]",
            r#"{"architecture": "resnet50"}"#,
            r#"{"weight_map": null}"#,
            r#"{"weight_map": 3}"#,
            r#"{"weight_map": {}}"#,
            r#"{"weight_map": {"a": 3}}"#,
            r#"{"weight_map": {"a": "../x.safetensors"}}"#,
            r#"{"weight_map": {"a": "/etc/x.safetensors"}}"#,
            r#"{"weight_map": {"a": "c:x.safetensors"}}"#,
            r#"{"weight_map": {"a": "sub\\x.safetensors"}}"#,
            r#"{"weight_map": {"a": ".."}}"#,
            r#"{"weight_map": {"a": ""}}"#,
            r#"{"weight_map": {"a": "x\u0000.safetensors"}}"#,
            r#"{"weight_map": {"a": "pytorch_model-1.bin"}}"#,
            r#"{"weight_map": {"a": "x.safetensors", "a": "y.safetensors"}}"#,
            &long,
            &many,
        ]
        .iter()
        .map(|text| Index::parse(text.as_bytes()).unwrap_err())
        .collect();
        insta::assert_snapshot!(said.join("\n"));
    }
}
