//! The passes, judged by the interpreter: the fused graph computes what the graph computed.

mod plan_common;

use netwright_compiler::passes::{Options, optimize};
use netwright_ir::{Act, Binary, Graph, Interpreter, NodeId, Op, PadMode, Reduce, Tensor, Unary};
use plan_common::*;
use proptest::prelude::*;
use std::sync::Arc;

fn run(graph: &Graph) -> Vec<Arc<Tensor>> {
    run_on(graph, |_, value| value)
}

/// Runs a graph on an image of which each value was changed.
fn run_on(graph: &Graph, change: impl Fn(usize, f32) -> f32) -> Vec<Arc<Tensor>> {
    let changed = |shape: &[usize]| {
        let values = image(shape, 5).into_iter().enumerate();
        values.map(|(i, value)| change(i, value)).collect()
    };
    let params = |index| param_tensor(graph, index);
    let interpreter = Interpreter::new(graph, &params).unwrap().threads(1);
    let inputs: Vec<Arc<Tensor>> = graph
        .nodes
        .iter()
        .filter(|node| matches!(node.op, Op::Input))
        .map(|node| Arc::new(Tensor::new(node.shape.clone(), changed(&node.shape))))
        .collect();
    let features: Vec<NodeId> = graph.features.iter().map(|(_, id)| *id).collect();
    let kept = interpreter.run_keeping(&inputs, &features).unwrap();
    [kept.outputs, kept.nodes].concat()
}

fn fused(graph: &Graph) -> netwright_compiler::passes::Fused {
    optimize(graph, &Options { features: true, fuse: true, verify: true }).unwrap()
}

/// How far a result moves when the image's values move by rounding errors: two layer normalisations over
/// axes of a few nearly equal values multiply them a hundredfold.
fn rounding(graph: &Graph, result: usize) -> f32 {
    let exact = run(graph);
    let moved = (0..4).map(|seed| {
        let sign = |i: usize| {
            if (i.wrapping_mul(2 * seed + 1) >> seed).is_multiple_of(2) { 1.0 } else { -1.0 }
        };
        let moved = run_on(graph, |i, value| value * (1.0 + f32::EPSILON * sign(i)));
        distance(&exact[result].data, &moved[result].data)
    });
    moved.fold(0.0, f32::max)
}

fn same_results(graph: &Graph, options: &Options) {
    let after = optimize(graph, options).unwrap();
    let names = |g: &Graph| -> Vec<String> {
        g.outputs.iter().chain(&g.features).map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(graph), names(&after.graph));
    for (i, (a, b)) in run(graph).iter().zip(run(&after.graph)).enumerate() {
        assert_eq!(a.shape, b.shape);
        let distance = distance(&a.data, &b.data);
        assert!(
            distance <= 1e-5 || distance <= 1e-5 + 20.0 * rounding(graph, i),
            "result {i} is off by {distance}\n{}\n{}\n{}",
            graph.to_text(),
            after.graph.to_text(),
            after.log
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs_stay_the_same(seed in any::<u64>(), steps in 1usize..25) {
        let graph = random_graph(seed, steps);
        for fuse in [true, false] {
            same_results(&graph, &Options { features: true, fuse, verify: true });
        }
    }
}

fn ops(graph: &Graph) -> Vec<&'static str> {
    let known = graph.weight_expressions();
    let varying = graph.ids().filter(|id| !known[id.index()]);
    varying.map(|id| graph.node(id).op.mnemonic()).collect()
}

#[test]
fn an_inverted_residual_is_three_convolutions() {
    let (mut net, x) = Net::new(&[1, 6, 6, 8]);
    let mut y = net.conv(x, 24, window(1, 1, 0, 1), false);
    y = net.batch_norm(y);
    y = net.op(act(Act::Relu6), &[y]);
    y = net.conv(y, 24, window(3, 1, 1, 24), false);
    y = net.batch_norm(y);
    y = net.op(act(Act::Relu6), &[y]);
    y = net.conv(y, 8, window(1, 1, 0, 1), false);
    y = net.batch_norm(y);
    y = net.op(Op::Binary(Binary::Add), &[x, y]);
    net.output("y", y);
    let fused = fused(&net.graph);
    assert_eq!(ops(&fused.graph), ["input", "conv", "conv", "conv"]);
    same_results(&net.graph, &Options::default());
    insta::assert_snapshot!("inverted_residual_log", fused.log);
    insta::assert_snapshot!("inverted_residual_graph", fused.graph.to_text());
}

#[test]
fn a_gate_says_why_it_stays() {
    let (mut net, x) = Net::new(&[2, 5, 5, 8]);
    let mut y = net.conv(x, 8, window(3, 1, 1, 8), true);
    let pooled = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: true }, &[y]);
    let mut gate = net.conv(pooled, 2, window(1, 1, 0, 1), true);
    gate = net.op(act(Act::Relu), &[gate]);
    gate = net.conv(gate, 8, window(1, 1, 0, 1), true);
    gate = net.op(act(Act::HardSigmoid), &[gate]);
    y = net.op(Op::Binary(Binary::Mul), &[y, gate]);
    y = net.conv(y, 4, window(1, 1, 0, 1), false);
    net.output("y", y);
    let fused = fused(&net.graph);
    assert_eq!(ops(&fused.graph), ["input", "conv", "reduce_mean", "conv", "conv", "mul", "conv"]);
    insta::assert_snapshot!("gate_log", fused.log);
}

#[test]
fn a_transformer_block_fuses() {
    let (mut net, x) = Net::new(&[1, 3, 3, 8]);
    let x = net.op(Op::Reshape { shape: vec![1, 9, 8] }, &[x]);
    let n = net.layer_norm(x, 1e-5, true);
    let heads = |net: &mut Net, y: NodeId| {
        let y = net.op(Op::Reshape { shape: vec![1, 9, 2, 4] }, &[y]);
        net.op(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[y])
    };
    let q = net.linear(n, 8, true);
    let q = heads(&mut net, q);
    let k = net.linear(n, 8, true);
    let k = heads(&mut net, k);
    let v = net.linear(n, 8, true);
    let v = heads(&mut net, v);
    let scores = net.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[q, k]);
    let scores = net.op(Op::Affine { mul: 0.5, add: 0.0 }, &[scores]);
    let weights = net.op(Op::Softmax { axis: 3 }, &[scores]);
    let mixed = net.op(Op::MatMul { transpose_a: false, transpose_b: false }, &[weights, v]);
    let mixed = net.op(Op::Transpose { perm: vec![0, 2, 1, 3] }, &[mixed]);
    let mixed = net.op(Op::Reshape { shape: vec![1, 9, 8] }, &[mixed]);
    let y = net.linear(mixed, 8, true);
    let scale = net.param("scale", &[8]);
    let y = net.op(Op::Binary(Binary::Mul), &[y, scale]);
    let x = net.op(Op::Binary(Binary::Add), &[x, y]);
    let n = net.layer_norm(x, 1e-5, true);
    let y = net.linear(n, 16, true);
    let y = net.op(act(Act::Gelu), &[y]);
    let y = net.linear(y, 8, true);
    let y = net.op(Op::Binary(Binary::Add), &[x, y]);
    net.output("y", y);
    let fused = fused(&net.graph);
    let expected = [
        "input",
        "reshape",
        "layer_norm",
        "linear",
        "reshape",
        "transpose",
        "linear",
        "reshape",
        "transpose",
        "linear",
        "reshape",
        "transpose",
        "matmul",
        "softmax",
        "matmul",
        "transpose",
        "reshape",
        "linear",
        "layer_norm",
        "linear",
        "linear",
    ];
    assert_eq!(ops(&fused.graph), expected);
    same_results(&net.graph, &Options::default());
    let norms = fused.graph.nodes.iter().filter(|node| matches!(node.op, Op::LayerNorm { .. }));
    assert!(norms.clone().count() == 2 && norms.into_iter().all(|node| node.inputs.len() == 1));
}

#[test]
fn borders_of_zeros_become_padding() {
    let (mut net, x) = Net::new(&[1, 5, 6, 3]);
    let amounts = vec![(0, 0), (0, 1), (2, 1), (0, 0)];
    let zeros = net.op(Op::Pad { amounts: amounts.clone(), mode: PadMode::Constant(0) }, &[x]);
    let y = net.conv(zeros, 4, window(3, 2, 1, 1), false);
    let mirrored = net.op(Op::Pad { amounts, mode: PadMode::Reflect }, &[x]);
    let z = net.conv(mirrored, 4, window(3, 2, 1, 1), false);
    net.output("y", y);
    net.output("z", z);
    let fused = fused(&net.graph);
    assert_eq!(ops(&fused.graph), ["input", "conv", "pad", "conv"]);
    let refused: Vec<&str> = fused
        .log
        .decisions
        .iter()
        .filter(|decision| !decision.fired)
        .map(|decision| decision.reason.as_str())
        .collect();
    assert_eq!(refused, ["the border is not of zeros"]);
    same_results(&net.graph, &Options::default());
}

#[test]
fn spelled_out_activations_are_found() {
    let (mut net, x) = Net::new(&[1, 2, 2, 3]);
    let c = net.conv(x, 4, window(1, 1, 0, 1), false);
    let gate = net.op(Op::Affine { mul: 1.0, add: 3.0 }, &[c]);
    let gate = net.op(act(Act::Relu6), &[gate]);
    let gate = net.op(Op::Affine { mul: 1.0 / 6.0, add: 0.0 }, &[gate]);
    let y = net.op(Op::Binary(Binary::Mul), &[gate, c]);
    net.output("y", y);
    let fused = fused(&net.graph);
    assert_eq!(ops(&fused.graph), ["input", "conv"]);
    let conv = fused.graph.nodes.iter().find(|node| matches!(node.op, Op::Conv(_))).unwrap();
    let hard_swish = netwright_ir::PostOp::Unary(Unary::Act(Act::HardSwish));
    assert_eq!(conv.post, [hard_swish]);
    same_results(&net.graph, &Options::default());
}

#[test]
fn features_are_kept_only_when_asked_for() {
    let (mut net, x) = Net::new(&[1, 2, 2, 3]);
    let c = net.conv(x, 4, window(1, 1, 0, 1), false);
    let n = net.batch_norm(c);
    net.output("y", n);
    net.graph.features.push(("before".into(), c));
    let without = optimize(&net.graph, &Options::default()).unwrap();
    assert_eq!(ops(&without.graph), ["input", "conv"]);
    assert!(without.graph.features.is_empty());
    let with = fused(&net.graph);
    assert_eq!(ops(&with.graph), ["input", "conv", "mul"]);
    assert_eq!(with.graph.features.len(), 1);
}

#[test]
fn a_broken_graph_is_an_error() {
    let (mut net, x) = Net::new(&[1, 2, 2, 3]);
    net.output("y", x);
    net.graph.outputs[0].1 = NodeId(9);
    let error = optimize(&net.graph, &Options::default()).unwrap_err();
    assert!(error.to_string().contains("before the passes"), "{error}");
}
