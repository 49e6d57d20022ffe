//! Weights, arrays, photos and command lines that are at fault: each gives a clear error.

mod cli_common;

use cli_common::{failures, load, netwright, root, safetensors, save, workshop};
use std::path::Path;

fn fixture(folder: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), bytes).expect("the fixture is written");
}

#[test]
fn command_lines() {
    let folder = workshop();
    insta::assert_snapshot!(failures(
        folder.path(),
        &[
            "nonsense",
            "run tiny.arch",
            "run tiny.arch --input x.npy photo.png",
            "run tiny.arch photo.png --set width",
            "run tiny.arch photo.png --threads 0",
            "run tiny.arch photo.png --cpu 8086",
            "run tiny.arch photo.png --top 0",
            "bench tiny.arch --batch 0",
            "bench tiny.arch --expect y.npy",
            "dump tiny.arch --stage soup",
            "dump tiny.arch --stage asm --backend interpreter",
        ],
    ));
}

#[test]
fn specs() {
    let folder = workshop();
    insta::assert_snapshot!(failures(
        folder.path(),
        &[
            "check nothing.arch",
            "check mobilnet_v2",
            "check .",
            "check efficientnet:b9",
            "summary efficientnet",
            "summary mobilenet_v2:b0",
            "summary mobilenet_v2 --set aplha=1.4",
            "summary mobilenet_v2 --set resolution=0",
            "summary mobilenet_v2 --dialect keras",
            "fmt nothing.arch",
        ],
    ));
}

#[test]
fn weights() {
    let folder = workshop();
    let path = folder.path();
    fixture(path, "model.pth", b"PK\x03\x04rest of an archive");
    fixture(path, "model.onnx", b"\x08\x07\x12\x07pytorch");
    fixture(path, "model.h5", b"\x89HDF\r\n\x1a\nrest");
    fixture(path, "empty.safetensors", b"");
    fixture(path, "text.safetensors", b"these are no weights at all");
    fixture(path, "cut.safetensors", b"\x40\0\0\0\0\0\0\0{\"a\":");
    safetensors(&path.join("strange.safetensors"), &[("some.weight", &[2], &[1.0, 2.0])]);
    safetensors(
        &path.join("misfit.safetensors"),
        &[
            ("stem.conv.weight", &[4, 3, 1, 1], &[0.5; 12]),
            ("stem.bn.weight", &[4], &[1.0; 4]),
            ("head.linear.wieght", &[10, 4], &[0.1; 40]),
        ],
    );
    insta::assert_snapshot!(failures(
        path,
        &[
            "run tiny.arch --input x.npy",
            "run tiny.arch --input x.npy --weights=",
            "run tiny.arch --input x.npy --weights nothing.safetensors",
            "run tiny.arch --input x.npy --weights .",
            "run tiny.arch --input x.npy --weights model.pth",
            "run tiny.arch --input x.npy --weights model.onnx",
            "run tiny.arch --input x.npy --weights model.h5",
            "run tiny.arch --input x.npy --weights empty.safetensors",
            "run tiny.arch --input x.npy --weights text.safetensors",
            "run tiny.arch --input x.npy --weights cut.safetensors",
            "run tiny.arch --input x.npy --weights strange.safetensors",
            "run tiny.arch --input x.npy --weights misfit.safetensors",
            "check tiny.arch --weights misfit.safetensors",
            "run tiny.arch --input x.npy --weights generated:much",
            "run tiny.arch --input x.npy --weights generated:1:loud",
            "run mobilenet_v2 photo.png --set channels=1",
            "run resnet:50 photo.png",
        ],
    ));
}

#[test]
fn arrays() {
    let folder = workshop();
    let path = folder.path();
    for (name, shape) in [
        ("last.npy", &[2, 32, 32, 3][..]),
        ("large.npy", &[1, 3, 64, 64]),
        ("oblong.npy", &[1, 3, 32, 48]),
        ("grey.npy", &[1, 1, 32, 32]),
        ("one.npy", &[3, 32, 32]),
        ("none.npy", &[0, 3, 32, 32]),
        ("many.npy", &[4097, 1, 1, 1]),
    ] {
        save(path, name, shape);
    }
    let mut array = load(path, "x.npy");
    array.data[3 * 32 * 32 + 2 * 32 * 32 + 5 * 32 + 7] = f32::NAN;
    netwright::npy::write(&path.join("nan.npy"), &array.shape, &array.data).expect("written");
    let whole = std::fs::read(path.join("x.npy")).expect("an array");
    fixture(path, "cut.npy", &whole[..5000]);
    fixture(path, "text.npy", "1 2 3");
    let integers = String::from_utf8_lossy(&whole[..128]).replace("<f4", "<i8");
    fixture(path, "integers.npy", [&b"\x93"[..], &integers.as_bytes()[3..]].concat());
    let lines: Vec<String> = [
        "nothing", ".", "text", "integers", "cut", "last", "large", "oblong", "grey", "one",
        "none", "many", "nan",
    ]
    .iter()
    .map(|name| match *name {
        "." => "run tiny.arch --weights generated:0 --input .".to_string(),
        name => format!("run tiny.arch --weights generated:0 --input {name}.npy"),
    })
    .collect();
    insta::assert_snapshot!(failures(path, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn photos() {
    let folder = workshop();
    let path = folder.path();
    let whole = std::fs::read(root().join("assets/photos/chelsea.png")).expect("a photo");
    fixture(path, "cut.png", &whole[..whole.len() / 2]);
    fixture(path, "empty.jpg", b"");
    fixture(path, "animated.gif", b"GIF89a\x01\0\x01\0\0\0\0;");
    fixture(path, "notes.png", b"not a photo");
    let mut huge = whole.clone();
    // 60,000 pixels a side, with the checksum that goes with it.
    huge[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    let sum = checksum(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.to_be_bytes());
    fixture(path, "huge.png", &huge);
    fixture(path, "labels.txt", "one\ntwo\n");
    std::fs::create_dir(path.join("no_photos")).expect("a folder");
    let lines = [
        "nothing.png",
        "cut.png",
        "empty.jpg",
        "animated.gif",
        "notes.png",
        "huge.png",
        "no_photos",
        "notes.png --labels labels.txt",
        "notes.png --labels empty.jpg",
        "notes.png --set channels=5",
    ]
    .map(|photo| format!("run tiny.arch --weights generated:0 {photo}"));
    insta::assert_snapshot!(failures(path, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
}

/// PNG's checksum, bit by bit.
fn checksum(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xedb8_8320 * (crc & 1)))
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(unix)]
#[test]
fn output_that_cannot_be_written() {
    let folder = workshop();
    let path = folder.path();
    fixture(path, "file", b"");
    let run = "run tiny.arch --weights generated:0 --input x.npy";
    let lines = ["--output no/such/y.npy", "--output .", "--output /dev/full", "--features file"]
        .map(|output| format!("{run} {output}"));
    insta::assert_snapshot!(failures(path, &lines.iter().map(String::as_str).collect::<Vec<_>>()));
    // What was there stays, and nothing is left over.
    let before = std::fs::read_dir(path).expect("the folder").count();
    assert_eq!(
        netwright(path, &["run", "tiny.arch", "--input", "x.npy", "--output", "y.npy"]).status,
        1
    );
    assert_eq!(std::fs::read_dir(path).expect("the folder").count(), before);
}
