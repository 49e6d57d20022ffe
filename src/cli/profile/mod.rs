//! `netwright profile`: where the time goes, beside what the machine could do.

mod html;
mod json;
mod roofline;
mod text;

use super::args::ProfileArgs;
use super::common;
use super::failure::{Failure, Outcome};
use crate::file;
use crate::network::Network;
use crate::profile::{Effort, measure};
use crate::session::{Backend, RunOptions, Session};
use netwright_compiler::weights::image;
use std::io::Write;
use std::time::Duration;

/// Seed of the input.
const INPUT_SEED: u64 = 0;

/// What to make of [`crate::profile::Profile::disturbed`].
const DISTURBED: &str = "something else used the machine meanwhile: the steps' times are nearer to the truth than the run's";

/// What was profiled.
struct Subject {
    /// `efficientnet:b3`
    title: String,
    batch: usize,
    threads: usize,
    backend: &'static str,
}

impl Subject {
    /// `batch 1, 2 threads, wide`
    fn conditions(&self) -> String {
        let threads = match self.threads {
            1 => "1 thread".to_string(),
            n => format!("{n} threads"),
        };
        format!("batch {}, {threads}, {}", self.batch, self.backend)
    }
}

pub fn run(args: &ProfileArgs) -> Outcome {
    let machine = common::run_options(&args.spec.machine, args.runner.backend)?;
    let options = RunOptions { stage_times: true, ..machine };
    if options.backend == Backend::Interpreter {
        return Err(Failure::Usage("the interpreter runs no kernels that could be timed".into()));
    }
    let (spec, network_options) = common::load(&args.spec, args.batch as usize)?;
    let weights = args.runner.weights.as_deref().unwrap_or("generated:0");
    let weights = common::weights(weights, &spec, &network_options)?;
    let network = Network::new(&spec, &network_options, &weights)?;
    common::notes(&spec, &network)?;
    let mut session = Session::new(&network, &options)?;
    common::perf_map(&args.runner, &session)?;
    let [n, h, w, c] = network.expanded.input;
    let input = image(n, c, h, w, INPUT_SEED);
    let effort = Effort { runs: args.runs as usize, time: Duration::from_secs_f64(args.seconds) };
    let profile = measure(&mut session, &input, effort)?;
    let subject = Subject {
        title: common::title(&network.expanded, &spec),
        batch: n,
        threads: session.threads(),
        backend: session.backend_name(),
    };
    // The page first: a reader that goes away early is no reason not to write it.
    if let Some(path) = &args.html {
        let page = html::page(&subject, &profile);
        file::write(path, |file| file.write_all(page.as_bytes()))
            .map_err(|error| Failure::Input(error.to_string()))?;
    }
    let mut out = std::io::stdout().lock();
    if args.json {
        let object = json::object(&subject, &profile);
        writeln!(out, "{}", serde_json::to_string_pretty(&object).map_err(std::io::Error::other)?)?;
        return Ok(());
    }
    text::write(&mut out, &subject, &profile, args.top as usize)?;
    Ok(())
}

/// Three digits that count: `0.123`, `4.56`, `78.9`, `1234`.
fn digits(value: f64) -> String {
    match value {
        v if v >= 99.95 => format!("{v:.0}"),
        v if v >= 9.995 => format!("{v:.1}"),
        v if v >= 0.9995 => format!("{v:.2}"),
        v => format!("{v:.3}"),
    }
}

/// `part` of `whole` as `12.3%`; nothing of nothing.
fn percent(part: f64, whole: f64) -> String {
    if whole > 0.0 { format!("{:.1}%", 100.0 * part / whole) } else { String::new() }
}

/// A rate of so many; nothing of nothing.
fn rate(count: u64, rate: f64) -> String {
    if count > 0 { digits(rate) } else { String::new() }
}

/// What the roof allows as a share of the time; nothing where it says nothing.
fn roof_share(roof: f64, seconds: f64) -> String {
    if roof > 0.0 { percent(roof, seconds) } else { String::new() }
}

/// A profile without any measuring, for the tests of its forms.
#[cfg(test)]
mod sample {
    use super::*;
    use crate::profile::{Limit, Machine, Profile, Roof, Row, RowKind};
    use netwright_codegen::bandwidth::{Bandwidth, Level};
    use netwright_codegen::peak::Peak;
    use netwright_codegen::work::{Class, Work};

    pub fn profile() -> (Subject, Profile) {
        let peak = |threads, gflops| Peak { bits: 256, threads, gflops };
        let level =
            |level, share, gbps| Bandwidth { level, share, working_set: 1, threads: 2, gbps };
        let row = |name: &str, class: Class, work, us: f64, share: f64, limit| Row {
            name: name.into(),
            kernel: format!("{}_kernel_3x3_of_<a>", class.name().replace(' ', "_")),
            class,
            work,
            seconds: us * 1e-6,
            roof: Roof { seconds: us * share * 1e-6, limit },
            kind: RowKind::Kernel,
            parts: vec![],
        };
        let work =
            |macs, other, read, weights| Work { macs, other, read, weights, written: 400_000 };
        let stem = work(10_000_000, 0, 600_000, 3_500);
        let stem = row("stem.conv", Class::Dense, stem, 160.0, 0.625, Limit::Arithmetic);
        let expand = work(3_000_000, 0, 400_000, 900);
        let expand = row("blocks.0", Class::Pointwise, expand, 30.0, 0.8, Limit::Arithmetic);
        let depthwise = work(3_600_000, 0, 1_600_000, 1_300);
        let depthwise =
            row("blocks.0", Class::Depthwise, depthwise, 54.0, 0.5, Limit::Bytes(Level::L2));
        let block = work(6_600_000, 0, 400_000, 2_200);
        let block = row("blocks.0", Class::Chain, block, 90.0, 0.6, Limit::Arithmetic);
        let block = block.with_stages(vec![expand, depthwise]);
        let soft = row(
            "attn",
            Class::Softmax,
            work(0, 500_000, 400_000, 0),
            40.0,
            0.3,
            Limit::Bytes(Level::L2),
        );
        let product = row(
            "attn",
            Class::Product,
            work(7_000_000, 0, 400_000, 0),
            90.0,
            0.78,
            Limit::Arithmetic,
        );
        let copy = row(
            "output <b>",
            Class::Copy,
            work(0, 0, 400_000, 0),
            20.0,
            0.5,
            Limit::Bytes(Level::L2),
        );
        let attention = Row {
            work: [soft.work, product.work].into_iter().sum(),
            seconds: soft.seconds + product.seconds,
            roof: Roof {
                seconds: soft.roof.seconds + product.roof.seconds,
                limit: product.roof.limit,
            },
            parts: vec![soft, product.clone()],
            ..product
        };
        let profile = Profile {
            machine: Machine {
                cpu: "Test CPU".into(),
                one: peak(1, 100.0),
                all: peak(2, 200.0),
                levels: vec![
                    level(Level::L1, 32 << 10, 390.0),
                    level(Level::L2, 512 << 10, 200.0),
                    level(Level::Memory, usize::MAX, 33.0),
                ],
            },
            runs: 50,
            whole: 405e-6,
            timed: 408e-6,
            layers: vec![stem, block, attention, copy],
            weights_bytes: 14 << 20,
            arena_bytes: 3 << 20,
        };
        let subject =
            Subject { title: "tiny & net:a".into(), batch: 1, threads: 2, backend: "wide" };
        (subject, profile)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits() {
        let shown = [0.0, 0.01234, 0.9996, 1.234, 9.999, 45.678, 99.96, 1234.5].map(digits);
        assert_eq!(shown, ["0.000", "0.012", "1.00", "1.23", "10.0", "45.7", "100", "1234"]);
        assert_eq!([percent(1.0, 8.0), percent(1.0, 0.0)], ["12.5%", ""]);
    }
}
