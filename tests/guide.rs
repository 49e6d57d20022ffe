//! The language guide (`docs/language.md`): its examples run, its walk-through goes as it says, and nothing of
//! the language is missing from it.

mod cli_common;
mod guide_uses;

use cli_common::{Run, netwright, safetensors, save};
use guide_uses::Uses;
use netwright::Spec;
use netwright_compiler::expand::{Request, expand, headings, primitives};
use netwright_compiler::pure::FUNCTIONS;
use netwright_ir::Source;
use std::path::Path;

const GUIDE: &str = include_str!("../docs/language.md");

/// The fenced blocks of a text with their languages.
fn fenced(text: &str) -> Vec<(&str, String)> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(language) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((language, block.join("\n") + "\n"));
        }
    }
    blocks
}

fn examples() -> Vec<String> {
    let blocks = fenced(GUIDE).into_iter();
    blocks.filter(|(language, _)| *language == "arch").map(|(_, block)| block).collect()
}

/// Whether `text` has `word` with no letter of a name around it.
fn says(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// The file that an example names in its first line, for others to use it.
fn file_name(example: &str) -> Option<String> {
    let first = example.strip_prefix("// ")?.split([':', '\n']).next()?;
    first.ends_with(".arch").then(|| first.to_string())
}

/// The first name in a table of variants, after a colon.
fn first_variant(example: &str) -> String {
    let mut lines = example.lines().skip_while(|line| !line.contains("variants {"));
    let heading = lines.find(|line| line.trim_start().starts_with("| name"));
    let first = heading.and_then(|_| lines.next()?.split('|').nth(1));
    first.map_or(String::new(), |name| format!(":{}", name.trim()))
}

/// Every example is sound, and the backends come to the same end.
#[test]
fn every_example_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let examples = examples();
    assert!(examples.len() >= 10);
    for (i, example) in examples.iter().enumerate() {
        let file = file_name(example).unwrap_or_else(|| format!("example{i}.arch"));
        std::fs::write(folder.path().join(&file), example).expect("a file");
        netwright(folder.path(), &["check", &file]).ok();
        let spec = format!("{file}{}", first_variant(example));
        netwright(folder.path(), &["summary", &spec]).ok();
        let loaded = Spec::load(&folder.path().join(&spec).display().to_string()).expect("a spec");
        let [_, h, _, c] = expand(&loaded, &Request::default()).expect("it expands").input;
        // Tables of the papers' size are run smaller; they have no columns that another size breaks.
        let size = h.min(64);
        save(folder.path(), "x.npy", &[1, c, size, size]);
        let outputs: Vec<Vec<f32>> = ["interpreter", "auto", "portable"]
            .iter()
            .map(|backend| {
                let resolution = format!("resolution={size}");
                let run = ["run", &spec, "--weights", "generated:1", "--backend", backend];
                let io = ["--set", &resolution, "--input", "x.npy", "--output", "y.npy"];
                netwright(folder.path(), &[&run[..], &io[..]].concat()).ok();
                cli_common::load(folder.path(), "y.npy").data
            })
            .collect();
        for other in &outputs[1..] {
            for (right, ours) in outputs[0].iter().zip(other) {
                let off = (right - ours).abs();
                assert!(off <= 1e-4 * right.abs().max(1.0), "example {i}: {ours} is not {right}");
            }
        }
    }
}

/// An operator has a line in the table of operators that names its parameters, and some example sets each of them.
#[test]
fn every_operator_and_its_parameters_are_described_and_used() {
    let mut uses = Uses::default();
    examples().iter().for_each(|example| uses.read(example));
    let section = GUIDE.split("\n## ").find(|section| section.starts_with("Operators\n"));
    let section = section.expect("a section about operators");
    let mut missing = Vec::new();
    for primitive in primitives::FAMILIES.into_iter().flatten() {
        let name = primitive.name;
        if !uses.of(name) {
            missing.push(format!("an example of `{name}`"));
        }
        let parameters = primitive.params.iter().skip(1).map(|parameter| parameter.name);
        let unused = parameters.clone().filter(|parameter| !uses.of_parameter(name, parameter));
        missing
            .extend(unused.map(|parameter| format!("an example of `{name}` with `{parameter}`")));
        // A tensor for the weights is told of below the table, for the three layers at once.
        let parameters: Vec<&str> = parameters.filter(|parameter| *parameter != "weight").collect();
        let lines = section.lines().filter(|line| {
            let cell = line.strip_prefix("| ").and_then(|rest| rest.split(" | ").next());
            cell.is_some_and(|cell| cell.contains('`') && says(cell, name))
        });
        let lacks = |line: &str| -> Vec<&str> {
            parameters.iter().copied().filter(|parameter| !says(line, parameter)).collect()
        };
        match lines.map(lacks).min_by_key(Vec::len) {
            None => missing.push(format!("a line about `{name}`")),
            Some(lacking) => missing.extend(
                lacking.iter().map(|parameter| format!("`{parameter}` in the line about `{name}`")),
            ),
        }
    }
    for name in ["repeat", "grid"] {
        if !uses.of(name) || !says(section, name) {
            missing.push(format!("an example and a line of `{name}`"));
        }
    }
    assert!(missing.is_empty(), "docs/language.md lacks\n  {}", missing.join("\n  "));
}

#[test]
fn every_function_is_described() {
    let code = |word: &&str| GUIDE.split('`').skip(1).step_by(2).any(|code| says(code, word));
    let missing: Vec<&str> = FUNCTIONS.into_iter().filter(|name| !code(name)).collect();
    assert!(missing.is_empty(), "not in the guide: {missing:?}");
}

#[test]
fn every_heading_is_listed_and_every_role_has_its_column() {
    let examples = examples();
    let headers: Vec<String> = examples
        .iter()
        .flat_map(|example| example.lines())
        .filter(|line| line.trim_start().starts_with('|'))
        .flat_map(|line| line.split('|').map(|cell| cell.trim().to_lowercase()))
        .collect();
    let text = GUIDE.to_lowercase();
    let mut missing = Vec::new();
    for spellings in headings() {
        let unlisted = spellings.iter().filter(|heading| !text.contains(&format!("`{heading}`")));
        missing.extend(unlisted.map(|heading| format!("the heading `{heading}`")));
        if !headers.iter().any(|header| spellings.contains(&header.as_str())) {
            missing.push(format!("an example of a column `{}`", spellings[0]));
        }
    }
    assert!(missing.is_empty(), "docs/language.md lacks {}", missing.join(", "));
}

/// Every kind of line has its example: at the start of one, unless it says otherwise.
#[test]
fn every_kind_of_line_has_an_example() {
    let starts = [
        "use ",
        "setting ",
        "operator ",
        "block ",
        "network ",
        "param ",
        "require ",
        "table {",
        "variants {",
        "---",
        "heading ",
        "column ",
        "carried ",
        "expect params",
        "expect macs",
        "output ",
        "weights ",
        "set ",
        "drop ",
        "preprocess {",
    ];
    let inside = [" when ", " else ", " like ", "cat(", "rows(", "!", "{s}", "{i}", "{n", "{#"];
    let examples = examples();
    let lines = || examples.iter().flat_map(|example| example.lines()).map(str::trim_start);
    let started = |start: &&str| !lines().any(|line| line.starts_with(*start));
    let held = |part: &&str| !lines().any(|line| line.contains(*part));
    let missing: Vec<&str> = starts.into_iter().filter(started).collect();
    let missing: Vec<&str> = missing.into_iter().chain(inside.into_iter().filter(held)).collect();
    assert!(missing.is_empty(), "no example in docs/language.md has {missing:?}");
}

/// A file of zeros for a network, with one tensor named otherwise.
fn checkpoint(folder: &Path, spec: &str, file: &str, from: &str, to: &str) {
    let spec = Spec::load(&folder.join(spec).display().to_string()).expect("a spec");
    let network = expand(&spec, &Request::default()).expect("it expands");
    let tensors: Vec<(String, Vec<usize>)> = network
        .graph
        .params
        .iter()
        .map(|param| match &param.source {
            Source::Tensor { name, shape } => (name.replace(from, to), shape.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    let zeros =
        vec![0.0; tensors.iter().map(|(_, shape)| shape.iter().product()).max().unwrap_or(0)];
    let parts: Vec<(&str, &[usize], &[f32])> = tensors
        .iter()
        .map(|(name, shape)| (&name[..], &shape[..], &zeros[..shape.iter().product()]))
        .collect();
    safetensors(&folder.join(file), &parts);
}

#[test]
fn the_walk_through_runs_as_it_says() {
    let section = GUIDE.split("\n## ").find(|part| part.starts_with("From paper to spec"));
    let section = section.expect("the walk-through");
    let folder = tempfile::tempdir().expect("a temporary folder");
    save(folder.path(), "x.npy", &[1, 3, 32, 32]);
    let (mut last, mut ran) = (None::<Run>, 0);
    for (language, block) in fenced(section) {
        match language {
            "arch" => {
                let name = file_name(&block).expect("the example names its file");
                std::fs::write(folder.path().join(&name), &block).expect("a file");
                if name == "ghostnet.arch" {
                    let (ours, theirs) = ("half.conv", "primary_conv.0");
                    checkpoint(folder.path(), &name, "ghostnet.safetensors", ours, theirs);
                }
            }
            "sh" => {
                for line in block.lines() {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    assert_eq!(words.first(), Some(&"netwright"), "{line}");
                    let run = netwright(folder.path(), &words[1..]);
                    let misfit = line.ends_with("ghostnet.safetensors");
                    assert_eq!(run.status, i32::from(misfit), "{line}\n{}{}", run.out, run.err);
                    last = Some(run);
                    ran += 1;
                }
            }
            "text" => {
                let run = last.as_ref().expect("a command before its output");
                for line in block.lines() {
                    let seen = run.out.contains(line) || run.err.contains(line);
                    assert!(seen, "no `{line}` in\n{}{}", run.out, run.err);
                }
            }
            other => panic!("a block of `{other}`"),
        }
    }
    assert!(ran >= 5, "only {ran} commands");
}
