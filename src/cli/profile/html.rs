//! A profile as a page: one file without scripts, light or dark as the reader has it.

use super::super::numbers;
use super::{DISTURBED, Subject, digits, percent, rate, roof_share, roofline};
use crate::profile::{Profile, Row};
use std::fmt::Write;

/// A row of the profile, and the place on the page that shows it.
pub struct Mark<'a> {
    /// Its anchor.
    pub anchor: String,
    /// The row.
    pub row: &'a Row,
}

impl Mark<'_> {
    /// The class of the style sheet that colours its kernel.
    pub fn colour(&self) -> String {
        colour(self.row)
    }
}

fn colour(row: &Row) -> String {
    row.class.name().replace(' ', "-")
}

/// Text as it may stand in a page.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// The whole page.
pub fn page(subject: &Subject, profile: &Profile) -> String {
    let title = escape(&subject.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: profile</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        include_str!("page.css")
    );
    head(&mut page, subject, profile);
    shares(&mut page, profile);
    let mut layers = String::new();
    let mut marks = Vec::new();
    let longest = profile.layers.iter().map(|row| row.seconds).fold(0.0, f64::max);
    for row in &profile.layers {
        layer(&mut layers, &mut marks, (profile, longest), row, (0, 0.0));
    }
    let _ = write!(
        page,
        "<section>\n<h2>Roofline</h2>\n{}<p class=\"note\">A circle is a kernel, its area the time. The nearer to the roof \
         above it, the better the machine is used. Bytes are the fewest possible; arithmetic counts two for a \
         multiply-accumulate, and one for a value and step of kernels without. What has no arithmetic, such as a copy, \
         is not drawn.</p>\n</section>\n",
        roofline::svg(profile, &marks)
    );
    let _ = write!(
        page,
        "<section>\n<h2>Layers</h2>\n<p class=\"note\">In the order of execution; what a layer consists of stands below it, each part where it is in the layer's \
         bar. The full colour is the time that the measured peaks allow, the pale one the rest. The stages of attention and of \
         what runs depth first take turns for every few rows: their bars are sums.</p>\n<div class=\"layers\">\n\
         <div class=\"row head\"><span>layer</span><span></span><span>ms</span><span>share</span><span>GFLOP/s</span>\
         <span>GB/s</span><span>of roof</span></div>\n{layers}</div>\n</section>\n</main>\n</body>\n</html>\n"
    );
    page
}

fn head(page: &mut String, subject: &Subject, profile: &Profile) {
    let machine = &profile.machine;
    let cpu = format!(" on {}", escape(&machine.cpu));
    let _ = write!(
        page,
        "<header>\n<h1>{}</h1>\n<p>{}{cpu}</p>\n</header>\n<div class=\"cards\">\n",
        escape(&subject.title),
        escape(&subject.conditions()),
    );
    let macs = numbers::short(profile.work().macs);
    let levels = machine.levels.iter().map(|l| format!("{} {}", l.level, digits(l.gbps)));
    for (value, unit, about) in [
        (digits(profile.whole * 1e3), "ms", format!("a run, the median of {}", profile.runs)),
        (digits(profile.gflops()), "GFLOP/s", format!("for {macs} multiply-accumulates")),
        (
            percent(profile.gflops(), machine.all.gflops),
            "",
            format!("of the measured peak of {} GFLOP/s", digits(machine.all.gflops)),
        ),
        (
            numbers::bytes(profile.weights_bytes),
            "",
            format!("of weights; {} between steps", numbers::bytes(profile.arena_bytes)),
        ),
    ] {
        let _ = writeln!(
            page,
            "<div class=\"card\"><b>{value}<small> {unit}</small></b><span>{about}</span></div>"
        );
    }
    let _ = write!(
        page,
        "</div>\n<p class=\"note\">Timed step by step, a run takes {} ms, and the steps add up to {} ms, {} of an undisturbed \
         run. Measured bandwidth in GB/s: {}.{}</p>\n",
        digits(profile.timed * 1e3),
        digits(profile.steps_sum() * 1e3),
        percent(profile.steps_sum(), profile.whole),
        levels.collect::<Vec<_>>().join(", "),
        if profile.disturbed() { format!(" Mind: {DISTURBED}.") } else { String::new() },
    );
}

/// One bar of all the time, by class.
fn shares(page: &mut String, profile: &Profile) {
    let sum = profile.steps_sum();
    let classes = profile.classes();
    page.push_str("<section>\n<h2>Kernels</h2>\n<div class=\"shares\">\n");
    for (class, totals) in &classes {
        let _ = writeln!(
            page,
            "<i class=\"{}\" style=\"flex-grow:{:.3}\" title=\"{class}: {}\"></i>",
            class.name().replace(' ', "-"),
            1e3 * totals.seconds / sum,
            percent(totals.seconds, sum)
        );
    }
    page.push_str("</div>\n<table>\n<tr><th>kernels</th><th>number</th><th>ms</th><th>share</th><th>GFLOP/s</th><th>GB/s</th><th>of roof</th></tr>\n");
    for (class, totals) in &classes {
        let _ = writeln!(
            page,
            "<tr><td><i class=\"dot {}\"></i>{class}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            class.name().replace(' ', "-"),
            totals.kernels,
            digits(totals.seconds * 1e3),
            percent(totals.seconds, sum),
            rate(totals.work.flops(), totals.gflops()),
            rate(totals.work.bytes(), totals.gbps()),
            roof_share(totals.roof, totals.seconds),
        );
    }
    page.push_str("</table>\n</section>\n");
}

/// A row and its parts; `marks` gets the kernels among them. `start` is the time in the layer at which the row
/// begins.
fn layer<'a>(
    page: &mut String,
    marks: &mut Vec<Mark<'a>>,
    (profile, longest): (&Profile, f64),
    row: &'a Row,
    (depth, mut start): (usize, f64),
) {
    let anchor = format!("k{}", marks.len());
    let kernel = row.parts.is_empty();
    // A row of parts is no kernel, and has no anchor.
    let id = if kernel { format!(" id=\"{anchor}\"") } else { String::new() };
    let label = match depth {
        0 => escape(&row.name),
        _ => format!("<span class=\"part\" style=\"margin-left:{depth}em\">{}</span>", row.part()),
    };
    let mut bars = String::new();
    bar(&mut bars, row, longest, &mut start.clone());
    let _ = writeln!(
        page,
        "<div class=\"row\"{id} title=\"{}\"><span>{label}</span><span class=\"bar\">{bars}</span><span>{}</span><span>{}</span>\
         <span>{}</span><span>{}</span><span>{}</span></div>",
        escape(&roofline::title(row, profile)),
        digits(row.seconds * 1e3),
        percent(row.seconds, profile.steps_sum()),
        rate(row.work.flops(), row.gflops()),
        rate(row.work.bytes(), row.gbps()),
        roof_share(row.roof.seconds, row.seconds),
    );
    if kernel {
        marks.push(Mark { anchor, row });
    }
    for part in &row.parts {
        layer(page, marks, (profile, longest), part, (depth + 1, start));
        start += part.seconds;
    }
}

/// The bars of a row's kernels side by side; `start` moves to their end.
fn bar(bars: &mut String, row: &Row, longest: f64, start: &mut f64) {
    let width = |seconds: f64| 100.0 * (seconds / longest).clamp(0.0, 1.0);
    for kernel in row.kernels() {
        let (left, class) = (width(*start), colour(kernel));
        *start += kernel.seconds;
        let mut piece = |pale: &str, seconds: f64| {
            let _ = write!(
                bars,
                "<i class=\"{class}{pale}\" style=\"left:{left:.2}%;width:{:.2}%\"></i>",
                width(seconds)
            );
        };
        piece(" pale", kernel.seconds);
        if kernel.roof.seconds > 0.0 {
            piece("", kernel.roof.seconds.min(kernel.seconds));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample;
    use super::*;

    #[test]
    fn a_page_stands_by_itself() {
        let (subject, profile) = sample::profile();
        let page = page(&subject, &profile);
        assert!(page.contains("tiny &amp; net:a") && page.contains("output &lt;b&gt;"), "{page}");
        for foreign in ["<script", "http:", "https:", "<link", "@import", "url(", "NaN"] {
            assert!(!page.contains(foreign), "{foreign}");
        }
        for element in ["div", "span", "section", "table", "tr", "td", "svg", "text", "a", "main"] {
            let open = page.matches(&format!("<{element}>")).count()
                + page.matches(&format!("<{element} ")).count();
            assert_eq!(open, page.matches(&format!("</{element}>")).count(), "{element}");
        }
        for row in profile.layers.iter().flat_map(Row::kernels) {
            assert!(page.contains(&format!("\n.{} {{", colour(row))), "{}", row.class);
        }
        for (at, _) in page.match_indices("href=\"#") {
            let anchor = page[at + 7..].split('"').next().unwrap();
            assert!(page.contains(&format!("id=\"{anchor}\"")), "{anchor}");
        }
    }
}
