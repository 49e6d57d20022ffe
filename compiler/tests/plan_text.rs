//! The text form of a plan, and what the planner promises about memory.

mod plan_common;

use netwright_codegen::program::Place;
use netwright_compiler::passes::{self, optimize};
use netwright_compiler::plan::{Plan, plan};
use netwright_ir::{Act, Binary, Graph, Op, Reduce};
use plan_common::*;
use proptest::prelude::*;

fn planned(graph: &Graph, fuse: bool) -> Plan {
    let options = passes::Options { features: true, fuse, verify: true };
    plan(&optimize(graph, &options).unwrap().graph, &Default::default()).unwrap()
}

fn squeeze_and_excitation() -> Graph {
    let (mut net, x) = Net::new(&[1, 16, 16, 3]);
    let mut x = net.conv(x, 8, window(3, 2, 1, 1), false);
    x = net.batch_norm(x);
    x = net.op(act(Act::HardSwish), &[x]);
    let mut y = net.conv(x, 24, window(1, 1, 0, 1), false);
    y = net.batch_norm(y);
    y = net.op(act(Act::HardSwish), &[y]);
    y = net.conv(y, 24, window(5, 1, 2, 24), false);
    y = net.batch_norm(y);
    y = net.op(act(Act::HardSwish), &[y]);
    let pooled = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: true }, &[y]);
    let mut gate = net.conv(pooled, 8, window(1, 1, 0, 1), true);
    gate = net.op(act(Act::Relu), &[gate]);
    gate = net.conv(gate, 24, window(1, 1, 0, 1), true);
    gate = net.op(act(Act::HardSigmoid), &[gate]);
    y = net.op(Op::Binary(Binary::Mul), &[y, gate]);
    y = net.conv(y, 8, window(1, 1, 0, 1), false);
    y = net.batch_norm(y);
    y = net.op(Op::Binary(Binary::Add), &[y, x]);
    net.graph.features.push(("stage".into(), y));
    y = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: false }, &[y]);
    y = net.linear(y, 10, true);
    net.output("logits", y);
    net.graph
}

#[test]
fn the_plan_of_a_block() {
    insta::assert_snapshot!("plan_of_a_block", planned(&squeeze_and_excitation(), true));
}

#[test]
fn attention_reads_views_without_copies() {
    let (mut net, x) = Net::new(&[1, 4, 4, 32]);
    let x = net.conv(x, 32, window(1, 1, 0, 1), false);
    let x = net.op(Op::Reshape { shape: vec![1, 16, 32] }, &[x]);
    let y = net.linear(x, 96, true);
    let y = net.op(Op::Reshape { shape: vec![1, 16, 3, 2, 16] }, &[y]);
    let y = net.op(Op::Transpose { perm: vec![2, 0, 3, 1, 4] }, &[y]);
    let [q, k, v] = [0, 1, 2].map(|start| {
        let part = net.op(Op::Slice { axis: 0, start, len: 1, step: 1 }, &[y]);
        net.op(Op::Reshape { shape: vec![1, 2, 16, 16] }, &[part])
    });
    let scores = net.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[q, k]);
    let scores = net.op(Op::Affine { mul: 0.25, add: 0.0 }, &[scores]);
    let weights = net.op(Op::Softmax { axis: 3 }, &[scores]);
    let y = net.op(Op::MatMul { transpose_a: false, transpose_b: false }, &[weights, v]);
    let y = net.op(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y]);
    let y = net.op(Op::Reshape { shape: vec![1, 16, 32] }, &[y]);
    let y = net.linear(y, 32, true);
    let y = net.op(Op::Binary(Binary::Add), &[x, y]);
    net.output("y", y);
    insta::assert_snapshot!("plan_of_attention", planned(&net.graph, true));
}

/// Replays a plan: each buffer's bytes belong to the value that was written last, and every read
/// must find its own value there.
fn values_survive(plan: &Plan) {
    for (i, a) in plan.buffers.iter().enumerate() {
        let Place::Arena(at) = a.place else { continue };
        assert_eq!(at % 64, 0);
        assert!(at + a.bytes <= plan.program.arena_bytes);
        for b in &plan.buffers[..i] {
            let Place::Arena(other) = b.place else { continue };
            let apart = at + a.bytes <= other || other + b.bytes <= at;
            let never_together = a.last < b.first || b.last < a.first;
            // A value may be computed over an operand that dies in the same step.
            let in_place = (a.first == b.last || b.first == a.last) && at == other;
            assert!(apart || never_together || in_place, "{a:?} and {b:?}\n{plan}");
        }
    }
    let mut end = 0;
    for item in &plan.items {
        assert!(item.offset >= end && item.offset % 64 == 0, "{item:?}");
        end = item.offset + item.bytes;
    }
    assert!(end <= plan.program.weights_bytes);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn live_values_do_not_overlap(seed in any::<u64>(), steps in 1usize..30) {
        let graph = random_graph(seed, steps);
        for fuse in [true, false] {
            values_survive(&planned(&graph, fuse));
        }
    }
}

#[test]
fn elementwise_steps_run_in_place() {
    let (mut net, x) = Net::new(&[1, 8, 8, 4]);
    let a = net.conv(x, 4, window(1, 1, 0, 1), false);
    // Read twice, so that it can't join the convolution.
    let pooled = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: true }, &[a]);
    let b = net.op(Op::Binary(Binary::Mul), &[a, pooled]);
    let y = net.conv(b, 4, window(3, 1, 1, 4), false);
    let y = net.op(Op::Reduce { kind: Reduce::Max, axes: vec![1, 2], keep: false }, &[y]);
    net.output("y", y);
    let plan = planned(&net.graph, true);
    let place = |name: &str| plan.buffers.iter().find(|b| b.name.starts_with(name)).unwrap().place;
    assert_eq!(place("conv"), place("mul"));
}
