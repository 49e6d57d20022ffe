//! Attention, head by head.
//!
//! It is taken wherever it is found, since it loses nowhere. Whole networks, without it (and its faster softmax and
//! packing) and with it, in milliseconds on a core of Zen 3 with 512 KiB, then on two; and the arena:
//!
//! | network, scores of a layer | | | | | | |
//! |---|---|---|---|---|---|---|
//! | MobileViT-XXS, 4 MiB | 11.4 | 10.4 | 7.2 | 6.3 | 9.2 MiB | 2.0 MiB |
//! | ViT-Ti, 0.4 MiB | 28.8 | 28.3 | 18.4 | 18.1 | 1.5 MiB | 0.9 MiB |
//! | Swin-T, 1.8 MiB | 107 | 106 | 66.5 | 63.9 | 8.1 MiB | 6.9 MiB |
//!
//! How many queries are taken at a time hardly matters: of 197 by 197 by 64, blocks of 6 to 96 are within 2%.

use super::elementwise::step;
use super::{Lower, View};
use crate::plan::PlanError;
use crate::plan::attention::Attention;
use crate::plan::choice::{Choice, Way};
use crate::plan::view::merge_many;
use netwright_codegen::program::{self, AttentionKernel, Kernel, Operand};
use netwright_ir::{NodeId, Op, PostOp};

/// Bytes of the scores that are held at a time: with the rows of queries and a panel of keys they stay in
/// the first-level cache.
const SCORES: usize = 24 << 10;
/// Queries that share a pass over keys and values, at least: fewer would wait for the second-level
/// cache, which brings the panels.
const FEWEST: usize = 12;

impl Lower<'_> {
    /// The value of the product `id`, with everything inside of it.
    pub(super) fn attention(
        &mut self,
        id: NodeId,
        attention: &Attention,
    ) -> Result<View, PlanError> {
        let graph = self.graph;
        let (scores, mixed) = (graph.node(attention.scores), graph.node(id));
        let axes = mixed.shape.len() - 2;
        let (leading, [m, d]) = (&mixed.shape[..axes], [mixed.shape[axes], mixed.shape[axes + 1]]);
        let n = scores.shape[axes + 1];

        let transposed = |op: &Op| match op {
            Op::MatMul { transpose_a, transpose_b } => [*transpose_a, *transpose_b],
            _ => [false; 2],
        };
        let [queries_down, keys_across] = transposed(&scores.op);
        let mut q = self.matrix(scores.inputs[0], queries_down, leading)?;
        let k = self.matrix(scores.inputs[1], !keys_across, leading)?;
        let v = self.matrix(mixed.inputs[1], transposed(&mixed.op)[1], leading)?;
        let width = q.shape[axes + 1];
        if q.strides[axes + 1] != 1 && width > 1 {
            q = self.copied(&scores.name, &q);
        }
        let (mut steps, mut operands) = (Vec::new(), Vec::new());
        for post in &attention.steps {
            steps.push(step(post, Operand::Full));
            if let PostOp::Binary { operand, .. } = post {
                operands.push(self.row_by_row(*operand, &scores.shape)?);
            }
        }
        let out = self.out_of_heads(id, attention.turned.as_deref());

        let mut args = vec![q, k, v, out.clone()];
        args.extend(operands);
        // Leading axes along which all operands walk on evenly become one.
        let strides: Vec<&[usize]> = args.iter().map(|view| &view.strides[..axes]).collect();
        let (batch, merged) = merge_many(leading, &strides);
        let mut strides = merged.into_iter().zip(&args).map(|(mut strides, view)| {
            strides.extend(&view.strides[axes..]);
            strides
        });
        let mut next = || strides.next().unwrap_or_default();
        let [q, k, v, to] = [next(), next(), next(), next()];
        let rows = (SCORES / (n * 4)).max(FEWEST).min(m);
        let kernel = AttentionKernel {
            batch,
            queries: m,
            keys: n,
            width,
            out_width: d,
            q,
            k,
            v,
            out: to,
            steps,
            operands: strides.collect(),
            rows,
        };
        let mut names: Vec<&str> = Vec::new();
        for node in attention.inside.iter().rev().chain([&id]) {
            let name = graph.node(*node).name.as_str();
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let heads: usize = leading.iter().product();
        let [all, held] = [heads * m * n, rows * n].map(|values| (values * 4) >> 10);
        self.done.choices.push(Choice {
            node: format!("{} .. {}", names[0], names[names.len() - 1]),
            way: Way::HeadByHead(rows),
            reason: format!("{all} KiB of scores become {held} KiB"),
        });
        self.emit(&names.join(program::Step::AND), Kernel::Attention(kernel), &args, 3, Vec::new());
        self.steps_after(id, out, &mixed.post)
    }

    /// A batch of matrices, transposed if `turned`, broadcast to the leading axes.
    fn matrix(&mut self, id: NodeId, turned: bool, leading: &[usize]) -> Result<View, PlanError> {
        let mut view = self.strided(id)?;
        let rank = view.shape.len();
        if turned {
            let mut perm: Vec<usize> = (0..rank).collect();
            perm.swap(rank - 2, rank - 1);
            view = view.transpose(&perm);
        }
        let shape: Vec<usize> = leading.iter().chain(&view.shape[rank - 2..]).copied().collect();
        Ok(view.expand(&shape))
    }

    /// An operand of the scores, whose rows are adjacent values or one value.
    fn row_by_row(&mut self, id: NodeId, shape: &[usize]) -> Result<View, PlanError> {
        let view = self.quickest(id)?;
        let wide = view.shape.last().is_some_and(|&length| length > 1);
        let even = !wide || view.strides[view.shape.len() - 1] <= 1;
        let view = if even && self.addressable(&view) { view } else { self.dense(id)? };
        Ok(view.expand(shape))
    }

    /// A buffer for the result of all heads; where it lies as its transposition wants it, nothing has to be
    /// copied.
    fn out_of_heads(&mut self, id: NodeId, turned: Option<&[usize]>) -> View {
        let node = self.graph.node(id);
        let Some(perm) = turned else { return self.buffer(&node.name, &node.shape) };
        let shape: Vec<usize> = perm.iter().map(|&axis| node.shape[axis]).collect();
        let out = self.buffer(&node.name, &shape);
        let mut strides = vec![0; perm.len()];
        for (&axis, stride) in perm.iter().zip(out.strides) {
            strides[axis] = stride;
        }
        View { root: out.root, offset: out.offset, shape: node.shape.clone(), strides }
    }
}
