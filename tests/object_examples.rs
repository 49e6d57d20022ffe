//! The examples of `examples/c` and `docs/c.md` do what they say.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod object;

use netwright::photo::decode;
use object::*;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A folder that is not there: tests do not depend on what the user's machine remembers.
const NO_CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache");

fn netwright(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
    succeeds(command.args(arguments).current_dir(folder).env("NETWRIGHT_CACHE", NO_CACHE));
}

/// A photo as PPM.
fn ppm(folder: &Path, name: &str) -> PathBuf {
    let photo = decode(&root().join("assets/photos").join(name)).expect("a photo");
    assert_eq!(photo.channels, 3, "{name}");
    let mut bytes = format!("P6\n# {name}\n{} {}\n255\n", photo.width, photo.height).into_bytes();
    bytes.extend(&photo.pixels);
    let path = folder.join(Path::new(name).with_extension("ppm"));
    std::fs::write(&path, bytes).expect("a file");
    path
}

fn classify(program: &Path, photo: &Path) -> String {
    let labels = root().join("assets/imagenet_labels.txt");
    let mut command = Command::new(program);
    let output = succeeds(command.arg("-l").arg(labels).arg(photo));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn the_c_program_names_a_photo() {
    let folder = tempfile::tempdir().expect("a folder");
    netwright(folder.path(), &["build", "mobilenet_v2", "-o", "."]);
    let [classify_c, image_c] =
        ["classify.c", "image.c"].map(|name| root().join("examples/c").join(name));
    let mut arguments = STRICT.to_vec();
    let (classify_c, image_c) = (classify_c.to_string_lossy(), image_c.to_string_lossy());
    arguments.extend(["-O2", "-I.", &classify_c, &image_c, "mobilenet_v2.o", "-o", "classify"]);
    compile("gcc", folder.path(), &arguments);
    let program = folder.path().join("classify");
    let said = classify(&program, &ppm(folder.path(), "chelsea.png"));
    let best = said.lines().nth(1).expect("a guess");
    assert!(best.ends_with("Egyptian cat"), "{said}");
    // As near to the program's own preprocessing as another resizing is.
    let ours = Command::new(env!("CARGO_BIN_EXE_netwright"))
        .args(["run", "mobilenet_v2", "assets/photos/chelsea.png", "--json", "--output"])
        .arg(folder.path().join("y.npy"))
        .current_dir(root())
        .env("NETWRIGHT_CACHE", NO_CACHE)
        .output()
        .expect("it starts");
    assert!(ours.status.success());
    let logits = std::fs::read(folder.path().join("y.npy")).expect("logits");
    let at = logits.len() - 4000 + 285 * 4;
    let logit = f32::from_le_bytes(logits[at..at + 4].try_into().expect("four bytes"));
    let given: f32 = best.split_whitespace().next().and_then(|n| n.parse().ok()).expect("a number");
    assert!((given - logit).abs() < 0.05, "{given} instead of {logit}");
    let bytes = std::fs::metadata(&program).expect("a program").len();
    assert!(bytes < 15_000_000, "{bytes} bytes");

    // What is no photo is said to be none.
    for bad in ["P6\n3 3\n255\nxx", "P6\n999999999 999999999\n255\n", "P5\n1 1\n255\nx", ""] {
        let path = folder.path().join("bad.ppm");
        std::fs::write(&path, bad).expect("a file");
        let output = Command::new(&program).arg(&path).output().expect("it starts");
        assert_eq!(output.status.code(), Some(1), "{bad}");
    }
}

#[test]
fn cmake_builds_it() {
    if !there_is("cmake") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut configure = Command::new("cmake");
    configure.arg("-S").arg(root().join("examples/c")).arg("-B").arg(folder.path());
    configure.arg(format!("-DNETWRIGHT={}", env!("CARGO_BIN_EXE_netwright")));
    configure.arg("-DCMAKE_C_FLAGS=-Wall -Wextra -Werror");
    let said = succeeds(&mut configure);
    let mut make = Command::new("cmake");
    succeeds(make.arg("--build").arg(folder.path()).env("NETWRIGHT_CACHE", NO_CACHE));
    let program = folder.path().join("classify");
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let photo = match said.contains("Found PNG") {
        true => root().join("assets/photos/chelsea.png"),
        false => ppm(folder.path(), "chelsea.png"),
    };
    let guesses = classify(&program, &photo);
    assert!(guesses.lines().nth(1).is_some_and(|line| line.ends_with("Egyptian cat")), "{guesses}");
}

/// The fenced blocks of the guide in that language.
fn fenced(language: &str) -> Vec<String> {
    let guide = include_str!("../docs/c.md");
    let start = format!("```{language}\n");
    guide
        .split(&start)
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .map(str::to_string)
        .collect()
}

#[test]
fn the_guides_commands_work() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = std::env::var("PATH").unwrap_or_default();
    let bin = Path::new(env!("CARGO_BIN_EXE_netwright")).parent().expect("a folder");
    let path = format!("{}:{path}", bin.display());
    for block in fenced("sh") {
        let mut shell = Command::new("sh");
        shell.args(["-e", "-c", &block]).env("PATH", &path).env("NETWRIGHT_CACHE", NO_CACHE);
        shell.current_dir(folder.path());
        succeeds(&mut shell);
    }
    if !there_is("python3") {
        return;
    }
    let header =
        std::fs::read_to_string(folder.path().join("out/mobilenet_v2.h")).expect("a header");
    let define = header.lines().find(|line| line.contains("WORKSPACE_BYTES ")).expect("its size");
    let bytes = define.split_whitespace().nth(2).expect("a number").trim_end_matches('u');
    let [script] = &fenced("python")[..] else { panic!("one script") };
    let script = script.replace("WORKSPACE_BYTES)", &format!("{bytes})"));
    let script = format!("{script}\nassert any(logits)\n");
    succeeds(Command::new("python3").args(["-c", &script]).current_dir(folder.path()));
}
