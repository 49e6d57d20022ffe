//! Packing: from the values of parameters to the buffer that the code reads.
//!
//! Nothing is copied on the way: the expressions of a panel's weights are evaluated while the panel is
//! filled, for its output channels alone.

use super::{DriverError, ParamSource};
use crate::plan::{Content, Item, Plan};
use netwright_codegen::buffer::AlignedBuffer;
use netwright_codegen::pack::{self, Part};
use netwright_codegen::pool::thread_count;
use netwright_ir::{Graph, NodeId, Stream, WeightExpressions};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Bytes of packed weights that a thread takes on at a time.
const PIECE: usize = 1 << 17;

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

/// Packs the weights of a plan on so many threads (0: one a core). How many does not change a bit.
pub(super) fn pack(
    graph: &Graph,
    plan: &Plan,
    params: &dyn ParamSource,
    threads: usize,
) -> Result<Packed, DriverError> {
    let start = Instant::now();
    let threads = thread_count(threads);
    let nodes = plan.items.iter().map(|item| nodes(&item.content)).collect();
    let expressions = WeightExpressions::new(graph, params, nodes)?;
    let mut buffer = AlignedBuffer::zeroed(plan.program.weights_bytes)?;
    let piece = if threads == 1 { usize::MAX } else { PIECE };
    let (items, tasks) = cut(&plan.items, buffer.as_bytes_mut(), piece)?;
    let packing = Packing { expressions, items, tasks, next: AtomicUsize::new(0) };
    std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(packing.tasks.len()))
            // Threads that cannot be started leave their work to the others.
            .filter_map(|_| std::thread::Builder::new().spawn_scoped(scope, || packing.work()).ok())
            .collect();
        let mut result = packing.work();
        for other in others {
            match other.join() {
                Ok(outcome) => result = result.and(outcome),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result
    })?;
    drop(packing);
    Ok(Packed { buffer, elapsed: start.elapsed() })
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

/// A piece of the packed weights to be filled.
struct Task<'a> {
    item: usize,
    work: Work<'a>,
}

enum Work<'a> {
    /// Output channels of a convolution or linear layer.
    Parts(Vec<Part<'a>>),
    /// Values as they are.
    Values(&'a mut [u8]),
    /// Words that are known already.
    Words(&'a [u32], &'a mut [u8]),
}

/// An item while it is packed.
struct State<'a> {
    /// Its values, from its first task to its last.
    streams: Mutex<Option<Arc<Vec<Stream<'a>>>>>,
    /// Tasks that are not finished.
    left: AtomicUsize,
}

struct Packing<'a> {
    expressions: WeightExpressions<'a>,
    items: Vec<State<'a>>,
    /// Each is taken once.
    tasks: Vec<Mutex<Option<Task<'a>>>>,
    next: AtomicUsize,
}

/// Cuts the buffer into tasks of about `piece` bytes, an item at least.
#[expect(clippy::type_complexity, reason = "two parallel lists, used once")]
fn cut<'a, 'b>(
    items: &'a [Item],
    mut rest: &'a mut [u8],
    piece: usize,
) -> Result<(Vec<State<'b>>, Vec<Mutex<Option<Task<'a>>>>), DriverError> {
    let (mut states, mut tasks) = (Vec::with_capacity(items.len()), Vec::new());
    let mut at = 0;
    for (index, item) in items.iter().enumerate() {
        // Items lie in the order of their offsets, apart.
        let (_, tail) = rest.split_at_mut(item.offset - at);
        let (out, tail) = tail.split_at_mut(item.bytes);
        (rest, at) = (tail, item.offset + item.bytes);
        let before = tasks.len();
        let mut push = |work| tasks.push(Mutex::new(Some(Task { item: index, work })));
        match &item.content {
            Content::Conv { kernel, .. } => {
                let (mut parts, mut bytes) = (Vec::new(), 0);
                for part in pack::parts(kernel, out)? {
                    bytes += part.channels().len() * part.weights_each() * 4;
                    parts.push(part);
                    if bytes >= piece {
                        push(Work::Parts(std::mem::take(&mut parts)));
                        bytes = 0;
                    }
                }
                if !parts.is_empty() {
                    push(Work::Parts(parts));
                }
            }
            Content::Tensor(_) => push(Work::Values(out)),
            Content::Words(words) => push(Work::Words(words, out)),
        }
        let left = AtomicUsize::new(tasks.len() - before);
        states.push(State { streams: Mutex::new(None), left });
    }
    Ok((states, tasks))
}

impl Packing<'_> {
    /// Works through the tasks that no other thread has taken.
    fn work(&self) -> Result<(), DriverError> {
        let mut scratch = Vec::new();
        while let Some(task) = self.tasks.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let Some(task) = task.lock().unwrap_or_else(PoisonError::into_inner).take() else {
                continue;
            };
            let item = task.item;
            if let Err(error) = self.fill(task, &mut scratch) {
                self.next.store(self.tasks.len(), Ordering::Relaxed);
                return Err(error);
            }
            let state = &self.items[item];
            if state.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                *state.streams.lock().unwrap_or_else(PoisonError::into_inner) = None;
                self.expressions.close(item);
            }
        }
        Ok(())
    }

    fn fill(&self, task: Task<'_>, scratch: &mut Vec<f32>) -> Result<(), DriverError> {
        let parts = match task.work {
            Work::Words(words, out) => {
                for (bytes, word) in out.as_chunks_mut().0.iter_mut().zip(words) {
                    *bytes = word.to_le_bytes();
                }
                return Ok(());
            }
            Work::Values(out) => {
                let streams = self.streams(task.item)?;
                let values = streams[0].get(0, streams[0].len(), scratch);
                for (bytes, value) in out.as_chunks_mut().0.iter_mut().zip(values) {
                    *bytes = value.to_le_bytes();
                }
                return Ok(());
            }
            Work::Parts(parts) => parts,
        };
        let streams = self.streams(task.item)?;
        let mut biases = Vec::new();
        for part in parts {
            let (channels, each) = (part.channels(), part.weights_each());
            let bias =
                streams.get(1).map(|bias| bias.get(channels.start, channels.len(), &mut biases));
            let weights = streams[0].get(channels.start * each, channels.len() * each, scratch);
            part.fill(weights, bias)?;
        }
        Ok(())
    }

    /// The values of an item's nodes; the first task that asks evaluates what has to be evaluated as a
    /// whole.
    fn streams(&self, item: usize) -> Result<Arc<Vec<Stream<'_>>>, DriverError> {
        let mut streams = self.items[item].streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(streams) = &*streams {
            return Ok(Arc::clone(streams));
        }
        let opened = Arc::new(self.expressions.open(item)?);
        *streams = Some(Arc::clone(&opened));
        Ok(opened)
    }
}
