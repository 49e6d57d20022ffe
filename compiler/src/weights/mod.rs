//! Weights: where they come from, and how they reach a network's parameters.
//!
//! | module | what |
//! |---|---|
//! | [`mod@file`] | safetensors files |
//! | [`index`] | the index of weights in several files |
//! | [`foreign`] | what to say about files of other formats |
//! | [`generate`] | the deterministic generator |
//! | [`dialect`] | which library's names a file has |
//! | [`mod@bind`] | the values of each parameter, by its recipe |
//! | [`report`] | what fits and what does not, in both directions |
//! | [`resample`] | position tables for another resolution |

pub mod bind;
pub mod dialect;
mod entries;
pub mod file;
pub mod foreign;
pub mod generate;
pub mod index;
mod recipe;
pub mod report;
pub mod resample;
mod shown;
#[cfg(test)]
mod tests;

pub use bind::{BoundWeights, Supply, bind, compare};
pub use dialect::{Candidate, Choice, choose};
pub use file::{Dtype, FileTensor, WeightFile};
pub use generate::{Generator, image};
pub use index::Index;
pub use report::Comparison;

use std::path::PathBuf;

/// Why weights cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// The file cannot be read.
    #[error("{}: {message}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        message: String,
    },
    /// The file is of another format; `advice` says how to convert it.
    #[error("{}: {advice}", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What it is and what to do.
        advice: String,
    },
    /// The file is no sound safetensors file.
    #[error("{}: {message}", path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong, with the tensor's name.
        message: String,
    },
    /// The text after `--weights` cannot be understood.
    #[error("{0}")]
    Origin(String),
    /// The tensors' names are of no dialect that the network has.
    #[error("{0}")]
    Dialect(String),
    /// The tensors do not fit the network.
    #[error("{0}")]
    Mismatch(Box<Comparison>),
}

/// What the text after `--weights` means.
#[derive(Clone, Debug, PartialEq)]
pub enum Origin {
    /// A file.
    File(PathBuf),
    /// `generated:SEED[:GAIN]`
    Generated {
        /// Seed.
        seed: u64,
        /// Factor of matrices and filters.
        gain: f64,
    },
    /// `hf:...`: the text after the colon names a file on a hub.
    Hub(String),
}

impl Origin {
    /// Reads `PATH`, `generated:SEED[:GAIN]` or `hf:...`.
    ///
    /// # Errors
    /// A seed or gain that is no number; no text at all.
    pub fn parse(text: &str) -> Result<Origin, WeightsError> {
        if text.is_empty() {
            return Err(WeightsError::Origin(
                "no weights are named: give the path of a safetensors file, hf:OWNER/REPO, or \
                 generated:0 for generated ones"
                    .into(),
            ));
        }
        if let Some(rest) = text.strip_prefix("hf:") {
            return Ok(Origin::Hub(rest.to_string()));
        }
        let Some(rest) = text.strip_prefix("generated:") else {
            return Ok(Origin::File(PathBuf::from(text)));
        };
        let (seed, gain) = rest.split_once(':').unwrap_or((rest, "1"));
        let wrong = |what: &str, given: &str| {
            WeightsError::Origin(format!(
                "{what} `{given}` in `{text}`: write `generated:SEED` or `generated:SEED:GAIN`, as \
                 in `generated:0:1.2`"
            ))
        };
        let seed = seed.parse().map_err(|_| wrong("the seed is a whole number, not", seed))?;
        match gain.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Origin::Generated { seed, gain: value }),
            _ => Err(wrong("the gain is a number, not", gain)),
        }
    }
}
