//! Tensor names of real libraries: each file of `tests/names/` lists what a model's checkpoint holds. It must
//! be recognised by its names, and fit without a tensor missing or left over.

mod oracle;

use netwright::{Network, Options, Spec, Weights};
use oracle::{FileEntry, file_of};
use std::sync::Arc;

/// The file that a list describes; its data are zeros.
///
/// A line is a name, a kind and a shape. `f32` and `i64` are single tensors; `wb` is a layer with
/// a weight of that shape and a bias, `bn` a batch normalisation with its statistics and its counter.
fn tensors(lines: std::str::Lines) -> Vec<FileEntry> {
    let mut list: Vec<FileEntry> = Vec::new();
    let mut push = |name: String, dtype: &'static str, shape: Vec<usize>| {
        let start = list.last().map_or(0, |(_, _, _, range)| range[1]);
        let size = if dtype == "I64" { 8 } else { 4 } * shape.iter().product::<usize>();
        list.push((name, dtype, shape, [start, start + size]));
    };
    for line in lines {
        let [name, kind, shape] = line.split(' ').collect::<Vec<_>>()[..] else {
            panic!("not a name, a kind and a shape: {line}");
        };
        let shape: Vec<usize> =
            shape.split('x').map(|side| side.parse().expect("a side")).collect();
        match kind {
            "f32" => push(name.into(), "F32", shape),
            "i64" => push(name.into(), "I64", shape),
            "wb" => {
                push(format!("{name}.bias"), "F32", shape[..1].to_vec());
                push(format!("{name}.weight"), "F32", shape);
            }
            "bn" => {
                for part in ["weight", "bias", "running_mean", "running_var"] {
                    push(format!("{name}.{part}"), "F32", shape.clone());
                }
                push(format!("{name}.num_batches_tracked"), "I64", vec![]);
            }
            other => panic!("no kind of line: {other}"),
        }
    }
    list
}

#[test]
fn every_list_is_recognised_and_fits() {
    let folder = format!("{}/tests/names", env!("CARGO_MANIFEST_DIR"));
    let mut wrong = Vec::new();
    let mut tried = 0;
    for entry in std::fs::read_dir(folder).expect("tests/names") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().to_string();
        let dialect = name.split('_').next().expect("a dialect").to_string();
        let text = std::fs::read_to_string(&path).expect("a list");
        let mut lines = text.lines();
        let mut head =
            lines.next().and_then(|line| line.strip_prefix("# ")).expect("a head").split(' ');
        let spec = Spec::load(head.next().expect("a spec")).expect("a built-in spec");
        let sets = head.map(|set| set.split_once('=').expect("a setting"));
        let sets = sets.map(|(name, value)| (name.to_string(), value.to_string())).collect();
        let list = tensors(lines);
        let size = list.last().map_or(0, |(_, _, _, range)| range[1]) as u64;
        let file = file_of(&list, |file| file.set_len(file.metadata()?.len() + size));
        let options = Options { sets, ..Options::default() };
        tried += 1;
        match Network::new(&spec, &options, &Weights::File(Arc::new(file))) {
            Ok(network) if network.expanded.dialect.as_deref() == Some(&dialect) => {}
            Ok(network) => wrong.push(format!("{name}: taken as {:?}", network.expanded.dialect)),
            Err(error) => wrong.push(format!("{name}: {error}")),
        }
    }
    assert!(tried >= 13, "{tried} lists");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
