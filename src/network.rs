//! A spec with its weights: everything that is known before machine code is made.

use crate::bundled;
use crate::error::Error;
use crate::hub::{self, Address, Hub};
use crate::memory;
use netwright_compiler::expand::{Expanded, Request, expand};
use netwright_compiler::spec::Spec;
use netwright_compiler::weights::{
    BoundWeights, Candidate, Choice, Origin, Supply, WeightFile, bind, choose,
};
use netwright_ir::{Param, Source};
use std::sync::Arc;

/// Which network to make from a spec.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Parameters that are overridden: name and value, as after `--set`.
    pub sets: Vec<(String, String)>,
    /// Naming and details of one library; `None`: by the weights' names, else the spec's first.
    pub dialect: Option<String>,
    /// Images that are computed together; 0 is taken as 1.
    pub batch: usize,
}

impl Options {
    /// For the expander.
    pub fn request(&self, dialect: Option<&str>) -> Request {
        Request {
            variant: None,
            sets: self.sets.clone(),
            dialect: self.dialect.as_deref().or(dialect).map(str::to_string),
            batch: self.batch.max(1),
        }
    }
}

/// Where weights come from.
#[derive(Clone, Debug)]
pub enum Weights {
    /// Those that come with the program.
    Bundled,
    /// A safetensors file.
    File(Arc<WeightFile>),
    /// The deterministic generator.
    Generated {
        /// Seed.
        seed: u64,
        /// Factor of matrices and filters.
        gain: f64,
    },
}

impl Weights {
    /// Reads what stands after `--weights`: the path of a safetensors file,
    /// `generated:SEED[:GAIN]`, or `hf:OWNER/REPO[@REV][/FILE]` for a file of a hub, which is fetched
    /// unless it is in the cache ([`crate::hub`]).
    ///
    /// # Errors
    /// A file that cannot be read, fetched, or is not safetensors (the message says how to convert
    /// it), a seed that is no number.
    pub fn parse(text: &str) -> Result<Weights, Error> {
        Weights::parse_with(text, &mut |_| {})
    }

    /// As [`Weights::parse`], and tells what happens meanwhile.
    ///
    /// # Errors
    /// As [`Weights::parse`].
    pub fn parse_with(text: &str, report: hub::Report<'_>) -> Result<Weights, Error> {
        Ok(match Origin::parse(text)? {
            Origin::File(path) => Weights::File(Arc::new(WeightFile::open(path)?)),
            Origin::Generated { seed, gain } => Weights::Generated { seed, gain },
            Origin::Hub(text) => {
                let address = Address::parse(&text)?;
                let found = Hub::from_environment()?.find(&address, report)?;
                let file = WeightFile::open(found.weights)?;
                Weights::File(Arc::new(match found.config {
                    Some(config) => file.with_config(config),
                    None => file,
                }))
            }
        })
    }
}

/// One network: expanded at given parameters, its tensors named and bound.
#[derive(Debug)]
pub struct Network {
    /// The network as written: graph, layers, preprocessing.
    pub expanded: Expanded,
    /// The values of its parameters.
    pub weights: Arc<BoundWeights>,
    /// What the user should know: which dialect was taken where several fit, values that are not
    /// finite.
    pub notes: Vec<String>,
}

impl Network {
    /// Expands a spec and binds weights to it.
    ///
    /// # Errors
    /// Mistakes in the spec (all of them), tensors that do not fit (all of them), or no bundled weights
    /// for [`Weights::Bundled`].
    pub fn new(spec: &Spec, options: &Options, weights: &Weights) -> Result<Network, Error> {
        match weights {
            Weights::Generated { seed, gain } => {
                let expanded = expand_spec(spec, options, None)?;
                let supply = Supply::Generated { seed: *seed, gain: *gain };
                Network::bind(expanded, &supply, Vec::new())
            }
            Weights::File(file) => Network::with_file(spec, options, file),
            Weights::Bundled => {
                let found = match is_builtin(spec) {
                    true => bundled::find(&spec.name, spec.variant.as_deref())?,
                    false => None,
                };
                let Some((file, about)) = found else {
                    // A mistake in the spec is the better news.
                    expand_spec(spec, options, None)?;
                    return Err(no_weights(spec));
                };
                Network::with_file(spec, options, &file).map_err(|error| match error {
                    Error::Weights(cause) => {
                        let cause = cause.to_string().replace(&file.path().display().to_string(), about);
                        Error::Compile(format!(
                            "{cause}\n  = help: pass other weights with --weights; generated:0 makes some"
                        ))
                    }
                    other => other,
                })
            }
        }
    }

    fn with_file(spec: &Spec, options: &Options, file: &Arc<WeightFile>) -> Result<Network, Error> {
        let (mut candidates, choice) = choose_dialect(spec, options, file)?;
        let expanded = candidates.swap_remove(choice.index);
        let supply = Supply::File { file: file.clone(), prefix: choice.prefix };
        Network::bind(expanded, &supply, choice.note.into_iter().collect())
    }

    fn bind(expanded: Expanded, supply: &Supply, notes: Vec<String>) -> Result<Network, Error> {
        memory::check(&expanded.graph)?;
        let weights = Arc::new(bind(&expanded.graph.params, supply, &expanded.drops)?);
        let mut network = Network { expanded, weights, notes };
        network.notes.extend(network.weights.untold());
        // Generated values are finite by definition.
        if let Supply::File { .. } = supply {
            network.notes.extend(network.weights.non_finite());
        }
        Ok(network)
    }
}

/// Expands a spec under the dialect of the options, or the given one, or its first.
///
/// # Errors
/// [`Error::Spec`] with every mistake.
pub fn expand_spec(
    spec: &Spec,
    options: &Options,
    dialect: Option<&str>,
) -> Result<Expanded, Error> {
    expand(spec, &options.request(dialect))
        .map_err(|diagnostics| Error::Spec { diagnostics, sources: spec.sources.clone() })
}

/// The network under each dialect that comes into question, and which of them a file is of.
///
/// # Errors
/// Mistakes in the spec; a file that has no name of any dialect.
pub fn choose_dialect(
    spec: &Spec,
    options: &Options,
    file: &WeightFile,
) -> Result<(Vec<Expanded>, Choice), Error> {
    let dialects = match &options.dialect {
        Some(dialect) => vec![Some(dialect.as_str())],
        None if spec.dialects().is_empty() => vec![None],
        None => spec.dialects().into_iter().map(Some).collect(),
    };
    let expanded = dialects
        .into_iter()
        .map(|dialect| expand_spec(spec, options, dialect))
        .collect::<Result<Vec<_>, _>>()?;
    let candidates: Vec<Candidate> = expanded
        .iter()
        .map(|one| Candidate {
            name: one.dialect.clone().unwrap_or_else(|| "of the spec's labels".into()),
            tensors: one.graph.params.iter().flat_map(tensors).collect(),
            drops: one.drops.clone(),
        })
        .collect();
    let choice = choose(file, &candidates)?;
    Ok((expanded, choice))
}

/// The checkpoint's tensors that a parameter is made from, with their shapes.
pub fn tensors(param: &Param) -> Vec<(String, Vec<usize>)> {
    fn collect(source: &Source, found: &mut Vec<(String, Vec<usize>)>) {
        match source {
            Source::Tensor { name, shape } => found.push((name.clone(), shape.clone())),
            Source::Concat { parts, .. } => parts.iter().for_each(|part| collect(part, found)),
            Source::Rows { of, .. } | Source::Resample { of, .. } => collect(of, found),
            Source::Zeros { .. } => {}
        }
    }
    let mut found = Vec::new();
    collect(&param.source, &mut found);
    found
}

fn is_builtin(spec: &Spec) -> bool {
    let text = netwright_compiler::spec::builtin_text(&spec.name);
    text.is_some() && spec.sources.files.first().map(|file| file.1.as_str()) == text
}

/// That no weights come with the program for a spec.
pub(crate) fn no_weights(spec: &Spec) -> Error {
    let name = match &spec.variant {
        Some(variant) => format!("{}:{variant}", spec.name),
        None => spec.name.clone(),
    };
    Error::Compile(format!(
        "no weights for `{name}` come with the program (only for {}): pass --weights FILE.safetensors, \
         or --weights generated:0 to try it with generated ones",
        bundled::names().join(", ")
    ))
}
