//! How findings are shown.

use netwright_grammar::{Diagnostic, Sources, Span, render, render_one};

/// The span of `what` in `text`, which is file `file`.
fn span(file: u32, text: &str, what: &str) -> Span {
    let start = text.find(what).expect("the text has it") as u32;
    Span { file, start, end: start + what.len() as u32 }
}

const TABLE: &str = "\
network n {
  table {
    | input  | operator   | s |
    | 28²×32 | bottleneck | 1 |
    | 14²×64 | bottleneck | 1 |
  }
}
";

fn finding(sources: &mut Sources) -> Diagnostic {
    let file = sources.add("specs/n.arch", TABLE);
    Diagnostic::error(
        "E0102",
        span(file, TABLE, "14²×64"),
        "the table says 14²×64, the network has 28²×64 here",
    )
    .label("checked column `input`")
    .related(span(file, TABLE, "28²×32"), "stride 1 keeps 28²")
    .help("should `s` be 2 in the row above?")
}

#[test]
fn a_finding_shows_its_lines() {
    let mut sources = Sources::default();
    let finding = finding(&mut sources);
    insta::assert_snapshot!(render_one(&sources, &finding, false));
}

#[test]
fn colour_changes_nothing_but_colour() {
    let mut sources = Sources::default();
    let finding = finding(&mut sources);
    let coloured = render_one(&sources, &finding, true);
    assert!(coloured.contains("\u{1b}["));
    let mut plain = String::new();
    let mut escape = false;
    for c in coloured.chars() {
        match c {
            '\u{1b}' => escape = true,
            'm' if escape => escape = false,
            c if !escape => plain.push(c),
            _ => {}
        }
    }
    assert_eq!(plain, render_one(&sources, &finding, false));
}

#[test]
fn places_in_other_files_and_far_away_have_their_own_lines() {
    let mut sources = Sources::default();
    let far = format!("first\n{}last\n", "\n".repeat(40_000));
    let one = sources.add("one.arch", far.as_str());
    let two = sources.add("two.arch", "block f(x) { }\n");
    let finding = Diagnostic::warning("W0001", span(one, &far, "last"), "two of a name")
        .related(span(one, &far, "first"), "the first")
        .related(span(two, "block f(x) { }\n", "f"), "also here");
    insta::assert_snapshot!(render_one(&sources, &finding, false));
}

#[test]
fn places_that_do_not_exist_are_left_out() {
    let mut sources = Sources::default();
    sources.add("a.arch", "²");
    let nowhere = Span { file: 7, start: 3, end: 9 };
    let inside = Span { file: 0, start: 1, end: 90 };
    let findings = [
        Diagnostic::error("E0001", nowhere, "no file\u{1b}[31m here").help("none"),
        Diagnostic::error("E0001", inside, "inside a character"),
    ];
    insta::assert_snapshot!(render(&sources, &findings, false));
}
