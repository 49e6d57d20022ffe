//! `netwright build` on the command line: what it says, and what is left when it fails.

mod cli_common;

use cli_common::*;
use std::path::Path;

fn build(folder: &Path, more: &[&str]) -> Run {
    std::fs::write(folder.join("tiny.arch"), TINY).expect("a file");
    let mut arguments = vec!["build", "tiny.arch", "--weights", "generated:0"];
    arguments.extend(more);
    netwright(folder, &arguments)
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut names: Vec<String> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn files_are_called_after_spec_and_variant() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = build(folder.path(), &["-o", "a/b"]).ok();
    assert_eq!(names(&folder.path().join("a/b")), ["main.c", "tiny.h", "tiny.o"]);
    assert!(out.contains("a/b/tiny.o") && out.contains("workspace"), "{out}");
    build(folder.path(), &["-o", "c", "--name", "Mine", "--external-weights"]).ok();
    assert_eq!(names(&folder.path().join("c")), ["Mine.h", "Mine.o", "Mine.weights", "main.c"]);
    let object =
        build(folder.path(), &["-o", "a/b", "--json", "--threads", "3", "--batch", "2"]).json();
    assert_eq!(object["name"], "tiny");
    assert_eq!(object["threads"], 3);
    assert_eq!(object["files"].as_array().map(Vec::len), Some(3));
    let arguments = ["build", "mobilenet_v3:small", "--weights", "generated:0", "-o", "d"];
    netwright(folder.path(), &arguments).ok();
    assert_eq!(
        names(&folder.path().join("d")),
        ["main.c", "mobilenet_v3_small.h", "mobilenet_v3_small.o"]
    );
}

#[test]
fn mistakes_are_one_line_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("file"), "").expect("a file");
    for (status, arguments, said) in [
        (2, vec![], "--output"),
        (2, vec!["-o", "x", "--cpu", "pentium"], "pentium"),
        (2, vec!["-o", "x", "--weights-as", "f8"], "f8"),
        (1, vec!["-o", "file/x"], "file/x"),
        (1, vec!["-o", "x", "--target", "wasm32-unknown-unknown"], "wasm32"),
        (1, vec!["-o", "x", "--target", "nowhere"], "nowhere"),
        (
            1,
            vec!["-o", "x", "--target", "aarch64-unknown-linux-gnu", "--cpu", "x86-64-v3"],
            "x86-64-v3",
        ),
        (1, vec!["-o", "x", "--name", "2nd"], "2nd"),
    ] {
        let run = build(folder.path(), &arguments);
        assert_eq!(run.status, status, "{arguments:?}: {}", run.err);
        assert!(run.err.contains(said), "{arguments:?}: {}", run.err);
        if status == 1 {
            assert_eq!(run.err.trim_end().lines().count(), 1, "{}", run.err);
            assert!(run.err.starts_with("error: "), "{}", run.err);
        }
        assert_eq!(run.out, "");
        assert!(!folder.path().join("x").exists(), "{arguments:?}");
    }
}

#[test]
#[cfg(unix)]
fn a_full_disk_is_one_line() {
    let folder = tempfile::tempdir().expect("a folder");
    build(folder.path(), &["-o", "x"]).ok();
    let before: Vec<Vec<u8>> = ["main.c", "tiny.h", "tiny.o"]
        .map(|name| std::fs::read(folder.path().join("x").join(name)).expect("a file"))
        .to_vec();
    // Files of more than 8 KiB cannot be written: as if the disk were full.
    let script =
        "trap '' XFSZ; ulimit -f 16; exec \"$0\" build tiny.arch --weights generated:1 -o x";
    let output = std::process::Command::new("sh")
        .args(["-c", script, env!("CARGO_BIN_EXE_netwright")])
        .current_dir(folder.path())
        .env("NETWRIGHT_CACHE", NO_CACHE)
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: cannot write `x/tiny.o`"), "{said}");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    assert_eq!(names(&folder.path().join("x")), ["main.c", "tiny.h", "tiny.o"]);
    for (name, old) in ["main.c", "tiny.h", "tiny.o"].iter().zip(before) {
        let now = std::fs::read(folder.path().join("x").join(name)).expect("a file");
        assert!(now == old, "{name} was touched");
    }
}
