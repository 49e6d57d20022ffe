//! Reference outputs and what the tests need to compare with them.

// Each test file uses a part of it.
#![allow(dead_code)]

use netwright::network::{expand_spec, tensors};
use netwright::{Backend, Network, Options, RunOptions, Session, Spec, Weights};
use netwright_compiler::weights::{Generator, WeightFile, image};
use netwright_ir::{Interpreter, NodeId, Tensor};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

/// One run of a library's model.
pub struct Case {
    /// Its name, and that of the file with its logits.
    pub id: String,
    /// The spec, with its variant.
    pub spec: String,
    folder: String,
    /// The library whose model it is.
    pub dialect: String,
    sets: Vec<(String, String)>,
    /// Rows and columns of the images.
    pub size: [usize; 2],
    checkpoint: Option<Checkpoint>,
    /// Number of images.
    pub batch: usize,
    seed: u64,
    gain: f64,
    /// The output that is compared, where it is not the first.
    output: Option<String>,
    /// Largest difference that is right.
    pub tolerance: f64,
    modules: Vec<Module>,
}

/// What the weights were made for, where that is not the case's own network: they are then read from a
/// file, and tables of positions are resampled.
struct Checkpoint {
    size: [usize; 2],
    sets: Vec<(String, String)>,
}

/// Statistics of a module's output.
struct Module {
    name: String,
    shape: Vec<usize>,
    mean: f64,
    std: f64,
}

/// All cases of the built-in specs.
pub fn cases() -> Vec<Case> {
    cases_in("tests/goldens")
}

/// All cases of a folder.
pub fn cases_in(folder: &str) -> Vec<Case> {
    let folder = format!("{}/{folder}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(format!("{folder}/cases.json")).expect("cases.json");
    let json: Value = serde_json::from_str(&text).expect("valid JSON");
    let cases = json["cases"].as_array().expect("a list of cases");
    cases.iter().map(|one| case(one, &folder)).collect()
}

fn case(json: &Value, folder: &str) -> Case {
    let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("text `{key}`")).to_string();
    let number = |key: &str| json[key].as_f64().unwrap_or_else(|| panic!("number `{key}`"));
    let sizes = |json: &Value| -> Vec<usize> {
        let list = json.as_array().expect("a list of sizes");
        list.iter().map(|size| size.as_u64().expect("a size") as usize).collect()
    };
    let resolution = sizes(&json["resolution"]);
    let settings = |json: &Value| -> Vec<(String, String)> {
        let sets = json.as_object().expect("an object of settings");
        let text = |value: &Value| value.to_string().replace(['[', ']', '"'], "");
        sets.iter().map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let sets = settings(&json["set"]);
    let checkpoint = json.get("checkpoint").map(|size| {
        let size = sizes(size);
        let mut own = sets.clone();
        for (name, value) in json.get("checkpoint_set").map(settings).unwrap_or_default() {
            own.retain(|(other, _)| *other != name);
            own.push((name, value));
        }
        Checkpoint { size: [size[0], size[1]], sets: own }
    });
    let modules =
        json["modules"].as_array().expect("a list of modules").iter().map(|module| Module {
            name: module[0].as_str().expect("a name").into(),
            shape: sizes(&module[1]),
            mean: module[2].as_f64().expect("a mean"),
            std: module[3].as_f64().expect("a deviation"),
        });
    Case {
        id: text("id"),
        spec: text("spec"),
        folder: folder.into(),
        dialect: text("dialect"),
        sets,
        size: [resolution[0], resolution[1]],
        checkpoint,
        batch: number("batch") as usize,
        seed: number("seed") as u64,
        gain: number("gain"),
        output: json.get("output").map(|name| name.as_str().expect("a name").into()),
        tolerance: (20.0 * number("float32_error")).max(1e-4 * number("logits_std")),
        modules: modules.collect(),
    }
}

impl Case {
    /// The family: the spec without its variant.
    pub fn family(&self) -> &str {
        self.spec.split(':').next().unwrap_or(&self.spec)
    }

    fn options(&self, [h, w]: [usize; 2], sets: &[(String, String)]) -> Options {
        let mut sets = sets.to_vec();
        sets.push(("resolution".into(), format!("{h}x{w}")));
        Options { sets, dialect: Some(self.dialect.clone()), batch: self.batch }
    }

    /// The network with its generated weights.
    pub fn network(&self) -> Network {
        let spec = Spec::load(&self.spec).unwrap_or_else(|error| panic!("{}: {error}", self.id));
        let weights = match &self.checkpoint {
            None => Weights::Generated { seed: self.seed, gain: self.gain },
            Some(checkpoint) => {
                let options = self.options(checkpoint.size, &checkpoint.sets);
                let file = generated_file(&spec, &options, self.seed, self.gain);
                Weights::File(Arc::new(file))
            }
        };
        Network::new(&spec, &self.options(self.size, &self.sets), &weights)
            .unwrap_or_else(|error| panic!("{}: {error}", self.id))
    }

    /// The images, `[N, C, H, W]`.
    pub fn input(&self, channels: usize) -> Vec<f32> {
        image(self.batch, channels, self.size[0], self.size[1], self.seed)
    }

    /// Which of the network's outputs is compared.
    pub fn output(&self, network: &Network) -> usize {
        let Some(name) = &self.output else { return 0 };
        let outputs = &network.expanded.graph.outputs;
        let found = outputs.iter().position(|(output, _)| output == name);
        found.unwrap_or_else(|| panic!("{}: no output `{name}`", self.id))
    }

    /// The right values of that output.
    pub fn logits(&self) -> Vec<f32> {
        let file = format!("{}/{}.npy", self.folder, self.id);
        let bytes = std::fs::read(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
        let (_, rest) = bytes.split_at(8);
        let header = usize::from(rest[0]) + 256 * usize::from(rest[1]);
        let data = rest[2 + header..].chunks_exact(4);
        data.map(|four| f32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect()
    }

    /// Compares logits with the right ones; `Err` says by how much they differ.
    pub fn judge(&self, logits: &[f32]) -> Result<(), String> {
        let right = self.logits();
        if right.len() != logits.len() {
            return Err(format!("{}: {} logits, not {}", self.id, logits.len(), right.len()));
        }
        let difference = largest_difference(logits, &right);
        // Written so that a NaN fails.
        if difference <= self.tolerance {
            return Ok(());
        }
        Err(format!(
            "{} ({} in {}): the largest difference is {difference:.3e}, at most {:.3e} is right",
            self.id, self.spec, self.dialect, self.tolerance
        ))
    }

    /// The first module of the reference whose output no value of the network resembles.
    pub fn first_difference(&self, network: &Network) -> String {
        let graph = &network.expanded.graph;
        let params = |at: usize| network.weights.tensor(at);
        let interpreter = Interpreter::new(graph, &params).expect("the graph is valid");
        let nodes: Vec<NodeId> = (0..graph.nodes.len()).map(|at| NodeId(at as u32)).collect();
        let input = channels_last(&self.input(network.expanded.input[3]), network.expanded.input);
        let mut values: Vec<(NodeId, Vec<usize>, f64, f64)> = Vec::new();
        interpreter
            .run_each(&[input], &nodes, &mut |id, value| {
                let (mean, std) = statistics(&value.data);
                values.push((id, plain(&value.shape), mean, std));
            })
            .expect("the interpreter runs");
        let mut at = 0;
        let mut last = "the input".to_string();
        for module in &self.modules {
            let shape = plain(&module.shape);
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-3 * module.std.max(1e-9);
            let found = values[at..].iter().position(|(_, own, mean, std)| {
                *own == shape && near(*mean, module.mean) && near(*std, module.std)
            });
            match found {
                Some(steps) => {
                    at += steps;
                    let name = &graph.node(values[at].0).name;
                    last = format!("`{}`, which is `{name}`", module.name);
                }
                None => {
                    return format!(
                        "nothing after {last} resembles the reference's `{}` {:?}",
                        module.name, module.shape
                    );
                }
            }
        }
        "every module of the reference has its like in the interpreter".to_string()
    }

    /// The first feature in which the compiled network differs from the interpreter.
    pub fn first_miscompiled(&self, network: &Network) -> String {
        let run = |backend| features(network, &self.input(network.expanded.input[3]), backend);
        let (compiled, interpreted) = (run(Backend::Auto), run(Backend::Interpreter));
        for ((name, ours), (_, right)) in compiled.iter().zip(&interpreted) {
            let (_, std) = statistics(right);
            let difference = largest_difference(ours, right);
            if difference.is_nan() || difference > 1e-4 * std.max(1e-9) {
                return format!(
                    "compiled, `{name}` is the first that differs (by {difference:.3e})"
                );
            }
        }
        "compiled and interpreted features agree".to_string()
    }
}

/// A file of generated weights, as the dialect's library would save them.
fn generated_file(spec: &Spec, options: &Options, seed: u64, gain: f64) -> WeightFile {
    let network = expand_spec(spec, options, None).unwrap_or_else(|error| panic!("{error}"));
    let named: BTreeMap<String, Vec<usize>> =
        network.graph.params.iter().flat_map(tensors).collect();
    let generator =
        Generator::new(seed, gain, named.iter().map(|(name, shape)| (name.clone(), shape.len())));
    let mut bytes = Vec::new();
    let list: Vec<FileEntry> = named
        .iter()
        .map(|(name, shape)| {
            let start = bytes.len();
            let values = generator.tensor(name, shape).expect("a tensor with a role");
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            (name.clone(), "F32", shape.clone(), [start, bytes.len()])
        })
        .collect();
    file_of(&list, |file| file.write_all(&bytes))
}

/// A tensor in a file: its name, type, shape, and its range of the data.
pub type FileEntry = (String, &'static str, Vec<usize>, [usize; 2]);

/// A safetensors file with these tensors, whose data `fill` writes at its end.
pub fn file_of(
    list: &[FileEntry],
    fill: impl FnOnce(&mut std::fs::File) -> std::io::Result<()>,
) -> WeightFile {
    let entries = list.iter().map(|(name, dtype, shape, range)| {
        (name.clone(), json!({"dtype": dtype, "shape": shape, "data_offsets": range}))
    });
    let mut header = Value::Object(entries.collect()).to_string();
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
    let length = (header.len() as u64).to_le_bytes();
    file.write_all(&length).and_then(|()| file.write_all(header.as_bytes())).expect("the header");
    fill(file.as_file_mut()).expect("the data");
    // The map stays when the name is gone.
    WeightFile::open(file.path()).expect("a sound file")
}

/// Runs a network once: its first output.
pub fn run(network: &Network, input: &[f32], backend: Backend, threads: usize) -> Vec<f32> {
    run_all(network, input, backend, threads).swap_remove(0)
}

/// Runs a network once: all its outputs.
pub fn run_all(
    network: &Network,
    input: &[f32],
    backend: Backend,
    threads: usize,
) -> Vec<Vec<f32>> {
    let options = RunOptions { backend, threads, ..RunOptions::default() };
    let mut session = Session::new(network, &options).unwrap_or_else(|error| panic!("{error}"));
    session.run_all(input).unwrap_or_else(|error| panic!("{error}"))
}

fn features(network: &Network, input: &[f32], backend: Backend) -> Vec<(String, Vec<f32>)> {
    let options = RunOptions { backend, features: true, ..RunOptions::default() };
    let mut session = Session::new(network, &options).unwrap_or_else(|error| panic!("{error}"));
    let names: Vec<String> = session.outputs().iter().map(|port| port.name.clone()).collect();
    let values = session.run_all(input).unwrap_or_else(|error| panic!("{error}"));
    // The network's results come first, though they are made last.
    let own = network.expanded.graph.outputs.len();
    let mut named: Vec<_> = names.into_iter().zip(values).collect();
    named.rotate_left(own);
    named
}

/// `[N, C, H, W]` as `[N, H, W, C]`.
pub fn channels_last(planes: &[f32], shape: [usize; 4]) -> Arc<Tensor> {
    let [n, h, w, c] = shape;
    let mut data = Vec::with_capacity(planes.len());
    for image in planes.chunks_exact(h * w * c).take(n) {
        for cell in 0..h * w {
            data.extend((0..c).map(|channel| image[channel * h * w + cell]));
        }
    }
    Arc::new(Tensor::new(shape.to_vec(), data))
}

/// Largest difference of two values at one place; NaN if there is one.
pub fn largest_difference(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| f64::from((a - b).abs()));
    differences.fold(
        0.0,
        |most, next| if next.is_nan() || most.is_nan() { f64::NAN } else { most.max(next) },
    )
}

/// Mean and standard deviation.
pub fn statistics(data: &[f32]) -> (f64, f64) {
    let count = data.len() as f64;
    let mean = data.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let square = data.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / count;
    (mean, square.sqrt())
}

/// The lengths of a shape in ascending order without ones: the same in either layout.
fn plain(shape: &[usize]) -> Vec<usize> {
    let mut lengths: Vec<usize> = shape.iter().copied().filter(|length| *length != 1).collect();
    lengths.sort_unstable();
    lengths
}

/// The parameters and multiply-accumulates of a spec.
pub fn counts(spec: &str, sets: &[(&str, &str)]) -> (u64, u64) {
    let spec = Spec::load(spec).unwrap_or_else(|error| panic!("{spec}: {error}"));
    let sets = sets.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let options = Options { sets, ..Options::default() };
    let expanded = expand_spec(&spec, &options, None).unwrap_or_else(|error| panic!("{error}"));
    let counts = netwright_ir::count(&expanded.graph);
    (counts.params, counts.macs)
}
