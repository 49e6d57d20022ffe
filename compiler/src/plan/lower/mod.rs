//! Nodes to steps over buffers that have no place yet.

mod attention;
mod conv;
mod elementwise;
mod movement;
mod product;
mod resize;
mod rows;

use super::attention::{self as pattern, Found};
use super::choice::Choice;
use super::tuned::Used;
use super::view::{Root, View};
use super::weights::{Content, Weights};
use super::{Options, PlanError, Port};
use netwright_codegen::program::Kernel;
use netwright_ir::{Graph, NodeId, Op};
use std::collections::{HashMap, HashSet};

/// An operand of a step.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arg {
    pub root: Root,
    /// Bytes from the root's beginning, a multiple of 64.
    pub offset: usize,
    pub writes: bool,
}

/// A step whose buffers have no place yet.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub name: String,
    pub kernel: usize,
    pub args: Vec<Arg>,
    /// Indices of the operands that lie exactly as the result does, so that the kernel may write
    /// over them.
    pub in_place: Vec<usize>,
}

/// An intermediate value.
#[derive(Clone, Debug)]
pub(super) struct Buffer {
    pub name: String,
    pub bytes: usize,
    /// The caller's output that holds it, instead of the arena.
    pub output: Option<usize>,
}

/// A lowered graph.
pub(super) struct Lowered {
    pub kernels: Vec<Kernel>,
    pub steps: Vec<Step>,
    pub buffers: Vec<Buffer>,
    pub weights: Weights,
    pub choices: Vec<Choice>,
    pub tuned: Vec<Used>,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

impl Lowered {
    /// The number of a kernel, a new one if it is not there yet.
    pub fn number(&mut self, kernel: Kernel) -> usize {
        let known = self.kernels.iter().position(|one| *one == kernel);
        known.unwrap_or_else(|| {
            self.kernels.push(kernel);
            self.kernels.len() - 1
        })
    }

    /// Forgets the kernels that no step uses any more.
    pub fn drop_unused_kernels(&mut self) {
        let mut numbers = vec![None; self.kernels.len()];
        let mut kept = Vec::new();
        for step in &mut self.steps {
            step.kernel = *numbers[step.kernel].get_or_insert_with(|| {
                kept.push(self.kernels[step.kernel].clone());
                kept.len() - 1
            });
        }
        self.kernels = kept;
    }
}

/// Lowers all nodes in order.
pub(super) fn lower(graph: &Graph, options: &Options) -> Result<Lowered, PlanError> {
    let mut lower = Lower {
        graph,
        options,
        known: graph.weight_expressions(),
        values: vec![None; graph.nodes.len()],
        dense: HashMap::new(),
        numbers: HashMap::new(),
        attention: if options.depth_first { pattern::find(graph) } else { Found::default() },
        done: Lowered {
            kernels: Vec::new(),
            steps: Vec::new(),
            buffers: Vec::new(),
            weights: Weights::default(),
            choices: Vec::new(),
            tuned: Vec::new(),
            inputs: Vec::new(),
            outputs: Vec::new(),
        },
    };
    let results: Vec<(String, NodeId)> =
        graph.outputs.iter().chain(&graph.features).cloned().collect();
    for (name, id) in &results {
        let shape = delivered(&View::dense(Root::Input(0), graph.shape(*id))).shape;
        lower.done.outputs.push(Port { name: name.clone(), shape });
    }
    lower.done.choices.append(&mut lower.attention.refused);
    let found = lower.attention.by_result.values();
    let inside: HashSet<NodeId> = found.flat_map(|found| found.inside.iter().copied()).collect();
    for id in graph.ids() {
        if !lower.known[id.index()] && !inside.contains(&id) {
            let view = lower.node(id)?;
            lower.values[id.index()] = Some(view);
        }
        // Delivered at once, so that nothing lives longer for it.
        for (output, _) in results.iter().enumerate().filter(|(_, (_, result))| *result == id) {
            lower.deliver(output, id)?;
        }
    }
    Ok(lower.done)
}

/// A value as the caller gets it: maps are `[N, C, H, W]`.
fn delivered(view: &View) -> View {
    if view.shape.len() == 4 { view.transpose(&[0, 3, 1, 2]) } else { view.clone() }
}

struct Lower<'g> {
    graph: &'g Graph,
    options: &'g Options,
    /// Which nodes are weight expressions.
    known: Vec<bool>,
    values: Vec<Option<View>>,
    /// Dense copies of values that do not lie dense, made when first needed.
    dense: HashMap<NodeId, View>,
    /// The number of each kernel.
    numbers: HashMap<Kernel, usize>,
    /// What is computed head by head.
    attention: Found,
    done: Lowered,
}

impl Lower<'_> {
    /// Emits the steps of a node, and says where its value lies.
    fn node(&mut self, id: NodeId) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let shape = &node.shape;
        if let Some(attention) = self.attention.by_result.remove(&id) {
            return self.attention(id, &attention);
        }
        let view = match &node.op {
            Op::Input => {
                let nchw = delivered(&View::dense(Root::Input(0), shape)).shape;
                self.done.inputs.push(Port { name: node.name.clone(), shape: nchw.clone() });
                let root = Root::Input(self.done.inputs.len() - 1);
                let view = View::dense(root, &nchw);
                if shape.len() == 4 { view.transpose(&[0, 2, 3, 1]) } else { view }
            }
            Op::Param(_) | Op::Const(_) => self.view(id)?,
            // These apply their fused steps themselves.
            Op::Conv(conv) => return self.conv(id, conv),
            Op::Linear => return self.linear(id),
            Op::MatMul { transpose_a, transpose_b } => {
                return self.matmul(id, *transpose_a, *transpose_b);
            }
            Op::Unary(_) | Op::Clamp { .. } | Op::Affine { .. } | Op::Binary(_) => {
                return self.elementwise(id);
            }
            Op::LayerNorm { eps } => return self.layer_norm(id, *eps),
            Op::Pool(pool) => return self.pool(id, pool),
            Op::Reduce { kind, axes, .. } => return self.reduce(id, *kind, axes),
            Op::BatchNorm { .. } => {
                return Err(self.unsupported(id, "run the required passes before planning"));
            }
            Op::Softmax { axis } => self.softmax(id, *axis)?,
            Op::Concat { axis } => self.concat(id, *axis)?,
            Op::Slice { axis, start, len, step } => {
                self.view(node.inputs[0])?.slice(*axis, *start, *len, *step)
            }
            Op::Pad { amounts, mode } => self.pad(id, amounts, *mode)?,
            Op::Roll { axis, shift } => self.roll(id, *axis, *shift)?,
            Op::Gather { axis, indices, .. } => self.gather(id, *axis, indices)?,
            Op::Reshape { shape } => {
                let x = self.view(node.inputs[0])?;
                match x.reshape(shape) {
                    Some(view) => view,
                    None => self.dense(node.inputs[0])?.renamed(shape),
                }
            }
            Op::Transpose { perm } => self.view(node.inputs[0])?.transpose(perm),
            Op::Expand { shape } => self.view(node.inputs[0])?.expand(shape),
            Op::Resize { .. } => self.resize(id)?,
        };
        self.steps_after(id, view, &node.post)
    }

    /// Where the value of an operand lies. A weight expression becomes an item of the weights.
    fn view(&mut self, id: NodeId) -> Result<View, PlanError> {
        let node = self.graph.node(id);
        if self.known[id.index()] {
            let elements = node.shape.iter().product();
            let item = self.done.weights.item(&node.name, Content::Tensor(id), elements);
            return Ok(View::dense(Root::Weights(item), &node.shape));
        }
        self.values[id.index()].clone().ok_or_else(|| PlanError::Unsupported {
            name: node.name.clone(),
            op: node.op.mnemonic(),
            reason: "it is read before it is computed: verify the graph before planning".into(),
        })
    }

    /// The value of an operand, dense and addressable; a copy if it does not lie so.
    fn dense(&mut self, id: NodeId) -> Result<View, PlanError> {
        let view = self.view(id)?;
        if view.is_dense() && self.addressable(&view) {
            return Ok(view.renamed(&view.shape));
        }
        if let Some(copy) = self.dense.get(&id) {
            return Ok(copy.clone());
        }
        let copy = self.copied(&self.graph.node(id).name, &view);
        self.dense.insert(id, copy.clone());
        Ok(copy)
    }

    /// A new buffer of that shape.
    fn buffer(&mut self, name: &str, shape: &[usize]) -> View {
        let bytes = shape.iter().product::<usize>() * 4;
        self.done.buffers.push(Buffer { name: name.into(), bytes, output: None });
        View::dense(Root::Buffer(self.done.buffers.len() - 1), shape)
    }

    /// Emits a step. `args` are in the order that the kernel documents; the one at `out` is written.
    fn emit(
        &mut self,
        name: &str,
        kernel: Kernel,
        args: &[View],
        out: usize,
        in_place: Vec<usize>,
    ) {
        let next = self.done.kernels.len();
        let number = *self.numbers.entry(kernel.clone()).or_insert(next);
        if number == next {
            self.done.kernels.push(kernel);
        }
        let args = args
            .iter()
            .enumerate()
            .map(|(i, view)| Arg { root: view.root, offset: view.offset * 4, writes: i == out })
            .collect();
        self.done.steps.push(Step { name: name.into(), kernel: number, args, in_place });
    }

    /// Brings the value of a node to the caller's output: it is computed there if it lies as the
    /// caller wants it, else copied.
    fn deliver(&mut self, output: usize, id: NodeId) -> Result<(), PlanError> {
        let view = delivered(&self.view(id)?);
        if let Root::Buffer(buffer) = view.root
            && view.offset == 0
            && view.is_dense()
            && view.elements() * 4 == self.done.buffers[buffer].bytes
            && self.done.buffers[buffer].output.is_none()
            && !self.read_from_the_middle(view.root)
        {
            self.done.buffers[buffer].output = Some(output);
            return Ok(());
        }
        let out = View::dense(Root::Output(output), &view.shape);
        let name = format!("output {}", self.done.outputs[output].name);
        self.copy(&name, &view, &out);
        Ok(())
    }

    /// Whether a step so far reads from elsewhere than the beginning of a buffer, which could not be
    /// named in the caller's memory.
    fn read_from_the_middle(&self, root: Root) -> bool {
        let args = self.done.steps.iter().flat_map(|step| &step.args);
        args.into_iter().any(|arg| arg.root == root && arg.offset != 0)
    }

    /// Whether a kernel can be pointed at the view.
    fn addressable(&self, view: &View) -> bool {
        let callers = matches!(view.root, Root::Buffer(b) if self.done.buffers[b].output.is_some());
        view.is_addressable() && (!callers || view.offset == 0)
    }

    fn unsupported(&self, id: NodeId, reason: &str) -> PlanError {
        let node = self.graph.node(id);
        PlanError::Unsupported {
            name: node.name.clone(),
            op: node.op.mnemonic(),
            reason: reason.into(),
        }
    }
}
