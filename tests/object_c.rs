//! Objects linked with C on the machine they were built on.
#![cfg(all(target_arch = "x86_64", target_os = "linux"))]

mod object;

use netwright::build::BuildOptions;
use object::*;
use std::process::Command;

/// Builds with the header's example and with the check, at full size.
fn judge(spec: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let (spec, network) = network(spec, &[], 1);
    let build = build(folder.path(), &spec, &network, &BuildOptions::default());
    let input = input(&network);
    let wanted = expected(&network, &input, "native");
    let given = check(folder.path(), &build, &bytes(&input));
    assert_same_bits(&build.name, &given, &wanted);

    let object = format!("{}.o", build.name);
    let mut arguments = STRICT.to_vec();
    arguments.extend(["main.c", &object, "-o", "main"]);
    compile("gcc", folder.path(), &arguments);
    let mut main = Command::new("./main");
    succeeds(main.args(["input", "by_main"]).current_dir(folder.path()));
    assert_same_bits("main.c", &floats(&folder.path().join("by_main")), &wanted);
    undefined(&folder.path().join(&object));
}

/// Nothing is undefined but what a C compiler may ask for anywhere.
fn undefined(object: &std::path::Path) {
    let output = succeeds(Command::new("nm").arg("-u").arg(object));
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.trim().trim_start_matches("U ");
        assert!(["memcpy", "memset"].contains(&name), "undefined: {name}");
    }
}

macro_rules! networks {
    ($($name:ident = $spec:literal;)*) => {
        mod same_bits {
            $(#[test]
            fn $name() {
                super::judge($spec);
            })*
        }
    };
}

networks! {
    mobilenet_v2 = "mobilenet_v2";
    mobilenet_v3 = "mobilenet_v3:small";
    efficientnet = "efficientnet:b0";
    mobilevit = "mobilevit:xxs";
    convnext = "convnext:tiny";
    vit = "vit:tiny_patch16";
    swin = "swin:tiny";
}

#[test]
fn levels_that_the_user_chooses() {
    for cpu in ["baseline", "x86-64-v3"] {
        let folder = tempfile::tempdir().expect("a folder");
        let (spec, network) = network("mobilenet_v3:small", &[("resolution", "96")], 1);
        let options = BuildOptions {
            cpu: Some(cpu.into()),
            name: Some("Chosen_1".into()),
            ..BuildOptions::default()
        };
        let build = build(folder.path(), &spec, &network, &options);
        assert_eq!(build.object.file.code.len(), 1);
        if cpu != "baseline" && !is_x86_feature_detected!("avx2") {
            continue;
        }
        let input = input(&network);
        let given = check(folder.path(), &build, &bytes(&input));
        assert_same_bits(cpu, &given, &expected(&network, &input, cpu));
    }
}

#[test]
fn what_the_machine_has_not_is_an_error() {
    if is_x86_feature_detected!("avx512f") {
        eprintln!("SKIPPED: this machine has everything that an object can ask for");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (spec, network) = network("mobilenet_v3:small", &[("resolution", "32")], 1);
    let options = BuildOptions { cpu: Some("x86-64-v4".into()), ..BuildOptions::default() };
    build(folder.path(), &spec, &network, &options);
    compile("gcc", folder.path(), &["main.c", "mobilenet_v3_small.o", "-o", "main"]);
    let output = Command::new("./main").current_dir(folder.path()).output().expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("returned -3"), "{said}");
}

#[test]
fn several_outputs_and_images() {
    two_outputs("24", 2, 1);
    // More than are computed at once.
    two_outputs("512", 9, 3);
}

fn two_outputs(resolution: &str, batch: usize, in_rounds: usize) {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "network two {
      stem = x    -> conv(5, 3x3, stride = 2) -> bn -> relu
      map  = stem -> conv(3, 1x1)
      head = stem -> global_avgpool -> flatten -> linear(7)
      output scores = head
      output heat = map
    }";
    let path = folder.path().join("two.arch");
    std::fs::write(&path, text).expect("a file");
    let sets = [("resolution", resolution)];
    let (spec, network) = network(&path.to_string_lossy(), &sets, batch);
    assert_eq!(rounds(&network), in_rounds);
    let build = build(folder.path(), &spec, &network, &BuildOptions::default());
    assert_eq!(build.object.outputs.len(), 2);
    let input = input(&network);
    let wanted = expected(&network, &input, "native");
    assert_same_bits("check.c", &check(folder.path(), &build, &bytes(&input)), &wanted);
    let mut arguments = STRICT.to_vec();
    arguments.extend(["main.c", "two.o", "-o", "main"]);
    compile("gcc", folder.path(), &arguments);
    succeeds(Command::new("./main").args(["input", "by_main"]).current_dir(folder.path()));
    assert_same_bits("main.c", &floats(&folder.path().join("by_main")), &wanted);
}

#[test]
fn weights_beside_the_object() {
    let folder = tempfile::tempdir().expect("a folder");
    // 9x9 maps are resized, so that the weights hold tables of indices.
    let (spec, network) = network("mobilevit:xxs", &[("resolution", "288")], 1);
    let options = BuildOptions { external_weights: true, ..BuildOptions::default() };
    let build = build(folder.path(), &spec, &network, &options);
    let object = std::fs::metadata(folder.path().join("mobilevit_xxs.o")).expect("a file").len();
    assert!(object < 1 << 20, "{object} bytes without weights");
    let input = input(&network);
    let wanted = expected(&network, &input, "native");
    assert_same_bits("check.c", &check(folder.path(), &build, &bytes(&input)), &wanted);
    let mut arguments = STRICT.to_vec();
    arguments.extend(["main.c", "mobilevit_xxs.o", "-o", "main"]);
    compile("gcc", folder.path(), &arguments);
    let mut main = Command::new("./main");
    let arguments = ["mobilevit_xxs.weights", "input", "by_main"];
    succeeds(main.args(arguments).current_dir(folder.path()));
    assert_same_bits("main.c", &floats(&folder.path().join("by_main")), &wanted);

    // Damage behind the header may change results, but no index leaves its buffer.
    let path = folder.path().join("mobilevit_xxs.weights");
    let good = std::fs::read(&path).expect("a file");
    let mut bad = good.clone();
    bad[64..].fill(0xff);
    std::fs::write(&path, bad).expect("a file");
    let output = Command::new("./main").args(arguments).current_dir(folder.path()).output();
    let said = String::from_utf8_lossy(&output.expect("it starts").stderr).into_owned();
    assert!(said.contains("returned -4"), "{said}");
}

#[test]
fn bytes_are_normalised_as_photos_are() {
    // An odd size: rows do not end at words, and windows hang over every border.
    // Eight images of full size are not computed at once.
    let cases = [
        ("mobilenet_v2", "97x65", 2, 1),
        ("vit:tiny_patch16", "32", 2, 1),
        ("mobilenet_v2", "224", 8, 2),
    ];
    for (spec, resolution, batch, in_rounds) in cases {
        let folder = tempfile::tempdir().expect("a folder");
        let (spec, network) = network(spec, &[("resolution", resolution)], batch);
        assert_eq!(rounds(&network), in_rounds);
        let options = BuildOptions { bytes: true, ..BuildOptions::default() };
        let build = build(folder.path(), &spec, &network, &options);
        let [n, h, w, c] = network.expanded.input;
        let levels: Vec<u8> =
            (0..n * h * w * c).map(|i| (i as u32).wrapping_mul(0x9e37_79b9) as u8 ^ 0x5a).collect();
        let own = &network.expanded.preprocess;
        let mut values = vec![0.0; n * c * h * w];
        for (i, level) in levels.iter().enumerate() {
            let (pixel, channel) = (i / c, i % c);
            let (image, pixel) = (pixel / (h * w), pixel % (h * w));
            let (mean, std) = (own.mean[channel] as f32, own.std[channel] as f32);
            values[(image * c + channel) * h * w + pixel] =
                (f32::from(*level) / 255.0 - mean) / std;
        }
        let wanted = expected(&network, &values, "native");
        let given = check(folder.path(), &build, &levels);
        assert_same_bits("bytes", &given, &wanted);
        let mut arguments = STRICT.to_vec();
        let object = format!("{}.o", build.name);
        arguments.extend(["main.c", &object, "-o", "main"]);
        compile("gcc", folder.path(), &arguments);
    }
}

#[test]
fn halves_are_smaller_and_near() {
    use netwright_compiler::driver::Half;
    for (half, tolerance) in [(Half::F16, 0.05), (Half::Bf16, 0.5)] {
        let folder = tempfile::tempdir().expect("a folder");
        let (spec, network) = network("mobilenet_v2", &[], 1);
        let options = BuildOptions { half: Some(half), ..BuildOptions::default() };
        let build = build(folder.path(), &spec, &network, &options);
        let cost = build.object.cost.expect("it is measured");
        assert!(cost.error > 0.0 && cost.error < tolerance, "{cost:?}");
        let input = input(&network);
        let given = check(folder.path(), &build, &bytes(&input));
        assert_near("halves", &given, &expected(&network, &input, "native"), tolerance);
        let mut arguments = STRICT.to_vec();
        arguments.extend(["main.c", "mobilenet_v2.o", "-o", "main"]);
        compile("gcc", folder.path(), &arguments);
        let bytes = std::fs::metadata(folder.path().join("main")).expect("a program").len();
        assert!(bytes < 8_000_000, "{bytes} bytes");
    }
}

#[test]
fn every_way_of_linking() {
    let folder = tempfile::tempdir().expect("a folder");
    let (spec, network) = network("mobilenet_v3:small", &[("resolution", "64")], 1);
    let options = BuildOptions { name: Some("net".into()), ..BuildOptions::default() };
    build(folder.path(), &spec, &network, &options);
    let input = input(&network);
    std::fs::write(folder.path().join("input"), bytes(&input)).expect("a file");
    let wanted = expected(&network, &input, "native");
    let ways: [&[&str]; 4] = [
        &["main.c", "net.o", "-o", "main"],
        &["-static", "main.c", "net.o", "-o", "main"],
        &["-fno-pie", "-no-pie", "main.c", "net.o", "-o", "main"],
        &["main.c", "libnet.so", "-Wl,-rpath,.", "-o", "main"],
    ];
    // Relocations of code are an error: pages of the library are shared among processes.
    compile("gcc", folder.path(), &["-shared", "-Wl,-z,text", "net.o", "-o", "libnet.so"]);
    for way in ways {
        let mut arguments = vec!["-Wl,--fatal-warnings"];
        arguments.extend(way);
        compile("gcc", folder.path(), &arguments);
        succeeds(Command::new("./main").args(["input", "output"]).current_dir(folder.path()));
        assert_same_bits(&way.join(" "), &floats(&folder.path().join("output")), &wanted);
    }
    let freestanding = source("freestanding.c");
    let freestanding = freestanding.to_string_lossy();
    compile(
        "gcc",
        folder.path(),
        &[
            "-ffreestanding",
            "-nostdlib",
            "-static",
            "-fno-stack-protector",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-O1",
            "-I.",
            "-DHEADER=\"net.h\"",
            "-DLOWER=net",
            "-DUPPER=NET",
            &freestanding,
            "net.o",
            "-o",
            "free",
        ],
    );
    succeeds(Command::new("./free").current_dir(folder.path()));
    compile(
        "g++",
        folder.path(),
        &[
            "-std=c++98",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-pedantic",
            "-fsyntax-only",
            "-x",
            "c++",
            "-include",
            "net.h",
            "main.c",
        ],
    );
    compile(
        "g++",
        folder.path(),
        &["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-x", "c++", "main.c"],
    );
}

#[test]
fn nothing_invalid_under_valgrind() {
    if !there_is("valgrind") {
        return;
    }
    for (spec, resolution) in NETWORKS {
        let folder = tempfile::tempdir().expect("a folder");
        let (spec, network) = network(spec, &[("resolution", resolution)], 1);
        let options = BuildOptions { name: Some("net".into()), ..BuildOptions::default() };
        build(folder.path(), &spec, &network, &options);
        std::fs::write(folder.path().join("input"), bytes(&input(&network))).expect("a file");
        compile("gcc", folder.path(), &["-g", "main.c", "net.o", "-o", "main"]);
        let flags = ["-q", "--error-exitcode=9", "--leak-check=full", "./main", "input"];
        succeeds(Command::new("valgrind").args(flags).current_dir(folder.path()));
    }
}
