//! Networks as a user writes them, in `.arch` alone: what is new in them needs no line of Rust.
//! The interpreter judges the compiled code; PyTorch's outputs in `tests/user_networks/goldens/` judge
//! the networks that timm or torchvision has too.

mod oracle;

use netwright::{Backend, Network, Options, Spec, Weights};
use netwright_compiler::expand::check_spec;
use netwright_compiler::weights::image;
use oracle::{cases_in, largest_difference, run, statistics};

fn load(name: &str) -> Spec {
    let path = format!("{}/tests/user_networks/{name}.arch", env!("CARGO_MANIFEST_DIR"));
    let spec = Spec::load(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let found = check_spec(&spec);
    assert!(found.is_empty(), "{}", netwright_grammar::render(&spec.sources, &found, false));
    spec
}

fn network(spec: &Spec, sets: &[(&str, &str)], batch: usize, gain: f64) -> Network {
    let sets = sets.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    let options = Options { sets, batch, ..Options::default() };
    Network::new(spec, &options, &Weights::Generated { seed: 3, gain })
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Compiled and interpreted logits agree, they depend on the input, and images of a batch do not
/// see each other.
fn agrees(spec: &Spec, sets: &[(&str, &str)], gain: f64) {
    let name = &spec.name;
    let both = network(spec, sets, 2, gain);
    let [_, h, w, c] = both.expanded.input;
    let input = image(2, c, h, w, 5);
    let right = run(&both, &input, Backend::Interpreter, 0);
    let (_, std) = statistics(&right);
    assert!(std > 1e-3 && std < 1e4, "{name}: the logits have deviation {std}");
    for backend in [Backend::Auto, Backend::Portable] {
        let ours = run(&both, &input, backend, 0);
        let difference = largest_difference(&ours, &right);
        assert!(
            difference <= 1e-4 * std,
            "{name} {sets:?} {backend:?}: {difference:.3e} of {std:.3e}"
        );
    }
    let (first, second) = right.split_at(right.len() / 2);
    assert!(largest_difference(first, second) > 1e-3 * std, "{name}: the input does not matter");
    let one = network(spec, sets, 1, gain);
    let alone = run(&one, &input[input.len() / 2..], Backend::Auto, 0);
    assert!(largest_difference(&alone, second) <= 1e-4 * std, "{name}: a batch of one differs");
}

#[test]
fn mobilenet_v2_with_large_kernels_and_excitation() {
    let spec = load("mobilenet_v2_wide_eyed");
    agrees(&spec, &[], 1.2);
    agrees(&spec, &[("alpha", "0.5"), ("resolution", "97x129"), ("classes", "10")], 1.2);
}

#[test]
fn a_neighbour_of_mnasnet() {
    let spec = load("mnasnet_neighbour");
    agrees(&spec, &[], 1.2);
    agrees(&spec, &[("resolution", "113x96"), ("channels", "1")], 1.2);
}

#[test]
fn a_resnet_with_blurred_strides() {
    let spec = load("resnet_antialiased");
    agrees(&spec, &[], 1.0);
    agrees(&spec, &[("resolution", "99x161"), ("classes", "0")], 1.0);
    // The filter is no parameter.
    let network = network(&spec, &[], 1, 1.0);
    let params = &network.expanded.graph.params;
    assert!(params.iter().all(|param| !param.path.contains("blur")), "{params:?}");
}

/// The networks of the folder that are not run above: each file says what it shows.
fn folder() -> Vec<Spec> {
    let folder = format!("{}/tests/user_networks", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("the folder")
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.extension().is_some_and(|e| e == "arch"))
        .filter_map(|path| path.file_stem()?.to_str().map(str::to_string))
        .filter(|name| {
            !["mnasnet_neighbour", "mobilenet_v2_wide_eyed", "resnet_antialiased"]
                .contains(&name.as_str())
        })
        .collect();
    names.sort();
    assert!(names.len() >= 12, "only {names:?}");
    names.iter().map(|name| load(name)).collect()
}

#[test]
fn networks_of_the_folder_as_they_stand() {
    for spec in folder() {
        agrees(&spec, &[], 1.0);
    }
}

#[test]
fn networks_of_the_folder_on_wide_images() {
    for spec in folder() {
        agrees(&spec, &[("resolution", "64x96"), ("classes", "7")], 1.0);
    }
}

#[test]
fn the_libraries_agree() {
    let mut wrong = Vec::new();
    let cases = cases_in("tests/user_networks/goldens");
    for case in &cases {
        let network = case.network();
        let input = case.input(network.expanded.input[3]);
        for backend in [Backend::Interpreter, Backend::Auto, Backend::Portable] {
            if let Err(message) = case.judge(&run(&network, &input, backend, 0)) {
                wrong.push(format!("{message} by {backend:?}"));
            }
        }
    }
    assert!(cases.len() >= 12, "only {} cases", cases.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
