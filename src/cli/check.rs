//! `netwright check`: is the spec sound, and do weights fit it?

use super::args::CheckArgs;
use super::common;
use super::failure::{Failure, Outcome};
use crate::error::Error;
use crate::network::{self, Weights};
use netwright_compiler::expand::check_spec;
use netwright_compiler::weights::{Supply, WeightsError, bind};
use netwright_grammar::Severity;
use std::io::Write;

pub fn run(args: &CheckArgs) -> Outcome {
    let mut out = std::io::stdout().lock();
    let (spec, options) = common::load(&args.spec, 1)?;
    let everything = spec.variant.is_none()
        && options.sets.is_empty()
        && options.dialect.is_none()
        && args.weights.is_none();
    if everything {
        let findings = check_spec(&spec);
        let warnings = findings.iter().filter(|one| one.severity == Severity::Warning).count();
        common::report(&spec.sources, &findings)?;
        let variants = spec.variants();
        let variants = match variants.len() {
            0 => String::new(),
            n => format!(", {n} variants ({})", variants.join(", ")),
        };
        let dialects = match spec.dialects() {
            names if names.is_empty() => String::new(),
            names => format!(", dialects {}", names.join(", ")),
        };
        let warnings = match warnings {
            0 => String::new(),
            1 => ", 1 warning".to_string(),
            n => format!(", {n} warnings"),
        };
        writeln!(out, "{}: sound{variants}{dialects}{warnings}", spec.name)?;
        return Ok(());
    }
    let Some(weights) = &args.weights else {
        let expanded = network::expand_spec(&spec, &options, None)?;
        common::report(&spec.sources, &expanded.warnings)?;
        writeln!(out, "{}: sound", common::title(&expanded, &spec))?;
        return Ok(());
    };
    // Both sides' names are listed even where they do not fit.
    let (expanded, supply, note) = match common::weights(weights, &spec, &options)? {
        Weights::Generated { seed, gain } => {
            let expanded = network::expand_spec(&spec, &options, None)?;
            (expanded, Supply::Generated { seed, gain }, None)
        }
        Weights::Bundled => return Err(network::no_weights(&spec).into()),
        Weights::File(file) => {
            let (mut candidates, choice) = network::choose_dialect(&spec, &options, &file)?;
            let expanded = candidates.swap_remove(choice.index);
            (expanded, Supply::File { file, prefix: choice.prefix }, choice.note)
        }
    };
    common::report(&spec.sources, &expanded.warnings)?;
    if let Some(note) = note {
        common::say(&format!("note: {note}"));
    }
    let dialect = match &expanded.dialect {
        Some(dialect) => format!(" (dialect {dialect})"),
        None => String::new(),
    };
    let title = common::title(&expanded, &spec);
    match bind(&expanded.graph.params, &supply, &expanded.drops) {
        Ok(bound) => {
            bound
                .non_finite()
                .iter()
                .for_each(|warning| common::say(&format!("warning: {warning}")));
            writeln!(out, "{title}: sound{dialect}")?;
            match supply {
                Supply::Generated { seed, gain } => {
                    let count = expanded.graph.params.len();
                    writeln!(out, "{count} tensors generated, seed {seed}, gain {gain}")?;
                }
                Supply::File { .. } => writeln!(out, "{}", bound.comparison())?,
            }
            Ok(())
        }
        Err(WeightsError::Mismatch(comparison)) => {
            common::say(&format!("error: {title}{dialect}: {comparison}"));
            Err(Failure::Said)
        }
        Err(other) => Err(Error::from(other).into()),
    }
}
