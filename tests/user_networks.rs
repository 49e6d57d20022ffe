//! Networks as a user writes them, in `.arch` alone: what is new in them needs no line of Rust.
//! They have no reference in another library; the interpreter judges the compiled code.

mod oracle;

use netwright::{Backend, Network, Options, Spec, Weights};
use netwright_compiler::expand::check_spec;
use netwright_compiler::weights::image;
use oracle::{largest_difference, run, statistics};

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

/// Channels that are shuffled, made cheaply, mixed, or carried along.
#[test]
fn arrangements_of_channels() {
    for name in ["shuffle_net", "ghost_net", "mix_net", "dense_net"] {
        let spec = load(name);
        agrees(&spec, &[], 1.2);
        agrees(&spec, &[("resolution", "49x65")], 1.2);
    }
}

/// Branches as they are trained, before anyone folds them into one convolution.
#[test]
fn re_parameterised_branches() {
    let spec = load("rep_vgg");
    agrees(&spec, &[], 0.8);
    agrees(&spec, &[("a", "0.5"), ("resolution", "40x52")], 0.8);
}

#[test]
fn attentions_of_all_kinds() {
    for name in ["cross_covariance", "linear_attention", "class_attention"] {
        let spec = load(name);
        agrees(&spec, &[], 1.0);
        agrees(&spec, &[("resolution", "48x80"), ("classes", "7")], 1.0);
    }
}

#[test]
fn normalisations_and_weights_of_channels() {
    for name in ["group_norm", "pool_former", "selective_kernels"] {
        let spec = load(name);
        agrees(&spec, &[], 1.0);
        agrees(&spec, &[("resolution", "52x68")], 1.0);
    }
}
