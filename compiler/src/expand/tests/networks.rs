//! The built-in specs: counts as measured in timm and torchvision (parameters exact,
//! multiply-accumulates exact), and names of tensors.

use super::{Request, Source, check_spec, count, expand};
use crate::spec::{Spec, builtin_names};
use netwright_grammar::render;

fn request(variant: Option<&str>, sets: &[(&str, &str)]) -> Request {
    Request {
        variant: variant.map(str::to_string),
        sets: sets.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        ..Request::default()
    }
}

#[test]
fn every_built_in_spec_is_clean() {
    for name in builtin_names() {
        let spec = Spec::load(name).unwrap();
        let found = check_spec(&spec);
        assert!(found.is_empty(), "{name}\n{}", render(&spec.sources, &found, false));
    }
}

#[test]
fn mobilenets() {
    for (name, variant, sets, params, macs) in [
        (
            "mobilenet_v1",
            None,
            vec![("alpha", "0.5"), ("resolution", "160")],
            1_331_592,
            76_524_800,
        ),
        ("mobilenet_v2", None, vec![], 3_504_872, 300_774_272),
        ("mobilenet_v2", None, vec![("alpha", "0.35")], 1_677_128, 59_285_808),
        ("mobilenet_v2", None, vec![("alpha", "0.5")], 1_968_680, 97_131_840),
        ("mobilenet_v2", None, vec![("alpha", "0.75")], 2_636_424, 209_069_792),
        ("mobilenet_v2", None, vec![("alpha", "1.3")], 5_386_792, 509_374_560),
        ("mobilenet_v2", None, vec![("alpha", "1.4")], 6_108_776, 582_195_824),
        ("mobilenet_v3", Some("large"), vec![("alpha", "0.75")], 3_993_528, 154_560_624),
        ("mobilenet_v3", Some("small"), vec![("alpha", "0.75")], 2_041_872, 43_399_344),
        ("efficientnet", Some("b3"), vec![], 12_233_232, 1_827_141_392),
        ("resnet", Some("50"), vec![], 25_557_032, 4_089_184_256),
    ] {
        let spec = Spec::load(name).unwrap();
        let net = expand(&spec, &request(variant, &sets)).unwrap();
        let counts = count(&net.graph);
        assert_eq!((counts.params, counts.macs), (params, macs), "{name} {variant:?} {sets:?}");
        netwright_ir::verify(&net.graph).unwrap();
    }
}

#[test]
fn batches_count_once() {
    let spec = Spec::load("mobilenet_v2").unwrap();
    let net = expand(&spec, &Request { batch: 5, ..Request::default() }).unwrap();
    assert_eq!(net.input, [5, 224, 224, 3]);
    assert_eq!(count(&net.graph).macs, 5 * 300_774_272);
}

#[test]
fn names_of_both_libraries() {
    let spec = Spec::load("mobilenet_v2").unwrap();
    let names = |dialect: &str| -> Vec<String> {
        let request = Request { dialect: Some(dialect.into()), ..Request::default() };
        let net = expand(&spec, &request).unwrap();
        net.graph
            .params
            .iter()
            .map(|param| match &param.source {
                Source::Tensor { name, .. } => name.clone(),
                other => panic!("{other:?}"),
            })
            .collect()
    };
    let timm = names("timm");
    for name in [
        "conv_stem.weight",
        "bn1.running_var",
        "blocks.0.0.conv_pw.weight",
        "blocks.3.1.conv_pwl.weight",
        "blocks.3.1.bn3.bias",
        "classifier.bias",
    ] {
        assert!(timm.iter().any(|known| known == name), "{name}");
    }
    let torchvision = names("torchvision");
    for name in [
        "features.0.0.weight",
        "features.1.conv.0.0.weight",
        "features.1.conv.1.weight",
        "features.2.conv.3.running_mean",
        "features.18.1.weight",
        "classifier.1.weight",
    ] {
        assert!(torchvision.iter().any(|known| known == name), "{name}");
    }
    assert_eq!(timm.len(), 262);
    assert_eq!(torchvision.len(), 262);
}
