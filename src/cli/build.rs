//! `netwright build`: an object file for C.

use super::args::{BackendArg, BuildArgs, InputAs, WeightsAs};
use super::common;
use super::failure::Outcome;
use super::numbers::{bytes, rounded};
use crate::build::{Build, BuildOptions, Written, is_host};
use crate::network::{Network, Weights};
use netwright_compiler::driver::Half;
use serde_json::json;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub fn run(args: &BuildArgs) -> Outcome {
    let start = Instant::now();
    let (spec, options) = common::load(&args.spec, args.batch as usize)?;
    let weights = match &args.weights {
        Some(text) => common::weights(text, &spec, &options)?,
        None => Weights::Bundled,
    };
    let network = Network::new(&spec, &options, &weights)?;
    common::notes(&spec, &network)?;
    let machine = &args.spec.machine;
    // What was measured here says nothing of another architecture, unless the user says so.
    let tuned = match is_host(args.target.as_deref()) || machine.tuned.is_some() {
        true => common::tuned(machine, &common::untuned(machine, BackendArg::Auto))?,
        false => Arc::default(),
    };
    let options = BuildOptions {
        name: args.name.clone(),
        target: args.target.clone(),
        cpu: machine.cpu.clone(),
        threads: machine.threads.map_or(0, usize::from),
        external_weights: args.external_weights,
        winograd: !machine.no_winograd,
        depth_first: !machine.no_depth_first,
        tuned,
        half: match args.weights_as {
            WeightsAs::F32 => None,
            WeightsAs::F16 => Some(Half::F16),
            WeightsAs::Bf16 => Some(Half::Bf16),
        },
        bytes: args.input_as == InputAs::U8Nhwc,
        origin: origin(args.weights.as_deref()),
    };
    let build = Build::new(&spec, &network, &options)?;
    let files = build.write(&args.output, args.force)?;
    for kept in files.iter().filter(|file| !file.written) {
        common::say(&format!(
            "note: `{}` was changed since it was written, and stays as it is (--force overwrites it)",
            kept.path.display()
        ));
    }
    report(args, &build, &files, start.elapsed())
}

/// The weights' file without its folder.
fn origin(weights: Option<&str>) -> String {
    match weights {
        None => "those that come with netwright".into(),
        Some(text) => {
            let name = std::path::Path::new(text).file_name();
            name.map_or_else(|| text.to_string(), |name| name.to_string_lossy().into_owned())
        }
    }
}

fn report(args: &BuildArgs, build: &Build, files: &[Written], elapsed: Duration) -> Outcome {
    let file = &build.object.file;
    let code: usize = file.code.iter().map(|(_, bytes)| bytes).sum();
    let mut out = std::io::stdout().lock();
    if args.json {
        let levels: serde_json::Map<String, serde_json::Value> =
            file.code.iter().map(|(level, n)| (level.name().to_string(), json!(n))).collect();
        let paths: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
        let object = json!({
            "name": build.name,
            "target": build.target,
            "files": paths,
            "code_bytes": code,
            "code_bytes_by_level": levels,
            "weights_bytes": build.object.weights.bytes().len(),
            "workspace_bytes": file.workspace_bytes(file.threads),
            "workspace_bytes_one_thread": file.workspace_bytes(1),
            "threads": file.threads,
            "compile_ms": rounded(build.object.compile.as_secs_f64() * 1e3, 3),
            "pack_ms": rounded(build.object.weights.elapsed().as_secs_f64() * 1e3, 3),
            "tuned_choices": build.object.tuned.len(),
            "half_error": build.object.cost.map(|cost| rounded(cost.error, 6)),
            "half_same_top": build.object.cost.map(|cost| cost.same_top),
            "total_ms": rounded(elapsed.as_secs_f64() * 1e3, 3),
        });
        writeln!(out, "{}", serde_json::to_string_pretty(&object).map_err(std::io::Error::other)?)?;
        return Ok(());
    }
    for file in files.iter().filter(|file| file.written) {
        writeln!(out, "{}  {}", file.path.display(), bytes(file.bytes as usize))?;
    }
    let levels: Vec<String> =
        file.code.iter().map(|(level, n)| format!("{} {}", level.name(), bytes(*n))).collect();
    writeln!(out, "  for {}", build.target)?;
    writeln!(
        out,
        "  code {} ({}), weights {}",
        bytes(code),
        levels.join(", "),
        bytes(build.object.weights.bytes().len())
    )?;
    writeln!(
        out,
        "  workspace {} for one thread, {} for {}",
        bytes(file.workspace_bytes(1)),
        bytes(file.workspace_bytes(file.threads)),
        file.threads
    )?;
    if let Some(cost) = build.object.cost {
        let top = if cost.same_top { "the same class is" } else { "another class is" };
        writeln!(
            out,
            "  weights in 16 bits change the first output by up to {:.2e} of its standard deviation, and {top} \
             the most likely (one generated image)",
            cost.error
        )?;
    }
    writeln!(
        out,
        "  compiled in {:.1} ms, weights packed in {:.1} ms, {:.1} ms in all",
        build.object.compile.as_secs_f64() * 1e3,
        build.object.weights.elapsed().as_secs_f64() * 1e3,
        elapsed.as_secs_f64() * 1e3
    )?;
    Ok(())
}
