//! `netwright run`: a network on photos, or on an array.

use super::args::RunArgs;
use super::common;
use super::compare;
use super::failure::{Failure, Outcome};
use super::photos::{self, Photos};
use super::results::{self, Naming};
use crate::network::{Network, Weights};
use crate::npy;
use crate::photo::{self, Preprocess};
use crate::session::{RunOptions, Session};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use std::collections::HashSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Photos that are computed together unless the user says otherwise.
const BATCH: usize = 8;

/// Most photos whose features can be written: they are one batch.
const MAX_FEATURES: usize = 64;

pub fn run(args: &RunArgs) -> Outcome {
    // Before anything is computed.
    if let Some(folder) = args.features.as_ref().filter(|path| path.exists() && !path.is_dir()) {
        let message = "this is no folder; --features writes files into one";
        return Err(Failure::about(folder.display(), message));
    }
    match &args.input {
        Some(path) => run_array(args, path),
        None => run_photos(args),
    }
}

/// A network that is ready to run, and the naming of what it says.
struct Ready {
    network: Network,
    session: Session,
    options: RunOptions,
    naming: Naming,
}

/// Loads the network; `check` looks at it before it is compiled.
fn prepare(
    args: &RunArgs,
    batch: usize,
    check: impl FnOnce(&Network) -> Outcome,
) -> Result<Ready, Failure> {
    let (spec, options) = common::load(&args.spec, batch)?;
    let weights = match &args.runner.weights {
        Some(text) => common::weights(text, &spec, &options)?,
        None => Weights::Bundled,
    };
    let network = Network::new(&spec, &options, &weights)?;
    common::notes(&spec, &network)?;
    check(&network)?;
    let naming = Naming::new(&network.expanded, args.labels.as_deref(), args.top)?;
    let mut options = common::run_options(&args.spec.machine, args.runner.backend)?;
    options.features = args.features.is_some();
    let session = Session::new(&network, &options)?;
    common::perf_map(&args.runner, &session)?;
    Ok(Ready { network, session, options, naming })
}

fn run_array(args: &RunArgs, path: &Path) -> Outcome {
    let array = npy::read(path).map_err(|error| Failure::about(path.display(), error))?;
    let batch = results::batch_of(&array.shape)?;
    let mut ready =
        prepare(args, batch, |network| results::check_input(&array, &network.expanded))?;
    let values = ready.session.run_all(&array.data)?;
    // Whoever asks for files does not ask for names.
    let quiet = args.output.is_some() || args.features.is_some() || args.expect.is_some();
    if !quiet || args.json {
        let name = |image| match batch {
            1 => path.display().to_string(),
            _ => format!("{}[{image}]", path.display()),
        };
        let guesses = ready.naming.guesses(&values[0])?;
        if guesses.is_empty() {
            return Err(no_classes(&ready));
        }
        let named = guesses.iter().enumerate().map(|(image, guesses)| (name(image), guesses));
        let mut printer = Printer::new(args.json);
        for (name, guesses) in named {
            printer.print(&ready.naming, &name, guesses)?;
        }
        printer.finish()?;
    }
    let outcome = finish(args, &ready, &array.data, &values);
    // The process ends: the system takes its memory back at once, sooner than piece by piece.
    std::mem::forget(ready);
    outcome
}

fn run_photos(args: &RunArgs) -> Outcome {
    let photos = photos::find(&args.images)?;
    let files = args.output.is_some() || args.features.is_some() || args.expect.is_some();
    let together = args.features.is_some() || args.expect.is_some();
    if together && photos.files.len() > MAX_FEATURES {
        return Err(Failure::Usage(format!(
            "--features and --expect take at most {MAX_FEATURES} photos, these are {}",
            photos.files.len()
        )));
    }
    let batch = match args.batch {
        _ if together => photos.files.len(),
        Some(batch) => batch as usize,
        None => photos.files.len().min(BATCH),
    };
    let mut ready = prepare(args, batch, |_| Ok(()))?;
    if !ready.naming.has_classes() && !files {
        return Err(no_classes(&ready));
    }
    let preprocess = Preprocess::of(&ready.network.expanded)
        .map_err(|error| Failure::Input(error.to_string()))?;
    if photos.skipped > 0 {
        common::say(&format!("note: {} other files in the folders left out", photos.skipped));
    }
    let bar = progress(&photos, batch);
    let mut printer = Printer::new(args.json);
    let mut input = vec![0.0f32; batch * preprocess.elements()];
    let (mut rows, mut last, mut failed) = (Vec::new(), Vec::new(), false);
    for files_of_batch in photos.files.chunks(batch) {
        let failures = load_batch(&preprocess, files_of_batch, &mut input, args);
        for (file, error) in files_of_batch.iter().zip(&failures) {
            if let Some(error) = error {
                bar.suspend(|| common::say(&format!("error: {}: {error}", file.display())));
                failed = true;
            }
        }
        if failed && files {
            // Rows of a file could not be told apart any more.
            return Err(Failure::Said);
        }
        last = ready.session.run_all(&input)?;
        let length = last[0].len() / batch;
        let used = &last[0][..files_of_batch.len() * length];
        let guesses = ready.naming.guesses(used)?;
        for ((file, guesses), error) in files_of_batch.iter().zip(&guesses).zip(&failures) {
            if error.is_none() {
                let name = file.display().to_string();
                bar.suspend(|| printer.print(&ready.naming, &name, guesses))?;
            }
        }
        if args.output.is_some() {
            rows.extend_from_slice(used);
        }
        bar.inc(files_of_batch.len() as u64);
    }
    bar.finish_and_clear();
    printer.finish()?;
    if together {
        finish(args, &ready, &input, &last)?;
    } else if let Some(path) = &args.output {
        let mut shape = ready.session.outputs()[0].shape.clone();
        shape[0] = photos.files.len();
        npy::write(path, &shape, &rows).map_err(|error| Failure::Input(error.to_string()))?;
    }
    if failed { Err(Failure::Said) } else { Ok(()) }
}

/// Writes and compares what was asked for.
fn finish(args: &RunArgs, ready: &Ready, input: &[f32], values: &[Vec<f32>]) -> Outcome {
    let write = |path: &Path, shape: &[usize], data: &[f32]| {
        npy::write(path, shape, data).map_err(|error| Failure::Input(error.to_string()))
    };
    let ports = ready.session.outputs();
    if let Some(path) = &args.output {
        write(path, &ports[0].shape, &values[0])?;
    }
    if let Some(folder) = &args.features {
        std::fs::create_dir_all(folder).map_err(|error| {
            Failure::about(folder.display(), format!("cannot be made: {error}"))
        })?;
        let mut written = HashSet::new();
        for (port, values) in ports.iter().zip(values) {
            // An output that is also a stage's end is there once.
            if written.insert(&port.name) {
                let path = folder.join(format!("{}.npy", port.name));
                write(&path, &port.shape, values)?;
            }
        }
    }
    if let Some(path) = &args.expect {
        let comparison = compare::Comparison {
            network: &ready.network,
            options: &ready.options,
            input,
            port: &ports[0],
            output: &values[0],
            tolerance: args.tolerance,
        };
        compare::run(&comparison, path, &mut std::io::stdout().lock())?;
    }
    Ok(())
}

fn no_classes(ready: &Ready) -> Failure {
    Failure::Input(format!(
        "the network gives no classes to name, its outputs are {}: write them with --output or --features",
        results::outputs(&ready.session)
    ))
}

/// Decodes and prepares the photos of a batch on several threads; for each, what went wrong.
fn load_batch(
    preprocess: &Preprocess,
    files: &[PathBuf],
    input: &mut [f32],
    args: &RunArgs,
) -> Vec<Option<photo::PhotoError>> {
    // Slots of photos that fail, and behind the last, are black.
    input.fill(0.0);
    let mut failures: Vec<Option<photo::PhotoError>> = files.iter().map(|_| None).collect();
    let slots = input.chunks_exact_mut(preprocess.elements().max(1));
    let work = Mutex::new(files.iter().zip(slots).zip(&mut failures));
    let worker = || {
        loop {
            // A worker that panicked is reported by `scope`; the list of work is as it was.
            let next = work.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).next();
            let Some(((file, slot), failure)) = next else { return };
            *failure = photo::decode(file).and_then(|photo| preprocess.apply(&photo, slot)).err();
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..args.spec.machine.threads().min(files.len()) {
            scope.spawn(worker);
        }
        worker();
    });
    failures
}

/// A bar on a terminal where there is more than one batch; hidden elsewhere.
fn progress(photos: &Photos, batch: usize) -> ProgressBar {
    if photos.files.len() <= batch {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(photos.files.len() as u64);
    if let Ok(style) =
        ProgressStyle::with_template("{bar:32} {pos}/{len} photos, {per_sec}, {eta} to go")
    {
        bar.set_style(style);
    }
    bar
}

/// Prints guesses as they come, or collects them for one array.
struct Printer {
    array: Option<Vec<Value>>,
}

impl Printer {
    fn new(json: bool) -> Printer {
        Printer { array: json.then(Vec::new) }
    }

    fn print(&mut self, naming: &Naming, file: &str, guesses: &[crate::labels::Guess]) -> Outcome {
        match &mut self.array {
            Some(array) => array.push(naming.json(file, guesses)),
            None => {
                std::io::stdout().lock().write_all(naming.text(file, guesses).as_bytes())?;
            }
        }
        Ok(())
    }

    fn finish(self) -> Outcome {
        let Some(array) = self.array else { return Ok(()) };
        let text = serde_json::to_string_pretty(&array).map_err(std::io::Error::other)?;
        writeln!(std::io::stdout().lock(), "{text}")?;
        Ok(())
    }
}
