//! Any text gives an answer, quickly, and `fmt` is idempotent on whatever it accepts.

mod common;

use std::time::{Duration, Instant};

use common::{comments, specs, tree};
use netwright_grammar::{
    Diagnostic, Sources, Span, format, parse_arguments, parse_expression, parse_file, render,
};
use proptest::prelude::*;

const EXCERPT: &str = include_str!("excerpt.arch");

/// Reads a text in every way, on a small stack, and checks what must hold of any answer.
fn read(text: &str) -> Vec<Diagnostic> {
    let mut sources = Sources::default();
    let (_, problems) = parse_file(&mut sources, "test.arch", text);
    for problem in &problems {
        let places = problem.related.iter().map(|(span, _)| *span).chain([problem.span]);
        for span in places {
            assert!(span.start <= span.end && span.end as usize <= text.len(), "{problem:?}");
            assert!(text.is_char_boundary(span.start as usize), "{problem:?}");
            assert!(text.is_char_boundary(span.end as usize), "{problem:?}");
        }
    }
    problems
}

/// As [`read`], on a thread with the stack of a test, with a bound on the time.
fn read_quickly(text: String) -> Vec<Diagnostic> {
    let start = Instant::now();
    let reader = std::thread::Builder::new().stack_size(2 << 20);
    let reader = reader.spawn(move || read(&text)).expect("threads can be started");
    let problems = reader.join().expect("reading a text does not panic");
    let taken = start.elapsed();
    // Unoptimised builds take a second for a megabyte; quadratic time would take minutes.
    assert!(taken < Duration::from_secs(20), "took {taken:?}");
    problems
}

/// What `fmt` must keep.
fn format_holds(text: &str) {
    if let Ok(once) = format(text) {
        let (before, after) = (tree(text), tree(&once));
        let changed = before.lines().zip(after.lines()).find(|(b, a)| b != a);
        assert!(before == after, "{changed:?} from\n{text}\nto\n{once}");
        assert_eq!(comments(text), comments(&once), "from\n{text}\nto\n{once}");
        assert_eq!(format(&once).as_deref(), Ok(once.as_str()), "from\n{text}");
    }
}

#[test]
fn megabytes_are_answered_at_once() {
    let fill = |piece: &str| piece.repeat(((1 << 20) - 100) / piece.len());
    let line = |text: String| format!("block f(x) {{\n  a = {text}\n}}\n");
    for bracket in ["(", "[", "{", "((", "f(", "f[", "grid(i < ", "a{", "cat(", "{x.{"] {
        for text in [fill(bracket), line(fill(bracket))] {
            let problems = read_quickly(text);
            assert!(!problems.is_empty(), "{bracket}");
        }
    }
    for piece in [
        "if a then b else ",
        "-",
        "!",
        "- ",
        "a + ",
        "a ^ ",
        "a.b",
        "x -> ",
        ".a",
        "(a)",
        "[0]",
        "1 ",
        "a, ",
        "a = ",
        "²",
        "×",
        "3x",
        "\"",
        "\"a\" ",
        "when ",
        "a -> b when ",
    ] {
        assert!(!read_quickly(line(fill(piece))).is_empty(), "{piece}");
    }
    for piece in [
        "}",
        "{}",
        "{ }\n",
        "a\n",
        "a = b\n",
        "\n",
        "|",
        "| a ",
        "| a |\n",
        "---\n",
        "//",
        "// a\n",
        "block f(x) {\n",
        "block f\n",
        "network f {\n",
        "network f\n",
        "table\n",
        "weights a\n",
        "a: b\n",
        "a: b ",
        "a: b { ",
        "preprocess\n",
        "block a\n",
        "a,\n",
        "a(\n",
        "use \"a\"\n",
        "x\n  -> ",
        "ä",
        "\u{0}",
    ] {
        for start in ["", "network n {\n", "network n {\n table {\n", "network n {\n weights w {\n"]
        {
            // Quadratic time would be noticed with less than a megabyte.
            read_quickly(format!("{start}{}", piece.repeat(100_000 / piece.len())));
        }
    }
}

#[test]
fn a_file_has_bounds() {
    let problems = read_quickly(" ".repeat((1 << 20) + 1));
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["E0601"]);
    let problems =
        read_quickly(format!("block f(x) {{\n a = {}1{}\n}}", "(".repeat(70), ")".repeat(70)));
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["E0602"]);
    let rows = "| 1 |\n".repeat(10_001);
    let problems = read_quickly(format!("network f {{\n table {{\n| n |\n{rows}}}\n}}"));
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["E0603"]);
    let cells = "| 1 ".repeat(257);
    let problems = read_quickly(format!("network f {{\n table {{\n| n |\n{cells}|\n}}\n}}"));
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["E0603"]);
    let problems = read_quickly(format!("block f(x) {{\n a = 1{}\n}}", " + 1".repeat(200)));
    assert_eq!(problems.iter().map(|p| p.code).collect::<Vec<_>>(), ["E0604"]);
    let problems = read_quickly("a\n".repeat(2000));
    assert_eq!(problems.last().map(|p| p.code), Some("E0605"));
    assert_eq!(problems.len(), 201);
}

#[test]
fn depth_that_is_allowed_is_read_on_a_small_stack() {
    let deep = format!("{}1{}", "f(".repeat(60), ")".repeat(60));
    let chain = "a.b + ".repeat(40) + "a";
    let choice = "if a then b else ".repeat(30) + "c";
    for text in [deep, chain, choice] {
        let problems = read_quickly(format!("block f(x) {{\n a = {text}\n}}"));
        assert!(problems.is_empty(), "{problems:?}");
    }
}

/// A small generator of pseudorandom numbers (Marsaglia's xorshift), so that failures repeat.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

#[test]
fn mutated_specs_are_answered() {
    let pieces = [
        "(", ")", "[", "]", "{", "}", "|", "\n", "\"", "//", "->", "=", "when ", "else ", "if ",
        ",", ":", ".", "-", "²", "×", "#", "---\n", "block ", "network ", "table {", "3x", "%",
        "±", " ", "\t", "畳", "\u{0}",
    ];
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut texts: Vec<String> = specs().into_iter().map(|(_, text)| text).collect();
    texts.push(EXCERPT.to_string());
    let mut accepted = 0;
    for round in 0..3000 {
        let mut text: Vec<char> = texts[round % texts.len()].chars().collect();
        for _ in 0..=random.below(3) {
            let at = random.below(text.len());
            match random.below(3) {
                0 => {
                    text.remove(at);
                }
                1 => {
                    let piece = pieces[random.below(pieces.len())];
                    text.splice(at..at, piece.chars());
                }
                _ => {
                    let end = (at + random.below(40)).min(text.len());
                    text.drain(at..end);
                }
            }
        }
        let text: String = text.into_iter().collect();
        let problems = read(&text);
        if problems.is_empty() {
            accepted += 1;
            format_holds(&text);
        } else if round % 50 == 0 {
            let mut sources = Sources::default();
            let (_, problems) = parse_file(&mut sources, "mutated.arch", text);
            assert!(render(&sources, &problems, round % 100 == 0).contains("error"));
        }
    }
    assert!(accepted > 100, "mutations always broke the specs");
}

/// Fragments that make up texts which are nearly specs.
fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "block f(x, a = 1) {",
        "network n(a) {",
        "table {",
        "variants {",
        "weights t {",
        "preprocess {",
        "}",
        "}",
        "\n",
        "\n",
        "\n",
        " ",
        "a",
        "b1",
        "x",
        "bn",
        "3",
        "0.5",
        "3x3",
        "224²×3",
        "300M",
        "2%",
        "\"s\"",
        "yes",
        "none",
        "(",
        ")",
        "[",
        "]",
        ",",
        "=",
        "->",
        "+",
        "-",
        "*",
        "/",
        "^",
        "!",
        "==",
        "&&",
        "||",
        "±",
        "|",
        "| a | b |\n",
        "---\n",
        ":",
        ".",
        "{s}",
        "#bn",
        "when ",
        "else ",
        "if ",
        "then ",
        "param w[3]",
        "require ",
        "// c\n",
        "column c = ",
        "expect params = ",
        "operator o = ",
        "a: b",
        "set p = ",
        "drop *.x",
        "grid(i < 3 : i)",
        "cat(a, 0)",
        "use \"f\"\n",
        "  ",
        "a = x -> bn\n",
        "畳",
    ]);
    prop::collection::vec(fragment, 0..60).prop_map(|f| f.concat())
}

/// Expressions of all kinds, written without care for blanks.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "1", "0.5", "x", "x.c", "3x3", "3 × 3", "224²×3", "\"a b\"", "yes", "none", "C[i]", "2%",
        "f", "f()", "1e-3",
    ])
    .prop_map(str::to_string);
    leaf.prop_recursive(4, 24, 3, |inner| {
        let mark = prop::sample::select(vec![
            " + ", "-", " - ", "*", " /", " % ", "^", "==", "!= ", "<", ">=", " && ", "||",
        ]);
        prop_oneof![
            (inner.clone(), mark, inner.clone()).prop_map(|(a, m, b)| format!("{a}{m}{b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("-{a}")),
            inner.clone().prop_map(|a| format!("! {a}")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("f( {a},k={b} )")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("[{a} ,{b}]")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("({a}  ->g({b})->  h)")),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("(if {a} then {b} else {c})")),
            (inner.clone(), inner).prop_map(|(a, b)| format!("grid(i<{a},j < 3:{b})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_answered(text in "\\PC*") {
        read(&text);
        let base = Span::default();
        let _ = parse_expression(&text, base);
        let _ = parse_arguments(&text, base);
    }

    #[test]
    fn near_specs_are_answered(text in fragments()) {
        read(&text);
        format_holds(&text);
    }

    #[test]
    fn near_blocks_are_answered(inner in fragments()) {
        let text = format!("network n {{\n{inner}\n}}");
        read(&text);
        format_holds(&text);
        let text = format!("block f(x) {{\n  a = {inner}\n  b = a\n}}");
        read(&text);
        format_holds(&text);
    }

    #[test]
    fn formatted_expressions_mean_the_same(a in expression(), b in expression(), c in expression()) {
        let text = format!("block f(x) {{\n aa={a}\n b = x->f({b})->g when {c}\n}}\n");
        prop_assert_eq!(read(&text), vec![]);
        format_holds(&text);
    }

    #[test]
    fn formatted_tables_mean_the_same(cells in prop::collection::vec("[ a-z0-9x×²✓畳\"(),-]{0,8}", 6)) {
        let mut text = String::from("network n {\n table {\n| a | b |\n");
        for pair in cells.chunks(2) {
            text += &format!("|{}|{} | // c\n", pair[0], pair[1]);
        }
        text += "}\n}\n";
        read(&text);
        format_holds(&text);
    }
}

#[test]
fn names_of_variants_keep_their_marks() {
    let text =
        "network f(c = 3) {\n  table m-, 1.4 , \"a b\",b-x {\n    | n |\n    | 1 |\n  }\n}\n";
    assert!(format(text).expect("it is sound").contains("table m-, 1.4, \"a b\", b-x {"));
    format_holds(text);
}
