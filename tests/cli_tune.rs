//! `netwright tune`, and what other commands make of what it remembers.

mod cli_common;

use cli_common::*;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// A network with both kinds of choices: a dense 3x3 convolution, and an inverted residual.
const WAYS: &str = "network ways(resolution = 48, classes = 10) {
  stem = x    -> conv(16, 3x3, stride = 2) -> bn -> relu
  wide = stem -> conv(16, 3x3) -> relu
  up   = wide -> conv(64, 1x1) -> relu
  dw   = up   -> dwconv(3) -> relu
  down = dw   -> conv(16, 1x1)
  head = down -> global_avgpool -> flatten -> linear(classes)
}
";

/// A folder with the network, its input, and a cache of its own.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new() -> Shop {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("ways.arch"), WAYS).expect("the spec is written");
        save(folder.path(), "x.npy", &[1, 3, 48, 48]);
        Shop { folder }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn run(&self, arguments: &[&str]) -> Run {
        netwright_at(self.path(), &self.path().join("cache"), arguments)
    }

    fn tune(&self, more: &[&str]) -> Run {
        self.run(&[&["tune", "ways.arch", "--seconds", "0.1", "--threads", "2"], more].concat())
    }

    /// The file of choices, which must be the only one.
    fn file(&self) -> PathBuf {
        let entries = std::fs::read_dir(self.path().join("cache/tune")).expect("a folder");
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.swap_remove(0)
    }

    /// Replaces the answers for layers whose key contains a text.
    fn answer(&self, layers: &str, answer: &str) {
        let file = self.file();
        let mut value: Value =
            serde_json::from_slice(&std::fs::read(&file).expect("a file")).expect("JSON");
        let mut found = 0;
        for one in value["choices"].as_array_mut().expect("choices") {
            if one["layers"].as_str().expect("a key").contains(layers) {
                one["answer"] = answer.into();
                found += 1;
            }
        }
        assert!(found > 0, "no `{layers}` in {value}");
        std::fs::write(&file, value.to_string()).expect("written");
    }

    fn output(&self, more: &[&str]) -> (String, Vec<f32>) {
        let arguments = ["run", "ways.arch", "--weights", "generated:0", "--input", "x.npy"];
        let threads = if more.contains(&"--threads") { &[][..] } else { &["--threads", "2"] };
        let run = self.run(&[&arguments[..], &["--output", "y.npy"], threads, more].concat());
        assert_eq!(run.status, 0, "{}", run.err);
        (run.err, load(self.path(), "y.npy").data)
    }
}

#[test]
fn what_is_measured_is_remembered_and_used() {
    let shop = Shop::new();
    let text = shop.tune(&[]).ok();
    assert!(text.starts_with("ways.arch, batch 1, 2 threads, "), "{text}");
    assert!(text.contains("estimated best") && text.contains("\nup .. down "), "{text}");
    let file = shop.file();
    assert!(text.contains(&format!("remembered in {}", file.display())), "{text}");

    // Equal layers of this and of other networks are tuned, on as many threads.
    let explain = ["explain", "ways.arch", "--threads", "2"];
    let explained = shop.run(&explain).ok();
    assert!(explained.contains(": wide: tuned: "), "{explained}");
    assert!(explained.contains(": up .. d") && explained.matches(": tuned: ").count() >= 2);
    assert!(!shop.run(&[&explain[..], &["--untuned"]].concat()).ok().contains("tuned:"));

    // What the file says is done.
    shop.answer("conv_3x3_1x24x24x16_to_24x24x16", "winograd 2");
    let (_, two) = shop.output(&[]);
    assert!(shop.run(&explain).ok().contains("winograd, tiles of 2x2: wide: tuned: "));
    shop.answer("conv_3x3_1x24x24x16_to_24x24x16", "plain");
    let (_, plain) = shop.output(&[]);
    assert!(shop.run(&explain).ok().contains("plain sums: wide: tuned: "));
    let near = two.iter().zip(&plain).all(|(a, b)| (a - b).abs() < 1e-5);
    assert!(two != plain && near, "other sums round otherwise");
    // Not what depends on the number of threads, but what changes bits.
    assert_eq!(shop.output(&["--threads", "1"]).1, plain);
    assert_eq!(shop.output(&["--tuned", &file.to_string_lossy()]).1, plain);
    shop.answer("depthwise", "depth first 2 by 5");
    assert_eq!(shop.output(&[]).1, plain);
    let dump = ["dump", "ways.arch", "--stage", "plan", "--threads", "2"];
    let plan = shop.run(&dump).ok();
    assert!(plan != shop.run(&[&dump[..], &["--untuned"]].concat()).ok(), "{plan}");

    // Tuning again replaces them, whatever was there.
    shop.answer("conv_3x3_1x24x24x16_to_24x24x16", "winograd 77");
    assert_eq!(shop.output(&[]).1, shop.output(&["--untuned"]).1);
    std::fs::write(&file, "{").expect("written");
    let again = shop.tune(&["--json"]);
    assert!(again.err.contains("it is replaced now"), "{}", again.err);
    let object = again.json();
    assert_eq!(object["threads"], 2);
    assert_eq!(object["file"], file.display().to_string());
    assert!(object["groups"][0]["candidates"].as_array().is_some_and(|all| all.len() >= 3));
    assert!(object["before_ms"].as_f64().is_some_and(|ms| ms > 0.0));
    assert!(std::fs::read_to_string(&file).expect("a file").contains("\"choices\""));
}

#[test]
fn files_that_cannot_be_used_are_no_reason_to_stop() {
    let shop = Shop::new();
    let (quiet, untuned) = shop.output(&[]);
    assert_eq!(quiet, "");
    shop.tune(&[]).ok();
    let file = shop.file();
    let good = std::fs::read_to_string(&file).expect("a file");
    for (text, said) in [
        (good[..good.len() / 2].to_string(), "delete it, or measure again with `netwright tune`"),
        (good.replacen(env!("CARGO_PKG_VERSION"), "0.0.1", 1), "measured by netwright 0.0.1"),
        (good.replacen("\"cpu\":{\"id\":\"", "\"cpu\":{\"id\":\"Z", 1), "measured on "),
    ] {
        std::fs::write(&file, text).expect("written");
        let (err, output) = shop.output(&[]);
        assert_eq!(output, untuned);
        assert!(err.starts_with("warning: ") && err.contains(said), "{err}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert_eq!(shop.output(&["--untuned"]).0, "");
        // `bench` looks for it once, too.
        let bench = shop.run(&["bench", "ways.arch", "--seconds", "0"]);
        assert_eq!((bench.status, bench.err.lines().count()), (0, 1), "{}", bench.err);
    }
    // Whoever names a file wants that one.
    std::fs::write(shop.path().join("bad.json"), "{}").expect("written");
    for name in ["bad.json", "none.json"] {
        let run = shop.run(&["explain", "ways.arch", "--tuned", name]);
        assert_eq!(run.status, 1);
        assert!(run.err.starts_with("error: ") && run.err.contains(name), "{}", run.err);
    }
}

#[test]
fn nothing_is_remembered_unasked() {
    let shop = Shop::new();
    shop.tune(&["--dry-run"]).ok();
    assert!(!shop.path().join("cache").exists());
    let plain = shop.run(&["tune", "vit:tiny_patch16", "--set", "resolution=32", "--seconds", "0"]);
    assert!(plain.ok().contains("nothing to measure"));
    assert!(!shop.path().join("cache").exists());
    std::fs::write(shop.path().join("cache"), "a file, no folder").expect("written");
    let failed = shop.tune(&[]);
    assert_eq!((failed.status, failed.out.as_str()), (1, ""));
    assert!(failed.err.starts_with("error: cannot remember choices in "), "{}", failed.err);
    assert_eq!(shop.tune(&["--backend", "interpreter"]).status, 2);
    assert_eq!(shop.tune(&["--untuned"]).status, 2);
}

/// An object with the choices computes the bits that the program does.
#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn objects_agree_to_the_bit() {
    let shop = Shop::new();
    shop.tune(&[]).ok();
    shop.answer("conv_3x3_1x24x24x16_to_24x24x16", "winograd 2");
    shop.answer("depthwise", "depth first 2 by 5");
    let build = ["build", "ways.arch", "--weights", "generated:0", "--threads", "2", "-o"];
    shop.run(&[&build[..], &["out"]].concat()).ok();
    shop.run(&[&build[..], &["plain", "--untuned"]].concat()).ok();
    shop.run(&[&build[..], &["arm", "--target", "aarch64-unknown-linux-gnu"]].concat()).ok();
    let tuned = |folder: &str| {
        let header = std::fs::read_to_string(shop.path().join(folder).join("ways.h"));
        let header = header.expect("a header");
        header.lines().find(|line| line.contains("Tuned: ")).map(str::to_string)
    };
    let line = tuned("out").expect("a line");
    assert!(line.contains("choices measured by netwright tune, hash "), "{line}");
    assert_eq!([tuned("plain"), tuned("arm")], [None, None]);

    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let input = load(shop.path(), "x.npy");
    std::fs::write(shop.path().join("input"), bytes(&input.data)).expect("written");
    let run = |command: &str, arguments: &[&str]| {
        let mut command = std::process::Command::new(command);
        let output = command.args(arguments).current_dir(shop.path()).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for (folder, more) in [("out", &[][..]), ("plain", &["--untuned"])] {
        let [source, object] = ["main.c", "ways.o"].map(|name| format!("{folder}/{name}"));
        run("gcc", &["-O1", &source, &object, "-o", "main"]);
        run("./main", &["input", "output"]);
        let given = std::fs::read(shop.path().join("output")).expect("a file");
        assert!(given == bytes(&shop.output(more).1), "{folder}");
    }
}
