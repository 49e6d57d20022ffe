//! The road from ResNet-50 to ConvNeXt-T (Liu et al. 2022, Table 10): a spec for each step. Their
//! multiply-accumulates are the paper's, and all of them run compiled.

mod oracle;

use netwright::{Backend, Network, Options, Spec, Weights};
use netwright_compiler::expand::check_spec;
use netwright_compiler::weights::image;
use oracle::{counts, largest_difference, run, statistics};

/// The steps, in order, with the paper's billions of multiply-accumulates at 224×224. For the last two
/// its Table 10 prints 4.46 and 4.49: the comments of their specs say why these are 4.15 and 4.46.
const STEPS: [(&str, f64); 16] = [
    ("00_resnet_50", 4.09),
    ("01_stage_ratio", 4.53),
    ("02_patchify_stem", 4.42),
    ("03_depthwise", 2.35),
    ("04_width_96", 5.27),
    ("05_inverted_bottleneck", 4.64),
    ("06_depthwise_first", 4.07),
    ("07_large_kernels:k5", 4.10),
    ("07_large_kernels:k7", 4.15),
    ("07_large_kernels:k9", 4.21),
    ("07_large_kernels:k11", 4.29),
    ("08_gelu", 4.15),
    ("09_fewer_activations", 4.15),
    ("10_fewer_norms", 4.15),
    ("11_layer_norm", 4.15),
    ("12_separate_downsampling", 4.46),
];

/// The name of a step among the built-in specs.
fn path(step: &str) -> String {
    format!("road/{step}")
}

#[test]
fn every_step_is_found_by_its_name() {
    let listed = netwright::catalog().into_iter().map(|entry| entry.name);
    let listed: Vec<String> = listed.filter(|name| name.starts_with("road/")).collect();
    let mut steps: Vec<&str> = STEPS.iter().map(|(step, _)| *step).collect();
    steps.iter_mut().for_each(|step| *step = step.split(':').next().unwrap_or(step));
    steps.dedup();
    assert_eq!(listed, steps.into_iter().map(path).collect::<Vec<_>>());
    let error = Spec::load("road/08_gleu").expect_err("no such spec").to_string();
    assert!(error.contains("did you mean `road/08_gelu`?"), "{error}");
    assert!(error.contains("road/00_resnet_50 and 12 more of road/, se_resnet"), "{error}");
    let error = Spec::load("nets/mine").expect_err("no such file").to_string();
    assert!(error.contains("cannot read `nets/mine`"), "{error}");
}

#[test]
fn macs_are_those_of_the_paper() {
    for (step, paper) in STEPS {
        let (_, macs) = counts(&path(step), &[]);
        let printed = (macs as f64 / 1e7).round() / 100.0;
        assert!((printed - paper).abs() < 0.006, "{step}: {printed}, not {paper}");
    }
}

#[test]
fn every_spec_of_the_folder_is_a_step_and_holds_what_it_expects() {
    let folder = format!("{}/specs/road", env!("CARGO_MANIFEST_DIR"));
    for entry in std::fs::read_dir(folder).expect("the folder") {
        let file = entry.expect("an entry").file_name().into_string().expect("a name");
        let name = file.strip_suffix(".arch").expect("a spec");
        let known = STEPS.iter().any(|(step, _)| step.split(':').next() == Some(name));
        assert!(known, "{file} is no step");
        let spec = Spec::load(&path(name)).unwrap_or_else(|error| panic!("{error}"));
        let found = check_spec(&spec);
        assert!(found.is_empty(), "{}", netwright_grammar::render(&spec.sources, &found, false));
    }
}

/// The last step is as large as the spec of ConvNeXt-T.
#[test]
fn the_road_ends_at_convnext_tiny() {
    let (params, macs) = counts(&path("12_separate_downsampling"), &[]);
    assert_eq!((params, macs), counts("convnext:tiny", &[]));
}

#[test]
fn every_step_runs_compiled() {
    for (step, _) in STEPS {
        let spec = Spec::load(&path(step)).unwrap_or_else(|error| panic!("{error}"));
        let sets = vec![("resolution".to_string(), "64x48".to_string())];
        let options = Options { sets, ..Options::default() };
        let network = Network::new(&spec, &options, &Weights::Generated { seed: 7, gain: 1.0 })
            .unwrap_or_else(|error| panic!("{step}: {error}"));
        let input = image(1, 3, 64, 48, 7);
        let right = run(&network, &input, Backend::Interpreter, 0);
        let (_, std) = statistics(&right);
        assert!(std > 1e-3 && std < 1e4, "{step}: the logits have deviation {std}");
        for backend in [Backend::Auto, Backend::Portable] {
            let ours = run(&network, &input, backend, 0);
            let difference = largest_difference(&ours, &right);
            assert!(difference <= 1e-4 * std, "{step} {backend:?}: {difference:.3e} of {std:.3e}");
        }
    }
}
