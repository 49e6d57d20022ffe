//! `netwright bench`: how long a run takes, beside what the machine could do.

use super::args::BenchArgs;
use super::common;
use super::failure::{Failure, Outcome};
use super::interactive;
use super::numbers::{self, rounded};
use crate::median::median;
use crate::network::Network;
use crate::npy;
use crate::session::{RunOptions, Session};
use netwright_codegen::peak;
use netwright_compiler::weights::image;
use netwright_ir::count;
use serde_json::json;
use std::io::Write;
use std::time::{Duration, Instant};

/// Time before measuring, at least a run: caches, clocks and threads settle.
const WARM_UP: Duration = Duration::from_millis(200);

/// Runs that are measured even where they take longer than was asked for.
const MIN_RUNS: u32 = 3;

/// Most runs that are measured.
const MAX_RUNS: usize = 1_000_000;

/// Seed of the input where none is given.
const INPUT_SEED: u64 = 0;

/// A network that is ready to be measured.
pub struct Prepared {
    pub network: Network,
    pub session: Session,
    pub input: Vec<f32>,
    pub output: Vec<f32>,
    /// From the parsed spec to callable code, packing apart.
    pub compile: Duration,
    /// Everything, from the command's start.
    pub prepare: Duration,
}

pub fn run(args: &BenchArgs) -> Outcome {
    // Both times are printed.
    let options = RunOptions {
        separate: true,
        ..common::run_options(&args.spec.machine, args.runner.backend)?
    };
    let mut ready = prepare(args, &options)?;
    if args.interactive {
        return interactive::run(&mut ready, args.expect.as_deref());
    }
    let times = measure(&mut ready, args)?;
    report(args, &ready, &times, &options)
}

fn prepare(args: &BenchArgs, options: &RunOptions) -> Result<Prepared, Failure> {
    let start = Instant::now();
    let array = match &args.input {
        Some(path) => Some(npy::read(path).map_err(|error| Failure::about(path.display(), error))?),
        None => None,
    };
    let batch = match &array {
        Some(array) => super::results::batch_of(&array.shape)?,
        None => args.batch as usize,
    };
    let (spec, network_options) = common::load(&args.spec, batch)?;
    let origin = args.runner.weights.as_deref().unwrap_or("generated:0");
    let weights = common::weights(origin, &spec, &network_options)?;
    let parsed = Instant::now();
    let network = Network::new(&spec, &network_options, &weights)?;
    let expand = parsed.elapsed();
    common::notes(&spec, &network)?;
    let session = Session::new(&network, options)?;
    common::perf_map(&args.runner, &session)?;
    let input = match array {
        Some(array) => {
            super::results::check_input(&array, &network.expanded)?;
            array.data
        }
        None => {
            let [n, h, w, c] = network.expanded.input;
            image(n, c, h, w, INPUT_SEED)
        }
    };
    let output = vec![0.0; session.outputs()[0].elements()];
    let compile = expand + session.compile_time();
    let mut ready = Prepared { network, session, input, output, compile, prepare: Duration::ZERO };
    ready.once()?;
    ready.prepare = start.elapsed();
    Ok(ready)
}

impl Prepared {
    /// Runs once, and gives the time.
    pub fn once(&mut self) -> Result<Duration, Failure> {
        let start = Instant::now();
        self.session.run(&self.input, &mut self.output)?;
        Ok(start.elapsed())
    }
}

/// Times in seconds, in the order of size.
fn measure(ready: &mut Prepared, args: &BenchArgs) -> Result<Vec<f64>, Failure> {
    let start = Instant::now();
    while start.elapsed() < WARM_UP {
        ready.once()?;
    }
    let runs = args.runs.unwrap_or(MIN_RUNS) as usize;
    let seconds = Duration::from_secs_f64(args.seconds);
    let mut times = Vec::with_capacity(runs.min(MAX_RUNS));
    let start = Instant::now();
    while times.len() < MAX_RUNS && (times.len() < runs || start.elapsed() < seconds) {
        times.push(ready.once()?.as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    Ok(times)
}

fn report(args: &BenchArgs, ready: &Prepared, times: &[f64], options: &RunOptions) -> Outcome {
    let expanded = &ready.network.expanded;
    let macs = count(&expanded.graph).macs;
    let median = median(times.iter().copied());
    let min = times.first().copied().unwrap_or(0.0);
    let gflops = 2.0 * macs as f64 / median / 1e9;
    let failed = |error| Failure::Input(format!("cannot measure the machine's peak: {error}"));
    let peaks = peak::measure(options.threads).map_err(failed)?;
    let [one, all] = peak::one_and_all(options.threads).map_err(failed)?;
    let peak = all.gflops;
    // What that many threads could gain at most, here and now.
    let ratio = all.gflops / one.gflops;
    let batch = expanded.input[0];
    let workspace = ready.session.workspace_bytes();
    let (compile, pack) = (ms(ready.compile), ms(ready.session.pack_time()));
    let backend = ready.session.backend_name();
    let mut out = std::io::stdout().lock();
    if args.json {
        let widths: serde_json::Map<String, serde_json::Value> = peaks
            .iter()
            .map(|peak| (peak.bits.to_string(), json!(rounded(peak.gflops, 2))))
            .collect();
        let object = json!({
            "network": expanded.graph.name,
            "backend": backend,
            "median_ms": rounded(median * 1e3, 4),
            "min_ms": rounded(min * 1e3, 4),
            "runs": times.len(),
            "threads": options.threads,
            "batch": batch,
            "compile_ms": rounded(compile, 3),
            "pack_ms": rounded(pack, 3),
            "macs": macs,
            "gflops": rounded(gflops, 2),
            "peak_gflops": rounded(peak, 2),
            "peak_share": rounded(gflops / peak, 4),
            "peak_gflops_1_thread": rounded(one.gflops, 2),
            "peak_ratio": rounded(ratio, 3),
            "peak_gflops_by_bits": widths,
            "workspace_bytes": workspace,
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&object).map_err(std::io::Error::other)?)?;
        return Ok(());
    }
    let threads = match options.threads {
        1 => "1 thread".to_string(),
        n => format!("{n} threads"),
    };
    writeln!(out, "{}, batch {batch}, {threads}, {backend}", expanded.graph.name)?;
    writeln!(
        out,
        "  median {:.3} ms, fastest {:.3} ms of {} runs",
        median * 1e3,
        min * 1e3,
        times.len()
    )?;
    writeln!(
        out,
        "  {:.1} GFLOP/s, {:.0}% of the measured peak of {peak:.1} ({} MACs)",
        gflops,
        100.0 * gflops / peak,
        numbers::short(macs),
    )?;
    let widths: Vec<String> =
        peaks.iter().map(|peak| format!("{}-bit {:.1}", peak.bits, peak.gflops)).collect();
    writeln!(out, "  peaks by vectors: {} GFLOP/s", widths.join(", "))?;
    if options.threads > 1 {
        writeln!(
            out,
            "  peak of 1 thread: {:.1} GFLOP/s; {threads} have {ratio:.2} times as much",
            one.gflops
        )?;
    }
    writeln!(
        out,
        "  compiled in {compile:.1} ms, weights packed in {pack:.1} ms, workspace {}",
        numbers::bytes(workspace)
    )?;
    Ok(())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
