//! Every command does what it says.

mod cli_common;

use cli_common::{load, netwright, netwright_with, root, safetensors, save, workshop};
use serde_json::json;
use std::path::Path;

const TINY: [&str; 4] = ["run", "tiny.arch", "--weights", "generated:0"];

fn tiny(folder: &Path, more: &[&str]) -> cli_common::Run {
    netwright(folder, &[&TINY, more].concat())
}

#[test]
fn the_cat_is_named() {
    let text = netwright(&root(), &["run", "mobilenet_v2", "assets/photos/chelsea.png"]).ok();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("assets/photos/chelsea.png"));
    assert!(lines.next().is_some_and(|line| line.ends_with("%  Egyptian cat (285)")), "{text}");
    assert_eq!(lines.count(), 4);
}

#[test]
fn folders_are_batches() {
    let photos = ["run", "mobilenet_v2", "assets/photos", "--json", "--top", "2"];
    let found = netwright(&root(), &photos).json();
    let first: Vec<(&str, u64, &str)> = found
        .as_array()
        .expect("an array")
        .iter()
        .map(|photo| {
            let top = &photo["top"][0];
            assert_eq!(photo["top"].as_array().map(Vec::len), Some(2));
            assert!(top["probability"].as_f64().is_some_and(|p| p > 0.5 && p < 1.0));
            let file = photo["file"].as_str().expect("a name");
            (file, top["class"].as_u64().expect("a class"), top["label"].as_str().expect("a label"))
        })
        .collect();
    assert_eq!(
        first,
        [
            ("assets/photos/chelsea.png", 285, "Egyptian cat"),
            ("assets/photos/coffee.png", 967, "espresso"),
        ]
    );
    // One at a time gives the same.
    let single = netwright(&root(), &[&photos[..], &["--batch", "1"]].concat()).json();
    assert_eq!(single[0]["top"][0]["class"], 285);
}

#[test]
fn a_bad_photo_stops_no_other() {
    let folder = workshop();
    let path = folder.path();
    std::fs::write(path.join("b.png"), "no photo").expect("written");
    for name in ["a.png", "c.png"] {
        std::fs::copy(root().join("assets/photos/coffee.png"), path.join(name)).expect("copied");
    }
    let run = tiny(path, &[".", "--batch", "2", "--top", "1"]);
    assert_eq!(run.status, 1);
    let files: Vec<&str> = run.out.lines().filter(|line| line.ends_with(".png")).collect();
    assert_eq!(files, ["./a.png", "./c.png"]);
    let guesses: Vec<&str> = run.out.lines().filter(|line| line.contains("class")).collect();
    assert_eq!(guesses[0], guesses[1]);
    assert!(run.err.contains("error: ./b.png: "), "{}", run.err);
}

#[test]
fn labels_name_the_classes() {
    let folder = workshop();
    let labels: Vec<String> = (0..10).map(|class| format!("bird {class}")).collect();
    std::fs::write(folder.path().join("birds.txt"), labels.join("\n")).expect("written");
    let found =
        tiny(folder.path(), &["--input", "x.npy", "--labels", "birds.txt", "--json"]).json();
    assert_eq!(found.as_array().map(Vec::len), Some(2));
    let top = &found[1]["top"][0];
    assert_eq!(top["label"], json!(format!("bird {}", top["class"])));
    assert_eq!(found[1]["file"], "x.npy[1]");
    let unnamed = tiny(folder.path(), &["--input", "x.npy", "--json"]).json();
    assert_eq!(unnamed[0]["top"][0]["label"], json!(null));
}

#[test]
fn all_back_ends_and_thread_counts_agree() {
    let folder = workshop();
    let path = folder.path();
    let mut outputs = Vec::new();
    for (name, more) in [
        ("auto.npy", &[][..]),
        ("again.npy", &["--threads", "1"]),
        ("three.npy", &["--threads", "3"]),
        ("portable.npy", &["--backend", "portable"]),
        ("baseline.npy", &["--cpu", "baseline"]),
        ("interpreter.npy", &["--backend", "interpreter"]),
    ] {
        let run = tiny(path, &[&["--input", "x.npy", "--output", name][..], more].concat());
        assert_eq!(run.ok(), "");
        outputs.push(load(path, name));
    }
    assert_eq!(outputs[0].shape, [2, 10]);
    assert_eq!(outputs[0], outputs[1]);
    assert_eq!(outputs[0], outputs[2]);
    // The baseline has no fused multiply-add: it rounds more often than the portable code of this machine.
    for output in &outputs {
        for (a, b) in output.data.iter().zip(&outputs[5].data) {
            assert!((a - b).abs() < 1e-5, "{a} {b}");
        }
    }
    // Images of a batch do not see each other.
    assert_ne!(outputs[0].data[..10], outputs[0].data[10..]);
}

#[test]
fn features_are_arrays() {
    let folder = workshop();
    let path = folder.path();
    tiny(path, &["--input", "x.npy", "--features", "out/deep"]).ok();
    for (name, shape) in [
        ("stem", &[2, 4, 16, 16][..]),
        ("mid", &[2, 4, 16, 16]),
        ("head", &[2, 10]),
        ("logits", &[2, 10]),
    ] {
        let array = load(&path.join("out/deep"), &format!("{name}.npy"));
        assert_eq!(array.shape, shape, "{name}");
        assert!(array.data.iter().any(|&value| value != 0.0), "{name}");
    }
    // What was asked for beside the result does not change it.
    tiny(path, &["--input", "x.npy", "--output", "y.npy"]).ok();
    assert_eq!(load(path, "y.npy").data.len(), load(&path.join("out/deep"), "head.npy").data.len());
}

#[test]
fn expect_names_the_first_layer_that_differs() {
    let folder = workshop();
    let path = folder.path();
    // Without an activation in the lines, each line's value is its layer's.
    let spec = "network bare(resolution = 16, classes = 4) {
      stem = x    -> conv(3, 3x3)
      mid  = stem -> conv(5, 1x1)
      head = mid  -> global_avgpool -> flatten -> linear(classes)
    }";
    std::fs::write(path.join("bare.arch"), spec).expect("written");
    save(path, "small.npy", &[1, 3, 16, 16]);
    let run = ["run", "bare.arch", "--weights", "generated:5", "--input", "small.npy"];
    let bare = |more: &[&str]| netwright(path, &[&run, more].concat());
    bare(&["--output", "y.npy", "--features", "."]).ok();
    let text = bare(&["--expect", "y.npy"]).ok();
    assert!(text.starts_with("logits: largest difference 0.000e0 "), "{text}");

    let mut wrong = load(path, "y.npy");
    wrong.data[2] += 0.5;
    netwright::npy::write(&path.join("y.npy"), &wrong.shape, &wrong.data).expect("written");
    let run = bare(&["--expect", "y.npy"]);
    assert_eq!(run.status, 1);
    assert!(run.out.contains("difference 5.000e-1 at element 2"), "{}", run.out);
    assert!(run.err.contains("features.safetensors"), "{}", run.err);

    let (stem, mut mid) = (load(path, "stem.npy"), load(path, "mid.npy"));
    mid.data[7] += 1.0;
    // The expected map of `stem` has its channels last, as a library may have it.
    let plane = 16 * 16;
    let stem_last: Vec<f32> = (0..plane * 3).map(|at| stem.data[at % 3 * plane + at / 3]).collect();
    safetensors(
        &path.join("features.safetensors"),
        &[
            ("stem.conv", &[1, 16, 16, 3], &stem_last),
            ("mid.conv", &[1, 5, 16, 16], &mid.data),
            ("head.linear", &[1, 4], &wrong.data),
        ],
    );
    let run = bare(&["--expect", "y.npy"]);
    assert_eq!(run.status, 1);
    let line = run.out.lines().nth(1).unwrap_or_default();
    assert!(line.starts_with("first layer that differs: mid.conv (mid"), "{}", run.out);
    assert!(line.ends_with("1 before it agree"), "{line}");
}

#[test]
fn headless_networks_give_vectors() {
    let path = root();
    let folder = workshop();
    let output = folder.path().join("embeddings.npy");
    let arguments = [
        "run",
        "mobilenet_v2",
        "assets/photos",
        "--set",
        "classes=0",
        "--weights",
        "generated:0",
        "--set",
        "resolution=64",
    ];
    let run = netwright(&path, &arguments);
    assert_eq!(run.status, 1);
    assert!(run.err.contains("no classes to name"), "{}", run.err);
    let output = output.to_str().expect("a path in UTF-8");
    netwright(&path, &[&arguments[..], &["--output", output]].concat()).ok();
    assert_eq!(load(folder.path(), "embeddings.npy").shape, [2, 1280]);
}

#[test]
fn grey_networks_take_photos() {
    let photo = root().join("assets/photos/chelsea.png");
    let folder = workshop();
    let photo = photo.to_str().expect("a path in UTF-8");
    let found = tiny(folder.path(), &[photo, "--set", "channels=1", "--json"]).json();
    assert_eq!(found[0]["top"].as_array().map(Vec::len), Some(5));
}

#[test]
fn summaries_count() {
    let summary = netwright(&root(), &["summary", "mobilenet_v2", "--json"]).json();
    assert_eq!(summary["params"], 3_504_872);
    assert_eq!(summary["macs"], 300_774_272);
    assert_eq!(summary["input"], json!([1, 3, 224, 224]));
    assert_eq!(summary["outputs"], json!({ "logits": [1, 1000] }));
    let layers = summary["layers"].as_array().expect("layers");
    let rows = layers.iter().filter(|layer| layer["depth"] == 0);
    let params: u64 = rows.map(|layer| layer["params"].as_u64().expect("a count")).sum();
    assert_eq!(params, 3_504_872);
    let other = ["summary", "mobilenet_v2", "--set", "resolution=160x192", "--json"];
    let other = netwright(&root(), &other).json();
    assert_eq!(other["input"], json!([1, 3, 160, 192]));
    assert_eq!(other["params"], 3_504_872);
}

#[test]
fn summary_of_a_network_of_lines() {
    let folder = workshop();
    insta::assert_snapshot!(netwright(folder.path(), &["summary", "tiny.arch"]).ok());
}

#[test]
fn specs_are_listed() {
    let specs = netwright(&root(), &["specs", "--json"]).json();
    let find = |name: &str| {
        let specs = specs.as_array().expect("an array");
        specs.iter().find(|spec| spec["name"] == name).cloned().expect("the spec")
    };
    assert_eq!(find("efficientnet")["variants"].as_array().map(Vec::len), Some(8));
    assert_eq!(find("mobilenet_v3")["variants"], json!(["large", "small"]));
    assert!(
        find("mobilenet_v2")["dialects"]
            .as_array()
            .is_some_and(|d| d.contains(&json!("torchvision")))
    );
    let text = netwright(&root(), &["specs"]).ok();
    assert!(text.contains("come along for mobilenet_v2"), "{text}");
}

#[test]
fn weights_are_checked_both_ways() {
    let file = "assets/mobilenet_v2.safetensors";
    let text = netwright(&root(), &["check", "mobilenet_v2", "--weights", file]).ok();
    assert!(text.contains("(dialect torchvision)") && text.contains("262 tensors"), "{text}");
    let text = netwright(&root(), &["check", "mobilenet_v2", "--weights", "generated:7"]).ok();
    assert!(text.contains("262 tensors generated, seed 7, gain 1"), "{text}");
    let text = netwright(&root(), &["check", "mobilenet_v2"]).ok();
    assert!(text.starts_with("mobilenet_v2: sound"), "{text}");
}

#[test]
fn bench_reports_what_it_promises() {
    let folder = workshop();
    let bench = ["bench", "tiny.arch", "--runs", "3", "--seconds", "0", "--batch", "2", "--json"];
    let report = netwright(folder.path(), &[&bench[..], &["--threads", "1"]].concat()).json();
    for key in [
        "median_ms",
        "min_ms",
        "compile_ms",
        "pack_ms",
        "gflops",
        "peak_gflops",
        "workspace_bytes",
        "macs",
    ] {
        assert!(report[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {report}");
    }
    assert_eq!(
        (&report["runs"], &report["threads"], &report["batch"]),
        (&json!(3), &json!(1), &json!(2))
    );
    let text = netwright(folder.path(), &bench[..8]).ok();
    assert!(text.contains("of the measured peak"), "{text}");
}

#[test]
fn bench_takes_about_the_time_that_it_is_given() {
    let folder = workshop();
    // The interpreter is slow: the second batch of it takes longer than there is time.
    let bench = ["bench", "tiny.arch", "--set", "resolution=256", "--set", "width=32", "--backend"];
    let bench = [&bench[..], &["interpreter", "--seconds", "0.01", "--json"]].concat();
    let report = netwright(folder.path(), &bench).json();
    assert_eq!(report["runs"], json!(3), "{report}");
    let report = netwright(folder.path(), &[&bench[..], &["--runs", "5"]].concat()).json();
    assert_eq!(report["runs"], json!(5), "{report}");
}

#[test]
fn interactive_runs_on_request() {
    let folder = workshop();
    let path = folder.path();
    tiny(path, &["--input", "x.npy", "--output", "y.npy"]).ok();
    let bench = ["bench", "tiny.arch", "--interactive", "--input", "x.npy", "--expect", "y.npy"];
    let text = netwright_with(path, &bench, "2\n\n5\n").ok();
    let lines: Vec<&str> = text.lines().collect();
    let ready: serde_json::Value = serde_json::from_str(lines[0]).expect("JSON");
    assert_eq!(ready["ready"], 1);
    assert_eq!(ready["import_s"], 0.0);
    assert_eq!(ready["rel_err"], 0.0);
    assert!(ready["prepare_s"].as_f64().is_some_and(|seconds| seconds > 0.0));
    let counts: Vec<usize> = lines[1..]
        .iter()
        .map(|line| line.split(' ').filter(|time| time.parse::<u64>().is_ok_and(|t| t > 0)).count())
        .collect();
    assert_eq!(counts, [2, 5]);
    let wrong = netwright_with(path, &["bench", "tiny.arch", "--interactive"], "many\n");
    assert_eq!(wrong.status, 1);
    assert!(wrong.err.contains("expected a number of runs"), "{}", wrong.err);
}

#[test]
fn every_stage_has_a_text() {
    let folder = workshop();
    for (stage, part) in [
        ("ast", "network tiny"),
        ("graph", "batch_norm"),
        ("fused", "relu"),
        ("plan", "arena"),
        ("clif", "function"),
        ("asm", "ret"),
    ] {
        let text = netwright(folder.path(), &["dump", "tiny.arch", "--stage", stage]).ok();
        assert!(text.contains(part), "{stage}: {text}");
    }
}

#[test]
fn explain_says_what_was_fused() {
    let folder = workshop();
    insta::assert_snapshot!(netwright(folder.path(), &["explain", "tiny.arch"]).ok());
    let all = netwright(folder.path(), &["explain", "tiny.arch", "--all"]).ok();
    assert!(all.contains("\nfused: batch norm into weights: stem <- stem"), "{all}");
    // The gate of squeeze and excitation meets a value that is read twice.
    let text = netwright(&root(), &["explain", "mobilenet_v3:small"]).ok();
    assert!(
        text.contains("multiplication into producer: the value before is also read by …"),
        "{text}"
    );
}

#[test]
fn profile_adds_up() {
    let folder = workshop();
    let quick = ["--runs", "2", "--seconds", "0", "--threads", "2"];
    let arguments = |more: &[&'static str]| [&["profile", "tiny.arch"], &quick[..], more].concat();
    let profile = netwright(folder.path(), &arguments(&["--json"])).json();
    let sum = |list: &str| -> f64 {
        let rows = profile[list].as_array().expect("a list");
        rows.iter().map(|row| row["ms"].as_f64().expect("milliseconds")).sum()
    };
    let steps = profile["steps_ms"].as_f64().expect("a number");
    assert!(steps > 0.0 && profile["peak_gflops"].as_f64() > Some(0.0), "{profile}");
    for list in ["layers", "classes"] {
        assert!((sum(list) - steps).abs() < 1e-4 + steps * 1e-3, "{list}: {profile}");
    }
    let layers = profile["layers"].as_array().expect("a list");
    let macs: u64 = layers.iter().map(|layer| layer["macs"].as_u64().expect("a count")).sum();
    let bench = ["bench", "tiny.arch", "--runs", "2", "--seconds", "0", "--json"];
    let bench = netwright(folder.path(), &bench).json();
    assert_eq!(bench["macs"].as_u64(), Some(macs));
    assert!(bench["peak_gflops_1_thread"].as_f64() > Some(0.0), "{bench}");

    let text = netwright(folder.path(), &arguments(&["--html", "page.html", "--top", "1"])).ok();
    // Which of the layers takes longest is not known.
    assert!(text.contains("more layer") && text.contains("dense"), "{text}");
    let page = std::fs::read_to_string(folder.path().join("page.html")).expect("a page");
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("<svg"), "{page}");

    let run = netwright(folder.path(), &arguments(&["--html", "no/such/folder.html"]));
    assert_eq!((run.status, run.out.as_str()), (1, ""));
    assert!(run.err.contains("there is no folder `no/such`"), "{}", run.err);
    let run = netwright(folder.path(), &arguments(&["--backend", "interpreter"]));
    assert_eq!(run.status, 2, "{}", run.err);
}

/// What runs depth first has its stages as parts, and what is between them.
#[test]
fn profile_sees_stages() {
    let folder = workshop();
    let arguments = ["profile", "mobilenet_v2", "--runs", "2", "--seconds", "0", "--threads", "2"];
    let profile = netwright(folder.path(), &[&arguments[..], &["--json"]].concat()).json();
    let layers = profile["layers"].as_array().expect("a list");
    let chains: Vec<_> = layers.iter().filter(|layer| layer["fused"] == true).collect();
    assert!(!chains.is_empty(), "{profile}");
    let number = |row: &serde_json::Value, name: &str| row[name].as_f64().expect("a number");
    for chain in chains {
        let parts = chain["parts"].as_array().expect("a list");
        let sum = |name: &str| parts.iter().map(|part| number(part, name)).sum::<f64>();
        // Times are rounded to nanoseconds.
        assert!((sum("ms") - number(chain, "ms")).abs() < 1e-5, "{chain}");
        assert_eq!(sum("macs"), number(chain, "macs"), "{chain}");
        let (between, stages) = parts.split_last().expect("parts");
        assert_eq!((&between["class"], number(between, "flops")), (&chain["class"], 0.0));
        assert!(stages.len() > 1 && stages.iter().all(|stage| number(stage, "gflops") > 0.0));
    }
}

#[cfg(unix)]
#[test]
fn perf_finds_the_kernels_names() {
    let folder = workshop();
    let arguments = ["bench", "tiny.arch", "--runs", "1", "--seconds", "0", "--perf-map"];
    let run = netwright(folder.path(), &arguments);
    let path = run.err.split("for perf: ").nth(1).expect("a path").trim();
    let text = std::fs::read_to_string(path).expect("a map");
    std::fs::remove_file(path).expect("removed");
    for line in text.lines() {
        let words: Vec<&str> = line.split(' ').collect();
        assert!(words.len() == 3, "{line}");
        assert!(words[..2].iter().all(|hex| u64::from_str_radix(hex, 16).is_ok()), "{line}");
    }
    assert!(text.contains("_conv_3x3_") && text.contains("_steps\n"), "{text}");
}

#[test]
fn explain_says_what_runs_depth_first() {
    let folder = workshop();
    for (option, stem) in [(&[][..], "depth first"), (&["--no-depth-first"], "dense")] {
        let arguments = [&["explain", "mobilenet_v2"], option].concat();
        let text = netwright(folder.path(), &arguments).ok();
        let line = text.lines().find(|line| line.starts_with("stem.conv ")).expect("the stem");
        assert!(line["stem.conv".len()..].trim_start().starts_with(stem), "{line}");
        let chosen = "depth first, bands of 7 rows: stem.conv .. blocks.0.0.project: maps of up to";
        assert_eq!(text.contains(chosen), option.is_empty(), "{text}");
    }
}

#[test]
fn explain_says_how_convolutions_are_computed() {
    let folder = workshop();
    let text = netwright(folder.path(), &["explain", "resnet:50"]).ok();
    assert!(text.contains("winograd, tiles of 4x4: blocks.0.0.conv2: about "), "{text}");
    let text = netwright(folder.path(), &["explain", "resnet:50", "--no-winograd"]).ok();
    assert!(text.contains("plain sums: blocks.0.0.conv2: asked for"), "{text}");
    assert!(!text.contains("winograd"), "{text}");
}

#[test]
fn fmt_formats_in_place_and_checks() {
    let folder = workshop();
    let path = folder.path().join("ugly.arch");
    std::fs::write(&path, "network n {\n a=x->relu\n}\n").expect("written");
    let check = netwright(folder.path(), &["fmt", "--check", "ugly.arch"]);
    assert_eq!((check.status, check.out.as_str()), (1, "ugly.arch\n"));
    netwright(folder.path(), &["fmt", "ugly.arch"]).ok();
    assert_eq!(std::fs::read_to_string(&path).expect("text"), "network n {\n  a = x -> relu\n}\n");
    netwright(folder.path(), &["fmt", "--check", "ugly.arch"]).ok();
}

#[test]
fn help_has_examples() {
    for command in
        ["check", "summary", "specs", "run", "bench", "profile", "tune", "dump", "fmt", "explain"]
    {
        let text = netwright(&root(), &[command, "--help"]).ok();
        assert!(
            text.contains("Examples:") && text.contains(&format!("netwright {command}")),
            "{text}"
        );
    }
    assert!(netwright(&root(), &["--help"]).ok().contains("Examples:"));
    assert_eq!(netwright(&root(), &[]).status, 2);
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_quiet() {
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_netwright"))
        .args(["dump", "mobilenet_v2", "--stage", "graph"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("the program ends");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
