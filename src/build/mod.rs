//! Networks as object files for C: `NAME.o`, `NAME.h`, and a `main.c` that calls them.
//!
//! ```no_run
//! use netwright::build::{BuildOptions, Build};
//! use netwright::{Network, Options, Spec, Weights};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let spec = Spec::load("mobilenet_v2")?;
//! let network = Network::new(&spec, &Options::default(), &Weights::Bundled)?;
//! let build = Build::new(&spec, &network, &BuildOptions::default())?;
//! build.write("out".as_ref(), false)?;
//! # Ok(())
//! # }
//! ```

mod example;
mod files;
mod interface;
mod target;

pub use files::Written;
pub use target::{host, is_host};

use crate::error::Error;
use crate::network::Network;
use crate::photo::Preprocess;
use netwright_compiler::driver::{
    self, Choices, Half, NetworkObject, ObjectOptions, ObjectRequest,
};
use netwright_compiler::plan;
use netwright_compiler::spec::Spec;
use netwright_compiler::weights::image;
use std::sync::Arc;

/// Threads for which a workspace has room, where nothing else is said.
pub const THREADS: usize = 8;

/// What to make.
#[derive(Clone, Debug)]
pub struct BuildOptions {
    /// What files and symbols are called, a C identifier; `None`: spec and variant.
    pub name: Option<String>,
    /// The machine it is for, as a target triple (`aarch64-unknown-linux-gnu`); `None`: this one.
    pub target: Option<String>,
    /// Instructions to use, as [`crate::session::RunOptions::cpu`]; `None`: all useful levels in one
    /// object, chosen at run time.
    pub cpu: Option<String>,
    /// Threads for which the workspace has room; 0 for [`THREADS`].
    pub threads: usize,
    /// Write the weights to a file of their own, which the application loads.
    pub external_weights: bool,
    /// Use Winograd's algorithm where it is estimated to be faster; its weights are larger.
    pub winograd: bool,
    /// Compute convolutions that follow each other depth first where it is estimated to be faster, and attention
    /// head by head.
    pub depth_first: bool,
    /// Measured choices, which go before estimates: [`crate::tune::remembered`] has those of this CPU.
    pub tuned: Arc<Choices>,
    /// Store packed weights as halves; the arithmetic stays `f32`.
    pub half: Option<Half>,
    /// Take images as bytes, `[N, H, W, C]`, as a camera or decoder gives them.
    pub bytes: bool,
    /// Where the weights come from, for the header: the file's name.
    pub origin: String,
}

impl Default for BuildOptions {
    fn default() -> Self {
        BuildOptions {
            name: None,
            target: None,
            cpu: None,
            threads: 0,
            external_weights: false,
            winograd: true,
            depth_first: true,
            tuned: Arc::default(),
            half: None,
            bytes: false,
            origin: String::new(),
        }
    }
}

/// A network's object, header and example, not yet written.
pub struct Build {
    /// What files and symbols are called.
    pub name: String,
    /// The target triple.
    pub target: String,
    /// The object.
    pub object: NetworkObject,
    /// The text of the header.
    pub header: String,
    /// The text of the example.
    pub example: String,
}

impl Build {
    /// Compiles a network for its target.
    ///
    /// # Errors
    /// A name that is no C identifier, a target or CPU that code cannot be made for, a network that is
    /// too large.
    pub fn new(spec: &Spec, network: &Network, options: &BuildOptions) -> Result<Build, Error> {
        let name = match &options.name {
            Some(name) => checked(name)?,
            None => default_name(spec, network),
        };
        let (target, levels) = target::levels(options.target.as_deref(), options.cpu.as_deref())?;
        let threads = match options.threads {
            0 => THREADS,
            n => n,
        };
        let request = ObjectRequest {
            name: name.clone(),
            object: ObjectOptions {
                levels,
                threads,
                external_weights: options.external_weights,
                comment: format!("{}: {name}", files::MARK),
                ..ObjectOptions::new(target.clone())
            },
            winograd: options.winograd,
            depth_first: options.depth_first,
            tuned: Arc::clone(&options.tuned),
            half: options.half,
            levels: if options.bytes { Some(values_of_levels(network)?) } else { None },
            sample: match options.half {
                Some(_) => {
                    let [n, h, w, c] = network.expanded.input;
                    image(n, c, h, w, 0)
                }
                None => Vec::new(),
            },
        };
        let weights = &*network.weights;
        let object = driver::object(&network.expanded.graph, weights, &request)?;
        let target = target.to_string();
        let header = interface::header(spec, network, options, &target, &name, &object);
        let example = example::text(&name, &object);
        Ok(Build { name, target, object, header, example })
    }
}

/// What the levels of each channel become.
fn values_of_levels(network: &Network) -> Result<Vec<[f32; 256]>, Error> {
    let preprocess = Preprocess::of(&network.expanded)
        .map_err(|error| Error::Compile(format!("images as bytes: {error}")))?;
    Ok((0..preprocess.channels).map(|channel| preprocess.levels(channel)).collect())
}

/// A name that the user gave.
fn checked(name: &str) -> Result<String, Error> {
    let mut chars = name.chars();
    let first = chars.next().is_some_and(|c| c.is_ascii_alphabetic());
    if first && chars.all(|c| c.is_ascii_alphanumeric() || c == '_') && name.len() <= MAX_NAME {
        return Ok(name.to_string());
    }
    Err(Error::Compile(format!(
        "`{name}` cannot begin names in C: letters, digits and `_`, a letter first, at most {MAX_NAME} of them"
    )))
}

/// Longest name.
const MAX_NAME: usize = 64;

/// The spec's name without its folder, and the variant, as a C identifier.
fn default_name(spec: &Spec, network: &Network) -> String {
    let path = std::path::Path::new(&spec.name);
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let mut name = stem;
    if let Some(variant) = &network.expanded.variant {
        name = format!("{name}_{variant}");
    }
    identifier(&name)
}

/// A C identifier made from any name, not too long.
fn identifier(name: &str) -> String {
    let mut identifier = plan::identifier(name);
    identifier.truncate(MAX_NAME);
    identifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_c_identifiers() {
        assert_eq!(identifier("efficientnet_b0"), "efficientnet_b0");
        assert_eq!(identifier("50-layers"), "net_50_layers");
        assert_eq!(identifier("größe"), "gr__e");
        assert_eq!(identifier(""), "net_");
        assert!(checked("Net_2").is_ok());
        for name in ["", "2net", "_net", "a-b", "größe", &"x".repeat(65)] {
            assert!(checked(name).is_err(), "{name}");
        }
    }
}
