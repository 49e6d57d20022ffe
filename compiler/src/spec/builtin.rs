//! The specs that come with the program.

macro_rules! specs {
    ($($name:literal),* $(,)?) => {
        const SPECS: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../specs/", $name, ".arch")))),*];
    };
}

specs![
    "cait",
    "convnext",
    "convnext_v2",
    "efficientformer",
    "efficientnet",
    "efficientnet_lite",
    "efficientnet_v2",
    "inception_v3",
    "mlp_mixer",
    "mobilenet_v1",
    "mobilenet_v2",
    "mobilenet_v2_features",
    "mobilenet_v3",
    "mobilevit",
    "res2net",
    "resnet",
    "resnet_d",
    "resnext",
    "se_resnet",
    "std",
    "swin",
    "swin_v2",
    "vgg",
    "vit",
    "xception",
];

/// Names of the built-in networks, in alphabetical order.
pub fn builtin_names() -> Vec<&'static str> {
    let mut names: Vec<&str> =
        SPECS.iter().map(|(name, _)| *name).filter(|name| *name != "std").collect();
    names.sort_unstable();
    names
}

/// The text of a built-in spec, or of `std`.
pub fn builtin_text(name: &str) -> Option<&'static str> {
    SPECS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
