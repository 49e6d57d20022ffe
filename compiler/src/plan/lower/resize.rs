//! Interpolation.

use super::{Content, Lower, View};
use crate::plan::PlanError;
use crate::plan::view::Root;
use netwright_codegen::program::{Kernel, ResizeKernel};
use netwright_ir::resample::{Taps, taps};
use netwright_ir::{NodeId, Op};

impl Lower<'_> {
    pub(super) fn resize(&mut self, id: NodeId) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let Op::Resize { size, mode, align_corners, antialias } = node.op else {
            return Err(self.unsupported(id, "it is no interpolation"));
        };
        let x = self.dense(node.inputs[0])?;
        let [rows, columns] =
            [0, 1].map(|axis| taps(x.shape[axis + 1], size[axis], mode, align_corners, antialias));
        let mut words = Vec::with_capacity(2 * (rows.cells.len() + columns.cells.len()));
        for table in [&rows, &columns] {
            words.extend(pairs(table));
        }
        let item = self.done.weights.item(&node.name, Content::Words(words), 0);
        let table = View::dense(Root::Weights(item), &[]);
        let kernel = ResizeKernel {
            batch: x.shape[0],
            in_h: x.shape[1],
            in_w: x.shape[2],
            out_h: size[0],
            out_w: size[1],
            channels: x.shape[3],
            taps_h: rows.count,
            taps_w: columns.count,
        };
        let out = self.buffer(&node.name, &node.shape);
        self.emit(&node.name, Kernel::Resize(kernel), &[x, table, out.clone()], 2, Vec::new());
        Ok(out)
    }
}

/// Cell and weight, alternating.
fn pairs(taps: &Taps) -> impl Iterator<Item = u32> + '_ {
    let weights = taps.weights.iter().map(|&weight| (weight as f32).to_bits());
    taps.cells.iter().copied().zip(weights).flat_map(|(cell, weight)| [cell, weight])
}
