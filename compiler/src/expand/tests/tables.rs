//! Tables: roles, rules, stages, repeats, checked columns.

use super::{Request, codes, expanded, expanded_with, output, rendered};

const BLOCK: &str = "block unit(x, c, s = 1, SE) {\n  main = x -> conv(c, 3x3, stride = s) -> bn -> relu\n  \
     gate = main -> squeeze_excite(4) when SE\n}\n";

fn table(head: &str, rows: &str) -> String {
    format!(
        "{BLOCK}network test(resolution = 32, width = 1) {{\n{head}\n  table {{\n{rows}\n  }}\n}}\n"
    )
}

#[test]
fn stages_repeats_and_features() {
    let net = expanded(&table(
        "  heading \"#out\" = c\n  column c = divisible(width * c, 8)",
        "    | input  | operator            | #out | SE | n | s |
    | 32²×3  | stem: conv_bn 3x3   | 8    | -  | 1 | 2 |
    | 16²×8  | unit                | 16   | -  | 2 | 1 |
    ---
    | 16²×16 | unit                | 24   | ✓  | 3 | 2 |
    | 8²×24  | global_avgpool 8x8  | -    | -  | 1 | - |
    | 1²×24  | head: conv_bn, NBN & flatten | !10 | - | 1 | - |",
    ));
    assert_eq!(output(&net), [1, 10]);
    let names: Vec<&str> = net.graph.features.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["stem", "stage0", "stage1", "head"]);
    let paths: Vec<&str> =
        net.layers.iter().filter(|l| l.depth == 0).map(|l| l.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "stem",
            "blocks.0.0",
            "blocks.0.1",
            "blocks.1.0",
            "blocks.1.1",
            "blocks.1.2",
            "global_avgpool_6",
            "head",
            "flatten_8"
        ]
    );
    // The stride holds for the first of a row's repeats.
    let sizes: Vec<usize> =
        net.layers.iter().filter(|l| l.depth == 0).map(|l| l.output.as_ref().unwrap()[1]).collect();
    assert_eq!(&sizes[..6], [16, 16, 16, 8, 8, 8]);
    let stem = net.graph.nodes.iter().find(|node| node.name == "stem.conv.conv.weight");
    assert!(stem.is_some() || net.graph.nodes.iter().any(|node| node.name.starts_with("stem.")));
}

#[test]
fn rules_see_the_printed_rows() {
    let net = expanded_with(
        &table(
            "  column c = x.c * c / prev.c",
            "    | operator | c   | SE | i\n",
        )
        .replace(" | i\n", " |\n    | conv     | !6  | -  |\n    | unit     | 12  | -  |\n    | unit     | 6   | -  |"),
        &Request { sets: vec![("width".into(), "2".into())], ..Request::default() },
    );
    assert_eq!(output(&net), [1, 32, 32, 6]);
}

#[test]
fn cures_are_tried() {
    let rows = "    | input  | operator | c  | SE | s |
    | 32²×3  | unit     | 8  | -  | 1 |
    | 16²×8  | unit     | 16 | -  | 1 |
    | 16²×12 | unit     | 12 | -  | 1 |
    | 16²×12 | unit     | 12 | -  | 1 |";
    insta::assert_snapshot!(rendered(&table("", rows)));
}

#[test]
fn a_broken_row_hands_on_what_is_printed() {
    let rows = "    | resolution | operator | c  | SE | s |
    | 32²        | unit     | 8  | -  | 2 |
    | 16²        | unti     | 16 | -  | 2 |
    | 8²         | unit     | 16 | -  | 1 |
    | 4²         | unit     | 16 | -  | 1 |";
    // One for the operator, one for the last resolution: the row before it is checked although
    // nothing is known of its input's channels.
    assert_eq!(codes(&table("", rows)), ["E0201"]);
    let rows =
        rows.replace("resolution", "input").replace("8² ", "8²×16 ").replace("4² ", "4²×16 ");
    let rows = rows.replace("32² ", "32²×3 ").replace("16² ", "16²×8 ");
    assert_eq!(codes(&table("", &rows)), ["E0201", "E0102"]);
}

#[test]
fn conditions_and_overrides() {
    let text = table(
        "",
        "    | operator     | c        | SE |
    | unit         | 8        | -  |
    | global_avgpool | -      | -  |
    | fc: linear & flatten | !classes | -  | when classes > 0",
    );
    let text = text.replace("fc: linear & flatten", "flatten & fc: linear");
    assert_eq!(output(&expanded(&text)), [1, 1000]);
    let set = |name: &str, value: &str| Request {
        sets: vec![(name.into(), value.into())],
        ..Request::default()
    };
    assert_eq!(output(&expanded_with(&text, &set("classes", "0"))), [1, 8]);
    let grey = expanded_with(&text, &set("channels", "1"));
    assert_eq!(grey.input, [1, 32, 32, 1]);
    assert_eq!(grey.preprocess.mean.len(), 1);
    assert_eq!(expanded_with(&text, &set("resolution", "16x24")).input, [1, 16, 24, 3]);
    let spec = crate::spec::Spec::from_text("test.arch", &text);
    for (name, value, code) in [
        ("widht", "1", "E0221"),
        ("width", "wide", "E0222"),
        ("resolution", "0", "E0218"),
        ("resolution", "99999999", "E0218"),
        ("classes", "2.5", "E0217"),
        ("channels", "-1", "E0218"),
        ("resolution", "1x2x3", "E0210"),
    ] {
        let errors = super::expand(&spec, &set(name, value)).unwrap_err();
        let codes: Vec<&str> = errors.iter().map(|error| error.code).collect();
        assert_eq!(codes, [code], "{name}={value}");
    }
}

#[test]
fn variants() {
    let text = "block unit(x, c) {\n  y = x -> conv(c)\n}\nnetwork test(w, resolution = 8) {\n  carried dropout\n  \
        variants {\n    | name | w | dropout | params |\n    | a | 1 | 0.1 | 12 |\n    | b | 2 | 0.2 | 24 ± 10% |\n  }\n  \
        column c = w * c\n  table {\n    | input | operator | c |\n    | 8²×3 | unit | 4 |\n    | 8²×4 | relu | - |\n  }\n}\n";
    assert_eq!(codes(text), [""; 0]);
    let request = |variant: &str| Request { variant: Some(variant.into()), ..Request::default() };
    let b = expanded_with(text, &request("b"));
    assert_eq!(b.carried, [("dropout".to_string(), "0.2".to_string())]);
    assert_eq!(output(&b), [1, 8, 8, 8]);
    let spec = crate::spec::Spec::from_text("test.arch", text);
    let error = &super::expand(&spec, &Request::default()).unwrap_err()[0];
    assert_eq!(error.code, "E0112");
    assert!(error.help.as_ref().unwrap().contains("a, b"), "{:?}", error.help);
    assert_eq!(super::expand(&spec, &request("c")).unwrap_err()[0].code, "E0112");
    assert_eq!(codes(&text.replace("24 ±", "34 ±")), ["E0401"]);
    assert_eq!(codes(&text.replace("| 12 |", "| 13 |")), ["E0401"]);
    assert_eq!(codes(&text.replace("carried dropout\n", "\n")), ["E0111"]);
    // A printed shape belongs to the first variant alone.
    assert_eq!(codes(&text.replace("8²×4", "8²×8")), ["E0102"]);
}

#[test]
fn outputs_and_dialects() {
    let text = table(
        "  output c2 = blocks[0][0].main\n  output last = stage1\n  weights own {\n    set padding = same\n    set bn_eps = 1e-3\n  }\n  weights other like own {\n    set bn_eps = 1e-4\n  }",
        "    | operator | c | SE | s |\n    | unit | 8 | - | 2 |\n    ---\n    | unit | 8 | ✓ | 2 |",
    );
    let net = expanded(&text);
    let shapes: Vec<(&str, &[usize])> =
        net.graph.outputs.iter().map(|(name, id)| (name.as_str(), net.graph.shape(*id))).collect();
    assert_eq!(shapes, [("c2", &[1, 16, 16, 8][..]), ("last", &[1, 8, 8, 8][..])]);
    let eps = |net: &super::Expanded| {
        net.graph.nodes.iter().find_map(|node| match node.op {
            super::Op::BatchNorm { eps } => Some(eps),
            _ => None,
        })
    };
    assert_eq!(eps(&net), Some(1e-3));
    let other = Request { dialect: Some("other".into()), ..Request::default() };
    assert_eq!(eps(&expanded_with(&text, &other)), Some(1e-4));
    let same = |net: &super::Expanded| {
        net.graph.nodes.iter().any(|node| {
            matches!(&node.op, super::Op::Conv(conv) if conv.padding == netwright_ir::Padding::Same)
        })
    };
    assert!(same(&net) && same(&expanded_with(&text, &other)));
    assert_eq!(codes(&text.replace("stage1", "stage7")), ["E0226"]);
    assert_eq!(codes(&text.replace("padding", "pading")), ["E0512"]);
}

#[test]
fn rows_of_one_variant() {
    let text = "block unit(x, c) {\n  y = x -> conv(c, 1x1)\n}\n\
                network t(resolution = 8) {\n  variants {\n    | name |\n    | a |\n    | b |\n  }\n  \
                heading \"{variant} layers\" = operator\n  operator \"unit-{c}\" = unit\n  table {\n    \
                | a layers | b layers |\n    | unit-4 | unit-4 |\n    | - | unit-5 |\n    \
                | unit-6 | unit-6 |\n  }\n}\n";
    assert_eq!(codes(text), [""; 0]);
    let nodes = |variant: &str| {
        let request = Request { variant: Some(variant.into()), ..Request::default() };
        expanded_with(text, &request).graph.params.len()
    };
    assert_eq!((nodes("a"), nodes("b")), (2, 3));
    // In a column that is the only one it is a mistake, and so is a row that no variant has.
    let alone = table("", "    | operator |\n    | - |");
    assert_eq!(codes(&alone), ["E0106"]);
    let nobody = text.replace("| - | unit-5 |", "| - | - |");
    assert_eq!(codes(&nobody), ["E0106"]);
}
