//! Measured choices: which of several ways to compute a layer is the fastest on this CPU.
//!
//! The planner estimates it. [`measure()`] finds out for a network, [`Store`] remembers it in a file for each model of
//! CPU, and [`remembered`] gives what is known to [`crate::session::RunOptions::tuned`] and
//! [`crate::build::BuildOptions::tuned`]. Nothing in this library reads the file unless it is asked to; the command
//! line does.
//!
//! The same choices give the same bits, compiled here or in an object. Choices that could change bits (Winograd's
//! algorithm, what a gate goes over) are remembered for all numbers of threads together; those that only change the time (what is computed
//! band by band) for each number. So results do not depend on the number of threads.

mod cpu;
mod decide;
mod measure;
mod store;

pub use cpu::Cpu;
pub use measure::{Effort, Group, Outcome, Progress, Timed, measure};
pub use netwright_compiler::plan::{Answer, Choices, Measured, Used};
pub use store::{Entry, Store, StoreError, default_path};

use crate::error::Error;
use crate::session::{Backend, RunOptions};
use netwright_codegen::object::external::hash;
use netwright_codegen::pool::thread_count;
use netwright_compiler::driver::{self, WideIsa};
use std::path::Path;

/// What is remembered of this CPU, for the instructions and the number of threads of these options; empty if nothing
/// was ever measured.
///
/// # Errors
/// A file that cannot be read or is not what it should be, with what to do about it; options that this machine can't
/// satisfy.
pub fn remembered(options: &RunOptions) -> Result<Choices, Error> {
    if options.backend == Backend::Interpreter {
        return Ok(Choices::default());
    }
    let Some(path) = default_path() else { return Ok(Choices::default()) };
    match Store::read(&path, Some(&Cpu::host()))? {
        Some(store) => choices(&store, options),
        None => Ok(Choices::default()),
    }
}

/// As [`remembered`], from a certain file, which may be of another CPU.
///
/// # Errors
/// As [`remembered`], and if there is no file.
pub fn from_file(path: &Path, options: &RunOptions) -> Result<Choices, Error> {
    match Store::read(path, None)? {
        Some(store) => choices(&store, options),
        None => Err(Error::Compile(format!("there is no file `{}`", path.display()))),
    }
}

fn choices(store: &Store, options: &RunOptions) -> Result<Choices, Error> {
    let instructions = instructions(&options.driver()?);
    Ok(store.choices(instructions, thread_count(options.threads)))
}

/// Which instructions the code of these options has: choices are remembered for each.
pub fn instructions(options: &driver::Options) -> &'static str {
    let isa = match options.backend {
        driver::Backend::Portable => None,
        driver::Backend::Auto | driver::Backend::Wide => options.isa.or_else(WideIsa::detect),
    };
    match isa {
        Some(isa) => isa.name(),
        None if options.baseline => "baseline",
        None => "portable",
    }
}

/// Tells choices apart: equal if the same answers were used for the same layers.
pub fn fingerprint(used: &[Used]) -> u64 {
    let text: String = used.iter().map(|one| format!("{}={}\n", one.key, one.answer)).collect();
    hash(text.as_bytes())
}
