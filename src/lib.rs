//! Compiles vision networks, written as their papers' tables, to native code.
//!
//! A [`Spec`] is a network as its paper's table has it, in the `.arch` language. A [`Network`] is
//! one variant of it with its [`Weights`]; a [`Session`] is that network as machine code, with the
//! memory and the threads to run it. The command line ([`cli`]) is written on these and nothing else.
//!
//! ```
//! use netwright::photo::{Preprocess, decode};
//! use netwright::{Labels, Network, Options, RunOptions, Session, Spec, Weights, most_likely};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // The spec and the weights that come with the program; `Weights::parse("file.safetensors")` reads others.
//! let spec = Spec::load("mobilenet_v2")?;
//! let network = Network::new(&spec, &Options::default(), &Weights::Bundled)?;
//! let mut session = Session::new(&network, &RunOptions::default())?;
//! assert_eq!(session.input().shape, [1, 3, 224, 224]);
//!
//! // A photo as the weights want it, by the dialect's `preprocess`.
//! let photo = decode("assets/photos/chelsea.png".as_ref())?;
//! let mut input = vec![0.0; session.input().elements()];
//! Preprocess::of(&network.expanded)?.apply(&photo, &mut input)?;
//!
//! let mut output = vec![0.0; session.outputs()[0].elements()];
//! session.run(&input, &mut output)?;
//! let guesses = most_likely(&output, 1).expect("finite weights give finite logits");
//! assert_eq!(Labels::imagenet().get(guesses[0].class), Some("Egyptian cat"));
//! # Ok(())
//! # }
//! ```
//!
//! A network that was never trained runs as well, any spec with any parameters:
//!
//! ```
//! use netwright::{Network, Options, RunOptions, Session, Spec, Weights};
//!
//! # fn main() -> Result<(), netwright::Error> {
//! let spec = Spec::from_text(
//!     "tiny.arch",
//!     "network tiny(width = 8, classes = 10) {
//!        stem = x    -> conv(width, 3x3, stride = 2) -> bn -> relu
//!        head = stem -> global_avgpool -> flatten -> linear(classes)
//!      }",
//! );
//! let sets = vec![("width".into(), "16".into()), ("resolution".into(), "32x48".into())];
//! let options = Options { sets, batch: 2, ..Options::default() };
//! let network = Network::new(&spec, &options, &Weights::Generated { seed: 0, gain: 1.0 })?;
//! let mut session = Session::new(&network, &RunOptions { threads: 1, ..RunOptions::default() })?;
//! let (input, mut logits) = (vec![0.5; 2 * 3 * 32 * 48], vec![0.0; 2 * 10]);
//! session.run(&input, &mut logits)?;
//! assert_eq!(logits[..10], logits[10..]);
//! # Ok(())
//! # }
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`network`], [`bundled`] | a spec with its weights |
//! | [`hub`] | weights by `hf:OWNER/REPO`, fetched and cached |
//! | [`session`] | compiling and running |
//! | [`tune`] | measured choices between ways to compute a layer |
//! | [`profile`], [`perf_map`] | where the time goes; names of the code for `perf` |
//! | [`build`] | object files for C |
//! | [`photo`] | from the file of a photo to the network's input |
//! | [`labels`] | names of classes |
//! | [`npy`], [`mod@file`] | arrays as files, written whole or not at all |
//! | [`error`] | what can be wrong, rendered for people |
//! | [`cli`] | the command line |
//!
//! **Invariant of this crate:** it knows files, photos and terminals; what a network computes, and how,
//! is the business of the crates below.

pub mod build;
pub mod bundled;
pub mod cli;
pub mod error;
pub mod file;
pub mod hub;
pub mod labels;
mod median;
mod memory;
pub mod network;
pub mod npy;
pub mod perf_map;
pub mod photo;
pub mod profile;
pub mod session;
pub mod tune;

pub use error::Error;
pub use labels::{Guess, Labels, most_likely};
pub use network::{Network, Options, Weights};
pub use netwright_compiler::driver::Port;
pub use netwright_compiler::spec::{Spec, catalog};
pub use session::{Backend, RunOptions, Session};
