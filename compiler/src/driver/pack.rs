//! Packing: weight expressions evaluated by the interpreter, then put where the code reads them.

use super::{DriverError, ParamSource};
use crate::plan::{Content, Item, Plan};
use netwright_codegen::buffer::AlignedBuffer;
use netwright_codegen::error::CodegenError;
use netwright_ir::interpret::each_weight_expression;
use netwright_ir::{Graph, NodeId, Tensor};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The weights of a network as its code reads them.
#[derive(Debug)]
pub struct Packed {
    buffer: AlignedBuffer,
    elapsed: Duration,
}

impl Packed {
    /// Weights that were packed elsewhere in that time.
    pub(super) fn new(buffer: AlignedBuffer, elapsed: Duration) -> Packed {
        Packed { buffer, elapsed }
    }

    /// The bytes, which begin at a multiple of 64.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.as_bytes()
    }

    /// How long packing took.
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }
}

/// An item and its place in the buffer.
struct Job<'a> {
    item: &'a Item,
    out: &'a mut [u8],
}

pub(super) fn pack(
    graph: &Graph,
    plan: &Plan,
    params: &ParamSource<'_>,
) -> Result<Packed, DriverError> {
    let start = Instant::now();
    let mut buffer = AlignedBuffer::zeroed(plan.program.weights_bytes)?;
    let mut jobs = Vec::with_capacity(plan.items.len());
    let mut rest = buffer.as_bytes_mut();
    let mut at = 0;
    for item in &plan.items {
        // Items lie in the order of their offsets, apart.
        let (_, tail) = rest.split_at_mut(item.offset - at);
        let (out, tail) = tail.split_at_mut(item.bytes);
        (rest, at) = (tail, item.offset + item.bytes);
        jobs.push(Job { item, out });
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut shares = shares(jobs, threads);
    let own = shares.pop();
    std::thread::scope(|scope| -> Result<(), DriverError> {
        let others: Vec<_> = shares
            .into_iter()
            .map(|share| scope.spawn(move || pack_share(graph, params, share)))
            .collect();
        let mut result = own.map_or(Ok(()), |share| pack_share(graph, params, share));
        for other in others {
            match other.join() {
                Ok(outcome) => result = result.and(outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result
    })?;
    Ok(Packed { buffer, elapsed: start.elapsed() })
}

/// Neighbouring items of about as many bytes for each thread: what neighbours share is then
/// evaluated once.
fn shares(jobs: Vec<Job<'_>>, threads: usize) -> Vec<Vec<Job<'_>>> {
    let total: usize = jobs.iter().map(|job| job.item.bytes).sum();
    let each = total.div_ceil(threads.max(1)).max(1);
    let mut shares: Vec<Vec<Job<'_>>> = Vec::new();
    let mut bytes = 0;
    for job in jobs {
        if shares.is_empty() || bytes >= each * shares.len() {
            shares.push(Vec::new());
        }
        bytes += job.item.bytes;
        if let Some(share) = shares.last_mut() {
            share.push(job);
        }
    }
    shares
}

fn pack_share(
    graph: &Graph,
    params: &ParamSource<'_>,
    jobs: Vec<Job<'_>>,
) -> Result<(), DriverError> {
    // Which jobs wait for which node, and how many nodes each job still waits for.
    let mut waiting: HashMap<NodeId, Vec<usize>> = HashMap::new();
    let mut missing = vec![0usize; jobs.len()];
    let mut wanted = Vec::new();
    for (i, job) in jobs.iter().enumerate() {
        for node in nodes(&job.item.content) {
            let jobs = waiting.entry(node).or_default();
            if jobs.is_empty() {
                wanted.push(node);
            }
            if jobs.last() != Some(&i) {
                jobs.push(i);
                missing[i] += 1;
            }
        }
    }
    let mut slots: Vec<Option<Job<'_>>> = jobs.into_iter().map(Some).collect();
    for (slot, _) in slots.iter_mut().zip(&missing).filter(|(_, missing)| **missing == 0) {
        if let Some(job) = slot.take() {
            fill(job, &HashMap::new())?;
        }
    }
    if wanted.is_empty() {
        return Ok(());
    }
    let mut values: HashMap<NodeId, Arc<Tensor>> = HashMap::new();
    let mut outcome = Ok(());
    each_weight_expression(graph, &|index| params(index), &wanted, &mut |node, value| {
        let Some(jobs) = waiting.get(&node) else { return };
        values.insert(node, Arc::clone(value));
        for &i in jobs {
            missing[i] -= 1;
            if missing[i] == 0
                && outcome.is_ok()
                && let Some(job) = slots[i].take()
            {
                outcome = fill(job, &values);
            }
        }
        values.retain(|node, _| waiting[node].iter().any(|&i| missing[i] > 0));
    })?;
    Ok(outcome?)
}

/// The nodes whose values an item needs.
fn nodes(content: &Content) -> Vec<NodeId> {
    match content {
        Content::Conv { weight, bias, .. } => {
            let mut nodes = vec![*weight];
            nodes.extend(bias);
            nodes
        }
        Content::Tensor(node) => vec![*node],
        Content::Words(_) => Vec::new(),
    }
}

fn fill(job: Job<'_>, values: &HashMap<NodeId, Arc<Tensor>>) -> Result<(), CodegenError> {
    let Job { item, out } = job;
    match &item.content {
        Content::Conv { kernel, weight, bias } => {
            let mut tensors = vec![&values[weight].data[..]];
            tensors.extend(bias.iter().map(|bias| &values[bias].data[..]));
            netwright_codegen::pack::pack(kernel, &tensors, out)?;
        }
        Content::Tensor(node) => {
            for (bytes, value) in out.chunks_exact_mut(4).zip(&values[node].data) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
        }
        Content::Words(words) => {
            for (bytes, word) in out.chunks_exact_mut(4).zip(words) {
                bytes.copy_from_slice(&word.to_le_bytes());
            }
        }
    }
    Ok(())
}
