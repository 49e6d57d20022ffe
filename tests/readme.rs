//! Every command of the README works as it stands.

use std::path::Path;
use std::process::{Command, Output};

/// The fenced blocks of `text` in that language.
fn fenced(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line == format!("```{language}") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push(block.join("\n") + "\n");
        }
    }
    blocks
}

fn netwright(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_netwright"))
        .args(arguments)
        .current_dir(folder)
        // What the user's machine remembers is not looked at.
        .env("NETWRIGHT_CACHE", concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache"))
        .output()
        .expect("the program starts")
}

fn succeeds(folder: &Path, line: &str, arguments: &[&str]) -> String {
    let output = netwright(folder, arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "`{line}` fails:\n{errors}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn runs(folder: &Path, program: &str, arguments: &[&str]) {
    let path = if program.contains('/') { folder.join(program) } else { program.into() };
    let output = Command::new(path).args(arguments).current_dir(folder).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn every_command_of_the_readme_works() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = include_str!("../README.md");
    // Commands run in a folder of their own that has what they name.
    let folder = tempfile::tempdir().expect("a temporary folder");
    #[cfg(unix)]
    for name in ["assets", "specs"] {
        std::os::unix::fs::symlink(root.join(name), folder.path().join(name)).expect("a link");
    }
    let spec = &fenced(readme, "arch")[0];
    std::fs::write(folder.path().join("my_net.arch"), spec).expect("a file");

    let mut ran = 0;
    for line in fenced(readme, "sh").iter().flat_map(|block| block.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["cargo", "test", "--release", "--workspace"] => {} // This very run.
            ["cargo", "run", "--release", "--", arguments @ ..] | ["netwright", arguments @ ..] => {
                let out = succeeds(folder.path(), line, arguments);
                if line.ends_with("chelsea.png") {
                    assert!(out.contains("Egyptian cat"), "{out}");
                }
                ran += 1;
            }
            ["cc", arguments @ ..] => runs(folder.path(), "cc", arguments),
            [program] if program.starts_with("out/") => runs(folder.path(), program, &[]),
            _ => panic!("README has a command that this test does not know: {line}"),
        }
    }
    assert!(ran >= 10, "only {ran} commands found");
    // The program in C, beside the object that was just built.
    let source = &fenced(readme, "c")[0];
    std::fs::write(folder.path().join("out/own.c"), source).expect("a file");
    runs(folder.path(), "cc", &["-std=c11", "out/own.c", "out/mobilenet_v2.o", "-o", "out/own"]);
    runs(folder.path(), "out/own", &[]);
}
