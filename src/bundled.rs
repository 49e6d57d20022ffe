//! The weights that come with the program.

use crate::error::Error;
use netwright_compiler::weights::{WeightFile, WeightsError};
use std::io::Write;
use std::sync::Arc;

/// Weights in the program's own file.
struct Bundled {
    /// The built-in spec.
    spec: &'static str,
    /// The variant, if the spec has any.
    variant: Option<&'static str>,
    /// What they are, for people.
    about: &'static str,
    /// A safetensors file.
    bytes: &'static [u8],
}

/// All of them; `assets/README.md` says where they are from.
const BUNDLED: &[Bundled] = &[Bundled {
    spec: "mobilenet_v2",
    variant: None,
    about: "the file that comes with the program",
    bytes: include_bytes!("../assets/mobilenet_v2.safetensors"),
}];

/// The weights of a built-in spec and variant, with what they are; `None` where there are none.
/// They are for the spec's own parameters, except those that weights do not depend on (a convolutional
/// network's resolution).
///
/// # Errors
/// When the system has no folder for temporary files that can be written: the weights are laid out
/// there for a moment to be memory-mapped like any others.
pub fn find(
    spec: &str,
    variant: Option<&str>,
) -> Result<Option<(Arc<WeightFile>, &'static str)>, Error> {
    let Some(own) = BUNDLED.iter().find(|own| own.spec == spec && own.variant == variant) else {
        return Ok(None);
    };
    let lay_out = || {
        let mut file = tempfile::Builder::new().suffix(".safetensors").tempfile()?;
        file.write_all(own.bytes)?;
        file.flush()?;
        Ok(file)
    };
    let file = lay_out().map_err(|error: std::io::Error| WeightsError::Read {
        path: std::env::temp_dir(),
        message: format!("{error}: the weights that come with the program are laid out there"),
    })?;
    // The mapping outlives the file's name.
    Ok(Some((Arc::new(WeightFile::open(file.path())?), own.about)))
}

/// Names of what there are weights for: `mobilenet_v2`.
pub fn names() -> Vec<String> {
    let name = |own: &Bundled| match own.variant {
        Some(variant) => format!("{}:{variant}", own.spec),
        None => own.spec.to_string(),
    };
    BUNDLED.iter().map(name).collect()
}
