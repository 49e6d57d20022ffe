//! A graph and its weights as an object file.

use super::{DriverError, Packed, ParamSource, Port, pack};
use crate::passes;
use crate::plan;
use netwright_codegen::object::{self, ObjectFile, ObjectOptions};
use netwright_ir::Graph;
use std::time::{Duration, Instant};

/// What to make.
#[derive(Clone, Debug)]
pub struct ObjectRequest {
    /// Begins all symbols; a C identifier.
    pub name: String,
    /// Target, instruction sets, threads.
    pub object: ObjectOptions,
}

/// An object file with what its header is written from.
pub struct NetworkObject {
    /// The file in memory.
    pub file: ObjectFile,
    /// The network's input as the caller sees it.
    pub input: Port,
    /// Its outputs, in order.
    pub outputs: Vec<Port>,
    /// The packed weights: what goes into the object, or beside it.
    pub weights: Packed,
    /// From the graph to the object in memory, packing apart.
    pub compile: Duration,
}

/// Compiles a graph for an object file.
///
/// # Errors
/// When the graph is not valid or is too large, a tensor does not have its parameter's shape, or the target
/// is none that code can be made for.
pub fn object(
    graph: &Graph,
    params: &ParamSource<'_>,
    request: &ObjectRequest,
) -> Result<NetworkObject, DriverError> {
    let start = Instant::now();
    let fused = passes::optimize(
        graph,
        &passes::Options { features: false, fuse: true, verify: cfg!(debug_assertions) },
    )?;
    let mut plan = plan::plan(&fused.graph)?;
    plan.program.name = request.name.clone();
    let planned = start.elapsed();
    let weights = pack::pack(&fused.graph, &plan, params)?;
    let start = Instant::now();
    let file = object::build(&plan.program, weights.bytes(), &request.object)?;
    let compile = planned + start.elapsed();
    let Some(input) = plan.inputs.into_iter().next() else {
        return Err(DriverError::Buffer { what: "inputs".into(), given: 0, expected: 1 });
    };
    Ok(NetworkObject { file, input, outputs: plan.outputs, weights, compile })
}
