//! Compiled networks against the interpreter: every operator, random graphs, numbers of threads.

mod plan_common;

use netwright_compiler::driver::{Backend, InterpretedNetwork, Network, Options, compile};
use netwright_compiler::plan::Way;
use netwright_ir::{
    Act, Binary, Conv, Graph, Interpolation, NodeId, Op, PadMode, Padding, Pool, PoolKind, Reduce,
    Unary,
};
use plan_common::*;
use proptest::prelude::*;
use std::sync::Arc;

fn options(backend: Backend, fuse: bool) -> Options {
    Options { backend, fuse, features: true, ..Options::default() }
}

/// Compiles and runs a graph in every way, and compares with the interpreter.
fn check(graph: &Graph, tolerance: f32) {
    let params = |index| param_tensor(graph, index);
    let mut judge = InterpretedNetwork::new(graph, &params, true, 1).unwrap();
    let images: Vec<Vec<f32>> = judge.inputs().iter().map(|port| image(&port.shape, 5)).collect();
    let inputs: Vec<&[f32]> = images.iter().map(Vec::as_slice).collect();
    let expected = judge.run_to_vec(&inputs).unwrap();
    for (backend, fuse) in
        [(Backend::Portable, true), (Backend::Portable, false), (Backend::Auto, true)]
    {
        let code = Arc::new(compile(graph, &options(backend, fuse)).unwrap());
        let weights = Arc::new(code.pack(&params).unwrap());
        let mut bits: Option<Vec<Vec<u32>>> = None;
        for threads in [1, 2, 3] {
            let mut network = code.network(Arc::clone(&weights), threads).unwrap();
            assert_eq!(network.outputs(), judge.outputs());
            assert_eq!(network.inputs(), judge.inputs());
            // The second run meets what the first one left in the workspace.
            network.run_to_vec(&inputs).unwrap();
            let results = network.run_to_vec(&inputs).unwrap();
            for ((port, a), b) in judge.outputs().iter().zip(&expected).zip(&results) {
                let distance = distance(a, b);
                assert!(
                    distance <= tolerance,
                    "{} is off by {distance} ({backend:?}, fuse {fuse})\n{}\n{}\n{}",
                    port.name,
                    graph.to_text(),
                    code.fused().graph.to_text(),
                    code.plan()
                );
            }
            let these: Vec<Vec<u32>> =
                results.iter().map(|r| r.iter().map(|v| v.to_bits()).collect()).collect();
            assert_eq!(bits.get_or_insert_with(|| these.clone()), &these, "{threads} threads");
        }
    }
}

/// One operator on one input.
fn single(shape: &[usize], make: impl Fn(&mut Net, NodeId) -> NodeId) {
    let (mut net, x) = Net::new(shape);
    let y = make(&mut net, x);
    net.output("y", y);
    check(&net.graph, 1e-5);
}

/// One operator on an intermediate value, with a step after it.
fn inner(shape: &[usize], make: impl Fn(&mut Net, NodeId) -> NodeId) {
    single(shape, |net, x| {
        let x = net.op(Op::Affine { mul: 0.9, add: 0.05 }, &[x]);
        let y = make(net, x);
        net.op(act(Act::Sigmoid), &[y])
    });
}

#[test]
fn convolutions() {
    for (kernel, stride, pad, groups, c, o, size) in [
        (1, 1, 0, 1, 3, 17, [5, 7]),
        (1, 2, 0, 1, 8, 16, [7, 7]),
        (3, 1, 1, 1, 5, 33, [6, 9]),
        (3, 2, 1, 1, 3, 8, [9, 8]),
        (5, 1, 2, 12, 12, 12, [7, 9]),
        (3, 2, 1, 20, 20, 20, [8, 7]),
        (3, 1, 1, 2, 6, 10, [5, 5]),
        (3, 1, 1, 4, 4, 8, [5, 5]),
        (4, 4, 0, 1, 3, 24, [8, 12]),
        (1, 1, 1, 1, 2, 3, [3, 3]),
    ] {
        for batch in [1, 2] {
            let shape = [batch, size[0], size[1], c];
            single(&shape, |net, x| net.conv(x, o, window(kernel, stride, pad, groups), true));
            inner(&shape, |net, x| net.conv(x, o, window(kernel, stride, pad, groups), false));
        }
    }
    for dilation in [[2, 1], [2, 3]] {
        for groups in [1, 6] {
            inner(&[2, 9, 11, 6], |net, x| {
                let conv = Conv {
                    kernel: [3, 3],
                    stride: [1, 2],
                    padding: Padding::Same,
                    dilation,
                    groups,
                };
                net.conv(x, 6, conv, true)
            });
        }
    }
    for input in [[6, 7], [7, 6], [1, 1]] {
        inner(&[1, input[0], input[1], 5], |net, x| {
            let padding = Padding::Same;
            net.conv(x, 5, Conv { padding, ..window(3, 2, 0, 5) }, true)
        });
    }
}

#[test]
fn linear_layers_and_products() {
    for shape in [&[3, 10][..], &[2, 5, 7], &[2, 3, 4, 6], &[9]] {
        inner(shape, |net, x| net.linear(x, 19, true));
        inner(shape, |net, x| net.linear(x, 4, false));
    }
    for (transpose_a, transpose_b) in [(false, false), (false, true), (true, false), (true, true)] {
        let (m, n, k) = (5, 18, 7);
        let a = if transpose_a { [2, 3, k, m] } else { [2, 3, m, k] };
        let op = Op::MatMul { transpose_a, transpose_b };
        inner(&a, |net, x| {
            // The second operand broadcasts over the first axis.
            let b = if transpose_b { [1, 3, n, k] } else { [1, 3, k, n] };
            let b = net.param("matrix", &b);
            net.op(op.clone(), &[x, b])
        });
        inner(&a, |net, x| {
            let swapped = net.op(Op::Transpose { perm: vec![0, 1, 3, 2] }, &[x]);
            let (y, op) = match (transpose_a, transpose_b) {
                (a, b) if a != b => (x, op.clone()),
                _ => (swapped, op.clone()),
            };
            net.op(op, &[x, y])
        });
    }
    // A linear layer whose weight depends on the image.
    inner(&[4, 6], |net, x| {
        let weight = net.op(act(Act::Tanh), &[x]);
        net.op(Op::Linear, &[x, weight])
    });
}

#[test]
fn elementwise_functions() {
    let acts = [
        Act::Relu,
        Act::Relu6,
        Act::HardSwish,
        Act::HardSigmoid,
        Act::Sigmoid,
        Act::Silu,
        Act::Gelu,
        Act::GeluTanh,
        Act::Tanh,
    ];
    let others = [Unary::Neg, Unary::Abs, Unary::Exp, Unary::Square];
    for unary in acts.map(Unary::Act).into_iter().chain(others) {
        single(&[2, 3, 5, 7], |net, x| {
            let x = net.op(Op::Affine { mul: 8.0, add: 0.0 }, &[x]);
            net.op(Op::Unary(unary), &[x])
        });
    }
    for unary in [Unary::Log, Unary::Sqrt, Unary::Rsqrt, Unary::Recip] {
        single(&[2, 3, 5, 7], |net, x| {
            let x = net.op(Op::Affine { mul: 1.0, add: 1.5 }, &[x]);
            net.op(Op::Unary(unary), &[x])
        });
    }
    for op in [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min] {
        for other in [&[7][..], &[5, 7], &[3, 1, 7], &[2, 1, 1, 7], &[2, 3, 5, 1], &[1], &[5, 1]] {
            for first in [false, true] {
                inner(&[2, 3, 5, 7], |net, x| {
                    let other = net.param("other", other);
                    let operands = if first { [other, x] } else { [x, other] };
                    net.op(Op::Binary(op), &operands)
                });
            }
        }
    }
    for op in [Binary::Div, Binary::Pow] {
        single(&[2, 3, 5, 7], |net, x| {
            let x = net.op(Op::Affine { mul: 1.0, add: 1.5 }, &[x]);
            let y = net.param("var", &[5, 1]);
            net.op(Op::Binary(op), &[x, y])
        });
    }
    // The result is larger than either operand.
    inner(&[2, 3, 1, 7], |net, x| {
        let other = net.param("other", &[5, 1]);
        net.op(Op::Binary(Binary::Sub), &[other, x])
    });
    single(&[1, 4, 4, 3], |net, x| net.op(Op::Clamp { low: -0.2, high: 0.3 }, &[x]));
}

#[test]
fn normalisations() {
    inner(&[2, 3, 5, 6], |net, x| net.batch_norm(x));
    inner(&[2, 5, 19], |net, x| net.layer_norm(x, 1e-5, true));
    inner(&[2, 5, 8], |net, x| net.layer_norm(x, 1e-5, false));
    inner(&[2, 5, 8], |net, x| {
        let n = net.layer_norm(x, 1e-5, true);
        net.linear(n, 3, true)
    });
    for axis in 0..4 {
        inner(&[2, 3, 4, 5], |net, x| net.op(Op::Softmax { axis }, &[x]));
    }
    // Vectors that are made from the image.
    inner(&[2, 3, 3, 4], |net, x| {
        let mean =
            net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![0, 1, 2], keep: false }, &[x]);
        let var = net.op(act(Act::Sigmoid), &[mean]);
        net.op(Op::BatchNorm { eps: 1e-3 }, &[x, mean, var, mean, var])
    });
}

#[test]
fn pooling_and_reductions() {
    for kind in [PoolKind::Max, PoolKind::Avg] {
        for (kernel, stride, border, ceil_mode, count_include_pad) in [
            ([2, 2], [2, 2], [0, 0], false, false),
            ([3, 3], [2, 2], [1, 1], false, true),
            ([3, 3], [2, 2], [1, 0], true, false),
            ([3, 2], [1, 2], [1, 1], true, true),
            ([7, 6], [1, 1], [0, 0], false, true),
        ] {
            let [before, after] = border;
            let pool = Pool {
                kind,
                kernel,
                stride,
                padding: Padding::Explicit {
                    top: before,
                    bottom: after,
                    left: before,
                    right: after,
                },
                ceil_mode,
                count_include_pad,
            };
            inner(&[2, 7, 6, 5], |net, x| net.op(Op::Pool(pool.clone()), &[x]));
        }
        let padding = Padding::Same;
        let (kernel, stride) = ([3, 3], [2, 2]);
        let pool =
            Pool { kind, kernel, stride, padding, ceil_mode: false, count_include_pad: false };
        inner(&[1, 6, 7, 3], |net, x| net.op(Op::Pool(pool.clone()), &[x]));
    }
    for kind in [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min, Reduce::L2] {
        for axes in
            [vec![0], vec![1], vec![3], vec![1, 2], vec![0, 2], vec![1, 3], vec![0, 1, 2, 3]]
        {
            for keep in [false, true] {
                inner(&[2, 3, 4, 5], |net, x| {
                    let axes = axes.clone();
                    net.op(Op::Reduce { kind, axes, keep }, &[x])
                });
            }
        }
    }
}

#[test]
fn movement() {
    for axis in 0..4 {
        inner(&[2, 3, 4, 5], |net, x| net.op(Op::Concat { axis }, &[x, x, x]));
        for shift in [-1, 1, 7] {
            inner(&[2, 3, 4, 5], |net, x| net.op(Op::Roll { axis, shift }, &[x]));
        }
        inner(&[4, 5, 6, 7], |net, x| net.op(Op::Slice { axis, start: 1, len: 2, step: 2 }, &[x]));
        inner(&[3, 3, 4, 5], |net, x| {
            let indices = Arc::new(vec![2, 0, 0, 1]);
            net.op(Op::Gather { axis, indices, shape: vec![2, 2] }, &[x])
        });
    }
    // Concatenation of what lies strided.
    inner(&[2, 3, 4, 5], |net, x| {
        let a = net.op(Op::Slice { axis: 3, start: 1, len: 2, step: 1 }, &[x]);
        let b = net.op(Op::Slice { axis: 3, start: 0, len: 1, step: 1 }, &[x]);
        net.op(Op::Concat { axis: 3 }, &[a, b])
    });
    for mode in [PadMode::Constant(0.5f32.to_bits()), PadMode::Reflect, PadMode::Replicate] {
        let amounts = vec![(0, 0), (1, 2), (2, 0), (1, 1)];
        inner(&[2, 3, 4, 5], |net, x| net.op(Op::Pad { amounts: amounts.clone(), mode }, &[x]));
        let amounts = vec![(1, 0), (0, 0), (0, 3), (0, 0)];
        single(&[2, 3, 4, 5], |net, x| net.op(Op::Pad { amounts: amounts.clone(), mode }, &[x]));
    }
    for perm in [[0, 3, 1, 2], [3, 2, 1, 0], [1, 0, 3, 2], [0, 2, 1, 3]] {
        inner(&[2, 3, 4, 5], |net, x| net.op(Op::Transpose { perm: perm.to_vec() }, &[x]));
        // A view through which another view looks, and a reshape that no strides express.
        inner(&[2, 3, 4, 5], |net, x| {
            let y = net.op(Op::Transpose { perm: perm.to_vec() }, &[x]);
            let y = net.op(Op::Reshape { shape: vec![6, 20] }, &[y]);
            net.op(Op::Transpose { perm: vec![1, 0] }, &[y])
        });
    }
    inner(&[2, 1, 4, 1], |net, x| net.op(Op::Expand { shape: vec![2, 3, 4, 5] }, &[x]));
    inner(&[1, 4], |net, x| {
        let y = net.op(Op::Expand { shape: vec![3, 4] }, &[x]);
        net.linear(y, 5, true)
    });
}

#[test]
fn interpolation() {
    for mode in [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic] {
        for (size, align_corners, antialias) in [
            ([4, 4], false, false),
            ([11, 3], false, false),
            ([11, 9], true, false),
            ([2, 3], false, true),
        ] {
            if mode == Interpolation::Nearest && (align_corners || antialias) {
                continue;
            }
            let op = Op::Resize { size, mode, align_corners, antialias };
            inner(&[2, 5, 7, 5], |net, x| net.op(op.clone(), &[x]));
        }
    }
}

#[test]
fn the_image_itself_as_a_result() {
    single(&[2, 3, 4, 5], |_, x| x);
    single(&[2, 3, 4, 5], |net, x| net.op(Op::Transpose { perm: vec![0, 3, 1, 2] }, &[x]));
    // Twice the same value, and a value that depends on weights alone.
    let (mut net, x) = Net::new(&[1, 2, 3, 4]);
    let y = net.op(act(Act::Relu), &[x]);
    let w = net.param("w", &[2, 2, 2, 3]);
    for (name, id) in [("a", y), ("b", y), ("c", w), ("d", x)] {
        net.output(name, id);
    }
    check(&net.graph, 1e-6);
}

#[test]
fn a_result_is_read_on() {
    // Slices of a value that lies in the caller's output.
    let (mut net, x) = Net::new(&[1, 4, 4, 16]);
    let y = net.op(act(Act::Tanh), &[x]);
    let y = net.op(Op::Reshape { shape: vec![16, 16] }, &[y]);
    let a = net.op(Op::Slice { axis: 0, start: 2, len: 3, step: 1 }, &[y]);
    net.output("y", y);
    let a = net.linear(a, 7, true);
    net.output("a", a);
    let b = net.op(Op::Slice { axis: 0, start: 4, len: 3, step: 1 }, &[y]);
    let b = net.linear(b, 7, true);
    net.output("b", b);
    check(&net.graph, 1e-5);
}

#[test]
fn winograd_is_a_choice() {
    let (mut net, x) = Net::new(&[1, 17, 22, 24]);
    let y = net.conv(x, 40, window(3, 1, 1, 1), true);
    net.output("y", y);
    check(&net.graph, 1e-5);
    for (winograd, reason) in [(true, "instead of"), (false, "asked for")] {
        let code = compile(&net.graph, &Options { winograd, ..Options::default() }).unwrap();
        let [choice] = &code.plan().choices[..] else { panic!("one convolution, one choice") };
        assert_eq!(matches!(choice.way, Way::Winograd(_)), winograd);
        assert!(choice.to_string().contains(reason), "{choice}");
        let plan = code.plan().to_string();
        assert_eq!(plan.contains(" winograd4_3x3_1x17x22x24_to_17x22x40"), winograd, "{plan}");
    }
}

#[test]
fn depth_first_is_a_choice() {
    for (stride, batch) in [(1, 1), (2, 2)] {
        let (mut net, x) = Net::new(&[batch, 45, 50, 12]);
        let y = net.conv(x, 60, window(1, 1, 0, 1), true);
        let y = net.op(act(Act::Silu), &[y]);
        let y = net.conv(y, 60, window(3, stride, 1, 60), true);
        let y = net.op(act(Act::Relu), &[y]);
        let mut y = net.conv(y, 12, window(1, 1, 0, 1), true);
        if stride == 1 {
            y = net.op(Op::Binary(Binary::Add), &[y, x]);
        }
        net.output("y", y);
        check(&net.graph, 1e-5);
        let params = |index| param_tensor(&net.graph, index);
        let mut results = Vec::new();
        for depth_first in [true, false] {
            let options = Options { depth_first, ..Options::default() };
            let code = Arc::new(compile(&net.graph, &options).unwrap());
            let choices = &code.plan().choices[..];
            let chosen = choices.iter().any(|c| matches!(c.way, Way::DepthFirst(2..)));
            assert_eq!(chosen, depth_first, "{choices:?}");
            let arena = code.plan().program.arena_bytes;
            let weights = Arc::new(code.pack(&params).unwrap());
            let mut network = code.network(weights, 2).unwrap();
            let x = image(&network.inputs()[0].shape, 3);
            let y = network.run_to_vec(&[&x]).unwrap().swap_remove(0);
            results.push((arena, y.iter().map(|v| v.to_bits()).collect::<Vec<_>>()));
        }
        let [(small, depth_first), (large, by_stages)] = &results[..] else { panic!("two ways") };
        assert!(depth_first == by_stages, "the bits differ");
        assert!(3 * small < *large, "an arena of {small} instead of {large} bytes");
    }
}

#[test]
fn large_batches_run_in_rounds() {
    // Two maps of 1 MiB an image.
    let (mut net, x) = Net::new(&[9, 128, 128, 3]);
    let y = net.conv(x, 16, window(3, 1, 1, 1), true);
    let y = net.op(act(Act::Relu), &[y]);
    let y = net.conv(y, 16, window(1, 1, 0, 1), true);
    let z = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: false }, &[y]);
    net.output("means", z);
    net.graph.features.push(("map".into(), y));
    check(&net.graph, 1e-5);
    let rounds = |graph: &Graph| {
        let code = compile(graph, &Options { features: true, ..Options::default() }).unwrap();
        assert_eq!(code.inputs()[0].shape, [9, 3, 128, 128]);
        assert_eq!(code.outputs()[1].shape[0], 9);
        (code.plan().program.rounds, code.plan().program.arena_bytes)
    };
    let (parts, arena) = rounds(&net.graph);
    assert!(parts == 3 || parts == 9, "{parts} rounds");
    assert!(arena <= 8 << 20, "an arena of {arena} bytes");
    // Where images meet, all of them are computed at once.
    net.graph.outputs.clear();
    let roll = net.op(Op::Roll { axis: 0, shift: 1 }, &[y]);
    let z = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: false }, &[roll]);
    net.output("means", z);
    assert_eq!(rounds(&net.graph).0, 1);
}

/// Products of all sizes before a layer over one row, whose weights only some of them can fetch.
#[test]
fn weights_are_fetched_ahead() {
    for (size, channels, fetched) in [(3, 1, false), (3, 3, false), (5, 40, false), (50, 96, true)]
    {
        let (mut net, x) = Net::new(&[1, size, size, 40]);
        let y = net.conv(x, channels, window(1, 1, 0, 1), true);
        let y = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: false }, &[y]);
        let y = net.linear(y, 10_000, true);
        net.output("y", y);
        check(&net.graph, 1e-5);
        let code = compile(&net.graph, &Options::default()).unwrap();
        let ways: Vec<Way> = code.plan().choices.iter().map(|choice| choice.way).collect();
        assert_eq!(ways.contains(&Way::FetchesAhead), fetched, "{channels} channels: {ways:?}");
    }
}

#[test]
fn gates_go_over_the_smaller_operand() {
    let ways = |net: &Net| {
        check(&net.graph, 1e-5);
        let code = compile(&net.graph, &Options { features: true, ..Options::default() }).unwrap();
        code.plan().choices.iter().map(|choice| choice.way).collect::<Vec<_>>()
    };
    // 8 x 9 pixels and 40 output channels, 5 x 5 pixels and 40.
    assert_eq!(ways(&gated(&[1, 8, 9, 20], 40).0), [Way::FromRows, Way::GateOnWeights]);
    assert_eq!(ways(&gated(&[1, 5, 5, 20], 40).0), [Way::FromRows, Way::GateOnMap]);
    // Each image has a gate of its own.
    assert_eq!(ways(&gated(&[3, 8, 9, 20], 40).0), [Way::FromRows]);
    // Another reader of the gated map.
    let (mut net, y) = gated(&[1, 8, 9, 20], 40);
    net.graph.features.push(("gated".into(), y));
    assert_eq!(ways(&net), [Way::FromRows]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_graphs(seed in any::<u64>(), steps in 1usize..20) {
        check(&random_graph(seed, steps), 5e-5);
    }
}

#[test]
fn errors_are_clear() {
    let (mut net, x) = Net::new(&[1, 3, 3, 2]);
    let y = net.conv(x, 4, window(1, 1, 0, 1), false);
    net.output("y", y);
    let code = Arc::new(compile(&net.graph, &Options::default()).unwrap());
    let graph = net.graph.clone();
    let weights = Arc::new(code.pack(&|index| param_tensor(&graph, index)).unwrap());
    let mut network = code.network(weights, 1).unwrap();
    let mut out = vec![0.0; 36];
    assert!(network.run(&[&[0.0; 17]], &mut [&mut out]).is_err());
    assert!(network.run(&[&[0.0; 18]], &mut [&mut out[1..]]).is_err());
    assert!(network.run(&[], &mut [&mut out]).is_err());
    assert!(network.run(&[&[0.0; 18]], &mut [&mut out]).is_ok());
    let wrong = code.pack(&|_| Arc::new(netwright_ir::Tensor::zeros([1]))).unwrap_err();
    assert!(wrong.to_string().contains("has shape [4, 2, 1, 1]"), "{wrong}");

    let (mut net, x) = Net::new(&[1, 3, 3, 2]);
    let pooled = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: true }, &[x]);
    let weight = net.op(Op::Reshape { shape: vec![1, 2, 1, 1] }, &[pooled]);
    let y = net.op(Op::Conv(window(1, 1, 0, 1)), &[x, weight]);
    net.output("y", y);
    let error = compile(&net.graph, &Options::default()).err().unwrap();
    assert!(error.to_string().contains("weights are computed from the image"), "{error}");

    let (mut net, x) = Net::new(&[1, 1 << 15, 1 << 15, 2]);
    net.output("y", x);
    let error = compile(&net.graph, &Options::default()).err().unwrap();
    assert!(error.to_string().contains("more than can be compiled"), "{error}");
}
