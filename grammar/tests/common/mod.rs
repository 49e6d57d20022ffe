//! What several tests share.
#![allow(dead_code)] // Each test uses some of it.

use std::path::PathBuf;

use netwright_grammar::{Sources, dump, parse_file, render};

/// The specs of the repository, also those in folders, by path, with their texts.
pub fn specs() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../specs");
    let (mut folders, mut paths) = (vec![folder], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the repository has specs") {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "arch") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    assert!(!paths.is_empty(), "no specs found");
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("a readable spec");
            (path.display().to_string(), text)
        })
        .collect()
}

/// The tree of a text, as text, without places in the source.
pub fn tree(text: &str) -> String {
    dump(&parse_file(&mut Sources::default(), "test.arch", text).0)
}

/// What is said about a text.
pub fn said(text: &str) -> String {
    let mut sources = Sources::default();
    let (_, problems) = parse_file(&mut sources, "test.arch", text);
    render(&sources, &problems, false)
}

/// How often each comment occurs. (`//` inside a text in quotes starts none.)
pub fn comments(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in text.lines() {
        let mut quoted = false;
        for (at, c) in line.char_indices() {
            quoted ^= c == '"';
            if !quoted && line[at..].starts_with("//") {
                found.push(line[at..].trim_end().to_string());
                break;
            }
        }
    }
    found.sort();
    found
}
