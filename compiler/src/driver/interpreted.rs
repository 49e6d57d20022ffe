//! A graph in the reference interpreter, behind the interface of compiled networks.

use super::{DriverError, Network, ParamSource, Port};
use netwright_ir::{Graph, Interpreter, NodeId, Op, Tensor};
use std::sync::Arc;

/// A network that the interpreter runs: slow, and the judge of the compiled one.
pub struct InterpretedNetwork<'a> {
    graph: Graph,
    params: &'a dyn ParamSource,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    results: Vec<NodeId>,
    threads: usize,
}

impl<'a> InterpretedNetwork<'a> {
    /// A network from a graph (as written, or fused) and its weights; `threads` 0 is one a core.
    ///
    /// # Errors
    /// When the graph is not valid.
    pub fn new(
        graph: &Graph,
        params: &'a dyn ParamSource,
        features: bool,
        threads: usize,
    ) -> Result<Self, DriverError> {
        let mut graph = graph.clone();
        if !features {
            graph.features.clear();
        }
        netwright_ir::verify(&graph).map_err(netwright_ir::RunError::Invalid)?;
        let port = |name: &str, id: NodeId| Port {
            name: name.into(),
            shape: channels_first(graph.shape(id)),
        };
        let is_input = |id: &NodeId| matches!(graph.node(*id).op, Op::Input);
        let inputs =
            graph.ids().filter(is_input).map(|id| port(&graph.node(id).name, id)).collect();
        let named: Vec<&(String, NodeId)> = graph.outputs.iter().chain(&graph.features).collect();
        let outputs = named.iter().map(|(name, id)| port(name, *id)).collect();
        let results = named.iter().map(|(_, id)| *id).collect();
        Ok(InterpretedNetwork { graph, params, inputs, outputs, results, threads })
    }
}

impl Network for InterpretedNetwork<'_> {
    fn inputs(&self) -> &[Port] {
        &self.inputs
    }

    fn outputs(&self) -> &[Port] {
        &self.outputs
    }

    fn run(&mut self, inputs: &[&[f32]], outputs: &mut [&mut [f32]]) -> Result<(), DriverError> {
        check("inputs", inputs.len(), self.inputs.len())?;
        check("outputs", outputs.len(), self.outputs.len())?;
        let mut tensors = Vec::with_capacity(inputs.len());
        for (data, port) in inputs.iter().zip(&self.inputs) {
            check(&format!("input `{}`", port.name), data.len(), port.elements())?;
            tensors.push(Arc::new(channels_last(data, &port.shape)));
        }
        for (data, port) in outputs.iter().zip(&self.outputs) {
            check(&format!("output `{}`", port.name), data.len(), port.elements())?;
        }
        let params = self.params;
        let shape = |index: usize| &self.graph.params[index].shape;
        let source = |index| params.values(index).into_tensor(shape(index));
        let mut interpreter = Interpreter::new(&self.graph, &source)?;
        if self.threads > 0 {
            interpreter = interpreter.threads(self.threads);
        }
        let results = &self.results;
        interpreter.run_each(&tensors, results, &mut |id, value| {
            for (output, _) in outputs.iter_mut().zip(results).filter(|(_, result)| **result == id)
            {
                to_channels_first(value, output);
            }
        })?;
        Ok(())
    }
}

fn check(what: &str, given: usize, expected: usize) -> Result<(), DriverError> {
    if given == expected {
        return Ok(());
    }
    Err(DriverError::Buffer { what: what.into(), given, expected })
}

/// The shape as the caller sees it: maps are `[N, C, H, W]`.
fn channels_first(shape: &[usize]) -> Vec<usize> {
    match *shape {
        [n, h, w, c] => vec![n, c, h, w],
        _ => shape.to_vec(),
    }
}

fn channels_last(data: &[f32], shape: &[usize]) -> Tensor {
    let [n, c, h, w] = *shape else { return Tensor::new(shape, data.to_vec()) };
    let mut tensor = Tensor::zeros([n, h, w, c]);
    for (pixels, planes) in tensor.data.chunks_mut(h * w * c).zip(data.chunks(h * w * c)) {
        for (channel, plane) in planes.chunks(h * w).enumerate() {
            for (pixel, value) in plane.iter().enumerate() {
                pixels[pixel * c + channel] = *value;
            }
        }
    }
    tensor
}

fn to_channels_first(tensor: &Tensor, out: &mut [f32]) {
    let [_, h, w, c] = tensor.shape[..] else { return out.copy_from_slice(&tensor.data) };
    for (pixels, planes) in tensor.data.chunks(h * w * c).zip(out.chunks_mut(h * w * c)) {
        for (channel, plane) in planes.chunks_mut(h * w).enumerate() {
            for (pixel, value) in plane.iter_mut().enumerate() {
                *value = pixels[pixel * c + channel];
            }
        }
    }
}
