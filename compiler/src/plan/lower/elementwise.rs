//! Elementwise nodes, and the fused steps of all nodes.

use super::{Lower, View};
use crate::plan::PlanError;
use crate::plan::operand::operand_class;
use crate::plan::view::merge_many;
use netwright_codegen::program::{
    Arithmetic, Epilogue, Function, Kernel, MapKernel, Operand, Post,
};
use netwright_ir::{Act, Binary, NodeId, Op, PostOp, Unary};

impl<'g> Lower<'g> {
    pub(super) fn elementwise(&mut self, id: NodeId) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let mut inputs = vec![self.quickest(node.inputs[0])?.expand(&node.shape)];
        let mut steps = Vec::with_capacity(1 + node.post.len());
        match &node.op {
            Op::Unary(unary) => steps.push(Post::Unary(function(*unary))),
            Op::Clamp { low, high } => steps.push(Post::Unary(clamp(*low, *high))),
            Op::Affine { mul, add } => steps.push(Post::Unary(affine(*mul, *add))),
            Op::Binary(op) => {
                inputs.push(self.quickest(node.inputs[1])?.expand(&node.shape));
                steps.push(Post::Binary(arithmetic(*op), Operand::Full));
            }
            _ => return Err(self.unsupported(id, "it is not elementwise")),
        }
        self.fused(&node.post, &node.shape, &mut inputs, &mut steps)?;
        Ok(self.map(&node.name, &node.shape, inputs, steps))
    }

    /// The value of an operand for a kernel that takes any strides: its dense copy, if another step
    /// has needed one already.
    pub(super) fn quickest(&mut self, id: NodeId) -> Result<View, PlanError> {
        match self.dense.get(&id) {
            Some(copy) => Ok(copy.clone()),
            None => self.view(id),
        }
    }

    /// Applies the fused steps that a kernel could not.
    pub(super) fn steps_after(
        &mut self,
        id: NodeId,
        value: View,
        rest: &[PostOp],
    ) -> Result<View, PlanError> {
        if rest.is_empty() {
            return Ok(value);
        }
        let node = self.graph.node(id);
        let (name, shape) = (node.name.clone(), node.shape.clone());
        let (mut inputs, mut steps) = (vec![value], Vec::new());
        self.fused(rest, &shape, &mut inputs, &mut steps)?;
        Ok(self.map(&name, &shape, inputs, steps))
    }

    /// Fused steps for an elementwise kernel.
    fn fused(
        &mut self,
        posts: &[PostOp],
        shape: &[usize],
        inputs: &mut Vec<View>,
        steps: &mut Epilogue,
    ) -> Result<(), PlanError> {
        for post in posts {
            if let PostOp::Binary { operand, .. } = post {
                inputs.push(self.quickest(*operand)?.expand(shape));
            }
            steps.push(step(post, Operand::Full));
        }
        Ok(())
    }

    /// The fused steps of a node that its kernel's epilogue can do, with their operands, and the
    /// rest.
    pub(super) fn epilogue(
        &mut self,
        id: NodeId,
    ) -> Result<(Epilogue, Vec<View>, &'g [PostOp]), PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let x = graph.shape(node.inputs[0]);
        let (mut steps, mut operands) = (Vec::new(), Vec::new());
        for (i, post) in node.post.iter().enumerate() {
            let mut class = Operand::Full;
            if let PostOp::Binary { operand, .. } = post {
                match operand_class(node, x, graph.shape(*operand)) {
                    Some(found) => class = found,
                    None => return Ok((steps, operands, &node.post[i..])),
                }
                operands.push(self.dense(*operand)?);
            }
            steps.push(step(post, class));
        }
        Ok((steps, operands, &[]))
    }

    /// Emits an elementwise kernel over inputs that are already broadcast to `shape`.
    fn map(&mut self, name: &str, shape: &[usize], mut inputs: Vec<View>, steps: Epilogue) -> View {
        for input in &mut inputs {
            if !self.addressable(input) {
                *input = self.copied(name, input);
            }
        }
        let out = self.buffer(name, shape);
        // Only whole buffers: a value that dies is given to the result as it is.
        let in_place = (0..inputs.len()).filter(|&i| inputs[i].is_dense()).collect();
        let mut strides: Vec<&[usize]> = inputs.iter().map(|view| &view.strides[..]).collect();
        strides.push(&out.strides);
        let (mut merged, mut strides) = merge_many(shape, &strides);
        strides.pop();
        if merged.is_empty() {
            merged.push(1);
            strides.iter_mut().for_each(|strides| strides.push(0));
        }
        let kernel = MapKernel { shape: merged, strides, steps };
        let at = inputs.len();
        inputs.push(out.clone());
        self.emit(name, Kernel::Map(kernel), &inputs, at, in_place);
        out
    }
}

pub(super) fn step(post: &PostOp, class: Operand) -> Post {
    match post {
        PostOp::Unary(unary) => Post::Unary(function(*unary)),
        PostOp::Clamp { low, high } => Post::Unary(clamp(*low, *high)),
        PostOp::Affine { mul, add } => Post::Unary(affine(*mul, *add)),
        PostOp::Binary { op, .. } => Post::Binary(arithmetic(*op), class),
    }
}

fn bits(value: f64) -> u32 {
    (value as f32).to_bits()
}

fn clamp(low: f64, high: f64) -> Function {
    Function::Clamp { low: bits(low), high: bits(high) }
}

fn affine(mul: f64, add: f64) -> Function {
    Function::Affine { mul: bits(mul), add: bits(add) }
}

fn function(unary: Unary) -> Function {
    match unary {
        Unary::Neg => Function::Neg,
        Unary::Abs => Function::Abs,
        Unary::Exp => Function::Exp,
        Unary::Log => Function::Log,
        Unary::Sqrt => Function::Sqrt,
        Unary::Rsqrt => Function::Rsqrt,
        Unary::Recip => Function::Recip,
        Unary::Square => Function::Square,
        Unary::Act(act) => match act {
            Act::Relu => Function::Relu,
            Act::Relu6 => clamp(0.0, 6.0),
            Act::HardSwish => Function::HardSwish,
            Act::HardSigmoid => Function::HardSigmoid,
            Act::Sigmoid => Function::Sigmoid,
            Act::Silu => Function::Silu,
            Act::Gelu => Function::Gelu,
            Act::GeluTanh => Function::GeluTanh,
            Act::Tanh => Function::Tanh,
        },
    }
}

fn arithmetic(op: Binary) -> Arithmetic {
    match op {
        Binary::Add => Arithmetic::Add,
        Binary::Sub => Arithmetic::Sub,
        Binary::Mul => Arithmetic::Mul,
        Binary::Div => Arithmetic::Div,
        Binary::Max => Arithmetic::Max,
        Binary::Min => Arithmetic::Min,
        Binary::Pow => Arithmetic::Pow,
    }
}
