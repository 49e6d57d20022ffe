//! `--expect`: is the output the expected one, and if not, in which layer does it go wrong?

use super::common;
use super::failure::{Failure, Outcome};
use crate::network::{self, Network};
use crate::npy::{self, Array};
use crate::session::{RunOptions, Session};
use netwright_compiler::driver::Port;
use netwright_compiler::weights::WeightFile;
use netwright_ir::{Graph, NodeId, Op};
use std::collections::HashSet;
use std::io::Write;
use std::path::Path;

/// File beside the expected output that holds outputs of layers.
const LAYERS: &str = "features.safetensors";

/// How two arrays differ.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Difference {
    /// Largest difference of two elements; infinite where one of them is not finite.
    largest: f64,
    /// Its index.
    at: usize,
    /// Standard deviation of the expected values.
    deviation: f64,
}

impl Difference {
    fn of(found: impl Iterator<Item = f32>, expected: &[f32]) -> Difference {
        let count = expected.len().max(1) as f64;
        let mean = expected.iter().map(|&x| f64::from(x)).sum::<f64>() / count;
        let square = expected.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / count;
        let mut difference = Difference { largest: 0.0, at: 0, deviation: square.sqrt() };
        for (at, (a, &b)) in found.zip(expected).enumerate() {
            let apart = f64::from((a - b).abs());
            let apart = if apart.is_finite() { apart } else { f64::INFINITY };
            if apart > difference.largest {
                (difference.largest, difference.at) = (apart, at);
            }
        }
        difference
    }

    /// In standard deviations of the expected values, or as it is where those are all equal.
    fn relative(&self) -> f64 {
        if self.deviation > 0.0 { self.largest / self.deviation } else { self.largest }
    }
}

/// An expected array must have as many elements as the output.
pub fn same_length(path: &Path, expected: &Array, port: &Port) -> Result<(), Failure> {
    if expected.data.len() == port.elements() && expected.shape.first() == port.shape.first() {
        return Ok(());
    }
    Err(Failure::about(
        path.display(),
        format!("its shape is {:?}, the network's output is {:?}", expected.shape, port.shape),
    ))
}

/// What is compared, and how it was computed.
pub struct Comparison<'a> {
    pub network: &'a Network,
    pub options: &'a RunOptions,
    pub input: &'a [f32],
    pub port: &'a Port,
    pub output: &'a [f32],
    pub tolerance: f64,
}

/// Compares the output with the array of `path`. Fails where they differ by more than the
/// tolerance, after having looked for the layer in which it begins.
pub fn run(comparison: &Comparison, path: &Path, out: &mut impl Write) -> Outcome {
    let expected = npy::read(path).map_err(|error| Failure::about(path.display(), error))?;
    same_length(path, &expected, comparison.port)?;
    let difference = Difference::of(comparison.output.iter().copied(), &expected.data);
    let within = difference.relative() <= comparison.tolerance;
    writeln!(
        out,
        "{}: largest difference {:.3e} at element {}, {:.3e} standard deviations: {} {:.1e}",
        comparison.port.name,
        difference.largest,
        difference.at,
        difference.relative(),
        if within { "within" } else { "more than" },
        comparison.tolerance,
    )?;
    if within {
        return Ok(());
    }
    let layers = path.with_file_name(LAYERS);
    if layers.is_file() {
        first_layer(comparison, &layers, out)?;
    } else {
        common::say(&format!(
            "note: with a {LAYERS} beside it, the first layer that differs is named"
        ));
    }
    Err(Failure::Said)
}

/// The layers of the graph that have weights of their own, by the name of their module in the
/// checkpoint: `features.1.conv.0.0` for a convolution by `features.1.conv.0.0.weight`.
fn modules(graph: &Graph) -> Vec<(String, NodeId)> {
    let mut seen = HashSet::new();
    let mut found = Vec::new();
    for id in graph.ids() {
        let node = graph.node(id);
        // Only these have outputs that every library agrees on: its normalisations may include the
        // activation that follows.
        let (Op::Conv(_) | Op::Linear, Some(weight)) = (&node.op, node.inputs.get(1)) else {
            continue;
        };
        let Op::Param(param) = graph.node(*weight).op else { continue };
        let [(name, _)] = &network::tensors(&graph.params[param])[..] else { continue };
        if let Some(module) = name.strip_suffix(".weight")
            && seen.insert(module.to_string())
        {
            found.push((module.to_string(), id));
        }
    }
    found
}

fn first_layer(comparison: &Comparison, layers: &Path, out: &mut impl Write) -> Outcome {
    let file = WeightFile::open(layers).map_err(|error| Failure::Input(error.to_string()))?;
    let mut graph = comparison.network.expanded.graph.clone();
    graph.features = modules(&graph);
    graph.features.retain(|(module, _)| file.find(module).is_some());
    let names: Vec<(String, String)> = graph
        .features
        .iter()
        .map(|(module, id)| (module.clone(), graph.node(*id).name.clone()))
        .collect();
    let options = RunOptions { features: true, ..comparison.options.clone() };
    let mut session = Session::of_graph(&graph, &comparison.network.weights, &options)?;
    let values = session.run_all(comparison.input)?;
    let mut compared = 0;
    let features = session.features();
    let first = values.len() - features.len();
    for ((port, values), (module, place)) in features.iter().zip(&values[first..]).zip(&names) {
        let Some(index) = file.find(module) else { continue };
        let shape = &file.tensors()[index].shape;
        let Some(expected) = file.values(index) else { continue };
        let Some(difference) = compare_layer(&port.shape, values, shape, &expected) else {
            continue;
        };
        compared += 1;
        if difference.relative() > comparison.tolerance {
            writeln!(
                out,
                "first layer that differs: {module} ({place}): {:.3e} standard deviations; {} before it agree",
                difference.relative(),
                compared - 1,
            )?;
            return Ok(());
        }
    }
    writeln!(out, "none of the {compared} layers that {} holds differs", layers.display())?;
    Ok(())
}

/// Compares a layer's output, maps being `[N, C, H, W]`, with an expected one in that order or with
/// channels last; unit axes do not matter. `None` where the shapes do not fit.
fn compare_layer(
    shape: &[usize],
    values: &[f32],
    wanted: &[usize],
    expected: &[f32],
) -> Option<Difference> {
    let squeezed =
        |shape: &[usize]| shape.iter().copied().filter(|&axis| axis != 1).collect::<Vec<usize>>();
    if squeezed(shape) == squeezed(wanted) {
        return Some(Difference::of(values.iter().copied(), expected));
    }
    let &[n, c, h, w] = shape else { return None };
    if squeezed(&[n, h, w, c]) != squeezed(wanted) {
        return None;
    }
    let channels_last = (0..n * h * w * c).map(|at| {
        let (image, pixel, channel) = (at / (h * w * c), at / c % (h * w), at % c);
        values[(image * c + channel) * h * w + pixel]
    });
    Some(Difference::of(channels_last, expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_the_spread() {
        let difference = Difference::of([1.0, 2.5].into_iter(), &[1.0, 3.0]);
        assert_eq!(difference, Difference { largest: 0.5, at: 1, deviation: 1.0 });
        let nan = Difference::of([f32::NAN, 3.0].into_iter(), &[1.0, 3.0]);
        assert_eq!((nan.relative(), nan.at), (f64::INFINITY, 0));
        assert_eq!(Difference::of([2.0].into_iter(), &[2.0]).relative(), 0.0);
    }

    #[test]
    fn both_orders_of_axes() {
        let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        // Two channels of one row of three columns.
        let same = compare_layer(&[1, 2, 1, 3], &values, &[2, 3], &values).unwrap();
        assert_eq!(same.largest, 0.0);
        let last = [1.0, 4.0, 2.0, 5.0, 3.0, 6.0];
        let turned = compare_layer(&[1, 2, 1, 3], &values, &[1, 1, 3, 2], &last).unwrap();
        assert_eq!(turned.largest, 0.0);
        assert!(compare_layer(&[1, 2, 1, 3], &values, &[6], &values).is_none());
    }
}
