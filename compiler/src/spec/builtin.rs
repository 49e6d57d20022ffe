//! The specs that come with the program. A name with a slash is of a folder: `road/08_gelu`.

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
    "road/00_resnet_50",
    "road/01_stage_ratio",
    "road/02_patchify_stem",
    "road/03_depthwise",
    "road/04_width_96",
    "road/05_inverted_bottleneck",
    "road/06_depthwise_first",
    "road/07_large_kernels",
    "road/08_gelu",
    "road/09_fewer_activations",
    "road/10_fewer_norms",
    "road/11_layer_norm",
    "road/12_separate_downsampling",
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

/// The names for a message: a folder's specs as one (`road/00_resnet_50 and 12 more of road/`).
pub(super) fn builtin_list() -> String {
    let mut shown: Vec<String> = Vec::new();
    let mut open: Option<(&str, &str, usize)> = None;
    let close = |open: &mut Option<(&str, &str, usize)>, shown: &mut Vec<String>| match open.take()
    {
        Some((_, first, 0)) => shown.push(first.into()),
        Some((folder, first, more)) => shown.push(format!("{first} and {more} more of {folder}/")),
        None => {}
    };
    for name in builtin_names() {
        let folder = name.split_once('/').map(|(folder, _)| folder);
        match (folder, &mut open) {
            (Some(folder), Some((known, _, more))) if folder == *known => *more += 1,
            (Some(folder), _) => {
                close(&mut open, &mut shown);
                open = Some((folder, name, 0));
            }
            (None, _) => {
                close(&mut open, &mut shown);
                shown.push(name.into());
            }
        }
    }
    close(&mut open, &mut shown);
    shown.join(", ")
}
