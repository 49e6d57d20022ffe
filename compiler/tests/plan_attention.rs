//! Attention head by head: found wherever it stands, refused with a reason, the same values.

mod plan_common;

use netwright_codegen::program::Kernel;
use netwright_compiler::driver::{Backend, InterpretedNetwork, Network, Options, compile};
use netwright_compiler::expand::{Request, expand};
use netwright_compiler::passes::{self, optimize};
use netwright_compiler::plan::{self, Plan, Way, plan};
use netwright_compiler::spec::Spec;
use netwright_ir::{Act, Binary, Graph, NodeId, Op};
use plan_common::*;
use std::sync::Arc;

/// Windows, heads, tokens, width of a head.
const SIZES: [usize; 4] = [3, 2, 10, 12];

/// Queries, keys and values `[1, windows, heads, tokens, width]`.
fn projections() -> (Net, [NodeId; 3]) {
    let [windows, heads, tokens, width] = SIZES;
    let (mut net, x) = Net::new(&[1, windows, tokens, heads * width]);
    let x = net.linear(x, 3 * heads * width, true);
    let parts = [0, 1, 2].map(|i| {
        let len = heads * width;
        let part = net.op(Op::Slice { axis: 3, start: i * len, len, step: 1 }, &[x]);
        let shape = vec![1, windows, tokens, heads, width];
        let part = net.op(Op::Reshape { shape }, &[part]);
        net.op(Op::Transpose { perm: vec![0, 1, 3, 2, 4] }, &[part])
    });
    (net, parts)
}

fn product(net: &mut Net, a: NodeId, b: NodeId, transpose_b: bool) -> NodeId {
    net.op(Op::MatMul { transpose_a: false, transpose_b }, &[a, b])
}

/// Joins the heads, projects, and makes that the output.
fn finish(net: &mut Net, mixed: NodeId) {
    let [windows, heads, tokens, width] = SIZES;
    let y = net.op(Op::Transpose { perm: vec![0, 1, 3, 2, 4] }, &[mixed]);
    let y = net.op(Op::Reshape { shape: vec![1, windows, tokens, heads * width] }, &[y]);
    let y = net.linear(y, 7, true);
    net.output("y", y);
}

/// Against the interpreter; the same bits head by head and stage by stage, on one thread and on three. Returns
/// the choices.
fn check(graph: &Graph) -> Vec<plan::Choice> {
    let params = |index| param_tensor(graph, index);
    let mut judge = InterpretedNetwork::new(graph, &params, false, 1).unwrap();
    let x = image(&judge.inputs()[0].shape, 5);
    let expected = judge.run_to_vec(&[&x]).unwrap();
    let mut choices = Vec::new();
    for backend in [Backend::Portable, Backend::Auto] {
        let mut results: Vec<Vec<u32>> = Vec::new();
        for depth_first in [true, false] {
            let options = Options { backend, depth_first, ..Options::default() };
            let code = Arc::new(compile(graph, &options).unwrap());
            if depth_first {
                choices = code.plan().choices.clone();
            } else {
                assert!(code.plan().choices.is_empty());
            }
            let weights = Arc::new(code.pack(&params).unwrap());
            for threads in [1, 3] {
                let mut network = code.network(weights.clone(), threads).unwrap();
                let out = network.run_to_vec(&[&x]).unwrap();
                for (out, expected) in out.iter().zip(&expected) {
                    let off = distance(expected, out);
                    assert!(off < 1e-5, "{backend:?} {depth_first}: off by {off}");
                }
                results.push(out.iter().flatten().map(|v| v.to_bits()).collect());
            }
        }
        assert!(results.iter().all(|bits| *bits == results[0]), "{backend:?}: the bits differ");
    }
    choices
}

#[test]
fn scale_bias_and_mask_are_steps_of_it() {
    let [windows, heads, tokens, _] = SIZES;
    for order in 0..4 {
        let (mut net, [q, k, v]) = projections();
        let mut scores = product(&mut net, q, k, true);
        scores = net.op(Op::Affine { mul: 0.25, add: 0.0 }, &[scores]);
        let bias = net.param("bias", &[heads, tokens, tokens]);
        let sum = Op::Binary(Binary::Add);
        // Either may stand on the left.
        let operands = if order % 2 == 0 { [scores, bias] } else { [bias, scores] };
        scores = net.op(sum.clone(), &operands);
        if order >= 2 {
            let mask = net.param("mask", &[windows, 1, tokens, tokens]);
            scores = net.op(sum, &[scores, mask]);
            let factor = net.param("factor", &[heads, 1, 1]);
            scores = net.op(Op::Binary(Binary::Mul), &[scores, factor]);
        }
        let shares = net.op(Op::Softmax { axis: 4 }, &[scores]);
        let mixed = product(&mut net, shares, v, false);
        finish(&mut net, mixed);
        let choices = check(&net.graph);
        assert!(matches!(choices[..], [plan::Choice { way: Way::HeadByHead(10), .. }]));
    }
}

#[test]
fn what_else_there_may_be() {
    // A function of the scores, values with columns in rows, something after the product.
    let (mut net, [q, k, v]) = projections();
    let v = net.op(Op::Transpose { perm: vec![0, 1, 2, 4, 3] }, &[v]);
    let k = net.op(Op::Transpose { perm: vec![0, 1, 2, 4, 3] }, &[k]);
    let scores = product(&mut net, q, k, false);
    let scores = net.op(act(Act::Tanh), &[scores]);
    let shares = net.op(Op::Softmax { axis: 4 }, &[scores]);
    let mixed = product(&mut net, shares, v, true);
    let mixed = net.op(act(Act::Silu), &[mixed]);
    finish(&mut net, mixed);
    assert!(matches!(check(&net.graph)[..], [plan::Choice { way: Way::HeadByHead(_), .. }]));

    // Queries whose values are far apart; the result of the heads is delivered.
    let (mut net, [q, k, v]) = projections();
    let q = net.op(Op::Transpose { perm: vec![0, 1, 2, 4, 3] }, &[q]);
    let k = net.op(Op::Transpose { perm: vec![0, 1, 2, 4, 3] }, &[k]);
    let v = net.op(Op::Transpose { perm: vec![0, 1, 2, 4, 3] }, &[v]);
    let scores = product(&mut net, q, k, true);
    let shares = net.op(Op::Softmax { axis: 4 }, &[scores]);
    let mixed = product(&mut net, shares, v, false);
    net.output("mixed", mixed);
    assert!(matches!(check(&net.graph)[..], [plan::Choice { way: Way::HeadByHead(_), .. }]));
}

#[test]
fn what_does_not_fit_stays_and_says_why() {
    let reason = |build: &dyn Fn(&mut Net, [NodeId; 3])| {
        let (mut net, parts) = projections();
        build(&mut net, parts);
        match &check(&net.graph)[..] {
            [choice] if choice.way == Way::StageByStage => choice.reason.clone(),
            choices => panic!("one refusal, not {choices:?}"),
        }
    };
    // Heads that talk to each other.
    let told = reason(&|net, [q, k, v]| {
        let scores = product(net, q, k, true);
        let last = net.op(Op::Transpose { perm: vec![0, 1, 3, 4, 2] }, &[scores]);
        let mixed = net.linear(last, SIZES[1], true);
        let scores = net.op(Op::Transpose { perm: vec![0, 1, 4, 2, 3] }, &[mixed]);
        let shares = net.op(Op::Softmax { axis: 4 }, &[scores]);
        let mixed = product(net, shares, v, false);
        finish(net, mixed);
    });
    assert!(told.contains("(linear) stands between the scores and their softmax"), "{told}");
    let told = reason(&|net, [q, k, v]| {
        let scores = product(net, q, k, true);
        let shares = net.op(Op::Softmax { axis: 4 }, &[scores]);
        net.output("shares", shares);
        let mixed = product(net, shares, v, false);
        finish(net, mixed);
    });
    assert!(told.contains("is read 2 times"), "{told}");
    let told = reason(&|net, [q, k, v]| {
        let scores = product(net, q, k, true);
        let shares = net.op(Op::Softmax { axis: 4 }, &[scores]);
        let v = net.op(Op::Transpose { perm: vec![0, 1, 2, 4, 3] }, &[v]);
        let mixed = net.op(Op::MatMul { transpose_a: false, transpose_b: true }, &[v, shares]);
        net.output("y", mixed);
    });
    assert!(told.contains("not a product with them on its left"), "{told}");
    let told = reason(&|net, [q, k, _]| {
        let scores = product(net, q, k, true);
        let shares = net.op(Op::Softmax { axis: 4 }, &[scores]);
        net.output("shares", shares);
    });
    assert!(told.contains("is a result"), "{told}");
    let told = reason(&|net, [q, k, v]| {
        let scores = product(net, q, k, true);
        let shares = net.op(Op::Softmax { axis: 3 }, &[scores]);
        let mixed = product(net, shares, v, false);
        finish(net, mixed);
    });
    assert!(told.contains("not over the last axis"), "{told}");
}

fn planned(spec: &str) -> Plan {
    let spec = Spec::load(spec).unwrap();
    let graph = expand(&spec, &Request::default()).unwrap().graph;
    let fused = optimize(&graph, &passes::Options::default()).unwrap().graph;
    plan(&fused, &plan::Options::default()).unwrap()
}

#[test]
fn networks_of_the_survey() {
    for (spec, layers) in [
        ("vit:tiny_patch16", 12),
        ("swin:tiny", 12),
        ("swin_v2:tiny", 12),
        ("mobilevit:xxs", 9),
        ("efficientformer:l1", 1),
    ] {
        let plan = planned(spec);
        let count = |is: &dyn Fn(&Kernel) -> bool| {
            plan.program.steps.iter().filter(|step| is(&plan.program.kernels[step.kernel])).count()
        };
        assert_eq!(count(&|kernel| matches!(kernel, Kernel::Attention(_))), layers, "{spec}");
        let others = count(&|kernel| matches!(kernel, Kernel::MatMul(_) | Kernel::Softmax { .. }));
        assert_eq!(others, 0, "{spec}");
    }
    // Its heads talk to each other, but for those of the class token.
    let plan = planned("cait:xxs24");
    let count = |way: &dyn Fn(Way) -> bool| plan.choices.iter().filter(|c| way(c.way)).count();
    assert_eq!(count(&|way| way == Way::StageByStage), 24);
    assert_eq!(count(&|way| matches!(way, Way::HeadByHead(1))), 2);
    let first = plan.choices.iter().find(|c| c.way == Way::StageByStage).unwrap();
    assert!(first.reason.contains("proj_l` (linear) stands between"), "{first}");
}
