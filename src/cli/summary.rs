//! `netwright summary`: what the network consists of, as written.

use super::args::SummaryArgs;
use super::common;
use super::failure::Outcome;
use super::numbers;
use super::table::{Align, Table, shape, thousands};
use netwright_compiler::expand::{Expanded, Layer};
use netwright_ir::{Counts, Graph, Param, count};
use serde_json::{Map, Value, json};
use std::io::Write;

pub fn run(args: &SummaryArgs) -> Outcome {
    let (spec, expanded) = common::expand(&args.spec, 1)?;
    let counts = count(&expanded.graph);
    let mut out = std::io::stdout().lock();
    if args.json {
        let object = describe(&expanded, &counts);
        writeln!(out, "{}", serde_json::to_string_pretty(&object).map_err(std::io::Error::other)?)?;
        return Ok(());
    }
    let title = common::title(&expanded, &spec);
    writeln!(out, "{title}, input {}", shape(&caller_shape(&expanded.input)))?;
    let parameters: Vec<String> =
        expanded.parameters.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    if !parameters.is_empty() {
        writeln!(out, "with {}", parameters.join(", "))?;
    }
    writeln!(out)?;
    layers(&expanded, &counts).write(&mut out)?;
    writeln!(out)?;
    for (name, id) in &expanded.graph.outputs {
        let output = caller_shape(&expanded.graph.node(*id).shape);
        writeln!(out, "output {name}: {}", shape(&output))?;
    }
    writeln!(
        out,
        "{} parameters ({}), {} multiply-accumulates ({})",
        numbers::short(counts.params),
        thousands(counts.params),
        numbers::short(counts.macs),
        thousands(counts.macs),
    )?;
    if !expanded.carried.is_empty() {
        let carried = expanded.carried.iter().map(|(name, value)| format!("{name} = {value}"));
        let carried = carried.collect::<Vec<_>>().join(", ");
        writeln!(out, "carried from the paper's table: {carried}")?;
    }
    Ok(())
}

/// A row for each row of the spec's tables (and line of a network without tables).
fn layers(expanded: &Expanded, counts: &Counts) -> Table {
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("operator", Align::Left),
        ("output", Align::Right),
        ("parameters", Align::Right),
        ("MACs", Align::Right),
    ]);
    for layer in expanded.layers.iter().filter(|layer| layer.depth == 0) {
        let of_layer = LayerCounts::new(layer, &expanded.graph, counts);
        let output = layer.output.as_deref().map(|axes| shape(&axes[1.min(axes.len())..]));
        table.row(vec![
            layer.path.clone(),
            cut(&layer.operator, 48),
            output.unwrap_or_default(),
            thousands(of_layer.params),
            thousands(of_layer.macs),
        ]);
    }
    table.rule();
    table.row(vec![
        "total".into(),
        String::new(),
        String::new(),
        thousands(counts.params),
        thousands(counts.macs),
    ]);
    table
}

struct LayerCounts {
    params: u64,
    macs: u64,
}

impl LayerCounts {
    fn new(layer: &Layer, graph: &Graph, counts: &Counts) -> LayerCounts {
        let params = graph.params.get(layer.params.clone()).unwrap_or_default();
        let macs = counts.node_macs.get(layer.nodes.clone()).unwrap_or_default();
        LayerCounts {
            params: params.iter().filter(|param| param.trained).map(elements).sum(),
            macs: macs.iter().sum(),
        }
    }
}

fn elements(param: &Param) -> u64 {
    param.shape.iter().map(|&axis| axis as u64).product()
}

fn cut(text: &str, width: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match text.chars().count() > width {
        true => text.chars().take(width - 1).chain(['…']).collect(),
        false => text,
    }
}

/// Shapes as the caller sees them: maps channels first.
fn caller_shape(axes: &[usize]) -> Vec<usize> {
    match *axes {
        [n, h, w, c] => vec![n, c, h, w],
        _ => axes.to_vec(),
    }
}

fn describe(expanded: &Expanded, counts: &Counts) -> Value {
    let graph = &expanded.graph;
    let outputs: Map<String, Value> = graph
        .outputs
        .iter()
        .map(|(name, id)| (name.clone(), json!(caller_shape(&graph.node(*id).shape))))
        .collect();
    let layers: Vec<Value> = expanded
        .layers
        .iter()
        .map(|layer| {
            let of_layer = LayerCounts::new(layer, graph, counts);
            json!({
                "name": layer.path,
                "depth": layer.depth,
                "operator": layer.operator,
                "output": layer.output.as_deref().map(caller_shape),
                "params": of_layer.params,
                "macs": of_layer.macs,
            })
        })
        .collect();
    let parameters: Map<String, Value> = expanded
        .parameters
        .iter()
        .map(|(name, value)| (name.clone(), json!(value.to_string())))
        .collect();
    let carried: Map<String, Value> =
        expanded.carried.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    json!({
        "name": graph.name,
        "variant": expanded.variant,
        "dialect": expanded.dialect,
        "parameters": parameters,
        "carried": carried,
        "params": counts.params,
        "macs": counts.macs,
        "activations": counts.activations,
        "input": caller_shape(&expanded.input),
        "outputs": outputs,
        "layers": layers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_see_channels_first() {
        assert_eq!(caller_shape(&[1, 224, 160, 3]), [1, 3, 224, 160]);
        assert_eq!(caller_shape(&[2, 196, 64]), [2, 196, 64]);
    }

    #[test]
    fn long_operators_are_cut() {
        assert_eq!(cut("conv  3x3", 20), "conv 3x3");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
