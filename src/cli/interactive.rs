//! `netwright bench --interactive`: runs on request, for comparisons that take turns.

use super::bench::Prepared;
use super::failure::{Failure, Outcome};
use crate::npy;
use serde_json::json;
use std::io::{BufRead, Read, Write};
use std::path::Path;

/// Longest line that is read.
const MAX_LINE: u64 = 64;

/// Most runs for one line.
const MAX_RUNS: usize = 1_000_000;

pub fn run(ready: &mut Prepared, expect: Option<&Path>) -> Outcome {
    let error = match expect {
        Some(path) => relative_error(ready, path)?,
        None => 0.0,
    };
    let mut out = std::io::stdout().lock();
    // Nothing is imported: one program.
    let first = json!({
        "ready": 1,
        "import_s": 0.0,
        "prepare_s": ready.prepare.as_secs_f64(),
        "rel_err": error,
    });
    writeln!(out, "{first}")?;
    out.flush()?;
    let mut input = std::io::stdin().lock();
    loop {
        let mut line = String::new();
        let read = input
            .by_ref()
            .take(MAX_LINE)
            .read_line(&mut line)
            .map_err(|error| Failure::Input(format!("cannot read stdin: {error}")))?;
        if read == 0 {
            return Ok(());
        }
        let text = line.trim();
        if text.is_empty() {
            continue;
        }
        let count = text.parse().ok().filter(|count| (1..=MAX_RUNS).contains(count));
        let Some(count) = count else {
            return Err(Failure::Input(format!(
                "stdin: expected a number of runs from 1 to {MAX_RUNS} on a line, not {text:?}"
            )));
        };
        let mut times = Vec::with_capacity(count);
        for _ in 0..count {
            times.push(ready.once()?.as_nanos().to_string());
        }
        writeln!(out, "{}", times.join(" "))?;
        out.flush()?;
    }
}

/// The largest difference from the expected output over its largest magnitude.
fn relative_error(ready: &Prepared, path: &Path) -> Result<f64, Failure> {
    let expected = npy::read(path).map_err(|error| Failure::about(path.display(), error))?;
    super::compare::same_length(path, &expected, &ready.session.outputs()[0])?;
    let differences =
        ready.output.iter().zip(&expected.data).map(|(a, b)| f64::from((a - b).abs()));
    let largest = expected.data.iter().map(|value| f64::from(value.abs())).fold(0.0, f64::max);
    let error = differences.fold(0.0, f64::max) / largest.max(f64::MIN_POSITIVE);
    // Differences from NaN are NaN, which `max` passes over.
    match ready.output.iter().all(|value| value.is_finite()) {
        true => Ok(error),
        false => Err(Failure::Input("the network's output is not finite".into())),
    }
}
