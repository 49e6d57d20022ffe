//! Options that several commands share. Their doc comments are the text of `--help`.
#![allow(rustdoc::broken_intra_doc_links, reason = "`[:GAIN]` in a help text is no link")]

use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// `--set alpha=1.4`
#[derive(Clone, Debug)]
pub struct Override {
    pub name: String,
    pub value: String,
}

fn parse_override(text: &str) -> Result<Override, String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE, such as alpha=1.4")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() || value.is_empty() {
        return Err("expected NAME=VALUE, such as resolution=192".into());
    }
    Ok(Override { name: name.into(), value: value.into() })
}

/// A spec and how it is to be taken.
#[derive(Args, Clone, Debug)]
pub struct SpecArgs {
    /// A built-in spec (`netwright specs` lists them) or the path of an .arch file; a variant follows after a colon:
    /// efficientnet:b3, nets/mine.arch:small
    #[arg(value_name = "SPEC")]
    pub spec: String,
    /// Override a parameter of the network: alpha=1.4, resolution=192, resolution=224x160, patch=8,4,2 (repeatable)
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_override)]
    pub set: Vec<Override>,
    /// Naming and details of one library: timm, timm_tf, torchvision [default: recognised from the weights' names]
    #[arg(long, value_name = "NAME")]
    pub dialect: Option<String>,
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// What to compile for, and with how many threads.
#[derive(Args, Clone, Debug)]
pub struct MachineArgs {
    /// Instructions to use: what the machine has, 128-bit vectors (baseline), or those of an x86-64 level
    /// [default: native; build: all useful ones in one object]
    #[arg(long, value_name = "NAME", value_parser = crate::session::CPUS)]
    pub cpu: Option<String>,
    /// Threads to run on [default: all cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub threads: Option<u16>,
    /// Compute 3x3 convolutions by plain sums, never by Winograd's algorithm: slower, with less memory for weights and
    /// smaller rounding errors
    #[arg(long)]
    pub no_winograd: bool,
    /// Compute each convolution over its whole map before the next, never several of them band by band, and the scores
    /// of all heads of attention before their softmax, never head by head: with larger workspace
    #[arg(long)]
    pub no_depth_first: bool,
    /// Do not use what `netwright tune` has remembered of this CPU
    #[arg(long, conflicts_with = "tuned")]
    pub untuned: bool,
    /// Use the choices of this file of `netwright tune`, which may be of another CPU, instead of those remembered
    #[arg(long, value_name = "FILE")]
    pub tuned: Option<PathBuf>,
}

impl MachineArgs {
    /// The CPU to compile for where the code is to run here.
    pub fn cpu(&self) -> String {
        self.cpu.clone().unwrap_or_else(|| "native".into())
    }

    /// The number of threads: what was asked for, or all cores.
    pub fn threads(&self) -> usize {
        match self.threads {
            Some(threads) => usize::from(threads),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Where the weights come from, and what runs the network.
#[derive(Args, Clone, Debug)]
pub struct RunnerArgs {
    /// A .safetensors file; hf:OWNER/REPO[@REV][/FILE] for a file of the Hugging Face hub (fetched once, see HF_HOME); or
    /// generated:SEED[:GAIN] for deterministic ones
    #[arg(long, value_name = "FILE")]
    pub weights: Option<String>,
    /// What computes the kernels
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    pub backend: BackendArg,
    /// Write the names and addresses of the compiled kernels to /tmp/perf-PID.map, where `perf report` looks for them
    #[arg(long)]
    pub perf_map: bool,
}

/// What computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BackendArg {
    /// The fastest that this machine can run
    Auto,
    /// Machine code with the machine's widest vectors
    Wide,
    /// Machine code by Cranelift, 128-bit vectors
    Portable,
    /// The reference interpreter (slow, exact)
    Interpreter,
}

/// `netwright check`
#[derive(Args, Clone, Debug)]
pub struct CheckArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Compare the network's tensors with those of a .safetensors file, or of a file of the hub: hf:OWNER/REPO[@REV][/FILE]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<String>,
}

/// `netwright summary`
#[derive(Args, Clone, Debug)]
pub struct SummaryArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Print an object for programs
    #[arg(long)]
    pub json: bool,
}

/// `netwright specs`
#[derive(Args, Clone, Debug)]
pub struct SpecsArgs {
    /// Print an array for programs
    #[arg(long)]
    pub json: bool,
}

/// `netwright run`
#[derive(Args, Clone, Debug)]
pub struct RunArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Photos (JPEG, PNG, WebP), and folders of them
    #[arg(value_name = "IMAGE", required_unless_present = "input")]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub runner: RunnerArgs,
    /// An array [N, C, H, W] of f32 instead of photos; nothing is done to its values
    #[arg(long, value_name = "X.npy", conflicts_with_all = ["images", "batch"])]
    pub input: Option<PathBuf>,
    /// Write the first output as f32: [N, classes]
    #[arg(long, value_name = "Y.npy")]
    pub output: Option<PathBuf>,
    /// Write every output and each stage's end into this folder, one NAME.npy each (maps [N, C, H, W], tokens [N, T, C])
    #[arg(long, value_name = "DIR")]
    pub features: Option<PathBuf>,
    /// Compare the first output with this array; a features.safetensors beside it (outputs of layers, by the names of their
    /// weights) says which layer differs first
    #[arg(long, value_name = "Y.npy")]
    pub expect: Option<PathBuf>,
    /// Largest difference that --expect allows, in standard deviations of the expected values
    #[arg(long, value_name = "T", default_value_t = 1e-4, requires = "expect", value_parser = positive)]
    pub tolerance: f64,
    /// How many classes to show for each photo
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub top: u32,
    /// Names of the classes, one a line [default: ImageNet's, where the network has a thousand]
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// Photos that are computed together [default: up to 8]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: Option<u32>,
    /// Print an array for programs
    #[arg(long)]
    pub json: bool,
}

/// `netwright bench`
#[derive(Args, Clone, Debug)]
pub struct BenchArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    #[command(flatten)]
    pub runner: RunnerArgs,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// Measure at least this many runs, however long they take [default: 3]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: Option<u32>,
    /// Measure for about this many seconds
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = non_negative)]
    pub seconds: f64,
    /// Print an object for programs
    #[arg(long)]
    pub json: bool,
    /// Time runs on request: for each line N on stdin, N runs and one line with their nanoseconds
    #[arg(long, conflicts_with_all = ["json", "runs", "seconds"])]
    pub interactive: bool,
    /// An array [N, C, H, W] of f32 as the input [default: generated]; its N is the batch
    #[arg(long, value_name = "X.npy", conflicts_with = "batch")]
    pub input: Option<PathBuf>,
    /// With --interactive: report how far the first output is from this array
    #[arg(long, value_name = "Y.npy", requires = "interactive", requires = "input")]
    pub expect: Option<PathBuf>,
}

/// `netwright profile`
#[derive(Args, Clone, Debug)]
pub struct ProfileArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    #[command(flatten)]
    pub runner: RunnerArgs,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// Time at least this many runs step by step, and as many whole ones
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: u32,
    /// Measure for at least this many seconds
    #[arg(long, value_name = "S", default_value_t = 2.0, value_parser = non_negative)]
    pub seconds: f64,
    /// Show the N layers that take longest; 0 shows all, in the order of execution
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: u32,
    /// Print an object for programs
    #[arg(long)]
    pub json: bool,
    /// Also write a page with the roofline and a bar for each layer
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// `netwright tune`
#[derive(Args, Clone, Debug)]
pub struct TuneArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// What computes the kernels
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    pub backend: BackendArg,
    /// Measure for about this many seconds; large networks need more for the fewest runs that say something
    #[arg(long, value_name = "S", default_value_t = 20.0, value_parser = non_negative)]
    pub seconds: f64,
    /// Measure and report, and remember nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Print an object for programs
    #[arg(long)]
    pub json: bool,
}

/// `netwright dump`
#[derive(Args, Clone, Debug)]
pub struct DumpArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Which stage
    #[arg(long, value_enum)]
    pub stage: Stage,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// What computes the kernels (stages clif and asm)
    #[arg(long, value_enum, default_value_t = BackendArg::Auto)]
    pub backend: BackendArg,
}

/// A stage of the compiler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Stage {
    /// The syntax tree of the spec
    Ast,
    /// The network as written, one line an operation
    Graph,
    /// After the passes
    Fused,
    /// Kernels, steps, and where values lie
    Plan,
    /// Cranelift's intermediate form of the functions
    Clif,
    /// Machine code, disassembled
    Asm,
}

/// `netwright build`
#[derive(Args, Clone, Debug)]
pub struct BuildArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// A .safetensors file, or generated:SEED[:GAIN] for deterministic ones [default: those that come with the program]
    #[arg(long, value_name = "FILE")]
    pub weights: Option<String>,
    /// Folder to write to; it is made if it is not there
    #[arg(short, long = "output", value_name = "DIR")]
    pub output: PathBuf,
    /// Machine to build for, as a target triple: x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu [default: this one]
    #[arg(long, value_name = "TRIPLE")]
    pub target: Option<String>,
    /// What files and symbols are called, a C identifier [default: spec and variant]
    #[arg(long, value_name = "PREFIX")]
    pub name: Option<String>,
    /// Images that are computed together
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// Write the weights to PREFIX.weights, which the application loads or maps
    #[arg(long)]
    pub external_weights: bool,
    /// How the object stores the weights; the arithmetic is f32 all the same
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = WeightsAs::F32)]
    pub weights_as: WeightsAs,
    /// What the application gives: f32 planes [N, C, H, W] already normalised, or bytes [N, H, W, C]
    #[arg(long, value_enum, value_name = "FORM", default_value_t = InputAs::F32Nchw)]
    pub input_as: InputAs,
    /// Overwrite files that this command did not write
    #[arg(long)]
    pub force: bool,
    /// Print an object for programs
    #[arg(long)]
    pub json: bool,
}

/// How weights are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightsAs {
    /// 32 bits
    F32,
    /// IEEE 754 half precision: half the size, 11 significant bits
    F16,
    /// The upper half of an f32: half the size, 8 significant bits, all of its range
    Bf16,
}

/// What the application gives the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InputAs {
    /// Normalised values, a plane for each channel
    F32Nchw,
    /// Levels from 0 to 255, the channels of a pixel together; the network normalises them
    U8Nhwc,
}

/// `netwright fmt`
#[derive(Args, Clone, Debug)]
pub struct FmtArgs {
    /// Files to format
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Change nothing; list the files that are not formatted, and exit with 1 if there are any
    #[arg(long)]
    pub check: bool,
}

/// `netwright explain`
#[derive(Args, Clone, Debug)]
pub struct ExplainArgs {
    #[command(flatten)]
    pub spec: SpecArgs,
    /// Images in a batch
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub batch: u32,
    /// Also list every decision of every pass
    #[arg(long)]
    pub all: bool,
}

fn number(text: &str) -> Result<f64, String> {
    text.parse().map_err(|_| "expected a number".to_string())
}

fn positive(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| {
        if x > 0.0 && x.is_finite() { Ok(x) } else { Err("expected a number above 0".into()) }
    })
}

fn non_negative(text: &str) -> Result<f64, String> {
    number(text).and_then(|x| {
        if (0.0..=3600.0).contains(&x) {
            Ok(x)
        } else {
            Err("expected seconds, at most 3600".into())
        }
    })
}
