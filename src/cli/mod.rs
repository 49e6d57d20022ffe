//! The command line: `netwright COMMAND`.
//!
//! Results go to stdout, everything else (progress, warnings, errors) to stderr. Exit status: 0 fine,
//! 1 the spec, the weights or the input are at fault, 2 wrong usage. Each command is a file.

mod args;
mod bench;
mod build;
mod check;
mod common;
mod compare;
mod dump;
mod explain;
mod failure;
mod fetching;
mod fmt;
mod interactive;
mod numbers;
mod photos;
mod profile;
mod results;
mod run;
mod specs;
mod summary;
mod table;
mod tune;

use clap::{Parser, Subcommand};
use failure::Failure;
use std::ffi::OsString;

/// Compiles vision networks, written as their papers' tables, to native code.
#[derive(Parser, Debug)]
#[command(
    name = "netwright",
    version,
    about = "Compiles vision networks, written as their papers' tables, to native code",
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Examples:
  netwright run mobilenet_v2 photo.jpg           name a photo, with the weights that come along
  netwright summary efficientnet:b0              layers, shapes, parameters, multiply-accumulates
  netwright check nets/mine.arch                 find mistakes in a spec of your own
  netwright bench resnet:50 --threads 1          how fast it is on this machine
  netwright specs                                the networks that come along

`netwright COMMAND --help` has more of them for each command."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Parse, expand and check a spec; with weights, compare the tensors' names
    #[command(after_help = "Examples:
  netwright check nets/mine.arch
  netwright check nets/mine.arch:small --set resolution=192
  netwright check resnet:50 --weights resnet50.safetensors     what is missing, what is left over

Without --set or a variant, all variants and dialects of the spec are checked.")]
    Check(args::CheckArgs),
    /// Layers with shapes, parameters and multiply-accumulates, as the network is written
    #[command(after_help = "Examples:
  netwright summary mobilenet_v2
  netwright summary mobilenet_v2 --set alpha=1.4 --set resolution=192
  netwright summary efficientnet:b3 --json | jq .params

One multiply-accumulate (MAC) is what most papers call one FLOP. Parameters are those that are
trained, before anything is folded.")]
    Summary(args::SummaryArgs),
    /// The built-in specs with their variants and parameters
    #[command(after_help = "Examples:
  netwright specs
  netwright specs --json")]
    Specs(args::SpecsArgs),
    /// Run a network on photos, or on an array
    #[command(after_help = "Examples:
  netwright run mobilenet_v2 cat.jpg                            with the weights that come along
  netwright run resnet:50 --weights resnet50.safetensors holiday/ --top 3
  netwright run resnet:50 --weights hf:timm/resnet50.a1_in1k cat.jpg
  netwright run nets/mine.arch --weights mine.safetensors --labels birds.txt --json wren.webp
  netwright run convnext:tiny --weights generated:0 --input x.npy --output y.npy
  netwright run vit:tiny_patch16 --weights vit.safetensors photos/ --output logits.npy
  netwright run mobilenet_v2 --input x.npy --features layers/   each stage's end as an array
  netwright run mobilenet_v2 --input x.npy --expect y.npy       which layer differs first

Photos are JPEG, PNG or WebP of any size and colour type, turned upright by their EXIF orientation
(transparency is dropped). They are resized, cropped and normalised as the weights' dialect says.
Folders are searched at any depth. An array goes in as it is: f32, [N, C, H, W], any N.")]
    Run(Box<args::RunArgs>),
    /// Latency of the compiled network, beside the machine's measured peak
    #[command(after_help = "Examples:
  netwright bench mobilenet_v2 --threads 1
  netwright bench resnet:50 --batch 8 --seconds 10 --json
  echo 10 | netwright bench mobilenet_v2 --interactive

Without --weights, they are generated (generated:0): the time does not depend on them.
--interactive prints one line {\"ready\":1,...} when the network is compiled and has run once; then,
for each line N on stdin, it runs N times and prints N durations in nanoseconds on one line.")]
    Bench(Box<args::BenchArgs>),
    /// Where the time goes: by layer, beside what the machine could do
    #[command(after_help = "Examples:
  netwright profile mobilenet_v2 --threads 1
  netwright profile convnext:tiny --html convnext.html        a roofline, and a bar for each layer
  netwright profile swin:tiny --top 0                         all layers, in the order of execution
  netwright profile resnet:50 --json | jq '.classes'

The peaks of the machine are measured on the spot, with as many threads as the network runs on.
docs/performance.md says how to read the numbers.")]
    Profile(Box<args::ProfileArgs>),
    /// Build an object file, its C header and an example to link into an application
    #[command(after_help = "Examples:
  netwright build mobilenet_v2 -o out                            with the weights that come along
  cc -O2 out/main.c out/mobilenet_v2.o -o out/main               it needs nothing else
  netwright build resnet:50 --weights resnet50.safetensors -o out --external-weights
  netwright build mobilenet_v2 -o out --target aarch64-unknown-linux-gnu

The object exports one function, PREFIX_run, that calls and allocates nothing; PREFIX.h says what it
takes. --threads is the number of threads for which the workspace has room (default: 8).")]
    Build(Box<args::BuildArgs>),
    /// Measure which ways to compute the layers are the fastest here, and remember them
    #[command(after_help = "Examples:
  netwright tune mobilenet_v2
  netwright tune efficientnet:b0 --threads 1
  netwright tune resnet:50 --seconds 60 --json
  netwright run mobilenet_v2 photo.jpg --untuned      without what was remembered

Where there are several ways to compute a layer, the compiler estimates which is the fastest. This command measures them in
the whole network, and keeps what is clearly faster in a file for each model of CPU: in the folder tune of the
folder that NETWRIGHT_CACHE names, else of ~/.cache/netwright. run, bench, profile, explain, dump and
build use it, for all networks with equal layers. Delete the file to forget. With --tuned FILE this command keeps it in that file
instead. The measuring needs a machine without other work.")]
    Tune(args::TuneArgs),
    /// The text form of a stage of the compiler
    #[command(after_help = "Examples:
  netwright dump mobilenet_v2 --stage graph
  netwright dump nets/mine.arch:small --stage fused
  netwright dump resnet:18 --stage asm | less")]
    Dump(args::DumpArgs),
    /// Format specs in place
    #[command(after_help = "Examples:
  netwright fmt nets/*.arch
  netwright fmt --check nets/*.arch      for continuous integration")]
    Fmt(args::FmtArgs),
    /// What was fused, what was not, and why
    #[command(after_help = "Examples:
  netwright explain mobilenet_v2
  netwright explain nets/mine.arch | grep 'not fused'
  netwright explain swin:tiny --all                  every decision of every pass

`A | B` is one operation B at the end of A, on values that are still in registers. A view runs nothing: whoever reads
it reads its operand in another order.")]
    Explain(args::ExplainArgs),
}

/// Runs a command line, the program's name first, and gives the exit status.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors: clap prints them to stdout and says 0.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let outcome = match &cli.command {
        Command::Check(args) => check::run(args),
        Command::Summary(args) => summary::run(args),
        Command::Specs(args) => specs::run(args),
        Command::Run(args) => run::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Profile(args) => profile::run(args),
        Command::Build(args) => build::run(args),
        Command::Tune(args) => tune::run(args),
        Command::Dump(args) => dump::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Explain(args) => explain::run(args),
    };
    match outcome {
        Ok(()) => 0,
        Err(failure) => {
            if let Failure::Input(text) | Failure::Usage(text) = &failure {
                common::say(&format!("error: {}", text.trim_end()));
            }
            failure.status()
        }
    }
}
