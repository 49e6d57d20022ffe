//! What objects look like inside, for every kind of target, and how files are written.

mod object;

use ::object::read::{File, Object, ObjectSection, ObjectSymbol};
use ::object::{BinaryFormat, SectionKind, SymbolKind};
use netwright::build::{Build, BuildOptions};
use object::*;
use std::collections::HashSet;

const NET: (&str, &[(&str, &str)]) = ("mobilenet_v3:small", &[("resolution", "32")]);

fn built(target: &str) -> (Build, Vec<u8>) {
    let (spec, network) = network(NET.0, NET.1, 1);
    let options = BuildOptions {
        target: Some(target.into()),
        name: Some("net".into()),
        ..BuildOptions::default()
    };
    let build = Build::new(&spec, &network, &options).expect("it compiles");
    let mut bytes = Vec::new();
    build.object.file.write(&mut bytes).expect("memory");
    (build, bytes)
}

/// What holds for every format: one function to call, nothing that is needed, data that is only read.
fn judge(target: &str, format: BinaryFormat, prefix: &str) {
    let (build, bytes) = built(target);
    let file = File::parse(&*bytes).expect("a well-formed object");
    assert_eq!(file.format(), format);
    let symbols: Vec<_> = file.symbols().collect();
    let global: Vec<&str> =
        symbols.iter().filter(|s| s.is_global()).filter_map(|s| s.name().ok()).collect();
    assert_eq!(global, [format!("{prefix}net_run")], "{target}");
    // Linkers' names for the object's own tables apart.
    let undefined =
        symbols.iter().filter(|s| s.is_undefined() && s.name().is_ok_and(|n| !n.is_empty()));
    assert_eq!(undefined.count(), 0, "{target}");
    let functions = symbols.iter().filter(|s| s.is_definition() && s.kind() == SymbolKind::Text);
    let names: HashSet<&str> = functions.filter_map(|s| s.name().ok()).collect();
    assert!(names.iter().any(|name| name.contains("_k0_conv_3x3")), "{target}: {names:?}");
    let weights = build.object.weights.bytes();
    let holds = file.sections().any(|section| {
        section.kind() == SectionKind::ReadOnlyData
            && section.data().is_ok_and(|data| data.windows(4096).any(|w| w == &weights[..4096]))
    });
    assert!(holds, "{target}: the weights are read-only data");
}

#[test]
fn linux() {
    judge("x86_64-unknown-linux-gnu", BinaryFormat::Elf, "");
    judge("aarch64-unknown-linux-gnu", BinaryFormat::Elf, "");
}

#[test]
fn macos() {
    judge("x86_64-apple-darwin", BinaryFormat::MachO, "_");
    judge("aarch64-apple-darwin", BinaryFormat::MachO, "_");
}

#[test]
fn windows() {
    judge("x86_64-pc-windows-msvc", BinaryFormat::Coff, "");
}

/// Every function has a size, a name that says what it is, and call-frame information.
#[test]
fn debuggers_and_profilers_find_their_way() {
    for target in ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"] {
        let (_, bytes) = built(target);
        let file = File::parse(&*bytes).expect("a well-formed object");
        let text = file.section_by_name(".text").expect("code");
        let mut functions: Vec<(u64, u64, String)> = Vec::new();
        for symbol in file.symbols().filter(|s| s.kind() == SymbolKind::Text) {
            let name = symbol.name().expect("a name").to_string();
            assert!(symbol.size() > 0, "{name} has no size");
            assert!(name.starts_with("net_"), "{name}");
            functions.push((symbol.address(), symbol.size(), name));
        }
        // Each entry has a relocation that says where its function begins.
        let frames = file.section_by_name(".eh_frame").expect("call-frame information");
        let described: HashSet<_> =
            frames.relocations().map(|(_, relocation)| relocation.addend() as u64).collect();
        let all = functions.iter().map(|function| function.0).collect();
        assert_eq!(described, all, "{target}");
        functions.sort();
        let covered: u64 = functions.iter().map(|f| f.1).sum();
        assert!(
            covered + 64 * functions.len() as u64 >= text.size(),
            "{target}: code without a name"
        );
        assert!(file.section_by_name(".note.GNU-stack").is_some(), "an executable stack");
        let comment = file.section_by_name(".comment").expect("a comment").data().expect("bytes");
        assert!(String::from_utf8_lossy(comment).contains("netwright build"));
    }
}

#[test]
fn the_same_input_gives_the_same_file() {
    assert!(built("x86_64-unknown-linux-gnu").1 == built("x86_64-unknown-linux-gnu").1);
}

#[test]
fn other_peoples_files_are_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spec, network) = network(NET.0, NET.1, 1);
    let options = BuildOptions { name: Some("net".into()), ..BuildOptions::default() };
    let build = Build::new(&spec, &network, &options).expect("it compiles");
    let path = |name: &str| folder.path().join(name);
    for name in ["net.o", "net.h", "main.c"] {
        std::fs::write(path(name), "mine\n").expect("a file");
        let error = build.write(folder.path(), false).expect_err("it is not ours").to_string();
        assert!(error.contains(name) && error.contains("--force"), "{error}");
        assert_eq!(std::fs::read_to_string(path(name)).expect("a file"), "mine\n");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1, "{name}");
        std::fs::remove_file(path(name)).expect("a file");
    }
    assert!(build.write(folder.path(), false).expect("all new").iter().all(|file| file.written));
    assert!(build.write(folder.path(), false).expect("all ours").iter().all(|file| file.written));
    // An example that somebody went on with stays.
    let mut edited = std::fs::read_to_string(path("main.c")).expect("a file");
    edited.push_str("/* mine */\n");
    std::fs::write(path("main.c"), &edited).expect("a file");
    let files = build.write(folder.path(), false).expect("the others are ours");
    let kept: Vec<_> = files.iter().filter(|file| !file.written).collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(std::fs::read_to_string(path("main.c")).expect("a file"), edited);
    build.write(folder.path(), true).expect("forced");
    assert_ne!(std::fs::read_to_string(path("main.c")).expect("a file"), edited);
    // Nothing but the three files is left.
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 3);
}

#[test]
fn headers_state_what_is_expected() {
    let (build, _) = built("x86_64-unknown-linux-gnu");
    let hidden = build.header.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::assert_snapshot!(hidden);
}
