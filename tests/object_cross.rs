//! Objects for aarch64, linked by a cross compiler and run under emulation.

mod object;

use netwright::build::BuildOptions;
use object::*;
use std::process::Command;

const COMPILER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";

/// What another order of sums and fused products may change, in standard deviations.
const TOLERANCE: f64 = 1e-4;

fn judge(index: usize) {
    if !there_is(COMPILER) || !there_is(EMULATOR) {
        return;
    }
    let (spec, resolution) = NETWORKS[index];
    let folder = tempfile::tempdir().expect("a folder");
    let (spec, network) = network(spec, &[("resolution", resolution)], 1);
    let options = BuildOptions {
        target: Some("aarch64-unknown-linux-gnu".into()),
        name: Some("net".into()),
        ..BuildOptions::default()
    };
    build(folder.path(), &spec, &network, &options);
    let mut arguments = STRICT.to_vec();
    arguments.extend(["-static", "main.c", "net.o", "-o", "main"]);
    compile(COMPILER, folder.path(), &arguments);
    compile(COMPILER, folder.path(), &["-shared", "-Wl,-z,text", "net.o", "-o", "libnet.so"]);
    let input = input(&network);
    std::fs::write(folder.path().join("input"), bytes(&input)).expect("a file");
    let mut run = Command::new(EMULATOR);
    succeeds(run.args(["./main", "input", "output"]).current_dir(folder.path()));
    let given = floats(&folder.path().join("output"));
    assert_near(NETWORKS[index].0, &given, &expected(&network, &input, "native"), TOLERANCE);
}

macro_rules! networks {
    ($($name:ident = $index:literal;)*) => {
        $(#[test]
        fn $name() {
            judge($index);
        })*
    };
}

networks! {
    mobilenet_v2 = 0;
    mobilenet_v3 = 1;
    efficientnet = 2;
    mobilevit = 3;
    convnext = 4;
    vit = 5;
    swin = 6;
}
