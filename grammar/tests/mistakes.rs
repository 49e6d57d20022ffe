//! What is said about syntax mistakes: each snapshot holds a source and what is said about it.

mod common;

use common::said;
use netwright_grammar::{Diagnostic, Span};
use netwright_grammar::{Sources, parse_arguments, parse_expression, parse_file, render_one};

/// A source and the rendered findings, for a snapshot.
fn case(source: &str) -> String {
    let said = said(source);
    assert!(!said.is_empty(), "nothing is said about {source:?}");
    format!("{source}\n----\n{said}")
}

/// Snapshots of `name => source`.
macro_rules! mistakes {
    ($($name:ident => $source:expr;)*) => {$(
        #[test]
        fn $name() {
            insta::assert_snapshot!(case($source));
        }
    )*};
}

/// A block with one line that is wrong and one that is right.
macro_rules! line {
    ($line:expr) => {
        concat!("block f(x) {\n  a = ", $line, "\n  out = a -> relu\n}")
    };
}

mistakes! {
    missing_equals => "block f(x) {\n  a x -> bn\n}";
    missing_equals_in_setting => "setting bn_eps 1e-3";
    unclosed_parenthesis => line!("x -> conv(x.c, 1x1 -> bn");
    unclosed_bracket => line!("param gamma[x.c * x");
    surplus_parenthesis => line!("x -> conv(x.c, 1x1)) -> bn");
    crossed_brackets => line!("x -> view([x.h, x.w)]");
    sum_after_step => line!("x -> bn + x");
    text_after_arrow => line!("x -> \"bn\"");
    ends_with_arrow => "block f(x) {\n  a = x ->\n}";
    slashes_as_division => line!("x -> conv(divisible(x.c // 4, 8), 1x1) -> bn");
    single_equals_in_condition => line!("x -> bn when s = 1");
    two_equals => line!("b = x -> bn");
    word_and => line!("x -> bn when s == 1 and x.c == 8");
    word_not => line!("x -> bn when not s");
    missing_then => line!("if x.c > 8 x else x -> bn");
    missing_comma => line!("x -> conv(x.c 1x1)");
    smart_quotes => line!("x -> view(“h w c -> c”)");
    single_quotes => line!("x -> view('h w c -> c')");
    unicode_arrow => line!("x → bn");
    unicode_minus => line!("x -> f(4 − 1)");
    semicolon => line!("x -> bn;");
    open_text => line!("x -> view(\"h w c -> c)");
    double_star => line!("x -> f(2 ** 3)");
    times_sign => line!("x -> f(x.c × 2)");
    letters_on_number => line!("x -> conv(3c)");
    keyword_as_name => "block f(x) {\n  when = x -> bn\n}";
    two_values => line!("x -> bn relu");
    header_of_block => "block f(x, 3) {\n  a = x -> bn\n}";
    header_without_parameters => "block f {\n  a = x -> bn\n}";
    misspelt_section => "netwrok f(x) {\n  tabel {\n    | a |\n  }\n}";
    line_outside_a_block => "a = x -> bn\nblock f(x) {\n  a = x\n}";
    section_in_the_wrong_place => "table {\n  | a |\n}\nnetwork f {\n  use \"b.arch\"\n}";
    use_without_quotes => "use blocks.arch";
    missing_opening_brace => "block f(x)\n  a = x -> bn\n}";
    missing_closing_brace => "block f(x) {\n  a = x -> bn\n\nblock g(x) {\n  a = x -> bn\n}";
    missing_closing_brace_of_rules => "network f {\n  weights t {\n    blocks: b {\n      a: c\n    \
        head: d\n  }\n  expect params = 3\n}";
    surplus_closing_brace => "network f {\n  table {\n    | n |\n    | 1 |\n    }\n    | 2 |\n  }\n}\n}";
    brace_after_a_line => "network f {\n  expect params = 3 { a }\n}";
    missing_last_bar => "network f {\n  table {\n    | operator | n |\n    | a        | 1\n  }\n}";
    missing_bar_before_when => "network f {\n  table {\n    | a |\n    | 1 when x\n  }\n}";
    missing_first_bar => "network f {\n  table {\n    | a | b |\n    1 | 2 |\n  }\n}";
    no_row => "network f {\n  table {\n    | a | b |\n    and so on\n  }\n}";
    row_of_dashes => "network f {\n  table {\n    | a | b |\n    |---|---|\n    | 1 | 2 |\n  }\n}";
    empty_table => "network f {\n  table {\n  }\n}";
    condition_of_a_row => "network f {\n  table {\n    | a |\n    | 1 | when x = 3\n  }\n}";
    unquoted_heading => "network f {\n  heading #out = c\n}";
    two_variants => "network f {\n  variants {\n    | name |\n  }\n  variants {\n    | name |\n  }\n}";
    rule_without_colon => "network f {\n  weights t {\n    stem conv, bn\n    head: fc  tail fc2\n  }\n}";
    rule_with_open_hole => "network f {\n  weights t {\n    stem: blocks.{i.conv\n  }\n}";
    rule_without_name => "network f {\n  weights t {\n    stem: a when b else\n  }\n}";
    preprocess_without_value => "network f {\n  weights t {\n    preprocess { crop  mean = 1 }\n  }\n}";
    set_inside_a_rule => "network f {\n  weights t {\n    a: b {\n      set c = 1\n    }\n  }\n}";
    tabs_and_wide_characters => "block f(x) {\n\ta\t= x -> \"畳み込み\"\t-> f(畳)\n}";
    windows_line_ends => "block f(x) {\r\n  a = x -> bn -> 3\r\n  b = a\r\n}\r\n";
}

/// A source, and what is said about an expression in it.
fn piece(text: &str, found: Result<impl std::fmt::Debug, Diagnostic>) -> String {
    let mut sources = Sources::default();
    sources.add("cell.arch", format!("| {text} |"));
    let problem = found.expect_err("it should not be read");
    render_one(&sources, &problem, false)
}

#[test]
fn pieces_of_cells_have_places_in_their_file() {
    let base = Span { file: 0, start: 2, end: 2 };
    let text = "3 + * 4";
    insta::assert_snapshot!(piece(text, parse_expression(text, base)));
    let text = "1x1, k = , NBN";
    insta::assert_snapshot!(piece(text, parse_arguments(text, base)));
    let good = parse_expression("alpha * 3x3", base).expect("an expression");
    assert_eq!((good.span.start, good.span.end), (2, 13));
    assert_eq!(parse_arguments("1x1, k = 3, NBN", base).map(|a| a.len()), Ok(3));
    assert_eq!(parse_arguments("", base).map(|a| a.len()), Ok(0));
}

/// Thirty mistakes, each in a line of its own, in five blocks, two tables and a dialect.
const THIRTY: &str = include_str!("thirty.arch");

#[test]
fn each_mistake_gives_one_error_on_its_line() {
    let mut sources = Sources::default();
    let (_, problems) = parse_file(&mut sources, "thirty.arch", THIRTY);
    let wanted: Vec<usize> = THIRTY
        .lines()
        .enumerate()
        .filter(|(_, line)| line.contains("// !"))
        .map(|(number, _)| number + 1)
        .collect();
    let found: Vec<usize> = problems.iter().map(|p| sources.position(p.span).line).collect();
    assert_eq!(wanted.len(), 30);
    assert_eq!(found, wanted);
}
