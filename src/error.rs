//! What can be wrong with a spec, its weights or its input.

use crate::hub::HubError;
use netwright_compiler::spec::LoadError;
use netwright_compiler::weights::WeightsError;
use netwright_grammar::{Diagnostic, Sources};
use std::fmt;

/// Why a network could not be loaded, compiled or run.
#[derive(Debug)]
pub enum Error {
    /// The spec cannot be read.
    Load(LoadError),
    /// The spec is wrong: every independent mistake, and the texts that they point into.
    Spec {
        /// The mistakes, in the order of the text.
        diagnostics: Vec<Diagnostic>,
        /// The texts.
        sources: Sources,
    },
    /// The weights cannot be used.
    Weights(WeightsError),
    /// Weights of a hub cannot be had.
    Hub(HubError),
    /// The network cannot be compiled or run on this machine; the text says what to do.
    Compile(String),
    /// A buffer of another length than the network takes or makes.
    Length {
        /// Which buffer.
        what: String,
        /// Its number of values.
        given: usize,
        /// The network's.
        wanted: usize,
    },
}

impl Error {
    /// The error as text for people: mistakes in a spec with the lines that they are in, everything
    /// else in a sentence that begins with `error:`. Ends with a line end.
    pub fn render(&self, colour: bool) -> String {
        match self {
            Error::Spec { diagnostics, sources } => {
                netwright_grammar::render(sources, diagnostics, colour)
            }
            other => format!("error: {other}\n"),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Load(error) => error.fmt(f),
            Error::Spec { .. } => f.write_str(self.render(false).trim_end()),
            Error::Weights(error) => error.fmt(f),
            Error::Hub(error) => error.fmt(f),
            Error::Compile(text) => f.write_str(text),
            Error::Length { what, given, wanted } => {
                write!(f, "{what} has {given} values, the network's has {wanted}")
            }
        }
    }
}

impl std::error::Error for Error {}

impl From<LoadError> for Error {
    fn from(error: LoadError) -> Error {
        Error::Load(error)
    }
}

impl From<WeightsError> for Error {
    fn from(error: WeightsError) -> Error {
        Error::Weights(error)
    }
}

impl From<HubError> for Error {
    fn from(error: HubError) -> Error {
        Error::Hub(error)
    }
}
