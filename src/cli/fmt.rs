//! `netwright fmt`: one way to write specs.

use super::args::FmtArgs;
use super::common;
use super::failure::{Failure, Outcome};
use crate::file;
use netwright_grammar::Sources;
use std::io::{Read, Write};
use std::path::Path;

/// Largest spec; a larger one is not read.
const MAX_FILE: u64 = netwright_compiler::spec::MAX_FILE;

pub fn run(args: &FmtArgs) -> Outcome {
    let mut out = std::io::stdout().lock();
    let (mut failed, mut unformatted) = (false, 0);
    for path in &args.files {
        let shown = path.display();
        let text = match read(path) {
            Ok(text) => text,
            Err(cause) => {
                common::say(&format!("error: {shown}: {cause}"));
                failed = true;
                continue;
            }
        };
        let formatted = match netwright_grammar::format(&text) {
            Ok(formatted) => formatted,
            Err(diagnostics) => {
                let sources = Sources { files: vec![(shown.to_string(), text)] };
                let _ = common::report(&sources, &diagnostics);
                failed = true;
                continue;
            }
        };
        if formatted == text {
            continue;
        }
        unformatted += 1;
        if args.check {
            writeln!(out, "{shown}")?;
        } else if let Err(error) = file::write(path, |file| file.write_all(formatted.as_bytes())) {
            common::say(&format!("error: {error}"));
            failed = true;
        }
    }
    if args.check && unformatted > 0 {
        common::say(&format!("{unformatted} not formatted: run `netwright fmt` on them"));
    }
    match failed || (args.check && unformatted > 0) {
        true => Err(Failure::Said),
        false => Ok(()),
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    file.take(MAX_FILE + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(format!("it is larger than {} KiB; a spec is text", MAX_FILE >> 10));
    }
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".into())
}
