//! Products of two values that are both made while running.

use super::{Lower, View};
use crate::plan::PlanError;
use crate::plan::view::merge_axes;
use netwright_codegen::program::{Kernel, MatMulKernel, Operand, Post};
use netwright_ir::NodeId;

impl Lower<'_> {
    pub(super) fn matmul(
        &mut self,
        id: NodeId,
        transpose_a: bool,
        transpose_b: bool,
    ) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let a = self.strided(node.inputs[0])?;
        let b = self.strided(node.inputs[1])?;
        let rank = node.shape.len();
        let (leading, [m, n]) =
            (&node.shape[..rank - 2], [node.shape[rank - 2], node.shape[rank - 1]]);
        let (a_batch, a_strides, [_, k]) = matrix(&a, leading, transpose_a);
        let (b_batch, b_strides, _) = matrix(&b, leading, transpose_b);
        let (batch, [a_batch, b_batch]) = merge_axes(leading, [&a_batch, &b_batch]);
        let (epilogue, operands, rest) = self.epilogue(id)?;
        let mut kernel =
            MatMulKernel { batch, a_batch, b_batch, m, n, k, a_strides, b_strides, epilogue };
        merge_batch_into_rows(&mut kernel);
        let out = self.buffer(&node.name, &node.shape);
        let mut args = vec![a, b, out.clone()];
        args.extend(operands);
        self.emit(&node.name, Kernel::MatMul(kernel), &args, 2, Vec::new());
        self.steps_after(id, out, rest)
    }

    /// The value of an operand for a kernel that takes any strides.
    pub(super) fn strided(&mut self, id: NodeId) -> Result<View, PlanError> {
        let view = self.view(id)?;
        if self.addressable(&view) { Ok(view) } else { self.dense(id) }
    }
}

/// Strides of the leading axes (broadcast to `leading`), strides of rows and columns, and their
/// numbers.
fn matrix(view: &View, leading: &[usize], transpose: bool) -> (Vec<usize>, [usize; 2], [usize; 2]) {
    let rank = view.shape.len();
    let (r, c) = if transpose { (rank - 1, rank - 2) } else { (rank - 2, rank - 1) };
    let outer = View {
        shape: view.shape[..rank - 2].to_vec(),
        strides: view.strides[..rank - 2].to_vec(),
        ..view.clone()
    };
    let batch = outer.expand(leading).strides;
    (batch, [view.strides[r], view.strides[c]], [view.shape[r], view.shape[c]])
}

/// Where all matrices of the batch meet the same `b`, and `a`'s rows walk on from one matrix to the
/// next, the batch is only more rows.
fn merge_batch_into_rows(kernel: &mut MatMulKernel) {
    let by_image = |post: &Post| matches!(post, Post::Binary(_, Operand::ImageChannel));
    if kernel.epilogue.iter().any(by_image) {
        return;
    }
    while let (Some(&length), Some(&a), Some(0)) =
        (kernel.batch.last(), kernel.a_batch.last(), kernel.b_batch.last())
    {
        if kernel.m > 1 && a != kernel.a_strides[0] * kernel.m {
            return;
        }
        if kernel.m == 1 {
            kernel.a_strides[0] = a;
        }
        kernel.m *= length;
        kernel.batch.pop();
        kernel.a_batch.pop();
        kernel.b_batch.pop();
    }
}
