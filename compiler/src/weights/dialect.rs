//! Which dialect a file's names are of, and which prefix of theirs is seen through.

use super::WeightsError;
use super::bind::dropped;
use super::file::WeightFile;
use super::report::squeezed;
use super::shown::shown;
use std::collections::HashMap;

/// Prefixes that training scripts put before all names, in the order of preference: averaged
/// weights before others.
const PREFIXES: [&str; 13] = [
    "",
    "model_ema.module.",
    "model_ema.",
    "ema.module.",
    "ema.",
    "module.",
    "model.module.",
    "model.",
    "state_dict.module.",
    "state_dict.model.",
    "state_dict.",
    "module.model.",
    "_orig_mod.",
];

/// A dialect that a file could be of.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The dialect's name.
    pub name: String,
    /// The tensors that it names, with their shapes.
    pub tensors: Vec<(String, Vec<usize>)>,
    /// Its patterns of names that are left out.
    pub drops: Vec<String>,
}

/// What was chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Choice {
    /// Index of the candidate.
    pub index: usize,
    /// What stands before all relevant names of the file.
    pub prefix: String,
    /// Something that the user should know.
    pub note: Option<String>,
}

/// How well a candidate fits; greater is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Score {
    /// Names found, in millionths of those wanted.
    found: usize,
    /// Shapes right, in millionths.
    shapes: usize,
    /// Names used, in millionths of those that the file has there.
    used: usize,
}

/// Chooses the dialect by the file's names. Where several fit equally well, a `dialect` in the
/// file's metadata decides, or the `architecture` there or in a `config.json` beside the file: one
/// that begins with `tf_` means a dialect whose name ends in `_tf`, and likewise for others. Else
/// the first is taken, with a note.
///
/// # Errors
/// None of several candidates has a single name of the file. (A single one is taken all the same: how it
/// compares with the file says more.)
pub fn choose(file: &WeightFile, candidates: &[Candidate]) -> Result<Choice, WeightsError> {
    let names: HashMap<&str, &[usize]> =
        file.tensors().iter().map(|tensor| (tensor.name.as_str(), &tensor.shape[..])).collect();
    let mut best: Vec<(Score, usize, &str)> = Vec::new();
    for (index, candidate) in candidates.iter().enumerate() {
        let mut own: Option<(Score, &str)> = None;
        for prefix in PREFIXES {
            let score = score(&names, candidate, prefix);
            if own.is_none_or(|(other, _)| score > other) {
                own = Some((score, prefix));
            }
        }
        if let Some((score, prefix)) = own {
            best.push((score, index, prefix));
        }
    }
    let Some(&(top, first, prefix)) = best.iter().max_by(|a, b| (a.0, b.1).cmp(&(b.0, a.1))) else {
        return Err(WeightsError::Dialect("the network has no dialect to choose from".into()));
    };
    let any = candidates.iter().any(|one| !one.tensors.is_empty());
    if top.found == 0 && candidates.len() > 1 && !names.is_empty() && any {
        return Err(WeightsError::Dialect(strangers(file, candidates)));
    }
    let ties: Vec<(usize, &str)> =
        best.iter().filter(|one| one.0 == top).map(|one| (one.1, one.2)).collect();
    let mut choice = Choice { index: first, prefix: prefix.to_string(), note: None };
    if ties.len() > 1 {
        let tied: Vec<&str> = ties.iter().map(|tie| candidates[tie.0].name.as_str()).collect();
        match told(file, &tied) {
            Some(at) => {
                choice.index = ties[at].0;
                choice.prefix = ties[at].1.to_string();
            }
            None => {
                choice.note = Some(format!(
                    "the names fit the dialects {}; `{}` is taken (choose another with `--dialect`)",
                    tied.join(", "),
                    candidates[first].name
                ));
            }
        }
    }
    let also = !choice.prefix.is_empty()
        && file.tensors().iter().any(|tensor| !tensor.name.starts_with(&choice.prefix));
    if also && choice.note.is_none() {
        choice.note = Some(format!("of the file, the tensors under `{}` are taken", choice.prefix));
    }
    Ok(choice)
}

fn score(names: &HashMap<&str, &[usize]>, candidate: &Candidate, prefix: &str) -> Score {
    let millionths = |part: usize, whole: usize| (part * 1_000_000).checked_div(whole).unwrap_or(0);
    let (mut found, mut shapes) = (0, 0);
    for (name, shape) in &candidate.tensors {
        if let Some(other) = names.get(format!("{prefix}{name}").as_str()) {
            found += 1;
            shapes += usize::from(squeezed(other) == squeezed(shape));
        }
    }
    let there = names
        .keys()
        .filter_map(|name| name.strip_prefix(prefix))
        .filter(|name| !dropped(name, &candidate.drops))
        .count();
    let total = candidate.tensors.len();
    Score {
        found: millionths(found, total),
        shapes: millionths(shapes, total),
        used: millionths(found, there.max(found)),
    }
}

/// Which of the dialects that fit the file says it is of.
fn told(file: &WeightFile, tied: &[&str]) -> Option<usize> {
    let metadata = file.metadata();
    if let Some(dialect) = metadata.get("dialect") {
        return tied.iter().position(|name| name == dialect);
    }
    let config = file.config();
    let keys = ["architecture", "model_name", "arch"];
    let in_metadata = keys.iter().find_map(|key| metadata.get(*key).cloned());
    let architecture = in_metadata.or_else(|| {
        let config = config.as_ref()?;
        keys.iter().find_map(|key| Some(config.get(key)?.as_str()?.to_string()))
    })?;
    // `timm_tf` is for architectures `tf_...`; `timm` for all others.
    let marked = |name: &str| {
        let (_, suffix) = name.rsplit_once('_')?;
        Some(architecture.strip_prefix(suffix).is_some_and(|rest| rest.starts_with('_')))
    };
    tied.iter()
        .position(|name| marked(name) == Some(true))
        .or_else(|| tied.iter().position(|name| marked(name).is_none()))
}

fn strangers(file: &WeightFile, candidates: &[Candidate]) -> String {
    let first = |names: &mut dyn Iterator<Item = &str>| {
        names.take(3).map(|name| format!("`{}`", shown(name))).collect::<Vec<_>>().join(", ")
    };
    let mut own = file.tensors().iter().map(|tensor| tensor.name.as_str());
    let mut message = format!(
        "{}: no name of its tensors is the network's; the file has {}",
        file.path().display(),
        first(&mut own)
    );
    for candidate in candidates {
        let mut names = candidate.tensors.iter().map(|(name, _)| name.as_str());
        message.push_str(&format!("\n  dialect {} has {}", candidate.name, first(&mut names)));
    }
    message.push_str(&format!(
        "\n  = help: is this the right network? `--dialect {}` compares all names with one dialect's; \
         for a library that the spec does not know, write a `weights` section",
        candidates[0].name
    ));
    message
}
