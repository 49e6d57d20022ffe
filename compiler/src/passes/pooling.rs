//! Pooling over the whole map is a reduction.

use super::{Log, rewrite::Rewrite};
use netwright_ir::{Graph, Op, PoolKind, Reduce, ShapeError};

pub(super) fn run(graph: &mut Graph, _log: &mut Log) -> Result<(), ShapeError> {
    let mut rewrite = Rewrite::new(graph);
    for id in rewrite.ids() {
        if !rewrite.visit(id) {
            continue;
        }
        let node = rewrite.node(id);
        let Op::Pool(pool) = &node.op else { continue };
        let (x, post) = (node.inputs[0], node.post.clone());
        let size = [rewrite.shape(x)[1], rewrite.shape(x)[2]];
        let one_window = node_is_one_window(rewrite.shape(id), pool.kernel, size);
        let borderless = pool.windows(size).is_ok_and(|windows| {
            let border = windows.border;
            border.top + border.bottom + border.left + border.right == 0
        });
        if one_window && borderless {
            let kind = match pool.kind {
                PoolKind::Max => Reduce::Max,
                PoolKind::Avg => Reduce::Mean,
            };
            rewrite.set(id, Op::Reduce { kind, axes: vec![1, 2], keep: true }, vec![x], post);
        }
    }
    rewrite.finish();
    Ok(())
}

fn node_is_one_window(shape: &[usize], kernel: [usize; 2], size: [usize; 2]) -> bool {
    shape[1..3] == [1, 1] && kernel == size
}
