//! The roofline: operations a second over operations a byte, both on logarithmic axes, as SVG.
//!
//! Williams, Waterman, Patterson 2009, "Roofline: An Insightful Visual Performance Model for Multicore
//! Architectures". Slanted lines are bandwidths, the level line is the peak; each kernel is a circle
//! whose area is its time.

use super::html::{Mark, escape};
use super::{digits, percent};
use crate::profile::{Machine, Profile, Row, RowKind};
use netwright_codegen::work::Class;
use std::fmt::Write;

/// The picture and its plot, in pixels.
const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = WIDTH - 16.0;
const TOP: f64 = 18.0;
const BOTTOM: f64 = HEIGHT - 46.0;

/// Radius of a circle that stands for the whole time, and of the smallest.
const RADIUS: [f64; 2] = [48.0, 2.5];

/// A logarithmic axis: from `low` to `high` on `start` to `end`.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }
}

/// The picture; `marks` are the kernels with the rows that they link to.
pub fn svg(profile: &Profile, marks: &[Mark<'_>]) -> String {
    let machine = &profile.machine;
    let drawn: Vec<&Mark> =
        marks.iter().filter(|mark| mark.row.work.flops() > 0 && mark.row.seconds > 0.0).collect();
    let (x, y) = axes(machine, &drawn);
    let mut svg =
        format!("<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"Roofline\">\n");
    grid(&mut svg, &x, &y);
    roofs(&mut svg, machine, &x, &y);
    let sum = profile.steps_sum();
    let mut drawn = drawn;
    // Small circles lie on top of large ones.
    drawn.sort_by(|a, b| b.row.seconds.total_cmp(&a.row.seconds));
    for mark in drawn {
        let row = mark.row;
        let radius = (RADIUS[0] * (row.seconds / sum).sqrt()).max(RADIUS[1]);
        let _ = writeln!(
            svg,
            "<a href=\"#{}\"><circle class=\"point {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"{radius:.1}\">\
             <title>{}</title></circle></a>",
            mark.anchor,
            mark.colour(),
            x.at(row.work.intensity()),
            y.at(row.gflops()),
            escape(&title(row, profile)),
        );
    }
    svg.push_str("</svg>\n");
    svg
}

/// What a row is, for those who point at it.
pub fn title(row: &Row, profile: &Profile) -> String {
    let mut text = format!("{}\n", row.name);
    if row.parts.is_empty() {
        text += &format!("{} ({})\n", row.kernel, row.class);
    }
    text += &format!(
        "{} ms, {} of the time\n",
        digits(row.seconds * 1e3),
        percent(row.seconds, profile.steps_sum())
    );
    if row.work.flops() > 0 {
        text += &format!(
            "{} GFLOP/s, {} FLOP a byte\n",
            digits(row.gflops()),
            digits(row.work.intensity())
        );
    }
    if row.kind == RowKind::Between {
        let own = match row.class {
            Class::Attention => "putting keys and values in order",
            _ => "moving rows from band to band",
        };
        return text + own + ", and waiting for other threads";
    }
    text + &format!(
        "{} GB/s\n{} of what the peaks allow (limit: {})",
        digits(row.gbps()),
        percent(row.roof.seconds, row.seconds),
        row.roof.limit.name()
    )
}

/// Axes that hold all points, and where the roofs bend.
fn axes(machine: &Machine, drawn: &[&Mark<'_>]) -> (Axis, Axis) {
    let peak = machine.all.gflops;
    let bends = machine.levels.iter().map(|level| peak / level.gbps);
    let intensities = drawn.iter().map(|mark| mark.row.work.intensity());
    let (mut low, mut high) = range(bends.chain(intensities));
    low = 2f64.powf((low / 1.5).log2().floor());
    high = 2f64.powf((high * 1.5).log2().ceil());
    let x = Axis { low, high, start: LEFT, end: RIGHT };
    let rates = drawn.iter().map(|mark| mark.row.gflops());
    let (slowest, fastest) = range(rates.chain([peak, peak / 20.0]));
    // A kernel that hardly computes lies on the axis, and does not press all others to the top.
    let low = (slowest / 1.3).max(peak / 4000.0);
    let y = Axis { low, high: fastest * 1.6, start: BOTTOM, end: TOP };
    (x, y)
}

fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::INFINITY, 0.0), |(low, high), value| (low.min(value), high.max(value)))
}

fn grid(svg: &mut String, x: &Axis, y: &Axis) {
    let octaves = (x.high / x.low).log2().round() as i32;
    // Not more labels than there is room for.
    let step = 1 + (octaves - 1) / 14;
    let first = x.low.log2().round() as i32;
    for power in (first..=first + octaves).step_by(step as usize) {
        let value = 2f64.powi(power);
        let at = x.at(value);
        let _ = writeln!(svg, "<path class=\"grid\" d=\"M{at:.1} {TOP}V{BOTTOM}\"/>");
        let label = match power {
            ..0 => format!("1/{}", 1u64 << (-power).min(62)),
            _ => format!("{value}"),
        };
        let below = BOTTOM + 17.0;
        let _ =
            writeln!(svg, "<text x=\"{at:.1}\" y=\"{below}\" class=\"tick mid\">{label}</text>");
    }
    let first = y.low.log10().floor() as i32;
    for decade in first..=y.high.log10().ceil() as i32 {
        for factor in [1.0, 2.0, 5.0] {
            let value = factor * 10f64.powi(decade);
            if value < y.low || value > y.high {
                continue;
            }
            let at = y.at(value);
            let _ = writeln!(svg, "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{RIGHT}\"/>");
            let (left, base) = (LEFT - 8.0, at + 4.0);
            // `0.05` and `500` alike without digits that say nothing.
            let label = format!("{}", (value * 1e6).round() / 1e6);
            let _ = writeln!(
                svg,
                "<text x=\"{left}\" y=\"{base:.1}\" class=\"tick end\">{label}</text>"
            );
        }
    }
    let middle = (LEFT + RIGHT) / 2.0;
    let base = HEIGHT - 8.0;
    let _ =
        writeln!(svg, "<text x=\"{middle}\" y=\"{base}\" class=\"axis mid\">FLOP a byte</text>");
    let middle = (TOP + BOTTOM) / 2.0;
    let _ = writeln!(
        svg,
        "<text transform=\"translate(14 {middle}) rotate(-90)\" class=\"axis mid\">GFLOP/s</text>"
    );
}

fn roofs(svg: &mut String, machine: &Machine, x: &Axis, y: &Axis) {
    let peak = machine.all.gflops;
    let per_x = (RIGHT - LEFT) / (x.high / x.low).ln();
    let per_y = (BOTTOM - TOP) / (y.high / y.low).ln();
    let angle = -(per_y / per_x).atan().to_degrees();
    let mut bend = x.high;
    for (i, level) in machine.levels.iter().enumerate() {
        // From where the line enters the plot to where it meets the peak.
        let start = x.low.max(y.low / level.gbps);
        let end = (peak / level.gbps).min(x.high);
        bend = bend.min(end);
        if start >= end {
            continue;
        }
        let point = |at: f64| (x.at(at), y.at(at * level.gbps));
        let ((x1, y1), (x2, y2)) = (point(start), point(end));
        let _ = writeln!(svg, "<path class=\"roof\" d=\"M{x1:.1} {y1:.1}L{x2:.1} {y2:.1}\"/>");
        // Labels of lines close to each other do not lie on each other.
        let along = 12.0 + 90.0 * i as f64;
        let room = ((x2 - x1).hypot(y2 - y1) - 90.0).max(0.0);
        let along = along.min(room);
        let (label_x, label_y) =
            (x1 + along * angle.to_radians().cos(), y1 + along * angle.to_radians().sin());
        let _ = writeln!(
            svg,
            "<text transform=\"translate({label_x:.1} {label_y:.1}) rotate({angle:.1})\" dy=\"-5\" \
             class=\"roof-name\">{} {} GB/s</text>",
            level.level,
            digits(level.gbps)
        );
    }
    let (from, at) = (x.at(bend), y.at(peak));
    let _ = writeln!(svg, "<path class=\"roof\" d=\"M{from:.1} {at:.1}H{RIGHT}\"/>");
    let (right, base) = (RIGHT - 6.0, at - 6.0);
    let threads = if machine.all.threads == 1 { "thread" } else { "threads" };
    let _ = writeln!(
        svg,
        "<text x=\"{right}\" y=\"{base:.1}\" class=\"roof-name end\">FMA peak of {} {threads}: {} GFLOP/s</text>",
        machine.all.threads,
        digits(peak)
    );
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn points_lie_in_the_plot() {
        let (_, profile) = sample::profile();
        let rows = profile.layers.iter().flat_map(Row::kernels);
        let marks: Vec<Mark> =
            rows.enumerate().map(|(i, row)| Mark { anchor: format!("k{i}"), row }).collect();
        let svg = svg(&profile, &marks);
        // The copy has no arithmetic, and what is between stages neither, so they have no place.
        assert_eq!(svg.matches("<circle").count(), 5);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert!(svg.contains("1/") && svg.contains("&lt;a&gt;"), "{svg}");
    }

    #[test]
    fn an_axis_is_logarithmic() {
        let axis = Axis { low: 1.0, high: 100.0, start: 10.0, end: 20.0 };
        assert_eq!(
            [0.1, 1.0, 10.0, 100.0, 1e9].map(|v| axis.at(v)),
            [10.0, 10.0, 15.0, 20.0, 20.0]
        );
    }
}
