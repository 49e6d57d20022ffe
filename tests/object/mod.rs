//! Building objects and linking them with C, for the tests of `netwright build`.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod tools;

use netwright::build::{Build, BuildOptions};
use netwright::{Network, Options, RunOptions, Session, Spec, Weights};
use netwright_compiler::weights::image;
use std::path::{Path, PathBuf};
use std::process::Command;
pub use tools::*;

/// The networks that objects are checked with: spec, resolution for slow ways of running.
pub const NETWORKS: [(&str, &str); 7] = [
    ("mobilenet_v2", "96"),
    ("mobilenet_v3:small", "96"),
    ("efficientnet:b0", "64"),
    ("mobilevit:xxs", "64"),
    ("convnext:tiny", "32"),
    ("vit:tiny_patch16", "32"),
    ("swin:tiny", "56"),
];

/// A network with generated weights.
pub fn network(spec: &str, sets: &[(&str, &str)], batch: usize) -> (Spec, Network) {
    let spec = Spec::load(spec).expect("a spec");
    let sets = sets.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let options = Options { sets, batch, ..Options::default() };
    let weights = Weights::Generated { seed: 3, gain: 1.0 };
    let network = Network::new(&spec, &options, &weights).expect("a network");
    (spec, network)
}

/// The generated input of a network.
pub fn input(network: &Network) -> Vec<f32> {
    let [n, h, w, c] = network.expanded.input;
    image(n, c, h, w, 1)
}

/// The outputs of the network, compiled for this process, one after the other.
pub fn expected(network: &Network, input: &[f32], cpu: &str) -> Vec<f32> {
    let options = RunOptions { cpu: cpu.into(), threads: 1, ..RunOptions::default() };
    let mut session = Session::new(network, &options).expect("it compiles");
    session.run_all(input).expect("it runs").concat()
}

/// In how many rounds the batch is computed.
pub fn rounds(network: &Network) -> usize {
    let session = Session::new(network, &RunOptions::default()).expect("it compiles");
    session.code().map_or(0, |code| code.plan().program.rounds)
}

/// Builds into a folder.
pub fn build(folder: &Path, spec: &Spec, network: &Network, options: &BuildOptions) -> Build {
    let build = Build::new(spec, network, options).expect("it compiles");
    build.write(folder, false).expect("it is written");
    build
}

pub fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The `f32`s in a file.
pub fn floats(path: &Path) -> Vec<f32> {
    let bytes = std::fs::read(path).expect("a file of floats");
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect()
}

/// Links and runs `tests/c/check.c`, and gives the outputs.
pub fn check(folder: &Path, build: &Build, input: &[u8]) -> Vec<f32> {
    let source = source("check.c");
    let (name, upper) = (&build.name, build.name.to_uppercase());
    let mut flags = vec![
        format!("-DHEADER=\"{name}.h\""),
        format!("-DLOWER={name}"),
        format!("-DUPPER={upper}"),
        format!("-DINPUT_ALIGN={}", if build.object.input_bytes { 1 } else { 4 }),
    ];
    if build.object.outputs.len() > 1 {
        flags.push(format!("-DOUTPUT_COUNT={}", build.object.outputs.len()));
    }
    if build.object.file.external.is_some() {
        flags.push("-DEXTERNAL".into());
    }
    let object = format!("{name}.o");
    let mut arguments = vec!["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-O1", "-I."];
    arguments.extend(flags.iter().map(String::as_str));
    let source = source.to_string_lossy();
    arguments.extend([&*source, &object, "-o", "check", "-pthread"]);
    compile("gcc", folder, &arguments);
    std::fs::write(folder.join("input"), input).expect("a file");
    let mut command = Command::new("./check");
    command.args(["input", "output"]).current_dir(folder);
    if build.object.file.external.is_some() {
        command.arg(format!("{name}.weights"));
    }
    succeeds(&mut command);
    floats(&folder.join("output"))
}

/// A file of `tests/c`.
pub fn source(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c").join(name)
}

#[track_caller]
pub fn assert_same_bits(what: &str, given: &[f32], wanted: &[f32]) {
    assert_eq!(given.len(), wanted.len(), "{what}");
    let differs = given.iter().zip(wanted).position(|(a, b)| a.to_bits() != b.to_bits());
    if let Some(at) = differs {
        panic!("{what}: value {at} is {}, not {}", given[at], wanted[at]);
    }
}

/// Whether values are as near as another machine's rounding makes them.
#[track_caller]
pub fn assert_near(what: &str, given: &[f32], wanted: &[f32], tolerance: f64) {
    assert_eq!(given.len(), wanted.len(), "{what}");
    let count = wanted.len() as f64;
    let mean = wanted.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let deviation =
        (wanted.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count).sqrt();
    for (a, b) in given.iter().zip(wanted) {
        let error = f64::from((a - b).abs()) / deviation;
        assert!(
            error <= tolerance,
            "{what}: {a} instead of {b}, off by {error:.2e} of {deviation}"
        );
    }
}
