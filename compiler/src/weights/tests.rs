use super::*;
use netwright_ir::{Interpolation, Param, Resampling, Source};
use proptest::prelude::*;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;

/// A safetensors file of entries: name, type, shape, bytes.
fn bytes_of(entries: &[(&str, &str, &[usize], Vec<u8>)], metadata: &str) -> Vec<u8> {
    let mut header = String::from("{");
    if !metadata.is_empty() {
        header.push_str(&format!("\"__metadata__\":{metadata},"));
    }
    let mut data = Vec::new();
    for (name, dtype, shape, bytes) in entries {
        let start = data.len();
        data.extend_from_slice(bytes);
        header.push_str(&format!(
            "\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{}]}},",
            data.len()
        ));
    }
    raw(&format!("{}}}", header.trim_end_matches(',')), &data)
}

/// A file of that header, padded as the format's writers do, and data.
fn raw(header: &str, data: &[u8]) -> Vec<u8> {
    let mut header = header.to_string();
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn counted(count: usize) -> Vec<u8> {
    f32s(&(0..count).map(|v| v as f32).collect::<Vec<_>>())
}

fn write(dir: &TempDir, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.path().join(name);
    std::fs::write(&path, bytes).expect("the test's folder can be written");
    path
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder for the test")
}

fn opened(dir: &TempDir, bytes: &[u8]) -> WeightFile {
    WeightFile::open(write(dir, "w.safetensors", bytes)).expect("the file is sound")
}

/// What is said about a file, without its folder.
fn refused(name: &str, bytes: &[u8]) -> String {
    let dir = folder();
    let path = write(&dir, name, bytes);
    let error = WeightFile::open(&path).expect_err("the file is not sound").to_string();
    error.replace(&format!("{}/", dir.path().display()), "")
}

fn tensor(name: &str, shape: &[usize]) -> Source {
    Source::Tensor { name: name.into(), shape: shape.to_vec() }
}

fn param(path: &str, shape: &[usize], source: Source) -> Param {
    Param { path: path.into(), shape: shape.to_vec(), trained: true, source }
}

fn supply(file: WeightFile) -> Supply {
    Supply::File { file: Arc::new(file), prefix: String::new() }
}

#[test]
fn types_and_borrowing() {
    let dir = folder();
    let half: Vec<u8> =
        [1.5f32, -2.0].iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let brain: Vec<u8> =
        [0.5f32, 3.0].iter().flat_map(|v| half::bf16::from_f32(*v).to_le_bytes()).collect();
    let entries: [(&str, &str, &[usize], Vec<u8>); 5] = [
        ("a", "F32", &[2, 2], counted(4)),
        ("b", "F16", &[2], half),
        ("c", "BF16", &[2, 1], brain),
        ("d", "BOOL", &[1], vec![1]),
        ("e", "F32", &[1], f32s(&[9.0])),
    ];
    let file = opened(&dir, &bytes_of(&entries, "{\"format\":\"pt\"}"));
    assert_eq!(file.metadata()["format"], "pt");
    let value = |name: &str| file.values(file.find(name).expect("it is there"));
    assert!(matches!(value("a"), Some(std::borrow::Cow::Borrowed([0.0, 1.0, 2.0, 3.0]))));
    assert_eq!(value("b").expect("f16 can be read").as_ref(), [1.5, -2.0]);
    assert_eq!(value("c").expect("bf16 can be read").as_ref(), [0.5, 3.0]);
    assert!(value("d").is_none());
    // Not aligned: copied.
    assert!(matches!(value("e"), Some(std::borrow::Cow::Owned(v)) if v == [9.0]));
    assert!(file.find("f").is_none() && file.values(5).is_none());
}

/// The format's own crate writes what is read here.
#[test]
fn files_of_the_formats_own_crate() {
    use safetensors::{Dtype as Theirs, tensor::TensorView};
    let (matrix, mask) = (counted(6), vec![1u8, 0]);
    let view = |dtype, shape: &[usize], data| TensorView::new(dtype, shape.to_vec(), data);
    let tensors = [
        ("m", view(Theirs::F32, &[2, 3], &matrix).expect("it fits")),
        ("e", view(Theirs::F32, &[0, 3], &[]).expect("it fits")),
        ("b", view(Theirs::BOOL, &[2], &mask).expect("it fits")),
    ];
    let metadata = [("dialect".to_string(), "timm".to_string())];
    let bytes = safetensors::serialize(tensors, Some(metadata.into())).expect("a file");
    let file = opened(&folder(), &bytes);
    assert_eq!(file.metadata()["dialect"], "timm");
    let theirs = safetensors::SafeTensors::deserialize(&bytes).expect("they read it");
    assert_eq!(file.tensors().len(), theirs.len());
    for (name, tensor) in theirs.iter() {
        let own = &file.tensors()[file.find(name).expect("it is there")];
        assert_eq!(own.shape, tensor.shape());
    }
    let index = file.find("m").expect("it is there");
    assert_eq!(file.values(index).expect("floats")[..], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
    assert_eq!(file.values(file.find("e").expect("it is there")).expect("floats").len(), 0);
}

#[test]
fn weights_in_several_files() {
    let dir = folder();
    let part = |name: &str, entries: &[(&str, &str, &[usize], Vec<u8>)]| {
        write(&dir, name, &bytes_of(entries, "{\"format\":\"pt\"}"));
    };
    part("1.safetensors", &[("a", "F32", &[2], f32s(&[1.0, 2.0]))]);
    part("2.safetensors", &[("b", "F32", &[2], f32s(&[3.0, 4.0])), ("c", "I64", &[], vec![0; 8])]);
    write(&dir, "config.json", b"{\"architecture\": \"tf_x\"}");
    let opened = |map: &str| {
        let text = format!("{{\"metadata\": {{\"total_size\": 24}}, \"weight_map\": {{{map}}}}}");
        WeightFile::open(write(&dir, "model.safetensors.index.json", text.as_bytes()))
    };
    // What the index does not name is there all the same: binding says what to do with it.
    let file = opened(r#""b": "2.safetensors", "a": "1.safetensors""#).expect("they fit");
    let names: Vec<&str> = file.tensors().iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c"]);
    assert_eq!(file.metadata()["format"], "pt");
    assert!(file.config().is_some());
    let params = [param("x", &[2], tensor("b", &[2])), param("y", &[2], tensor("a", &[2]))];
    let bound = bind(&params, &supply(file), &["c".into()]).expect("everything fits");
    assert_eq!((bound.value(0)[..].to_vec(), bound.value(1)[0]), (vec![3.0, 4.0], 1.0));

    part("3.safetensors", &[("a", "F32", &[1], counted(1))]);
    write(&dir, "4.safetensors", &bytes_of(&[("d", "F32", &[2], counted(2))], "")[..60]);
    let said: Vec<String> = [
        r#""a": "1.safetensors", "b": "1.safetensors""#,
        r#""a": "2.safetensors", "b": "1.safetensors""#,
        r#""a": "1.safetensors", "b": "../2.safetensors""#,
        r#""a": "1.safetensors", "b": "5.safetensors""#,
        r#""a": "1.safetensors", "aa": "3.safetensors""#,
        r#""a": "1.safetensors", "d": "4.safetensors""#,
    ]
    .iter()
    .map(|map| opened(map).expect_err("they do not fit").to_string())
    .map(|said| said.replace(&format!("{}/", dir.path().display()), ""))
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

/// However long a name is, and whatever is in it, a message can be read.
#[test]
fn names_that_no_library_writes() {
    let long = format!("a{}z", "\\u001b[2J".repeat(100_000));
    let entry = |offsets: &str| {
        format!("{{\"{long}\":{{\"dtype\":\"{long}\",\"shape\":[1],\"data_offsets\":{offsets}}}}}")
    };
    let error = refused("w.safetensors", &raw(&entry("[0, 20]"), &[0; 16]));
    let dir = folder();
    let file = supply(opened(&dir, &raw(&entry("[0, 16]"), &[0; 16])));
    let params = [param("x", &[1], tensor("x.weight", &[1]))];
    let mismatch = bind(&params, &file, &[]).expect_err("it does not fit").to_string();
    let Supply::File { file, .. } = &file else { panic!("a file") };
    let strangers = choose(file, &candidates()).expect_err("no name fits").to_string();
    for text in [error, mismatch, strangers] {
        assert!(text.len() < 2000, "{}", text.len());
        assert!(text.contains("\\u{1b}") && !text.contains('\u{1b}'), "{text}");
    }
}

#[test]
fn files_that_contradict_themselves() {
    let entry = |name: &str, shape: &str, offsets: &str| {
        format!("\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape},\"data_offsets\":{offsets}}}")
    };
    let one =
        |shape: &str, offsets: &str| raw(&format!("{{{}}}", entry("a", shape, offsets)), &[0; 16]);
    let two = |a: String, b: String| raw(&format!("{{{a},{b}}}"), &[0; 16]);
    let mut long = raw("{}", &[]);
    long[..8].copy_from_slice(&100_000_001u64.to_le_bytes());
    let mut lying = raw("{}", &[]);
    lying[..8].copy_from_slice(&1000u64.to_le_bytes());
    let cases = [
        ("short", vec![1, 2, 3]),
        ("empty", vec![]),
        ("long header", long),
        ("lying header", lying),
        ("no json", raw("not json", &[])),
        ("a list", raw("[1, 2]", &[])),
        ("no entry", raw("{\"a\": 3}", &[])),
        ("nested", raw(&"[".repeat(5000), &[])),
        ("cut short", one("[5]", "[0, 20]")),
        ("wrong length", one("[3]", "[0, 16]")),
        ("backwards", one("[4]", "[16, 0]")),
        ("negative", one("[-4]", "[0, 16]")),
        ("fraction", one("[4.5]", "[0, 16]")),
        ("infinite", one("[1e999]", "[0, 16]")),
        ("overflowing", one("[4294967296, 4294967296, 4294967296]", "[0, 16]")),
        ("many axes", one(&format!("{:?}", [1; 17]), "[0, 4]")),
        ("rest", one("[3]", "[0, 12]")),
        ("gap", one("[3]", "[4, 16]")),
        ("overlap", two(entry("a", "[3]", "[0, 12]"), entry("b", "[2]", "[8, 16]"))),
        ("twice", two(entry("a", "[2]", "[0, 8]"), entry("a", "[2]", "[8, 16]"))),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(what, bytes)| format!("{what}: {}", refused("w.safetensors", bytes)))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn other_formats() {
    let cases: [(&str, &[u8]); 9] = [
        ("a.pth", b"PK\x03\x04abcd"),
        ("old.pth", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".as_slice()),
        ("a.bin", b"anything"),
        ("a.h5", b"\x89HDF\r\n\x1a\n...."),
        ("a.onnx", b"\x08\x07\x12\x07pytorch"),
        ("a.tflite", b"\x1c\0\0\0TFL3...."),
        ("a.pb", b"\n\x0b\n\x09"),
        ("model.safetensors.index.json", b"{\"weight_map\": {}}"),
        ("a.safetensors", b"PK\x03\x04abcd"),
    ];
    let said: Vec<String> = cases.iter().map(|(name, bytes)| refused(name, bytes)).collect();
    insta::assert_snapshot!(said.join("\n\n"));
    assert!(matches!(WeightFile::open("/nowhere/w"), Err(WeightsError::Read { .. })));
    assert!(matches!(WeightFile::open(folder().path()), Err(WeightsError::Read { .. })));
}

proptest! {
    #[test]
    fn mutated_files_never_panic(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        cut in any::<bool>(),
    ) {
        let entries: [(&str, &str, &[usize], Vec<u8>); 3] = [
            ("a.weight", "F32", &[2, 2], counted(4)),
            ("a.bias", "F16", &[2], vec![0; 4]),
            ("n", "I64", &[], vec![0; 8]),
        ];
        let mut bytes = bytes_of(&entries, "{\"format\":\"pt\"}");
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if cut {
            bytes.truncate(length.index(bytes.len()));
        }
        let dir = folder();
        if let Ok(file) = WeightFile::open(write(&dir, "w.safetensors", &bytes)) {
            for at in 0..file.tensors().len() {
                let count: usize = file.tensors()[at].shape.iter().product();
                if let Some(values) = file.values(at) {
                    prop_assert_eq!(values.len(), count);
                }
            }
            let params = [param("a", &[2, 2], tensor("a.weight", &[2, 2]))];
            let _ = bind(&params, &supply(file), &[]);
        }
    }
}

#[test]
fn recipes() {
    let dir = folder();
    let entries: [(&str, &str, &[usize], Vec<u8>); 6] = [
        ("q", "F32", &[1, 2], f32s(&[1.0, 2.0])),
        ("v", "F32", &[1, 2], f32s(&[5.0, 6.0])),
        ("packed", "F32", &[4, 2], counted(8)),
        ("fc.weight", "F32", &[2, 3], counted(6)),
        ("pos", "F32", &[1, 5, 1], f32s(&[7.0, 1.0, 1.0, 1.0, 1.0])),
        ("bn.num_batches_tracked", "I64", &[], vec![0; 8]),
    ];
    let file = opened(&dir, &bytes_of(&entries, ""));
    let rows = |start| Source::Rows { of: Box::new(tensor("packed", &[4, 2])), start, len: 2 };
    let parts =
        vec![tensor("q", &[1, 2]), Source::Zeros { shape: vec![1, 2] }, tensor("v", &[1, 2])];
    let pos = Source::Resample {
        of: Box::new(tensor("pos", &[1, 10, 1])),
        prefix: 1,
        grid: [3, 3],
        way: Resampling::Interpolated {
            mode: Interpolation::Bicubic,
            align_corners: false,
            antialias: true,
        },
    };
    let params = [
        param("joined", &[3, 2], Source::Concat { axis: 0, parts }),
        param("low", &[2, 2], rows(0)),
        param("high", &[2, 2], rows(2)),
        param("conv", &[2, 3, 1, 1], tensor("fc.weight", &[2, 3, 1, 1])),
        param("pos", &[1, 10, 1], pos),
    ];
    let bound = bind(&params, &supply(file), &[]).expect("everything fits");
    assert_eq!(bound.value(0).as_ref(), [1.0, 2.0, 0.0, 0.0, 5.0, 6.0]);
    assert_eq!(bound.value(1).as_ref(), [0.0, 1.0, 2.0, 3.0]);
    assert_eq!(bound.value(2).as_ref(), [4.0, 5.0, 6.0, 7.0]);
    assert!(matches!(bound.value(2), std::borrow::Cow::Borrowed(_)));
    assert_eq!(bound.tensor(3).shape, [2, 3, 1, 1]);
    let pos = bound.value(4);
    assert_eq!(pos[0], 7.0);
    assert!(pos[1..].iter().all(|v| (v - 1.0).abs() < 1e-6), "{pos:?}");
    assert_eq!((bound.comparison().used, bound.comparison().dropped), (5, 1));
    assert!(bound.non_finite().is_empty());
}

#[test]
fn a_part_can_be_dropped() {
    let dir = folder();
    let entries: [(&str, &str, &[usize], Vec<u8>); 1] = [("qkv.bias", "F32", &[3], counted(3))];
    let file = opened(&dir, &bytes_of(&entries, ""));
    let rows = |start| Source::Rows { of: Box::new(tensor("qkv.bias", &[3])), start, len: 1 };
    let params = [param("q", &[1], rows(0)), param("v", &[1], rows(2))];
    let supply = supply(file);
    assert!(bind(&params, &supply, &[]).is_err());
    let bound = bind(&params, &supply, &["*.bias".into()]).expect("the keys' part is dropped");
    assert_eq!((bound.value(0)[0], bound.value(1)[0]), (0.0, 2.0));
    assert_eq!((bound.comparison().used, bound.comparison().dropped), (1, 0));
}

#[test]
fn what_does_not_fit_is_listed_together() {
    let dir = folder();
    let names: Vec<String> = (0..25).map(|n| format!("extra.{n}")).collect();
    let mut entries: Vec<(&str, &str, &[usize], Vec<u8>)> = vec![
        ("stem.conv_weight", "F32", &[2], counted(2)),
        ("head.weight", "F32", &[3, 2], counted(6)),
        ("head.bias", "F32", &[3], counted(3)),
        ("steps", "I64", &[1], vec![0; 8]),
        ("packed", "F32", &[3], counted(3)),
        ("position_index", "I64", &[1], vec![0; 8]),
    ];
    entries.extend(names.iter().map(|name| (name.as_str(), "F32", &[1][..], counted(1))));
    let file = supply(opened(&dir, &bytes_of(&entries, "")));
    let rows = Source::Rows { of: Box::new(tensor("packed", &[3])), start: 1, len: 1 };
    let params = [
        param("stem.conv", &[2], tensor("stem.conv.weight", &[2])),
        param("head.w", &[5, 2], tensor("head.weight", &[5, 2])),
        param("head.b", &[5], tensor("head.bias", &[5])),
        param("steps", &[1], tensor("steps", &[1])),
        param("part", &[1], rows),
    ];
    let Err(error) = bind(&params, &file, &["*_index".to_string()]) else {
        panic!("the file does not fit");
    };
    let said = error.to_string().replace(&format!("{}/", dir.path().display()), "");
    insta::assert_snapshot!(said);
    let WeightsError::Mismatch(comparison) = error else { panic!("{error}") };
    assert_eq!(*comparison, compare(&params, &file, &["*_index".to_string()]));
}

#[test]
fn hash_and_warnings_see_the_values() {
    let dir = folder();
    let bound = |bytes: Vec<u8>, dtype: &str| {
        let entries: [(&str, &str, &[usize], Vec<u8>); 1] = [("a", dtype, &[2], bytes)];
        let file = opened(&dir, &bytes_of(&entries, ""));
        let bound = bind(&[param("p", &[2], tensor("a", &[2]))], &supply(file), &[]);
        let bound = bound.expect("everything fits");
        (bound.hash(), bound.non_finite())
    };
    let half: Vec<u8> =
        [1.5f32, 2.0].iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let wide = bound(f32s(&[1.5, 2.0]), "F32");
    assert_eq!(wide, bound(half, "F16"));
    assert_ne!(wide.0, bound(f32s(&[1.5, 2.5]), "F32").0);
    let (_, warnings) = bound(f32s(&[f32::NAN, f32::INFINITY]), "F32");
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("`a` holds 2 values"), "{warnings:?}");
}

#[test]
fn generated_parts_come_from_whole_tensors() {
    let whole = || Box::new(tensor("attn.in_proj_weight", &[4, 2]));
    let rows = |start| Source::Rows { of: whole(), start, len: 2 };
    let params = [
        param("q", &[2, 2], rows(0)),
        param("k", &[2, 2], rows(2)),
        param("bn.weight", &[3], tensor("bn.weight", &[3])),
        param("bn.bias", &[3], tensor("bn.bias", &[3])),
    ];
    let bound = bind(&params, &Supply::Generated { seed: 5, gain: 1.3 }, &[]).expect("it fits");
    let names = [("attn.in_proj_weight".to_string(), 2)];
    let made = Generator::new(5, 1.3, names).tensor("attn.in_proj_weight", &[4, 2]);
    let made = made.expect("a matrix has a role");
    assert_eq!([bound.value(0), bound.value(1)].concat(), made);
    // A bias beside a normalisation's weight has twice the radius of another.
    assert!(bound.value(3).iter().any(|v| v.abs() > 0.1));
    assert_eq!(bound.untold(), None);
    // What a name does not tell is no error, but is said.
    let unknown = [param("x", &[3], tensor("x.table", &[3]))];
    let bound = bind(&unknown, &Supply::Generated { seed: 5, gain: 1.3 }, &[]).expect("it fits");
    assert!(bound.untold().is_some_and(|note| note.contains("`x.table`")));
    assert!(bound.value(0).iter().all(|v| v.abs() <= 0.2));
}

fn candidates() -> Vec<Candidate> {
    let candidate = |name: &str, tensors: &[&str]| Candidate {
        name: name.into(),
        tensors: tensors.iter().map(|tensor| (tensor.to_string(), vec![1])).collect(),
        drops: vec![],
    };
    vec![
        candidate("timm", &["conv_stem.weight", "bn1.weight"]),
        candidate("timm_tf", &["conv_stem.weight", "bn1.weight"]),
        candidate("torchvision", &["features.0.0.weight", "features.0.1.weight"]),
    ]
}

fn file_of(path: &Path, names: &[&str], metadata: &str) -> WeightFile {
    let entries: Vec<(&str, &str, &[usize], Vec<u8>)> =
        names.iter().map(|name| (*name, "F32", &[1][..], counted(1))).collect();
    let path = path.join("model.safetensors");
    std::fs::write(&path, bytes_of(&entries, metadata)).expect("the test's folder can be written");
    WeightFile::open(path).expect("the file is sound")
}

#[test]
fn dialects_by_names_and_by_hints() {
    let dir = folder();
    let choice = |names: &[&str], metadata: &str| {
        choose(&file_of(dir.path(), names, metadata), &candidates())
    };
    let timm = ["conv_stem.weight", "bn1.weight"];
    let found = choice(&["features.0.0.weight", "features.0.1.weight", "x"], "").expect("it fits");
    assert_eq!(found, Choice { index: 2, prefix: String::new(), note: None });
    let tied = choice(&timm, "").expect("it fits");
    assert_eq!(tied.index, 0);
    assert!(tied.note.is_some_and(|note| note.contains("timm, timm_tf")));
    assert_eq!(choice(&timm, "{\"dialect\":\"timm_tf\"}").expect("it fits").index, 1);
    let hinted = choice(&timm, "{\"architecture\":\"efficientnet_b0\"}").expect("it fits");
    assert_eq!((hinted.index, hinted.note), (0, None));
    write(&dir, "config.json", b"{\"architecture\": \"tf_efficientnet_b0\"}");
    let hinted = choice(&timm, "").expect("it fits");
    assert_eq!((hinted.index, hinted.note), (1, None));
    let prefixed = choice(&["module.features.0.0.weight", "module.features.0.1.weight"], "");
    assert_eq!(prefixed.expect("it fits").prefix, "module.");
    let both =
        ["model.conv_stem.weight", "model.bn1.weight", "ema.conv_stem.weight", "ema.bn1.weight"];
    let averaged = choice(&both, "").expect("it fits");
    assert_eq!((averaged.index, averaged.prefix.as_str()), (1, "ema."));
    assert!(averaged.note.is_some());
    assert!(matches!(choice(&["a", "b"], ""), Err(WeightsError::Dialect(_))));
}

#[test]
fn origins() {
    let parsed = |text| Origin::parse(text).expect("a good origin");
    assert_eq!(parsed("a/b.safetensors"), Origin::File("a/b.safetensors".into()));
    assert_eq!(parsed("generated:3"), Origin::Generated { seed: 3, gain: 1.0 });
    assert_eq!(parsed("generated:3:1.2"), Origin::Generated { seed: 3, gain: 1.2 });
    assert_eq!(parsed("hf:a/b"), Origin::Hub("a/b".into()));
    for wrong in ["generated:", "generated:x", "generated:1:", "generated:1:nan"] {
        assert!(matches!(Origin::parse(wrong), Err(WeightsError::Origin(_))), "{wrong}");
    }
}
