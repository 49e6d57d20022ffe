//! A profile as text.

use super::super::numbers;
use super::super::table::{Align, Table};
use super::{DISTURBED, Subject, digits, percent, rate, roof_share};
use crate::profile::{Profile, Row, RowKind, Totals};
use std::io::{self, Write};

/// Longest kernel name that is shown whole.
const KERNEL: usize = 52;
/// Width of the longest bar.
const BAR: usize = 12;

/// Writes a profile with its `top` longest layers (0: all of them, in the order of execution).
pub fn write(
    out: &mut impl Write,
    subject: &Subject,
    profile: &Profile,
    top: usize,
) -> io::Result<()> {
    head(out, subject, profile)?;
    writeln!(out)?;
    classes(profile).write(out)?;
    writeln!(out)?;
    let mut rows: Vec<&Row> = profile.layers.iter().collect();
    let shown = match top {
        0 => rows.len(),
        top => {
            rows.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
            top.min(rows.len())
        }
    };
    layers(profile, &rows[..shown]).write(out)?;
    let rest = &rows[shown..];
    if !rest.is_empty() {
        let seconds: f64 = rest.iter().map(|row| row.seconds).sum();
        writeln!(
            out,
            "and {} more layers, {} ms ({}): --top 0 shows all, in the order of execution",
            rest.len(),
            digits(seconds * 1e3),
            percent(seconds, profile.steps_sum())
        )?;
    }
    Ok(())
}

fn head(out: &mut impl Write, subject: &Subject, profile: &Profile) -> io::Result<()> {
    let machine = &profile.machine;
    writeln!(out, "{}, {}, {}", subject.title, subject.conditions(), machine.cpu)?;
    writeln!(
        out,
        "  {} ms a run (median of {}), {} ms when timed step by step; the steps add up to {} ms ({})",
        digits(profile.whole * 1e3),
        profile.runs,
        digits(profile.timed * 1e3),
        digits(profile.steps_sum() * 1e3),
        percent(profile.steps_sum(), profile.whole),
    )?;
    if profile.disturbed() {
        writeln!(out, "  {DISTURBED}")?;
    }
    writeln!(
        out,
        "  {} GFLOP/s, {} of the measured peak of {} ({} MACs)",
        digits(profile.gflops()),
        percent(profile.gflops(), machine.all.gflops),
        digits(machine.all.gflops),
        numbers::short(profile.work().macs),
    )?;
    let levels = machine.levels.iter().map(|l| format!("{} {}", l.level, digits(l.gbps)));
    writeln!(out, "  measured bandwidth in GB/s: {}", levels.collect::<Vec<_>>().join(", "))?;
    writeln!(
        out,
        "  packed weights {}, values between steps {}",
        numbers::bytes(profile.weights_bytes),
        numbers::bytes(profile.arena_bytes)
    )
}

fn classes(profile: &Profile) -> Table {
    let peak = profile.machine.all.gflops;
    let sum = profile.steps_sum();
    let mut table = Table::new(&[
        ("kernels", Align::Left),
        ("number", Align::Right),
        ("ms", Align::Right),
        ("share", Align::Right),
        ("GFLOP/s", Align::Right),
        ("of peak", Align::Right),
        ("GB/s", Align::Right),
        ("of roof", Align::Right),
        ("", Align::Left),
    ]);
    let classes = profile.classes();
    let longest = classes.first().map_or(0.0, |(_, totals)| totals.seconds);
    for (class, totals) in &classes {
        table.row(vec![
            class.name().into(),
            totals.kernels.to_string(),
            digits(totals.seconds * 1e3),
            percent(totals.seconds, sum),
            rate(totals.work.flops(), totals.gflops()),
            peak_share(totals.work.macs, totals.gflops(), peak),
            rate(totals.work.bytes(), totals.gbps()),
            roof_share(totals.roof, totals.seconds),
            bar(totals.seconds, longest),
        ]);
    }
    table.rule();
    let mut all = Totals::default();
    profile.layers.iter().flat_map(Row::kernels).for_each(|row| all.add(row));
    let work = profile.work();
    table.row(vec![
        "all".into(),
        all.kernels.to_string(),
        digits(sum * 1e3),
        String::new(),
        digits(profile.gflops()),
        percent(profile.gflops(), peak),
        digits(work.bytes() as f64 / profile.whole / 1e9),
        percent(all.roof, sum),
    ]);
    table
}

fn layers(profile: &Profile, rows: &[&Row]) -> Table {
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("ms", Align::Right),
        ("share", Align::Right),
        ("GFLOP/s", Align::Right),
        ("of peak", Align::Right),
        ("GB/s", Align::Right),
        ("of roof", Align::Right),
        ("limit", Align::Left),
        ("", Align::Left),
        ("kernel", Align::Left),
    ]);
    let longest = rows.iter().map(|row| row.seconds).fold(0.0, f64::max);
    for row in rows {
        table.row(cells(profile, row, longest, 0));
        parts(&mut table, profile, row, longest, 1);
    }
    table
}

/// The parts of a row, indented, and theirs.
fn parts(table: &mut Table, profile: &Profile, row: &Row, longest: f64, depth: usize) {
    for part in &row.parts {
        table.row(cells(profile, part, longest, depth));
        parts(table, profile, part, longest, depth + 1);
    }
}

fn cells(profile: &Profile, row: &Row, longest: f64, depth: usize) -> Vec<String> {
    let name = match depth {
        0 => row.name.clone(),
        _ => format!("{}└ {}", "  ".repeat(depth - 1), row.part()),
    };
    let kernel = match row.parts.len() {
        0 => cut(&row.kernel),
        _ if row.kind == RowKind::Fused => cut(&row.kernel),
        n => format!("{n} kernels"),
    };
    vec![
        name,
        digits(row.seconds * 1e3),
        percent(row.seconds, profile.steps_sum()),
        rate(row.work.flops(), row.gflops()),
        peak_share(row.work.macs, row.gflops(), profile.machine.all.gflops),
        rate(row.work.bytes(), row.gbps()),
        roof_share(row.roof.seconds, row.seconds),
        if row.roof.seconds > 0.0 { row.roof.limit.name().into() } else { String::new() },
        bar(row.seconds, longest),
        kernel,
    ]
}

/// The share of the peak, of products only: the peak is that of multiply-adds.
fn peak_share(macs: u64, rate: f64, peak: f64) -> String {
    if macs > 0 { percent(rate, peak) } else { String::new() }
}

fn cut(name: &str) -> String {
    match name.len() > KERNEL {
        true => name.chars().take(KERNEL - 1).chain(['…']).collect(),
        false => name.into(),
    }
}

/// A bar of eighths of a cell.
fn bar(value: f64, longest: f64) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    if longest <= 0.0 {
        return String::new();
    }
    let eighths = (value / longest * BAR as f64 * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(EIGHTHS[eighths % 8]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    fn text(top: usize) -> String {
        let (subject, profile) = sample::profile();
        let mut text = Vec::new();
        write(&mut text, &subject, &profile, top).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn all_layers() {
        insta::assert_snapshot!(text(0));
    }

    #[test]
    fn the_longest_layers() {
        let text = text(1);
        assert!(text.contains("and 3 more layers, 0.240 ms (60.0%)"), "{text}");
    }

    #[test]
    fn bars() {
        assert_eq!(bar(1.0, 1.0), "█".repeat(BAR));
        assert_eq!(bar(0.5, 12.0), "▌");
        assert_eq!([bar(0.0, 1.0), bar(1.0, 0.0)], ["", ""]);
    }
}
