//! Running the program, for the tests of the command line.
#![allow(dead_code, reason = "each test file uses a part")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a run of the program left behind.
pub struct Run {
    pub status: i32,
    pub out: String,
    pub err: String,
}

impl Run {
    /// The output of a run that must succeed.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "{}{}", self.out, self.err);
        self.out
    }

    /// The output of a run that must succeed, as JSON.
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        serde_json::from_str(&self.ok()).expect("stdout is JSON")
    }
}

/// Runs the program in a folder.
pub fn netwright(folder: &Path, arguments: &[&str]) -> Run {
    netwright_with(folder, arguments, "")
}

/// Runs the program in a folder with that text on stdin.
pub fn netwright_with(folder: &Path, arguments: &[&str], stdin: &str) -> Run {
    run(folder, NO_CACHE.as_ref(), arguments, stdin)
}

/// Runs the program in a folder, with another one for what it remembers.
pub fn netwright_at(folder: &Path, cache: &Path, arguments: &[&str]) -> Run {
    run(folder, cache, arguments, "")
}

/// A folder that is not there: tests do not depend on what the user's machine remembers.
pub const NO_CACHE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-cache");

fn run(folder: &Path, cache: &Path, arguments: &[&str], stdin: &str) -> Run {
    let mut child = Command::new(env!("CARGO_BIN_EXE_netwright"))
        .args(arguments)
        .current_dir(folder)
        .env("NETWRIGHT_CACHE", cache)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    // A program that does not read its stdin is no failure here.
    let _ = child.stdin.take().expect("stdin is a pipe").write_all(stdin.as_bytes());
    let output = child.wait_with_output().expect("the program ends");
    Run {
        status: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Runs command lines, and lists each with its status and stderr: for snapshots of failures, which
/// must print nothing to stdout.
pub fn failures(folder: &Path, lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        let arguments: Vec<&str> = line.split_whitespace().collect();
        let run = netwright(folder, &arguments);
        assert!(matches!(run.status, 1 | 2), "`{line}` ends with {}: {}", run.status, run.err);
        assert_eq!(run.out, "", "`{line}` prints to stdout");
        text.push_str(&format!("$ netwright {line}\n[{}] {}\n", run.status, run.err));
    }
    text
}

/// The repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A network that runs in no time: three layers with labels as names.
pub const TINY: &str = "network tiny(width = 4, resolution = 32, classes = 10) {
  stem = x    -> conv(width, 3x3, stride = 2) -> bn -> relu
  mid  = stem -> conv(width, 3x3) -> relu
  head = mid  -> global_avgpool -> flatten -> linear(classes)
}
";

/// A folder with `tiny.arch`, and `x.npy`, its input for two images.
pub fn workshop() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("tiny.arch"), TINY).expect("the spec is written");
    save(folder.path(), "x.npy", &[2, 3, 32, 32]);
    folder
}

/// Writes an array of that shape whose values are all different.
pub fn save(folder: &Path, name: &str, shape: &[usize]) {
    let count: usize = shape.iter().product();
    let data: Vec<f32> = (0..count).map(|i| (i as f32 * 0.37).sin()).collect();
    netwright::npy::write(&folder.join(name), shape, &data).expect("the array is written");
}

/// Reads an array.
pub fn load(folder: &Path, name: &str) -> netwright::npy::Array {
    netwright::npy::read(&folder.join(name)).expect("an array")
}

/// A safetensors file of `f32` tensors.
pub fn safetensors(path: &Path, tensors: &[(&str, &[usize], &[f32])]) {
    let (mut header, mut data) = (serde_json::Map::new(), Vec::new());
    for (name, shape, values) in tensors {
        let start = data.len();
        data.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        let entry = serde_json::json!({
            "dtype": "F32", "shape": shape, "data_offsets": [start, data.len()],
        });
        header.insert(name.to_string(), entry);
    }
    let header = serde_json::to_vec(&header).expect("a header");
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header);
    bytes.extend(data);
    std::fs::write(path, bytes).expect("the tensors are written");
}
