//! `examples/rust`, built as Cargo builds it, with the compiler that builds this test.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn succeeds(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{text}");
    output
}

/// The example's build script, which Cargo has built beside this test.
fn script() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let folder = test.parent().and_then(Path::parent).expect("target/PROFILE/deps");
    folder.join("examples").join("build_script")
}

#[test]
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
fn the_example_names_a_photo() {
    let folder = tempfile::tempdir().expect("a folder");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository");
    let printed = succeeds(
        Command::new(script())
            .env("OUT_DIR", folder.path())
            .env("TARGET", "x86_64-unknown-linux-gnu")
            .current_dir(root.join("examples/rust")),
    );
    let printed = String::from_utf8_lossy(&printed.stdout).into_owned();
    let values = |key: &str| {
        let start = format!("cargo::{key}=");
        printed
            .lines()
            .filter_map(|line| line.strip_prefix(&start).map(str::to_string))
            .collect::<Vec<_>>()
    };
    let program = folder.path().join("classify");
    let mut rustc = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc.args(["--edition", "2024", "-O", "-D", "warnings"]);
    rustc.arg(root.join("examples/rust/src/main.rs")).arg("-o").arg(&program);
    rustc.env("OUT_DIR", folder.path());
    for place in values("rustc-link-search") {
        rustc.args(["-L", &place]);
    }
    for library in values("rustc-link-lib") {
        rustc.args(["-l", &library]);
    }
    succeeds(&mut rustc);

    // The middle of a photo, as the network wants it.
    use netwright::photo::{Preprocess, Resize, decode};
    let spec = netwright::Spec::load("mobilenet_v2").expect("a spec");
    let network = netwright::Network::new(
        &spec,
        &netwright::Options::default(),
        &netwright::Weights::Bundled,
    )
    .expect("a network");
    let preprocess = Preprocess::of(&network.expanded).expect("photos");
    assert_eq!(preprocess.resize, Resize::ShortSide(256));
    let photo = decode(&root.join("assets/photos/chelsea.png")).expect("a photo");
    let levels = preprocess.bytes(&photo).expect("three channels");
    let mut ppm = b"P6\n224 224\n255\n".to_vec();
    ppm.extend(levels);
    let path = folder.path().join("cat.ppm");
    std::fs::write(&path, ppm).expect("a file");
    let output = succeeds(Command::new(&program).arg(&path));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.trim_start().starts_with("285 "), "{text}");
}

#[test]
fn mistakes_are_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let target = "x86_64-unknown-linux-gnu";
    let fails = |network: netwright_build::Network| {
        network.write(folder.path(), target).expect_err("it cannot be built")
    };
    assert!(fails(netwright_build::Network::new("no_such_spec")).contains("no_such_spec"));
    let network = netwright_build::Network::new("mobilenet_v2").name("2");
    assert!(fails(network).contains("`2`"));
    let network = netwright_build::Network::new("mobilenet_v2").weights("missing.safetensors");
    assert!(fails(network).contains("missing.safetensors"));
    let network = netwright_build::Network::new("resnet:18");
    assert!(fails(network).contains("--weights"));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
    let built = netwright_build::Network::new("mobilenet_v3:small")
        .weights("generated:0")
        .set("resolution", "32")
        .write(folder.path(), target)
        .expect("it can be built");
    assert!(folder.path().join("libmobilenet_v3_small.a").is_file());
    assert!(built.directives().iter().any(|line| line.contains("static=mobilenet_v3_small")));
}
