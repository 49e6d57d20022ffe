//! `netwright tune`: which ways to compute the layers are the fastest here.

use super::args::TuneArgs;
use super::common;
use super::failure::{Failure, Outcome};
use super::numbers::rounded;
use super::table::{Align, Table};
use crate::network::{Network, Weights};
use crate::session::Backend;
use crate::tune::{self, Cpu, Effort, Group, Progress, Store};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde_json::{Value, json};
use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::time::Duration;

/// Weights and input: the time does not depend on their values.
const WEIGHTS: Weights = Weights::Generated { seed: 0, gain: 1.0 };
/// Steps of the bar.
const BAR: u64 = 1000;

pub fn run(args: &TuneArgs) -> Outcome {
    let machine = &args.spec.machine;
    if machine.untuned {
        return Err(Failure::Usage(
            "--untuned is for the commands that use what tune has measured".into(),
        ));
    }
    let options = common::untuned(machine, args.backend);
    if options.backend == Backend::Interpreter {
        return Err(Failure::Usage("the interpreter has no choices that could be measured".into()));
    }
    // Before the time is spent.
    let store = if args.dry_run { None } else { Some(open(machine.tuned.clone())?) };
    let (spec, network_options) = common::load(&args.spec, args.batch as usize)?;
    let network = Network::new(&spec, &network_options, &WEIGHTS)?;
    common::notes(&spec, &network)?;
    let mut bar = Bar::new();
    let effort = Effort { time: Duration::from_secs_f64(args.seconds) };
    let outcome = tune::measure(&network, &options, effort, &mut |progress| bar.show(progress))?;
    drop(bar);
    let path = match store {
        // Nothing is written before this, so that a tuning that is broken off leaves what was there.
        Some((path, mut store)) if !outcome.choices.is_empty() => {
            store.add(&outcome.choices, outcome.instructions, outcome.threads);
            store.write(&path)?;
            Some(path)
        }
        _ => None,
    };
    let mut out = std::io::stdout().lock();
    if args.json {
        let object = object(&network, &outcome, path.as_ref());
        writeln!(out, "{}", serde_json::to_string_pretty(&object).map_err(std::io::Error::other)?)?;
        return Ok(());
    }
    let threads = match outcome.threads {
        1 => "1 thread".to_string(),
        n => format!("{n} threads"),
    };
    let title = common::title(&network.expanded, &spec);
    writeln!(out, "{title}, batch {}, {threads}, {}", args.batch, outcome.instructions)?;
    if outcome.groups.is_empty() {
        writeln!(out, "  no layer can be computed in more than one way: nothing to measure")?;
        return Ok(());
    }
    writeln!(out)?;
    table(&outcome.groups).write(&mut out)?;
    writeln!(out)?;
    let changed = outcome.groups.iter().filter(|group| group.estimated != group.tuned).count();
    writeln!(out, "  {}", verdict(changed, outcome.before, outcome.after))?;
    if let Some(path) = path {
        writeln!(out, "  remembered in {}", path.display())?;
    }
    Ok(())
}

/// What it comes to for a run of the whole network; `before` and `after` in seconds.
fn verdict(changed: usize, before: f64, after: f64) -> String {
    let [ms, instead] = [after, before].map(|seconds| format!("{:.3}", seconds * 1e3));
    if changed == 0 {
        return format!("the estimates stand: {instead} ms a run");
    }
    if after < before {
        let gain = (before / after - 1.0) * 100.0;
        return format!("{ms} ms a run instead of {instead}: {gain:.1}% faster");
    }
    format!(
        "{ms} ms a run instead of {instead}: the layers gain less than whole runs differ by chance, or by other \
         work on this machine"
    )
}

/// The file and what is in it. One that can't be used is replaced.
fn open(path: Option<PathBuf>) -> Result<(PathBuf, Store), Failure> {
    let cpu = Cpu::host();
    let Some(path) = path.or_else(tune::default_path) else {
        return Err(Failure::Input(
            "there is no home folder to remember choices in: set NETWRIGHT_CACHE to a folder"
                .into(),
        ));
    };
    let store = match Store::read(&path, Some(&cpu)) {
        Ok(store) => store.unwrap_or_else(|| Store::new(cpu)),
        Err(error @ tune::StoreError::Unreadable { .. }) => {
            return Err(crate::Error::from(error).into());
        }
        Err(error) => {
            common::say(&format!("note: {error}; it is replaced now"));
            Store::new(cpu)
        }
    };
    Ok((path, store))
}

fn table(groups: &[Group]) -> Table {
    let mut table = Table::new(&[
        ("layers", Align::Left),
        ("times", Align::Right),
        ("estimated best", Align::Left),
        ("measured best", Align::Left),
        ("ms", Align::Right),
        ("instead of", Align::Right),
        ("gain", Align::Right),
        ("ways timed", Align::Right),
    ]);
    let ms = |seconds: f64| format!("{:.3}", seconds * 1e3);
    for group in groups {
        let gain = match group.before > group.after {
            true => format!("{:.1}%", (group.before / group.after - 1.0) * 100.0),
            false => String::new(),
        };
        let same = group.estimated == group.tuned;
        table.row(vec![
            span(&group.layers, group.times),
            group.times.to_string(),
            group.estimated.clone(),
            if same { "the same".into() } else { group.tuned.clone() },
            ms(group.after),
            if same { String::new() } else { ms(group.before) },
            gain,
            group.candidates.len().to_string(),
        ]);
    }
    table
}

/// The first and the last of the layers of one time.
fn span(layers: &[String], times: usize) -> String {
    let each = layers.len() / times.max(1);
    match (layers.first(), layers.get(each.max(1) - 1)) {
        (Some(first), Some(last)) if first != last => format!("{first} .. {last}"),
        (Some(first), _) => first.clone(),
        _ => String::new(),
    }
}

fn object(network: &Network, outcome: &tune::Outcome, path: Option<&PathBuf>) -> Value {
    let ms = |seconds: f64| rounded(seconds * 1e3, 5);
    let groups: Vec<Value> = outcome
        .groups
        .iter()
        .map(|group| {
            let candidates: Vec<Value> = group
                .candidates
                .iter()
                .map(|one| json!({ "layer": one.layer, "way": one.way, "ms": ms(one.seconds) }))
                .collect();
            json!({
                "layers": group.layers,
                "times": group.times,
                "estimated": group.estimated,
                "tuned": group.tuned,
                "before_ms": ms(group.before),
                "after_ms": ms(group.after),
                "candidates": candidates,
            })
        })
        .collect();
    json!({
        "network": network.expanded.graph.name,
        "cpu": Cpu::host().name,
        "instructions": outcome.instructions,
        "threads": outcome.threads,
        "variants": outcome.variants,
        "before_ms": ms(outcome.before),
        "after_ms": ms(outcome.after),
        "groups": groups,
        "file": path.map(|path| path.display().to_string()),
    })
}

/// A bar on a terminal; nothing elsewhere.
struct Bar {
    bar: Option<ProgressBar>,
}

impl Bar {
    fn new() -> Bar {
        if !std::io::stderr().is_terminal() {
            return Bar { bar: None };
        }
        let bar = ProgressBar::new(BAR).with_finish(ProgressFinish::AndClear);
        if let Ok(style) = ProgressStyle::with_template("{msg:10} {bar:32} {percent}%") {
            bar.set_style(style);
        }
        Bar { bar: Some(bar) }
    }

    fn show(&mut self, progress: Progress) {
        if let Some(bar) = &self.bar {
            bar.set_message(progress.what);
            bar.set_position((progress.done * BAR as f64) as u64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::verdict;

    #[test]
    fn a_run_that_was_not_faster_is_not_called_so() {
        assert_eq!(verdict(0, 2e-3, 2e-3), "the estimates stand: 2.000 ms a run");
        assert_eq!(verdict(1, 2e-3, 1.6e-3), "1.600 ms a run instead of 2.000: 25.0% faster");
        let slower = verdict(1, 2e-3, 2.1e-3);
        assert!(slower.starts_with("2.100 ms a run instead of 2.000: the layers gain less"));
    }
}
