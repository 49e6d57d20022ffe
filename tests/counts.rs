//! Parameters, exactly, and multiply-accumulates, to 0.1%, of every network in `tests/models.csv`.

mod oracle;

use oracle::counts;
use serde_json::Value;
use std::process::Command;

/// A row of the table by its heading.
struct Row<'a> {
    family: &'a str,
    variant: &'a str,
    resolution: &'a str,
    params: u64,
    macs: u64,
}

/// The spec of a row, and what it sets. `None`: a network that has no spec here.
fn spec<'a>(row: &Row<'a>) -> Option<(String, Vec<(&'static str, &'a str)>)> {
    let lower = row.variant.to_lowercase();
    Some(match row.family {
        "MobileNetV1" => ("mobilenet_v1".into(), vec![("alpha", row.variant)]),
        "MobileNetV2" => ("mobilenet_v2".into(), vec![("alpha", row.variant)]),
        "MobileNetV3" => {
            let (size, alpha) = row.variant.split_once(' ')?;
            (format!("mobilenet_v3:{size}"), vec![("alpha", alpha)])
        }
        "EfficientNet" => (format!("efficientnet:{lower}"), vec![]),
        "EfficientNetV2" => (format!("efficientnet_v2:{lower}"), vec![]),
        "EfficientNet-Lite" => (format!("efficientnet_lite:{lower}"), vec![]),
        "MobileViT" => (format!("mobilevit:{lower}"), vec![]),
        "ConvNeXt" => (format!("convnext:{lower}"), vec![]),
        "ViT" => (format!("vit:{lower}"), vec![]),
        "Swin" | "SwinV2" => {
            let name = if row.family == "Swin" { "swin" } else { "swin_v2" };
            match row.variant.split_once(" window") {
                Some((size, window)) => (format!("{name}:{size}"), vec![("window", window)]),
                None => (format!("{name}:{lower}"), vec![]),
            }
        }
        "ResNet" => match row.variant {
            "ResNet-50" => ("resnet:50".into(), vec![]),
            "ResNeXt-50 32x4d" => ("resnext:50_32x4d".into(), vec![]),
            "ResNet-50-D" => ("resnet_d:50".into(), vec![]),
            "SE-ResNet-50" => ("se_resnet:50".into(), vec![]),
            _ => return None,
        },
        _ => return None,
    })
}

/// The parameters and multiply-accumulates that `netwright summary --json` prints.
fn summary(spec: &str, sets: &[(&str, &str)]) -> (u64, u64) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_netwright"));
    command.args(["summary", spec, "--json"]);
    for (name, value) in sets {
        command.args(["--set", &format!("{name}={value}")]);
    }
    let output = command.output().expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{spec} {sets:?}: {errors}");
    let summary: Value = serde_json::from_slice(&output.stdout).expect("valid JSON");
    let number = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("no `{key}`"));
    (number("params"), number("macs"))
}

#[test]
fn parameters_and_macs_are_those_of_the_table() {
    let table = include_str!("models.csv");
    let mut lines = table.lines();
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let mut wrong = Vec::new();
    let mut rows = 0;
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let cell = |name: &str| {
            let at = header.iter().position(|heading| *heading == name);
            cells[at.unwrap_or_else(|| panic!("no column {name}"))]
        };
        let number = |name: &str| cell(name).parse().unwrap_or_else(|_| panic!("{name} of {line}"));
        let row = Row {
            family: cell("family"),
            variant: cell("variant"),
            resolution: cell("resolution"),
            params: number("params"),
            macs: number("macs"),
        };
        let (spec, mut sets) = spec(&row).unwrap_or_else(|| panic!("no spec for {line}"));
        sets.push(("resolution", row.resolution));
        let (params, macs) = summary(&spec, &sets);
        if params != row.params {
            wrong.push(format!("{spec} {sets:?}: {params} parameters, not {}", row.params));
        }
        let off = (macs as f64 / row.macs as f64 - 1.0).abs();
        if off > 1e-3 {
            wrong.push(format!("{spec} {sets:?}: {macs} multiply-accumulates, not {}", row.macs));
        }
        rows += 1;
    }
    assert_eq!(rows, 63);
    assert!(wrong.is_empty(), "{} of {rows} rows:\n{}", wrong.len(), wrong.join("\n"));
}

/// Networks that the table does not have; numbers measured the same way on timm's models.
#[test]
fn the_other_variants_too() {
    for (spec, sets, params, macs) in [
        ("mobilenet_v2", &[("resolution", "193x225")][..], 3_504_872, 298_989_440),
        ("mobilenet_v3:small", &[("alpha", "0.5")], 1_593_224, 24_188_688),
        ("efficientnet_lite:lite1", &[], 5_416_680, 600_185_232),
        ("efficientnet_lite:lite2", &[], 6_092_072, 859_736_272),
        ("efficientnet_lite:lite3", &[], 8_197_096, 1_383_321_872),
        ("efficientnet_lite:lite4", &[], 13_006_568, 2_553_034_336),
        ("resnet:18", &[], 11_689_512, 1_814_073_344),
        ("resnet:34", &[], 21_797_672, 3_663_761_408),
        ("resnet:101", &[], 44_549_160, 7_801_405_440),
        ("resnet:152", &[], 60_192_808, 11_513_626_624),
        ("resnext:101_32x8d", &[], 88_791_336, 16_414_015_488),
        ("vgg:11", &[], 132_868_840, 7_609_090_048),
        ("vgg:16", &[], 138_365_992, 15_470_264_320),
        ("vgg:19", &[], 143_678_248, 19_632_062_464),
        ("inception_v3", &[], 23_834_568, 5_713_216_096),
        ("xception", &[], 22_855_952, 8_357_403_496),
        ("convnext_v2:atto", &[], 3_708_400, 547_332_480),
        ("convnext_v2:nano", &[], 15_623_800, 2_445_528_320),
        ("convnext_v2:huge", &[], 660_289_640, 114_922_100_480),
        ("mlp_mixer:s32", &[], 19_104_624, 1_002_426_368),
        ("mlp_mixer:b16", &[], 59_880_472, 12_601_767_936),
        ("mlp_mixer:l16", &[], 208_196_168, 44_547_678_208),
        ("cait:xxs24", &[], 11_956_264, 2_523_475_200),
        ("cait:s36", &[], 68_220_712, 13_902_174_720),
        ("efficientformer:l1", &[], 12_289_928, 1_291_284_736),
        ("efficientformer:l7", &[], 82_229_328, 10_119_325_696),
        ("res2net:50_26w_4s", &[], 25_699_120, 4_255_166_464),
        ("res2net:101_26w_4s", &[], 45_206_688, 8_066_974_464),
        ("res2net:next50", &[], 24_671_464, 4_172_677_120),
    ] {
        assert_eq!(counts(spec, sets), (params, macs), "{spec} {sets:?}");
    }
}

/// Each spec says itself how large it is, and that holds in every variant and dialect.
#[test]
fn expectations_of_the_specs_hold() {
    for entry in netwright::catalog() {
        let spec = netwright::Spec::load(&entry.name).expect("a built-in spec");
        let network = spec.network().expect("a network");
        let stated = |name: &str| {
            let columns = network.variants.iter().flat_map(|table| &table.header);
            columns.map(|heading| &heading.text).any(|heading| heading == name)
                || network.expects.iter().any(|expect| expect.what.text == name)
        };
        // Of the steps of the road the paper states multiply-accumulates alone.
        let params = stated("params") || entry.name.starts_with("road/");
        assert!(params && stated("macs"), "{} expects nothing", entry.name);
        let found = netwright_compiler::expand::check_spec(&spec);
        assert!(found.is_empty(), "{}", netwright_grammar::render(&spec.sources, &found, false));
    }
}
