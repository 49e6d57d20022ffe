//! Names of generated functions for `perf`: the file `/tmp/perf-PID.map`.
//!
//! `perf report` looks there for the symbols of code that is in no file. A line is `ADDRESS SIZE NAME`,
//! both numbers in hexadecimal
//! (<https://github.com/torvalds/linux/blob/master/tools/perf/Documentation/jit-interface.txt>).

use crate::error::Error;
use netwright_codegen::CompiledProgram;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// The lines of all programs so far: the file is always written whole.
static LINES: Mutex<String> = Mutex::new(String::new());

/// Adds a program's functions to the map of this process, and gives the map's path.
///
/// # Errors
/// When the file cannot be written.
pub fn add(program: &CompiledProgram) -> Result<PathBuf, Error> {
    let mut lines = LINES.lock().unwrap_or_else(PoisonError::into_inner);
    lines.push_str(&text(program));
    let path = PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
    // A new file takes the name over, so a link that somebody left there leads nowhere.
    let written = tempfile::NamedTempFile::new_in("/tmp").and_then(|mut file| {
        file.write_all(lines.as_bytes())?;
        file.persist(&path).map_err(|error| error.error)
    });
    match written {
        Ok(_) => Ok(path),
        Err(cause) => Err(Error::Compile(format!("cannot write `{}`: {cause}", path.display()))),
    }
}

fn text(program: &CompiledProgram) -> String {
    program.symbols().fold(String::new(), |mut text, symbol| {
        let (address, bytes, name) = (symbol.address, symbol.bytes, symbol.name);
        let _ = writeln!(text, "{address:x} {bytes:x} {name}");
        text
    })
}
