//! What the header says about a network.

use super::BuildOptions;
use super::files::MARK;
use crate::network::Network;
use crate::tune::fingerprint;
use netwright_codegen::object::external::hash;
use netwright_compiler::driver::{Half, NetworkObject, Port, header};
use netwright_compiler::expand::{Expanded, Filter, Resize};
use netwright_compiler::spec::Spec;

/// The element type of the input in C.
pub fn input_type(object: &NetworkObject) -> &'static str {
    if object.input_bytes { "uint8_t" } else { "float" }
}

/// The text of the header.
pub fn header(
    spec: &Spec,
    network: &Network,
    options: &BuildOptions,
    target: &str,
    name: &str,
    object: &NetworkObject,
) -> String {
    let expanded = &network.expanded;
    let mut notes = vec![format!("{name}.h, {MARK}."), String::new()];
    notes.extend(provenance(spec, expanded, options, target, object));
    notes.push(String::new());
    notes.extend(input(expanded, object));
    notes.push(String::new());
    notes.extend(outputs(expanded, &object.outputs));
    let interface = header::Interface {
        prefix: name,
        input_type: input_type(object),
        input: match object.input_bytes {
            true => (object.input.elements(), format!("u8, NHWC {}", sizes(&expanded.input))),
            false => {
                (object.input.elements() * 4, format!("f32, NCHW {}", sizes(&object.input.shape)))
            }
        },
        outputs: object
            .outputs
            .iter()
            .map(|port| (port.name.clone(), port.elements() * 4, described(port)))
            .collect(),
        constants: constants(expanded),
        notes,
    };
    header::text(&interface, &object.file)
}

/// What a program that prepares photos needs as numbers.
fn constants(expanded: &Expanded) -> Vec<(String, String, String)> {
    let [n, rows, columns, channels] = expanded.input;
    let own = &expanded.preprocess;
    let count = |name: &str, value: usize| (name.to_string(), format!("{value}u"), String::new());
    let list = |name: &str, values: &[f64]| {
        let values: Vec<String> = values.iter().map(|v| format!("{:?}f", *v as f32)).collect();
        (name.to_string(), format!("{{ {} }}", values.join(", ")), String::new())
    };
    let mut all = vec![
        count("BATCH", n),
        count("CHANNELS", channels),
        count("ROWS", rows),
        count("COLUMNS", columns),
        list("MEAN", &own.mean),
        list("STD", &own.std),
    ];
    match own.resize {
        Resize::ShortSide(side) => all.push(count("RESIZE", side)),
        Resize::Exact([r, c]) => all.extend([count("RESIZE_ROWS", r), count("RESIZE_COLUMNS", c)]),
    }
    all
}

fn sizes(shape: &[usize]) -> String {
    shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x")
}

fn described(port: &Port) -> String {
    let layout = match port.shape.len() {
        4 => "NCHW ",
        3 => "NTC ",
        _ => "",
    };
    format!("f32, {layout}{}", sizes(&port.shape))
}

/// How the object was built.
fn provenance(
    spec: &Spec,
    expanded: &Expanded,
    options: &BuildOptions,
    target: &str,
    object: &NetworkObject,
) -> Vec<String> {
    let mut network = spec.name.clone();
    if let Some(variant) = &expanded.variant {
        network += &format!(":{variant}");
    }
    let values: Vec<String> =
        expanded.parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let mut lines = vec![format!("Network: {network} ({})", values.join(", "))];
    let from = match options.origin.as_str() {
        "" => String::new(),
        origin => format!("{origin}, "),
    };
    let dialect = expanded.dialect.as_deref().map_or(String::new(), |d| format!("dialect {d}, "));
    let hash = hash(object.weights.bytes());
    let stored = match options.half {
        None => "f32",
        Some(Half::F16) => "f16",
        Some(Half::Bf16) => "bf16",
    };
    lines.push(format!("Weights: {from}{dialect}stored as {stored}, hash {hash:016x} once packed"));
    let levels: Vec<&str> = object.file.code.iter().map(|(level, _)| level.name()).collect();
    let chosen = if levels.len() > 1 { " (chosen when it runs)" } else { "" };
    lines.push(format!("Target:  {target}: {}{chosen}", levels.join(", ")));
    if !object.tuned.is_empty() {
        let count = object.tuned.len();
        let print = fingerprint(&object.tuned);
        lines.push(format!(
            "Tuned:   {count} choices measured by netwright tune, hash {print:016x}"
        ));
    }
    lines
}

/// What the network expects.
fn input(expanded: &Expanded, object: &NetworkObject) -> Vec<String> {
    let channels = expanded.input[3];
    let kinds = match channels {
        1 => "grey".to_string(),
        3 if expanded.preprocess.bgr => "blue, green, red".to_string(),
        3 => "red, green, blue".to_string(),
        n => format!("{n} of them"),
    };
    let head = match object.input_bytes {
        true => {
            format!(
                "Input:   u8, {} as [image][row][column][channel], dense.",
                sizes(&expanded.input)
            )
        }
        false => format!(
            "Input:   f32, {} as [image][channel][row][column], dense.",
            sizes(&object.input.shape)
        ),
    };
    let mut lines = vec![
        head,
        format!("         Channels: {kinds}. Rows from top to bottom, columns from left to right."),
    ];
    let own = &expanded.preprocess;
    let list = |values: &[f64]| values.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    lines.push(match object.input_bytes {
        true => "         Levels from 0 to 255; the network takes (level / 255 - mean) / std, with"
            .into(),
        false => "         Of a level from 0 to 255, the value is (level / 255 - mean) / std, with"
            .into(),
    });
    lines.push(format!("         mean {} and std {}.", list(&own.mean), list(&own.std)));
    let filter = match own.interpolation {
        Filter::Nearest => "nearest",
        Filter::Bilinear => "bilinear, with antialiasing",
        Filter::Bicubic => "bicubic, with antialiasing",
    };
    let [rows, columns] = own.crop;
    lines.push(match own.resize {
        Resize::ShortSide(side) => format!(
            "         Photos: the shorter side to {side} ({filter}), then the middle {rows} rows and {columns} columns."
        ),
        Resize::Exact([r, c]) => format!(
            "         Photos: to cover {r} rows and {c} columns ({filter}), then the middle {rows} rows and {columns} columns."
        ),
    });
    lines
}

/// What comes out.
fn outputs(expanded: &Expanded, ports: &[Port]) -> Vec<String> {
    let mut lines = Vec::new();
    for (i, port) in ports.iter().enumerate() {
        let head = if i == 0 { "Output:  " } else { "         " };
        let what = match port.shape[..] {
            [_, _, _, _] => "as [image][channel][row][column]",
            [_, _, _] => "as [image][token][channel]",
            _ => "as [image][value]",
        };
        lines.push(format!("{head}{}: f32, {} {what}, dense.", port.name, sizes(&port.shape)));
        let classes = crate::session::classes(expanded);
        if let (0, [_, n], Some(_)) = (i, &port.shape[..], classes) {
            let labels = match expanded.preprocess.labels.as_deref() {
                Some("imagenet") if *n == 1000 => {
                    ", in the order of ImageNet's 1000 classes (0 tench, 999 toilet tissue)".into()
                }
                Some(labels) if labels != "imagenet" => format!(", in the order of `{labels}`"),
                _ => String::new(),
            };
            lines.push(format!("         One score a class before softmax{labels}."));
        }
    }
    lines
}
