//! Copies: concatenation, borders, cyclic shifts, gathers, and values that have to lie dense.

use super::{Content, Lower, View};
use crate::plan::PlanError;
use crate::plan::view::{Root, merge_axes};
use netwright_codegen::program::{CopyKernel, Kernel};
use netwright_ir::{NodeId, PadMode};

/// Along one axis, cells of a value that are copied to cells of the result.
#[derive(Clone, Copy)]
struct Run {
    /// First cell of the result.
    to: usize,
    len: usize,
    /// Cell of the value for the first one, and step from one to the next.
    from: usize,
    step: isize,
}

impl Lower<'_> {
    /// A dense copy of a view in a new buffer.
    pub(super) fn copied(&mut self, name: &str, view: &View) -> View {
        let out = self.buffer(name, &view.shape);
        self.copy(name, view, &out);
        out
    }

    /// Copies all elements of `from` to `to`, which has the same shape.
    pub(super) fn copy(&mut self, name: &str, from: &View, to: &View) {
        let strides: Vec<isize> = from.strides.iter().map(|&stride| stride as isize).collect();
        self.copy_walk(name, from.root, from.offset, &strides, to, None);
    }

    /// Fills `to` with a constant.
    fn fill(&mut self, name: &str, to: &View, bits: u32) {
        // The operand that is not read is the result itself.
        let strides = vec![0; to.shape.len()];
        self.copy_walk(name, to.root, 0, &strides, to, Some(bits));
    }

    fn copy_walk(
        &mut self,
        name: &str,
        from: Root,
        x_offset: usize,
        x_strides: &[isize],
        to: &View,
        fill: Option<u32>,
    ) {
        let out_strides: Vec<isize> = to.strides.iter().map(|&stride| stride as isize).collect();
        let (mut shape, [mut x_strides, out_strides]) =
            merge_axes(&to.shape, [x_strides, &out_strides]);
        let mut out_strides: Vec<usize> =
            out_strides.into_iter().map(isize::unsigned_abs).collect();
        if shape.is_empty() {
            shape.push(1);
            x_strides.push(1);
            out_strides.push(1);
        }
        let kernel =
            CopyKernel { shape, x_offset, x_strides, out_offset: to.offset, out_strides, fill };
        // Offsets are the kernel's, so both operands are named from their beginning.
        let args = [View::dense(from, &[]), View::dense(to.root, &[])];
        self.emit(name, Kernel::Copy(kernel), &args, 1, Vec::new());
    }

    pub(super) fn concat(&mut self, id: NodeId, axis: usize) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let out = self.buffer(&node.name, &node.shape);
        let mut start = 0;
        for &input in &node.inputs {
            let view = self.view(input)?;
            let len = view.shape[axis];
            self.copy(&node.name, &view, &out.slice(axis, start, len, 1));
            start += len;
        }
        Ok(out)
    }

    pub(super) fn roll(&mut self, id: NodeId, axis: usize, shift: i64) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let x = self.view(node.inputs[0])?;
        let length = x.shape[axis];
        // Below the length, which fits.
        let shift = shift.rem_euclid(length as i64) as usize;
        if shift == 0 {
            return Ok(x);
        }
        let out = self.buffer(&node.name, &node.shape);
        for (from, to, len) in [(0, shift, length - shift), (length - shift, 0, shift)] {
            self.copy(&node.name, &x.slice(axis, from, len, 1), &out.slice(axis, to, len, 1));
        }
        Ok(out)
    }

    pub(super) fn pad(
        &mut self,
        id: NodeId,
        amounts: &[(usize, usize)],
        mode: PadMode,
    ) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let x = self.view(node.inputs[0])?;
        let out = self.buffer(&node.name, &node.shape);
        if let PadMode::Constant(bits) = mode {
            // The border as disjoint boxes: each axis within what the axes before leave.
            let mut inside = out.clone();
            for (axis, &(before, after)) in amounts.iter().enumerate() {
                let len = x.shape[axis];
                for (start, len) in [(0, before), (before + len, after)] {
                    if len > 0 {
                        self.fill(&node.name, &inside.slice(axis, start, len, 1), bits);
                    }
                }
                inside = inside.slice(axis, before, len, 1);
            }
            self.copy(&node.name, &x, &inside);
            return Ok(out);
        }
        // Every combination of before, inside and after along the axes.
        let runs: Vec<Vec<Run>> = amounts
            .iter()
            .zip(&x.shape)
            .map(|(&(before, after), &len)| runs(before, after, len, mode))
            .collect();
        let mut choice = vec![0; runs.len()];
        loop {
            let (mut to, mut offset) = (out.clone(), x.offset);
            let mut strides = Vec::with_capacity(runs.len());
            for (axis, runs) in runs.iter().enumerate() {
                let run = runs[choice[axis]];
                to = to.slice(axis, run.to, run.len, 1);
                offset += run.from * x.strides[axis];
                strides.push(run.step * x.strides[axis] as isize);
            }
            self.copy_walk(&node.name, x.root, offset, &strides, &to, None);
            let Some(axis) =
                (0..runs.len()).rev().find(|&axis| choice[axis] + 1 < runs[axis].len())
            else {
                return Ok(out);
            };
            choice[axis] += 1;
            choice[axis + 1..].fill(0);
        }
    }

    pub(super) fn gather(
        &mut self,
        id: NodeId,
        axis: usize,
        indices: &[u32],
    ) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let x = self.dense(node.inputs[0])?;
        let item = self.done.weights.item(&node.name, Content::Words(indices.to_vec()), 0);
        let table = View::dense(Root::Weights(item), &[]);
        let kernel = Kernel::Gather {
            outer: x.shape[..axis].iter().product(),
            len: x.shape[axis],
            inner: x.shape[axis + 1..].iter().product(),
            count: indices.len(),
        };
        let out = self.buffer(&node.name, &node.shape);
        self.emit(&node.name, kernel, &[x, table, out.clone()], 2, Vec::new());
        Ok(out)
    }
}

/// Along one axis of `len` cells, what lies before, inside and after.
fn runs(before: usize, after: usize, len: usize, mode: PadMode) -> Vec<Run> {
    let mut runs = Vec::with_capacity(3);
    let mirror = mode == PadMode::Reflect;
    let step = if mirror { -1 } else { 0 };
    if before > 0 {
        let from = if mirror { before } else { 0 };
        runs.push(Run { to: 0, len: before, from, step });
    }
    runs.push(Run { to: before, len, from: 0, step: 1 });
    if after > 0 {
        // A mirrored border needs an axis longer than itself, so there are two cells at least.
        let from = if mirror { len - 2 } else { len - 1 };
        runs.push(Run { to: before + len, len: after, from, step });
    }
    runs
}
