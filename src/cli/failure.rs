//! How a command ends when it does not end well.

use std::fmt;
use std::io;

/// Why a command stops.
#[derive(Debug)]
pub enum Failure {
    /// The spec, the weights or the input are at fault: exit status 1. The text is what to print,
    /// without `error:`.
    Input(String),
    /// As `Input`, and everything has been said already.
    Said,
    /// The command line is wrong in a way that the parser of options cannot know: exit status 2.
    Usage(String),
    /// Whoever read our output has gone (`netwright specs | head -1`): nothing to complain about.
    Closed,
}

/// The result of a command.
pub type Outcome = Result<(), Failure>;

impl Failure {
    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Failure::Input(_) | Failure::Said => 1,
            Failure::Usage(_) => 2,
            Failure::Closed => 0,
        }
    }

    /// An error about a file.
    pub fn about(file: impl fmt::Display, cause: impl fmt::Display) -> Failure {
        Failure::Input(format!("{file}: {cause}"))
    }
}

/// An error of a library is the input's fault: messages say which.
impl From<&dyn std::error::Error> for Failure {
    fn from(error: &dyn std::error::Error) -> Failure {
        Failure::Input(error.to_string())
    }
}

/// Errors of writing to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Failure::Closed,
            _ => Failure::Input(format!("cannot write the output: {error}")),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Input(text) | Failure::Usage(text) => f.write_str(text),
            Failure::Said | Failure::Closed => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error() {
        let closed = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(closed.status(), 0);
        let full = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(full.status(), 1);
        assert_eq!(full.to_string(), "cannot write the output: no storage space");
    }
}
