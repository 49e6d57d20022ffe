//! Operators against values worked out by hand and against other formulations.

use super::*;
use crate::op::*;
use crate::padding::Border;

/// The value that `op` makes of constant operands.
fn run(op: Op, operands: &[&Tensor]) -> Tensor {
    let mut graph = Graph::default();
    let ids: Vec<NodeId> =
        operands.iter().map(|x| graph.constant("x", (*x).clone()).unwrap()).collect();
    let id = graph.push("y", op, ids).unwrap();
    graph.outputs.push(("y".into(), id));
    let result = evaluate_weight_expressions(&graph, &no_params, &[id]).unwrap();
    assert_eq!(result[0].shape, graph.shape(id));
    Tensor::clone(&result[0])
}

fn no_params(_: usize) -> Arc<Tensor> {
    panic!("these graphs have no parameters")
}

fn t(shape: &[usize], data: &[f32]) -> Tensor {
    Tensor::new(shape, data.to_vec())
}

/// Values without a pattern, in [-1, 1), by a multiplicative generator.
fn noise(shape: &[usize], seed: u64) -> Tensor {
    let len = shape.iter().product();
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let data = (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::new(shape, data)
}

fn ramp(shape: &[usize]) -> Tensor {
    Tensor::new(shape, (0..shape.iter().product()).map(|i: usize| i as f32).collect())
}

fn symmetric(pad: usize) -> Padding {
    Padding::Explicit { top: pad, bottom: pad, left: pad, right: pad }
}

fn assert_near(actual: &Tensor, expected: &[f32]) {
    assert_eq!(actual.data.len(), expected.len());
    for (i, (a, e)) in actual.data.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= 1e-6 * e.abs().max(1.0), "element {i}: {a} is not {e}");
    }
}

/// Convolution as a scatter: each input cell adds to all outputs it reaches.
fn scattered_conv(conv: &Conv, x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let [n, h, w, channels] = x.shape[..] else { panic!("a map") };
    let outputs = weight.shape[0];
    let windows = conv.windows([h, w]).unwrap();
    let Border { top, left, .. } = windows.border;
    let [out_h, out_w] = windows.output;
    let (depth, width) = (channels / conv.groups, outputs / conv.groups);
    let mut sums = vec![0.0f64; n * out_h * out_w * outputs];
    for (i, &value) in x.data.iter().enumerate() {
        let c = i % channels;
        let ix = i / channels % w;
        let iy = i / channels / w % h;
        let image = i / channels / w / h;
        for ky in 0..conv.kernel[0] {
            for kx in 0..conv.kernel[1] {
                let y = (iy + top).wrapping_sub(ky * conv.dilation[0]);
                let x = (ix + left).wrapping_sub(kx * conv.dilation[1]);
                let (oy, ox) = (y / conv.stride[0], x / conv.stride[1]);
                if y % conv.stride[0] != 0 || x % conv.stride[1] != 0 || oy >= out_h || ox >= out_w
                {
                    continue;
                }
                let group = c / depth;
                for o in group * width..(group + 1) * width {
                    let tap = ((o * depth + c % depth) * conv.kernel[0] + ky) * conv.kernel[1] + kx;
                    let out = ((image * out_h + oy) * out_w + ox) * outputs + o;
                    sums[out] += value as f64 * weight.data[tap] as f64;
                }
            }
        }
    }
    let data = sums
        .iter()
        .enumerate()
        .map(|(i, sum)| (sum + bias.map_or(0.0, |b| b.data[i % outputs] as f64)) as f32)
        .collect();
    Tensor::new([n, out_h, out_w, outputs], data)
}

#[test]
fn conv_by_hand() {
    // One 2x2 window at each corner of [[0, 1, 2], [3, 4, 5], [6, 7, 8]].
    let conv =
        Conv { kernel: [2, 2], stride: [1, 1], padding: symmetric(0), dilation: [1, 1], groups: 1 };
    let weight = t(&[1, 1, 2, 2], &[1.0, 10.0, 100.0, 1000.0]);
    let y = run(Op::Conv(conv.clone()), &[&ramp(&[1, 3, 3, 1]), &weight, &t(&[1], &[0.5])]);
    assert_eq!(y.data, [4310.5, 5421.5, 7643.5, 8754.5]);
    // SAME at stride 2 on an even map: nothing before, one row and column after.
    let same = Conv { kernel: [3, 3], stride: [2, 2], padding: Padding::Same, ..conv };
    let ones = t(&[1, 1, 3, 3], &[1.0; 9]);
    let y = run(Op::Conv(same), &[&ramp(&[1, 4, 4, 1]), &ones]);
    assert_eq!(y.data, [45.0, 39.0, 66.0, 50.0]);
}

#[test]
fn conv_agrees_with_a_scatter() {
    for (map, channels, outputs, kernel, stride, padding, dilation, groups) in [
        ([5, 6], 3, 7, [3, 3], [1, 1], symmetric(1), [1, 1], 1),
        ([5, 6], 6, 9, [3, 2], [2, 1], Padding::Same, [1, 1], 3),
        ([9, 8], 4, 4, [3, 3], [2, 2], symmetric(1), [1, 1], 4),
        ([9, 8], 4, 8, [5, 5], [2, 2], Padding::Same, [1, 1], 4),
        ([9, 9], 2, 3, [3, 3], [1, 2], symmetric(3), [2, 3], 1),
        ([4, 4], 5, 6, [1, 1], [1, 1], symmetric(0), [1, 1], 1),
        ([1, 1], 8, 2, [1, 1], [1, 1], symmetric(0), [1, 1], 2),
        ([7, 5], 1, 1, [3, 3], [1, 1], symmetric(2), [1, 1], 1),
        (
            [6, 6],
            3,
            5,
            [4, 3],
            [2, 2],
            Padding::Explicit { top: 0, bottom: 3, left: 2, right: 1 },
            [1, 1],
            1,
        ),
    ] {
        let conv = Conv { kernel, stride, padding, dilation, groups };
        let x = noise(&[2, map[0], map[1], channels], 1);
        let weight = noise(&[outputs, channels / groups, kernel[0], kernel[1]], 2);
        let bias = noise(&[outputs], 3);
        let y = run(Op::Conv(conv.clone()), &[&x, &weight, &bias]);
        let expected = scattered_conv(&conv, &x, &weight, Some(&bias));
        assert_eq!(y.shape, expected.shape);
        assert_near(&y, &expected.data);
        let y = run(Op::Conv(conv.clone()), &[&x, &weight]);
        assert_near(&y, &scattered_conv(&conv, &x, &weight, None).data);
    }
}

#[test]
fn sums_are_exact_where_f32_would_cancel() {
    let x = t(&[1, 4], &[1e8, 1.0, -1e8, 1.0]);
    let y = run(Op::Linear, &[&x, &t(&[1, 4], &[1.0; 4])]);
    assert_eq!(y.data, [2.0]);
}

#[test]
fn linear_over_the_last_axis() {
    let x = ramp(&[1, 2, 3]);
    let weight = t(&[2, 3], &[1.0, 0.0, 0.0, 1.0, 1.0, 1.0]);
    let y = run(Op::Linear, &[&x, &weight, &t(&[2], &[0.0, 10.0])]);
    assert_eq!(y.shape, [1, 2, 2]);
    assert_eq!(y.data, [0.0, 13.0, 3.0, 22.0]);
    // More rows and columns than a tile, against sums written out.
    let (x, weight) = (noise(&[19, 11], 4), noise(&[6, 11], 5));
    let y = run(Op::Linear, &[&x, &weight]);
    for r in 0..19 {
        for o in 0..6 {
            let sum: f64 =
                (0..11).map(|i| x.data[r * 11 + i] as f64 * weight.data[o * 11 + i] as f64).sum();
            assert_eq!(y.data[r * 6 + o], sum as f32);
        }
    }
}

#[test]
fn matmul_transposes_and_broadcasts() {
    let a = t(&[2, 2], &[1.0, 2.0, 3.0, 4.0]);
    let b = t(&[2, 2], &[5.0, 6.0, 7.0, 8.0]);
    let product =
        |transpose_a, transpose_b| run(Op::MatMul { transpose_a, transpose_b }, &[&a, &b]).data;
    assert_eq!(product(false, false), [19.0, 22.0, 43.0, 50.0]);
    assert_eq!(product(false, true), [17.0, 23.0, 39.0, 53.0]);
    assert_eq!(product(true, false), [26.0, 30.0, 38.0, 44.0]);
    assert_eq!(product(true, true), [23.0, 31.0, 34.0, 46.0]);

    let (a, b) = (noise(&[2, 1, 5, 3], 6), noise(&[4, 6, 3], 7));
    let y = run(Op::MatMul { transpose_a: false, transpose_b: true }, &[&a, &b]);
    assert_eq!(y.shape, [2, 4, 5, 6]);
    for (i, &y) in y.data.iter().enumerate() {
        let (n, m, head, image) = (i % 6, i / 6 % 5, i / 30 % 4, i / 120);
        let sum: f64 = (0..3)
            .map(|k| {
                let a = a.data[(image * 5 + m) * 3 + k] as f64;
                a * b.data[(head * 6 + n) * 3 + k] as f64
            })
            .sum();
        assert_eq!(y, sum as f32);
    }
}

#[test]
fn normalisations() {
    let x = t(&[1, 2, 2], &[1.0, 3.0, -2.0, 2.0]);
    let y = run(Op::LayerNorm { eps: 0.0 }, &[&x]);
    assert_eq!(y.data, [-1.0, 1.0, -1.0, 1.0]);
    let y = run(Op::LayerNorm { eps: 3.0 }, &[&x, &t(&[2], &[2.0, 4.0]), &t(&[2], &[10.0, 20.0])]);
    let near = 2.0 / 7f32.sqrt();
    assert_near(&y, &[9.0, 22.0, 10.0 - 2.0 * near, 20.0 + 4.0 * near]);
    let vectors =
        [[2.0f32, 1.0], [0.5, 0.0], [1.0, 2.0], [3.0, 0.0]].map(|v| Tensor::new([2], v.to_vec()));
    let [gamma, beta, mean, var] = &vectors;
    let y = run(Op::BatchNorm { eps: 1.0 }, &[&x, gamma, beta, mean, var]);
    assert_eq!(y.data, [0.5, 1.0, -2.5, 0.0]);
}

#[test]
fn elementwise_arithmetic_broadcasts() {
    let a = ramp(&[2, 1, 3]);
    let b = t(&[2, 1], &[10.0, 20.0]);
    let y = run(Op::Binary(Binary::Add), &[&a, &b]);
    assert_eq!(y.shape, [2, 2, 3]);
    assert_eq!(y.data, [10.0, 11.0, 12.0, 20.0, 21.0, 22.0, 13.0, 14.0, 15.0, 23.0, 24.0, 25.0]);
    let scalar = t(&[], &[2.0]);
    let three = t(&[3], &[1.0, -4.0, 9.0]);
    for (op, expected) in [
        (Binary::Sub, [1.0, 6.0, -7.0]),
        (Binary::Mul, [2.0, -8.0, 18.0]),
        (Binary::Div, [2.0, -0.5, 2.0 / 9.0]),
        (Binary::Max, [2.0, 2.0, 9.0]),
        (Binary::Min, [1.0, -4.0, 2.0]),
        (Binary::Pow, [2.0, 0.0625, 512.0]),
    ] {
        assert_eq!(run(Op::Binary(op), &[&scalar, &three]).data, expected, "{op:?}");
    }
    assert_eq!(run(Op::Binary(Binary::Sub), &[&three, &scalar]).data, [-1.0, -6.0, 7.0]);
    let nan = t(&[3], &[f32::NAN; 3]);
    assert!(run(Op::Binary(Binary::Max), &[&three, &nan]).data.iter().all(|v| v.is_nan()));
    assert!(run(Op::Binary(Binary::Max), &[&nan, &three]).data.iter().all(|v| v.is_nan()));
}

#[test]
fn elementwise_functions() {
    let x = t(&[4], &[0.25, 1.0, 4.0, 16.0]);
    for (function, expected) in [
        (Unary::Neg, [-0.25, -1.0, -4.0, -16.0]),
        (Unary::Sqrt, [0.5, 1.0, 2.0, 4.0]),
        (Unary::Rsqrt, [2.0, 1.0, 0.5, 0.25]),
        (Unary::Recip, [4.0, 1.0, 0.25, 0.0625]),
        (Unary::Square, [0.0625, 1.0, 16.0, 256.0]),
        (Unary::Abs, [0.25, 1.0, 4.0, 16.0]),
    ] {
        assert_eq!(run(Op::Unary(function), &[&x]).data, expected, "{function:?}");
    }
    assert_near(&run(Op::Unary(Unary::Log), &[&x]), &[-1.386_294_4, 0.0, 1.386_294_4, 2.772_588_7]);
    assert_eq!(run(Op::Clamp { low: 0.5, high: 4.5 }, &[&x]).data, [0.5, 1.0, 4.0, 4.5]);
    assert_eq!(run(Op::Affine { mul: 2.0, add: -1.0 }, &[&x]).data, [-0.5, 1.0, 7.0, 31.0]);
}

#[test]
fn pooling_as_pytorch() {
    let pool = |kind, kernel, stride, pad, ceil_mode, count_include_pad| {
        Op::Pool(Pool {
            kind,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: symmetric(pad),
            ceil_mode,
            count_include_pad,
        })
    };
    use PoolKind::{Avg, Max};
    let x = ramp(&[1, 5, 5, 1]);
    let go = |op| run(op, &[&x]).data;
    assert_eq!(go(pool(Max, 2, 2, 0, false, false)), [6.0, 8.0, 16.0, 18.0]);
    assert_eq!(
        go(pool(Max, 2, 2, 0, true, false)),
        [6.0, 8.0, 9.0, 16.0, 18.0, 19.0, 21.0, 23.0, 24.0]
    );
    // The windows that hang over are cut at the border, whether or not padding is counted.
    let ceil = [3.0, 5.0, 6.5, 13.0, 15.0, 16.5, 20.5, 22.5, 24.0];
    assert_eq!(go(pool(Avg, 2, 2, 0, true, true)), ceil);
    assert_eq!(go(pool(Avg, 2, 2, 0, true, false)), ceil);
    // 3x3, stride 2, border 1: the corner sees 4 cells of 9.
    let inside = [3.0, 4.5, 6.0, 10.5, 12.0, 13.5, 18.0, 19.5, 21.0];
    assert_eq!(go(pool(Avg, 3, 2, 1, false, false)), inside);
    let cells = [4.0, 6.0, 4.0, 6.0, 9.0, 6.0, 4.0, 6.0, 4.0];
    let y = run(pool(Avg, 3, 2, 1, false, true), &[&x]);
    let expected: Vec<f32> = inside.iter().zip(cells).map(|(v, n)| v * n / 9.0).collect();
    assert_near(&y, &expected);
    // Negative values: the border of maximum pooling is not zero.
    let negative = t(&[1, 1, 1, 2], &[-3.0, -5.0]);
    assert_eq!(run(pool(Max, 3, 2, 1, false, false), &[&negative]).data, [-3.0, -5.0]);
}

#[test]
fn reductions() {
    let x = t(&[2, 3], &[3.0, -1.0, 4.0, 0.0, -4.0, 1.0]);
    let reduce =
        |kind, axes: &[usize], keep| run(Op::Reduce { kind, axes: axes.to_vec(), keep }, &[&x]);
    assert_eq!(reduce(Reduce::Sum, &[0], false).data, [3.0, -5.0, 5.0]);
    assert_eq!(reduce(Reduce::Mean, &[1], true), t(&[2, 1], &[2.0, -1.0]));
    assert_eq!(reduce(Reduce::Max, &[0, 1], true), t(&[1, 1], &[4.0]));
    assert_eq!(reduce(Reduce::Min, &[1], false).data, [-1.0, -4.0]);
    assert_eq!(reduce(Reduce::L2, &[0], false).data, [3.0, 17f32.sqrt(), 17f32.sqrt()]);
    // Axes that do not touch.
    let x = ramp(&[2, 3, 4]);
    let y = run(Op::Reduce { kind: Reduce::Sum, axes: vec![0, 2], keep: false }, &[&x]);
    assert_eq!(y.data, [60.0, 92.0, 124.0]);
}

#[test]
fn softmax_along_any_axis() {
    let x = t(&[2, 2], &[0.0, 1000.0, 2f32.ln(), 1000.0]);
    assert_near(&run(Op::Softmax { axis: 0 }, &[&x]), &[1.0 / 3.0, 0.5, 2.0 / 3.0, 0.5]);
    assert_near(&run(Op::Softmax { axis: 1 }, &[&x]), &[0.0, 1.0, 0.0, 1.0]);
}

#[test]
fn movements() {
    let x = ramp(&[2, 3]);
    assert_eq!(
        run(Op::Transpose { perm: vec![1, 0] }, &[&x]),
        t(&[3, 2], &[0.0, 3.0, 1.0, 4.0, 2.0, 5.0])
    );
    assert_eq!(run(Op::Reshape { shape: vec![6] }, &[&x]).data, x.data);
    assert_eq!(
        run(Op::Expand { shape: vec![2, 1, 2] }, &[&t(&[2, 1, 1], &[7.0, 8.0])]).data,
        [7.0, 7.0, 8.0, 8.0]
    );
    assert_eq!(
        run(Op::Concat { axis: 1 }, &[&x, &t(&[2, 1], &[8.0, 9.0])]),
        t(&[2, 4], &[0.0, 1.0, 2.0, 8.0, 3.0, 4.0, 5.0, 9.0])
    );
    let slice = Op::Slice { axis: 1, start: 0, len: 2, step: 2 };
    assert_eq!(run(slice, &[&x]), t(&[2, 2], &[0.0, 2.0, 3.0, 5.0]));
    assert_eq!(run(Op::Roll { axis: 1, shift: 1 }, &[&x]).data, [2.0, 0.0, 1.0, 5.0, 3.0, 4.0]);
    assert_eq!(run(Op::Roll { axis: 1, shift: -4 }, &[&x]).data, [1.0, 2.0, 0.0, 4.0, 5.0, 3.0]);
    let gather = Op::Gather { axis: 1, indices: Arc::new(vec![2, 0, 0, 1]), shape: vec![2, 2] };
    assert_eq!(run(gather, &[&x]), t(&[2, 2, 2], &[2.0, 0.0, 0.0, 1.0, 5.0, 3.0, 3.0, 4.0]));
    // A transpose of four axes, element by element.
    let x = ramp(&[2, 3, 4, 5]);
    let y = run(Op::Transpose { perm: vec![2, 0, 3, 1] }, &[&x]);
    for (i, &y) in y.data.iter().enumerate() {
        let (b, d, a, c) = (i % 3, i / 3 % 5, i / 15 % 2, i / 30);
        assert_eq!(y, (((a * 3 + b) * 4 + c) * 5 + d) as f32);
    }
}

#[test]
fn borders() {
    let x = ramp(&[1, 4]);
    let pad = |amounts: &[(usize, usize)], mode| {
        run(Op::Pad { amounts: amounts.to_vec(), mode }, &[&x]).data
    };
    assert_eq!(
        pad(&[(0, 1), (1, 2)], PadMode::Constant(9f32.to_bits())),
        [9.0, 0.0, 1.0, 2.0, 3.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0, 9.0]
    );
    assert_eq!(
        pad(&[(0, 0), (3, 2)], PadMode::Reflect),
        [3.0, 2.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 1.0]
    );
    assert_eq!(pad(&[(0, 0), (2, 1)], PadMode::Replicate), [0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 3.0]);
}

#[test]
fn resize_is_separable_and_keeps_channels_apart() {
    let x = t(&[1, 2, 2, 2], &[1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 4.0, -4.0]);
    let op = Op::Resize {
        size: [4, 4],
        mode: Interpolation::Bilinear,
        align_corners: false,
        antialias: false,
    };
    let y = run(op, &[&x]);
    // The example of PyTorch's documentation of `Upsample`.
    let expected =
        [1.0, 1.25, 1.75, 2.0, 1.5, 1.75, 2.25, 2.5, 2.5, 2.75, 3.25, 3.5, 3.0, 3.25, 3.75, 4.0];
    for (pixel, expected) in y.data.chunks(2).zip(expected) {
        assert_eq!(pixel, [expected, -expected]);
    }
    let op = Op::Resize {
        size: [1, 3],
        mode: Interpolation::Nearest,
        align_corners: false,
        antialias: false,
    };
    assert_eq!(run(op, &[&ramp(&[2, 2, 2, 1])]).data, [0.0, 0.0, 1.0, 4.0, 4.0, 5.0]);
}

/// Fusing elementwise nodes into their operand changes no bit.
#[test]
fn fused_steps_equal_nodes() {
    let mut graph = Graph::default();
    let x = graph.input("x", vec![1, 3, 3, 4]).unwrap();
    let gate = graph.constant("gate", noise(&[1, 1, 1, 4], 8)).unwrap();
    let weight = graph.constant("weight", noise(&[4, 4, 1, 1], 9)).unwrap();
    let conv = Op::Conv(Conv {
        kernel: [1, 1],
        stride: [1, 1],
        padding: symmetric(0),
        dilation: [1, 1],
        groups: 1,
    });
    let y = graph.push("conv", conv.clone(), vec![x, weight]).unwrap();
    let silu = Unary::Act(Act::Silu);
    let a = graph.push("silu", Op::Unary(silu), vec![y]).unwrap();
    let b = graph.push("scale", Op::Affine { mul: 0.3, add: 0.1 }, vec![a]).unwrap();
    let c = graph.push("gated", Op::Binary(Binary::Mul), vec![b, gate]).unwrap();
    let d = graph.push("sum", Op::Binary(Binary::Sub), vec![c, x]).unwrap();
    let e = graph.push("clamp", Op::Clamp { low: -0.5, high: 0.75 }, vec![d]).unwrap();
    let fused = graph.push("fused", conv, vec![x, weight]).unwrap();
    graph.nodes[fused.index()].post = vec![
        PostOp::Unary(silu),
        PostOp::Affine { mul: 0.3, add: 0.1 },
        PostOp::Binary { op: Binary::Mul, operand: gate },
        PostOp::Binary { op: Binary::Sub, operand: x },
        PostOp::Clamp { low: -0.5, high: 0.75 },
    ];
    graph.outputs = vec![("plain".into(), e), ("fused".into(), fused)];
    let image = Arc::new(noise(&[1, 3, 3, 4], 10));
    let interpreter = Interpreter::new(&graph, &no_params).unwrap();
    let kept = interpreter.run_keeping(&[Arc::clone(&image)], &[y, x]).unwrap();
    assert_eq!(kept.outputs[0], kept.outputs[1]);
    assert_eq!(kept.nodes[1], image);
    assert_ne!(kept.nodes[0], kept.outputs[0]);
    assert!(kept.outputs[0].data.contains(&0.75));
}

#[test]
fn values_are_freed_after_their_last_use() {
    let mut graph = Graph::default();
    let mut x = graph.input("x", vec![1, 8]).unwrap();
    let relu = || Op::Unary(Unary::Act(Act::Relu));
    for _ in 0..4 {
        x = graph.push("y", relu(), vec![x]).unwrap();
    }
    graph.outputs.push(("y".into(), x));
    let nodes: Vec<NodeId> = graph.ids().collect();
    let mut values: Vec<std::sync::Weak<Tensor>> = Vec::new();
    let interpreter = Interpreter::new(&graph, &no_params).unwrap();
    let image = Arc::new(ramp(&[1, 8]));
    interpreter
        .run_each(&[image], &nodes, &mut |_, value| {
            // When a node is done, its operand is alive only if the caller holds it (the image).
            let alive = values.iter().skip(1).filter(|v| v.strong_count() > 0).count();
            assert_eq!(alive, 0);
            values.push(Arc::downgrade(value));
        })
        .unwrap();
    assert_eq!(values.len(), 5);
}

#[test]
fn wrong_tensors_are_named() {
    let mut graph = Graph::default();
    let x = graph.input("image", vec![1, 2, 2, 3]).unwrap();
    let w = graph.param(crate::Param {
        path: "scale".into(),
        shape: vec![3],
        trained: true,
        source: crate::Source::Zeros { shape: vec![3] },
    });
    let y = graph.push("y", Op::Binary(Binary::Mul), vec![x, w]).unwrap();
    graph.outputs.push(("y".into(), y));
    let good = |_| Arc::new(Tensor::zeros([3]));
    let bad = |_| Arc::new(Tensor::zeros([4]));
    let image = Arc::new(Tensor::zeros([1, 2, 2, 3]));
    let run = |inputs: &[Arc<Tensor>]| {
        Interpreter::new(&graph, &good).unwrap().run(inputs).unwrap_err().to_string()
    };
    assert_eq!(run(&[]), "the graph has 1 inputs, 0 were given");
    assert_eq!(
        run(&[Arc::new(Tensor::zeros([1, 3, 2, 2]))]),
        "input `image` has shape [1, 2, 2, 3], the tensor given has [1, 3, 2, 2]"
    );
    let error = Interpreter::new(&graph, &bad).unwrap().run(&[image]).unwrap_err();
    assert_eq!(error.to_string(), "parameter `scale` has shape [3], the tensor given has [4]");
    let error = evaluate_weight_expressions(&graph, &good, &[y]).unwrap_err();
    assert!(matches!(error, RunError::NotAWeight { id, .. } if id == x));
    let error = evaluate_weight_expressions(&graph, &good, &[NodeId(9)]).unwrap_err();
    assert_eq!(error, RunError::NoSuchNode(NodeId(9)));
    assert!(graph.weight_expressions() == [false, true, false]);
}
