//! What commands have in common: loading a spec, warnings, colours.

use super::args::{BackendArg, MachineArgs, RunnerArgs, SpecArgs};
use super::failure::Failure;
use super::fetching::Fetching;
use crate::error::Error;
use crate::network::{Network, Options, Weights};
use crate::perf_map;
use crate::session::{Backend, RunOptions, Session};
use crate::tune::{self, Choices};
use netwright_compiler::expand::Expanded;
use netwright_compiler::plan;
use netwright_compiler::spec::Spec;
use netwright_compiler::weights::Origin;
use netwright_grammar::{Diagnostic, Severity, Sources};
use std::io::{IsTerminal, Write};
use std::sync::Arc;

/// Prints a line to stderr. That nobody reads it is no reason to stop.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether stderr is a terminal that wants colours (<https://no-color.org>).
pub fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Prints an error of the library, and stops with status 1.
impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        say(error.render(colour()).trim_end());
        Failure::Said
    }
}

/// Prints findings about a spec, each as `error[E....]` or `warning[W....]` with the lines that it
/// is about, and one line that counts the errors.
pub fn report(sources: &Sources, findings: &[Diagnostic]) -> Result<(), Failure> {
    if findings.is_empty() {
        return Ok(());
    }
    say(netwright_grammar::render(sources, findings, colour()).trim_end());
    let errors = findings.iter().filter(|one| one.severity == Severity::Error).count();
    match errors {
        0 => Ok(()),
        1 => Err(Failure::Said),
        _ => {
            say(&format!("\n{errors} errors"));
            Err(Failure::Said)
        }
    }
}

/// Loads the spec that the user names, and the options for it.
pub fn load(args: &SpecArgs, batch: usize) -> Result<(Spec, Options), Failure> {
    let spec = Spec::load(&args.spec).map_err(Error::from)?;
    let sets = args.set.iter().map(|one| (one.name.clone(), one.value.clone())).collect();
    let options = Options { sets, dialect: args.dialect.clone(), batch };
    Ok((spec, options))
}

/// Loads and expands a spec where no weights are needed; prints its warnings.
pub fn expand(args: &SpecArgs, batch: usize) -> Result<(Spec, Expanded), Failure> {
    let (spec, options) = load(args, batch)?;
    let expanded = crate::network::expand_spec(&spec, &options, None)?;
    report(&spec.sources, &expanded.warnings)?;
    Ok((spec, expanded))
}

/// Reads what stands after `--weights`. What must be fetched is fetched only for a spec without
/// mistakes.
pub fn weights(text: &str, spec: &Spec, options: &Options) -> Result<Weights, Failure> {
    if let Ok(Origin::Hub(_)) = Origin::parse(text) {
        let dialects = spec.dialects();
        crate::network::expand_spec(spec, options, None)?;
        for dialect in dialects.into_iter().skip(1).filter(|_| options.dialect.is_none()) {
            crate::network::expand_spec(spec, options, Some(dialect))?;
        }
    }
    let mut fetching = Fetching::default();
    Ok(Weights::parse_with(text, &mut |event| fetching.show(event))?)
}

/// Prints the warnings about a spec and its weights.
pub fn notes(spec: &Spec, network: &Network) -> Result<(), Failure> {
    report(&spec.sources, &network.expanded.warnings)?;
    network.notes.iter().for_each(|note| say(&format!("note: {note}")));
    Ok(())
}

/// How to compile and run.
///
/// # Errors
/// A file of choices that the user names and that cannot be used.
pub fn run_options(machine: &MachineArgs, backend: BackendArg) -> Result<RunOptions, Failure> {
    let options = untuned(machine, backend);
    Ok(RunOptions { tuned: tuned(machine, &options)?, ..options })
}

/// The measured choices for these options. That remembered ones can't be used is said and no reason to stop: they
/// only make it faster.
pub fn tuned(machine: &MachineArgs, options: &RunOptions) -> Result<Arc<Choices>, Failure> {
    if machine.untuned {
        return Ok(Arc::default());
    }
    if let Some(path) = &machine.tuned {
        return Ok(Arc::new(tune::from_file(path, options)?));
    }
    // A CPU that this machine has not is another command's error.
    if options.driver().is_err() {
        return Ok(Arc::default());
    }
    Ok(Arc::new(tune::remembered(options).unwrap_or_else(|error| {
        say(&format!("warning: {error}"));
        Choices::default()
    })))
}

/// How to compile and run by estimates alone.
pub fn untuned(machine: &MachineArgs, backend: BackendArg) -> RunOptions {
    let backend = match backend {
        BackendArg::Auto => Backend::Auto,
        BackendArg::Wide => Backend::Wide,
        BackendArg::Portable => Backend::Portable,
        BackendArg::Interpreter => Backend::Interpreter,
    };
    RunOptions {
        backend,
        cpu: machine.cpu(),
        threads: machine.threads(),
        winograd: !machine.no_winograd,
        depth_first: !machine.no_depth_first,
        ..RunOptions::default()
    }
}

/// How to plan.
///
/// # Errors
/// As [`run_options`].
pub fn plan_options(machine: &MachineArgs) -> Result<plan::Options, Failure> {
    let options = run_options(machine, BackendArg::Auto)?;
    Ok(plan::Options {
        winograd: options.winograd,
        depth_first: options.depth_first,
        tuned: options.tuned,
    })
}

/// Names a session's kernels for `perf`, where the user asks for it.
pub fn perf_map(args: &RunnerArgs, session: &Session) -> Result<(), Failure> {
    let Some(code) = session.code().filter(|_| args.perf_map) else { return Ok(()) };
    let path = perf_map::add(code.program())?;
    say(&format!("note: names of the kernels for perf: {}", path.display()));
    Ok(())
}

/// `efficientnet:b3`, for titles.
pub fn title(expanded: &Expanded, spec: &Spec) -> String {
    match &expanded.variant {
        Some(variant) => format!("{}:{variant}", spec.name),
        None => spec.name.clone(),
    }
}
