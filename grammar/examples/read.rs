//! Reads specs and shows what is wrong with their syntax, their tree, or their canonical form:
//! `cargo run --example read -- [--tree|--format] FILE...`

use netwright_grammar::{Sources, dump, format, parse_file, render};

fn main() {
    let mut mode = String::new();
    for path in std::env::args().skip(1) {
        if path.starts_with("--") {
            mode = path;
            continue;
        }
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let mut sources = Sources::default();
                let (tree, problems) = parse_file(&mut sources, path, text.as_str());
                print!("{}", render(&sources, &problems, false));
                match mode.as_str() {
                    "--tree" => print!("{}", dump(&tree)),
                    "--format" => print!("{}", format(&text).unwrap_or_default()),
                    _ => {}
                }
            }
            Err(error) => eprintln!("{path}: {error}"),
        }
    }
}
