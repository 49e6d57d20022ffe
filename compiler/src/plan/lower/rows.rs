//! Window pooling, reductions, softmax and layer normalisation.

use super::{Lower, View};
use crate::plan::PlanError;
use netwright_codegen::program::{Kernel, PoolKernel, ReduceKernel, Reduction};
use netwright_ir::{NodeId, Pool, PoolKind, Reduce};

impl Lower<'_> {
    pub(super) fn pool(&mut self, id: NodeId, pool: &Pool) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let x = self.dense(node.inputs[0])?;
        let (from, to) = (&x.shape, &node.shape);
        let border = pool
            .windows([from[1], from[2]])
            .map_err(|error| self.unsupported(id, &error.to_string()))?
            .border;
        let (epilogue, operands, rest) = self.epilogue(id)?;
        let kernel = PoolKernel {
            max: pool.kind == PoolKind::Max,
            batch: from[0],
            in_h: from[1],
            in_w: from[2],
            out_h: to[1],
            out_w: to[2],
            channels: from[3],
            kernel: pool.kernel,
            stride: pool.stride,
            pad: [border.top, border.bottom, border.left, border.right],
            count_include_pad: pool.count_include_pad,
            epilogue,
        };
        let out = self.buffer(&node.name, &node.shape);
        let mut args = vec![x, out.clone()];
        args.extend(operands);
        self.emit(&node.name, Kernel::Pool(kernel), &args, 1, Vec::new());
        self.steps_after(id, out, rest)
    }

    pub(super) fn reduce(
        &mut self,
        id: NodeId,
        kind: Reduce,
        axes: &[usize],
    ) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let shape = graph.shape(node.inputs[0]);
        let (first, last) = match axes {
            [first, .., last] => (*first, *last),
            [only] => (*only, *only),
            [] => return Err(self.unsupported(id, "it reduces no axis")),
        };
        // Unit axes between reduced ones may as well be reduced.
        let adjacent = (first..=last).all(|axis| shape[axis] == 1 || axes.contains(&axis));
        let x = if adjacent {
            self.dense(node.inputs[0])?
        } else {
            // The reduced axes come last.
            let view = self.view(node.inputs[0])?;
            let kept = (0..shape.len()).filter(|axis| !axes.contains(axis));
            let perm: Vec<usize> = kept.chain(axes.iter().copied()).collect();
            self.copied(&node.name, &view.transpose(&perm))
        };
        let product = |axes: &[usize]| axes.iter().product::<usize>();
        let [outer, len, inner] = if adjacent {
            [product(&shape[..first]), product(&shape[first..=last]), product(&shape[last + 1..])]
        } else {
            let split = shape.len() - axes.len();
            [product(&x.shape[..split]), product(&x.shape[split..]), 1]
        };
        let kind = match kind {
            Reduce::Sum => Reduction::Sum,
            Reduce::Mean => Reduction::Mean,
            Reduce::Max => Reduction::Max,
            Reduce::Min => Reduction::Min,
            Reduce::L2 => Reduction::L2,
        };
        let (epilogue, operands, rest) = self.epilogue(id)?;
        let kernel = ReduceKernel { kind, outer, len, inner, epilogue };
        let out = self.buffer(&node.name, &node.shape);
        let mut args = vec![x, out.clone()];
        args.extend(operands);
        self.emit(&node.name, Kernel::Reduce(kernel), &args, 1, Vec::new());
        self.steps_after(id, out, rest)
    }

    pub(super) fn softmax(&mut self, id: NodeId, axis: usize) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let x = self.dense(node.inputs[0])?;
        let kernel = Kernel::Softmax {
            outer: node.shape[..axis].iter().product(),
            len: node.shape[axis],
            inner: node.shape[axis + 1..].iter().product(),
        };
        let out = self.buffer(&node.name, &node.shape);
        self.emit(&node.name, kernel, &[x, out.clone()], 1, Vec::new());
        Ok(out)
    }

    pub(super) fn layer_norm(&mut self, id: NodeId, eps: f64) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let mut args = Vec::with_capacity(4);
        for &input in &node.inputs {
            args.push(self.dense(input)?);
        }
        let len = node.shape.last().copied().unwrap_or(1);
        let (epilogue, operands, rest) = self.epilogue(id)?;
        let kernel = Kernel::LayerNorm {
            rows: args[0].elements() / len,
            len,
            eps: (eps as f32).to_bits(),
            affine: node.inputs.len() == 3,
            epilogue,
        };
        let out = self.buffer(&node.name, &node.shape);
        let at = args.len();
        args.push(out.clone());
        args.extend(operands);
        self.emit(&node.name, kernel, &args, at, Vec::new());
        self.steps_after(id, out, rest)
    }
}
