//! What a spec with mistakes gives through the library: all of them, once each, in no time, and never
//! a panic. (`cli_broken.rs` has the rendered text of every spec in `tests/broken/`.)

use netwright::Spec;
use netwright_compiler::expand::check_spec;
use netwright_grammar::{Diagnostic, Severity};
use std::time::{Duration, Instant};

fn load(name: &str) -> Spec {
    let path = format!("{}/tests/broken/{name}.arch", env!("CARGO_MANIFEST_DIR"));
    Spec::load(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn errors(spec: &Spec) -> Vec<Diagnostic> {
    let found = check_spec(spec);
    found.into_iter().filter(|one| one.severity == Severity::Error).collect()
}

/// The line that a diagnostic is about, or the row that its related place shows.
fn lines(spec: &Spec, diagnostic: &Diagnostic) -> Vec<String> {
    let own =
        std::iter::once(diagnostic.span).chain(diagnostic.related.iter().map(|(span, _)| *span));
    own.filter(|span| span.file == 0)
        .filter_map(|span| {
            let text = spec.sources.text(span.file);
            let start = text.get(..span.start as usize)?.rfind('\n').map_or(0, |at| at + 1);
            text.get(start..)?.lines().next().map(str::to_string)
        })
        .collect()
}

/// Thousands of rows take twice the time of half of them, sound or not.
#[test]
fn many_rows_are_checked_at_once() {
    for (cell, wrong) in [("16²×8", 0), ("16²×9", 4000)] {
        let row = format!("    | {cell} | conv_bn 3x3 | 8 | 1 |\n");
        let text = format!(
            "network rows(resolution = 32) {{\n  table {{\n    | input | operator | c | s |\n    | 32²×3 | \
             conv_bn 3x3 | 8 | 2 |\n{}  }}\n}}\n",
            row.repeat(4000)
        );
        let start = Instant::now();
        assert_eq!(errors(&Spec::from_text("rows.arch", &text)).len(), wrong);
        assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    }
}

/// What reaches no output is said once for each place, the outermost.
#[test]
fn layers_that_nothing_uses_are_warned_of() {
    let warned = |body: &str| {
        let text = format!(
            "block side(x) {{\n  a = x -> conv(8, 1x1)\n  b = x -> conv(8, 1x1)\n  out = b\n}}\n\
             network net(resolution = 32, classes = 10) {{\n{body}}}\n"
        );
        let spec = Spec::from_text("net.arch", &text);
        let found = check_spec(&spec);
        let shown = netwright_grammar::render(&spec.sources, &found, false);
        assert!(found.iter().all(|one| one.code == "W0101"), "{shown}");
        let place = |one: &Diagnostic| {
            text[one.span.start as usize..one.span.end as usize].trim().to_string()
        };
        found.iter().map(place).collect::<Vec<_>>()
    };
    let rows = "  table {\n    | operator | n |\n    | stem: conv_bn(8, 3x3) | 1 |\n    | side | 2 |\n    \
                | head: classify(classes) | 1 |\n  }\n";
    // A line of a block, whatever the number of rows that use it.
    assert_eq!(warned(rows), ["a = x -> conv(8, 1x1)"]);
    // An output that stops before the last rows: they are all of no use.
    assert_eq!(warned(&format!("  output logits = stem\n{rows}")), ["side", "classify(classes)"]);
    // Two outputs that use everything between them.
    let lines = "  p = x -> conv(4, 3x3)\n  q = x -> conv(4, 3x3)\n  r = p -> relu\n";
    assert_eq!(warned(lines), ["q = x -> conv(4, 3x3)"]);
    assert_eq!(warned(&format!("  output one = r\n  output two = q\n{lines}")), [""; 0]);
}

/// A name of any length is said in a few words.
#[test]
fn long_names_are_cut() {
    let name = "a".repeat(30_000);
    let text = format!("network net() {{\n  y = x -> {name}\n  z = y -> relu({name} = 1)\n}}\n");
    let spec = Spec::from_text("net.arch", &text);
    let found = check_spec(&spec);
    let shown = netwright_grammar::render(&spec.sources, &found, false);
    assert_eq!(found.len(), 2, "{shown}");
    assert!(shown.len() < 2000 && shown.contains("aaa…aaa"), "{}", shown.len());
}

/// Each marked mistake has its error, and there is no other.
fn each_mark_has_its_error(name: &str) {
    let spec = load(name);
    let found = errors(&spec);
    let shown = netwright_grammar::render(&spec.sources, &found, false);
    assert_eq!(found.len(), 30, "{shown}");
    let marks =
        (1..=5).map(|at| format!("// S{at}:")).chain((1..=25).map(|at| format!("// M{at}:")));
    for mark in marks {
        let marked = found
            .iter()
            .filter(|one| lines(&spec, one).first().is_some_and(|line| line.contains(&mark)));
        assert_eq!(marked.count(), 1, "{mark}\n{shown}");
    }
}

#[test]
fn thirty_mistakes_give_thirty_errors() {
    each_mark_has_its_error("thirty_mistakes");
    each_mark_has_its_error("thirty_more_mistakes");
}

/// Errors of these specs are as many as the mistakes that were put in.
#[test]
fn one_mistake_gives_one_error() {
    for (name, mistakes) in [
        ("a_billion_layers", 1),
        ("bad_view", 3),
        ("conv_on_vector", 1),
        ("dialects", 4),
        ("expectations", 2),
        ("groups", 1),
        ("half_channels", 1),
        ("many_times_many", 1),
        ("misspelt_block", 1),
        ("misspelt_name", 2),
        ("one_target_too_few", 1),
        ("overflowing_shape", 1),
        ("recursion", 1),
        ("results", 1),
        ("row_too_short", 1),
        ("shape_channels", 1),
        ("shape_column", 1),
        ("step_with_sum", 1),
        ("unclosed_block", 3),
        ("unknown_argument", 2),
        ("unused_cell", 2),
        ("variant_params", 2),
        ("variants", 3),
    ] {
        let spec = load(name);
        let found = errors(&spec);
        let shown = netwright_grammar::render(&spec.sources, &found, false);
        assert_eq!(found.len(), mistakes, "{name}:\n{shown}");
    }
}

/// Texts that ask for too much of everything end at once, with an error.
#[test]
fn excess_ends_at_once() {
    let table = |cells: &str| {
        format!("network n() {{\n  table {{\n    | operator | c | n |\n    {cells}\n  }}\n}}\n")
    };
    let many = 300_000;
    let deep = |open: &str, close: &str| {
        format!(
            "block b(x) {{\n  out = {}x{}\n}}\n{}",
            open.repeat(many),
            close.repeat(many),
            table("| b | - | 1 |")
        )
    };
    let chain: String = (0..2000)
        .map(|at| {
            format!("block b{at}(x) {{\n  y = x -> b{}\n  z = y -> b{}\n}}\n", at + 1, at + 1)
        })
        .collect();
    for (what, text) in [
        ("brackets", deep("(", ")")),
        ("unclosed brackets", deep("[", "")),
        ("minus signs", deep("-", "")),
        ("braces", "{".repeat(many)),
        ("bars", format!("network n() {{\n  table {{\n{}\n", "|".repeat(many))),
        (
            "pipes",
            format!(
                "block b(x) {{\n  out = x{}\n}}\n{}",
                " -> relu".repeat(110_000),
                table("| b | - | 1 |")
            ),
        ),
        ("repeats", table("| conv_bn 3x3 | 16 | 1e300 |")),
        ("channels", table("| conv_bn 3x3 | 1e15 | 1 |")),
        ("nothing", String::new()),
        (
            "doubling blocks",
            format!("{chain}block b2000(x) {{\n  y = x -> relu\n}}\n{}", table("| b0 | - | 1 |")),
        ),
    ] {
        let start = Instant::now();
        let spec = Spec::from_text("excess.arch", &text);
        assert!(!errors(&spec).is_empty(), "{what}");
        // A debug build on a busy machine; what does not end takes ages.
        assert!(start.elapsed() < Duration::from_secs(20), "{what}: {:?}", start.elapsed());
    }
}

/// Any piece of a good spec, and a good spec with a piece cut out, is an error or fine, never a panic.
#[test]
fn torn_specs_do_not_panic() {
    let text = include_str!("../specs/mobilenet_v3.arch");
    let boundary = |at: usize| (at..).find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    for step in 0..60 {
        let (start, end) =
            (boundary(step * text.len() / 60), boundary((step + 1) * text.len() / 60));
        check_spec(&Spec::from_text("head.arch", &text[..end]));
        check_spec(&Spec::from_text("torn.arch", &format!("{}{}", &text[..start], &text[end..])));
    }
}
