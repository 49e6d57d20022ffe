//! A graph and its weights as an object file.

use super::{DriverError, Packed, ParamSource, Port, pack};
use crate::passes;
use crate::plan::{self, Choices, Plan, Used};
use netwright_codegen::adapt::{bytes, half};
use netwright_codegen::buffer::AlignedBuffer;
use netwright_codegen::jit::{self, CompileOptions};
use netwright_codegen::object::{self, ObjectFile, ObjectOptions};
use netwright_codegen::pool::{Pool, thread_count};
use netwright_codegen::program::{BytesKernel, Half};
use netwright_ir::Graph;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What to make.
#[derive(Clone, Debug)]
pub struct ObjectRequest {
    /// Begins all symbols; a C identifier.
    pub name: String,
    /// Target, instruction sets, threads.
    pub object: ObjectOptions,
    /// Use Winograd's algorithm where it is estimated to be faster; its weights are larger.
    pub winograd: bool,
    /// Compute convolutions that follow each other depth first where it is estimated to be faster, and attention
    /// head by head.
    pub depth_first: bool,
    /// Measured choices, which go before estimates.
    pub tuned: Arc<Choices>,
    /// Store packed weights in this format; `None`: as `f32`.
    pub half: Option<Half>,
    /// Take images as bytes, `[N, H, W, C]`, and make each level what this list says for its channel.
    pub levels: Option<Vec<[f32; 256]>>,
    /// An input `[N, C, H, W]` on which to measure what halves cost.
    pub sample: Vec<f32>,
}

/// An object file with what its header is written from.
pub struct NetworkObject {
    /// The file in memory.
    pub file: ObjectFile,
    /// The network's input as the caller sees it, bytes or not: its shape is `[N, C, H, W]`.
    pub input: Port,
    /// Whether the input is bytes, `[N, H, W, C]`.
    pub input_bytes: bool,
    /// Its outputs, in order.
    pub outputs: Vec<Port>,
    /// The packed weights: what goes into the object, or beside it.
    pub weights: Packed,
    /// The measured choices that it uses.
    pub tuned: Vec<Used>,
    /// What halves change, measured with the request's sample.
    pub cost: Option<HalfCost>,
    /// From the graph to the object in memory, packing apart.
    pub compile: Duration,
}

/// What is lost by storing weights as halves: the first output with them beside that with `f32`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HalfCost {
    /// Largest difference of a value, in standard deviations of the values.
    pub error: f64,
    /// Whether the largest value is at the same place.
    pub same_top: bool,
}

/// Compiles a graph for an object file.
///
/// # Errors
/// When the graph is not valid or is too large, a tensor does not have its parameter's shape, a weight is too
/// large for its format, or the target is none that code can be made for.
pub fn object(
    graph: &Graph,
    params: &dyn ParamSource,
    request: &ObjectRequest,
) -> Result<NetworkObject, DriverError> {
    let start = Instant::now();
    let mut fused = passes::optimize(
        graph,
        &passes::Options { features: false, fuse: true, verify: cfg!(debug_assertions) },
    )?;
    let mut plan = plan::plan_batch(
        &mut fused.graph,
        &plan::Options {
            winograd: request.winograd,
            depth_first: request.depth_first,
            tuned: Arc::clone(&request.tuned),
        },
    )?;
    plan.program.name = request.name.clone();
    let [input] = &plan.inputs[..] else {
        let given = plan.inputs.len();
        return Err(DriverError::Buffer { what: "inputs".into(), given, expected: 1 });
    };
    let input = input.clone();
    let planned = start.elapsed();
    let mut weights = pack::pack(&fused.graph, &plan, params, 0)?;
    let cost = match request.half {
        Some(format) => Some(half_cost(&plan, &weights, format, &request.sample)?),
        None => None,
    };
    let start = Instant::now();
    let mut program = plan.program;
    let mut options = request.object.clone();
    if let Some(levels) = &request.levels {
        let (batch, pixels) = (input.shape[0], input.shape[2..].iter().product());
        let images = BytesKernel { batch, pixels, channels: input.shape[1] };
        let table = bytes::take_bytes(&mut program, images);
        let mut longer = AlignedBuffer::zeroed(program.weights_bytes)?;
        longer.as_bytes_mut()[..weights.bytes().len()].copy_from_slice(weights.bytes());
        bytes::fill(longer.as_bytes_mut(), table, levels);
        weights = Packed::new(longer, weights.elapsed());
        options.input_align = 1;
    }
    if let Some(format) = request.half {
        let narrowed = half::narrow(&program, format)?;
        let packed = narrowed.pack(weights.bytes())?;
        weights = Packed::new(packed, weights.elapsed());
        program = narrowed.program;
    }
    let file = object::build(&program, weights.bytes(), &options)?;
    Ok(NetworkObject {
        file,
        input,
        input_bytes: request.levels.is_some(),
        outputs: plan.outputs,
        tuned: plan.tuned,
        weights,
        cost,
        compile: planned + start.elapsed(),
    })
}

/// Runs the program on this machine with weights as they are, and rounded.
fn half_cost(
    plan: &Plan,
    weights: &Packed,
    format: Half,
    sample: &[f32],
) -> Result<HalfCost, DriverError> {
    let narrowed = half::narrow(&plan.program, format)?;
    let mut rounded = AlignedBuffer::zeroed(weights.bytes().len())?;
    rounded.as_bytes_mut().copy_from_slice(weights.bytes());
    narrowed.round(rounded.as_bytes_mut())?;
    let code = jit::compile(&plan.program, &CompileOptions::default())?;
    let pool = Pool::new(thread_count(0));
    let mut workspace = code.workspace(pool.threads())?;
    let mut run = |weights: &[u8]| -> Result<Vec<f32>, DriverError> {
        let mut outputs: Vec<Vec<f32>> =
            plan.outputs.iter().map(|port| vec![0.0; port.elements()]).collect();
        let mut slices: Vec<&mut [f32]> = outputs.iter_mut().map(Vec::as_mut_slice).collect();
        code.run(&[sample], &mut slices, weights, &mut workspace, &pool)?;
        Ok(outputs.swap_remove(0))
    };
    let (exact, halves) = (run(weights.bytes())?, run(rounded.as_bytes())?);
    let count = exact.len() as f64;
    let mean = exact.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = exact.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    let difference = exact.iter().zip(&halves).map(|(a, b)| f64::from((a - b).abs()));
    let error = difference.fold(0.0, f64::max) / variance.sqrt().max(f64::MIN_POSITIVE);
    Ok(HalfCost { error, same_top: top(&exact) == top(&halves) })
}

fn top(values: &[f32]) -> Option<usize> {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b]))
}
