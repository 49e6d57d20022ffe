//! The language guide says all: every operator with its parameters, every heading of a column, each
//! in an example. (That the examples hold is tested with the command line.)

use super::super::primitives;
use super::super::table::roles::HEADINGS;

const GUIDE: &str = include_str!("../../../../docs/language.md");

/// The examples, and the text around them.
fn parts() -> (String, String) {
    let (mut examples, mut text) = (String::new(), String::new());
    let mut inside = false;
    for line in GUIDE.lines() {
        match line {
            "```arch" => inside = true,
            "```" => inside = false,
            _ if inside => examples.extend([line.split("//").next().unwrap_or(""), "\n"]),
            _ => text.extend([line, "\n"]),
        }
    }
    (examples, text)
}

/// Whether `word` stands in `text` by itself.
fn has_word(text: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word)
        .any(|(at, _)| !text[..at].ends_with(part) && !text[at + word.len()..].starts_with(part))
}

/// Whether an example calls the operator: as a step, or with its arguments.
fn is_called(examples: &str, name: &str) -> bool {
    examples.match_indices(name).any(|(at, _)| {
        let (before, after) = (&examples[..at], &examples[at + name.len()..]);
        let alone = !after.starts_with(|c: char| c.is_alphanumeric() || c == '_');
        let step = ["-> ", "| ", ": ", "= "].iter().any(|mark| before.ends_with(mark));
        let call = after.starts_with('(') && !before.ends_with(|c: char| c.is_alphanumeric());
        alone && (step && !after.starts_with(" =") || call)
    })
}

#[test]
fn every_operator_has_its_line_and_its_example() {
    let (examples, text) = parts();
    let operators = text.split("\n## ").find(|section| section.starts_with("Operators\n"));
    let operators = operators.expect("a section about operators");
    let mut missing = Vec::new();
    for primitive in primitives::FAMILIES.into_iter().flatten() {
        let name = primitive.name;
        if !is_called(&examples, name) {
            missing.push(format!("an example of `{name}`"));
        }
        // The lines of the table of operators whose first cell has the name.
        let lines = operators.lines().filter(|line| {
            let cell = line.strip_prefix("| ").and_then(|rest| rest.split(" | ").next());
            cell.is_some_and(|cell| cell.contains('`') && has_word(cell, name))
        });
        // `weight` and `bias` of the layers have a paragraph of their own.
        let parameters = primitive.params.iter().skip(1).map(|parameter| parameter.name);
        let parameters: Vec<&str> =
            parameters.filter(|name| !matches!(*name, "weight" | "bias")).collect();
        let lacks = |line: &str| -> Vec<&str> {
            parameters.iter().copied().filter(|parameter| !has_word(line, parameter)).collect()
        };
        match lines.map(lacks).min_by_key(Vec::len) {
            None => missing.push(format!("a line about `{name}`")),
            Some(lacking) => missing.extend(
                lacking.iter().map(|parameter| format!("`{parameter}` in the line about `{name}`")),
            ),
        }
    }
    assert!(missing.is_empty(), "docs/language.md lacks {}", missing.join(", "));
}

#[test]
fn every_heading_is_listed_and_every_role_has_its_column() {
    let (examples, text) = parts();
    let headers: Vec<&str> = examples
        .lines()
        .filter(|line| line.trim_start().starts_with('|'))
        .flat_map(|line| line.split('|').map(str::trim))
        .collect();
    let mut missing = Vec::new();
    for (role, headings) in HEADINGS {
        for heading in headings {
            let written = text.to_lowercase().contains(&format!("`{heading}`"));
            if !written {
                missing.push(format!("the heading `{heading}`"));
            }
        }
        if !headings.iter().any(|heading| headers.contains(heading)) {
            missing.push(format!("an example of a column {role:?}"));
        }
    }
    for word in ["carried ", "heading ", "column ", "variants {", "---"] {
        if !examples.contains(word) {
            missing.push(format!("an example with `{word}`"));
        }
    }
    assert!(missing.is_empty(), "docs/language.md lacks {}", missing.join(", "));
}
