//! Whole networks against PyTorch's outputs, compiled and interpreted: every case of `tests/goldens/`.
//! A failing case is named, with the first module of the reference that nothing in the network
//! resembles, or the first feature in which compiled code differs from the interpreter.

mod oracle;

use netwright::network::expand_spec;
use netwright::{Backend, Options, Spec};
use oracle::{Case, cases, run, run_all};

fn family(name: &str, backend: Backend) {
    let mut wrong = Vec::new();
    let mut tried = 0;
    for case in cases().iter().filter(|case| case.family() == name) {
        tried += 1;
        if let Err(message) = judge(case, backend) {
            wrong.push(message);
        }
    }
    assert!(tried > 0, "no case of {name}");
    assert!(wrong.is_empty(), "{} of {tried} cases:\n{}", wrong.len(), wrong.join("\n"));
}

fn judge(case: &Case, backend: Backend) -> Result<(), String> {
    let network = case.network();
    let input = case.input(network.expanded.input[3]);
    let output = case.output(&network);
    let logits = run_all(&network, &input, backend, 0).swap_remove(output);
    if backend == Backend::Interpreter {
        return case
            .judge(&logits)
            .map_err(|message| format!("{message}\n    {}", case.first_difference(&network)));
    }
    let alone = run_all(&network, &input, backend, 1).swap_remove(output);
    if alone != logits {
        return Err(format!("{}: the bits depend on the number of threads", case.id));
    }
    case.judge(&logits)
        .map_err(|message| format!("{message}\n    {}", case.first_miscompiled(&network)))
}

macro_rules! families {
    ($($family:ident)*) => {
        const FAMILIES: &[&str] = &[$(stringify!($family)),*];

        mod compiled {
            $(#[test]
            fn $family() {
                super::family(stringify!($family), super::Backend::Auto);
            })*
        }

        mod portable {
            $(#[test]
            fn $family() {
                super::family(stringify!($family), super::Backend::Portable);
            })*
        }

        mod interpreted {
            $(#[test]
            fn $family() {
                super::family(stringify!($family), super::Backend::Interpreter);
            })*
        }
    };
}

families! {
    mobilenet_v1 mobilenet_v2 mobilenet_v2_features mobilenet_v3 efficientnet efficientnet_lite resnet
    efficientnet_v2 convnext vit swin swin_v2 mobilevit resnext resnet_d se_resnet
    vgg inception_v3 xception convnext_v2 mlp_mixer cait efficientformer res2net
}

#[test]
fn every_case_belongs_to_a_family_that_is_tested() {
    for case in cases() {
        assert!(FAMILIES.contains(&case.family()), "{} of {}", case.id, case.spec);
    }
}

/// Each family of the survey in each library that has it: at its own resolution and at an odd or
/// non-square one, one image and three.
#[test]
fn no_dialect_is_left_out() {
    let cases = cases();
    let mut holes = Vec::new();
    for family in FAMILIES.iter().take_while(|family| **family != "vgg") {
        let of_family = || cases.iter().filter(|case| case.family() == *family);
        let any = of_family().next().unwrap_or_else(|| panic!("no case of {family}"));
        for dialect in Spec::load(&any.spec).expect("a built-in spec").dialects() {
            let have = |what: &dyn Fn(&Case) -> bool| {
                of_family().any(|case| case.dialect == dialect && what(case))
            };
            let own = |case: &Case| {
                let spec = Spec::load(&case.spec).expect("a built-in spec");
                let options = Options::default();
                let expanded = expand_spec(&spec, &options, None).expect("it is sound");
                expanded.input[1..3] == case.size
            };
            // Maps at the backbone's own size are too large to store; torchvision's ViT takes squares
            // that the patch divides, and is tested at other ones.
            let squares = *family == "vit" && dialect == "torchvision";
            let odd = |case: &Case| case.size[0] != case.size[1] || case.size[0] % 2 == 1;
            for (what, there) in [
                ("own size", *family == "mobilenet_v2_features" || have(&own)),
                ("odd size", have(&odd) || (squares && have(&|case| !own(case)))),
                ("one image", have(&|case| case.batch == 1)),
                ("three images", have(&|case| case.batch == 3)),
            ] {
                if !there {
                    holes.push(format!("{family} in {dialect}: {what}"));
                }
            }
        }
    }
    assert!(holes.is_empty(), "{}", holes.join("\n"));
}

/// The comparison must be able to fail: other weights, another input, one logit that is off.
#[test]
fn a_wrong_answer_is_noticed() {
    let cases = cases();
    let case =
        cases.iter().find(|case| case.id == "mobilenetv2_035_160").expect("the case is there");
    let network = case.network();
    let input = case.input(3);
    let mut logits = run(&network, &input, Backend::Auto, 0);
    assert_eq!(case.judge(&logits), Ok(()));
    logits[17] += 2.0 * case.tolerance as f32;
    assert!(case.judge(&logits).is_err());
    logits[17] = f32::NAN;
    assert!(case.judge(&logits).is_err());
    let dark: Vec<f32> = input.iter().map(|value| value * 0.9).collect();
    assert!(case.judge(&run(&network, &dark, Backend::Auto, 0)).is_err());
}
