//! What the tests of passes and planner share: random parameters, random graphs, comparison.
#![allow(dead_code)] // Each test file uses a part.

use netwright_ir::{
    Act, Binary, Conv, Graph, Interpolation, NodeId, Op, PadMode, Padding, Param, Pool, PoolKind,
    Reduce, Source, Tensor, Unary,
};
use std::sync::Arc;

/// A small generator of numbers (xorshift), so that a test's values follow from its seed.
pub struct Numbers(u64);

impl Numbers {
    pub fn new(seed: u64) -> Self {
        Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// A number below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// From -1 to 1.
    pub fn value(&mut self) -> f32 {
        (self.next() % 2_000_001) as f32 / 1_000_000.0 - 1.0
    }

    pub fn values(&mut self, n: usize) -> Vec<f32> {
        (0..n).map(|_| self.value()).collect()
    }
}

/// The tensor of a parameter: variances are positive, matrices shrink with their length.
pub fn param_tensor(graph: &Graph, index: usize) -> Arc<Tensor> {
    let param = &graph.params[index];
    let mut numbers = Numbers::new(index as u64 + 77);
    let n: usize = param.shape.iter().product();
    let fan: usize = if param.shape.len() > 1 { param.shape[1..].iter().product() } else { 1 };
    let scale = 1.5 / (fan as f32).sqrt();
    let positive = param.path.ends_with("var");
    let data = numbers
        .values(n)
        .into_iter()
        .map(|v| if positive { 1.0 + 0.5 * v } else { v * scale })
        .collect();
    Arc::new(Tensor::new(param.shape.clone(), data))
}

pub fn image(shape: &[usize], seed: u64) -> Vec<f32> {
    Numbers::new(seed).values(shape.iter().product())
}

/// Largest difference over the reference's largest magnitude, or over 0.05 where that is more: the
/// values in these graphs are about 1, and a mean of a normalised row is 0 but for rounding.
pub fn distance(reference: &[f32], other: &[f32]) -> f32 {
    assert_eq!(reference.len(), other.len());
    let scale = reference.iter().fold(0f32, |m, v| m.max(v.abs())).max(0.05);
    reference.iter().zip(other).fold(0f32, |worst, (a, b)| {
        let same = a == b || (a.is_nan() && b.is_nan());
        let difference = if same { 0.0 } else { (a - b).abs() / scale };
        if difference.is_nan() { f32::INFINITY } else { worst.max(difference) }
    })
}

pub fn act(act: Act) -> Op {
    Op::Unary(Unary::Act(act))
}

/// A graph under construction.
pub struct Net {
    pub graph: Graph,
    count: usize,
}

impl Net {
    pub fn new(shape: &[usize]) -> (Net, NodeId) {
        let mut graph = Graph { name: "test".into(), ..Graph::default() };
        let x = graph.input("image", shape.to_vec()).unwrap();
        (Net { graph, count: 0 }, x)
    }

    fn name(&mut self, what: &str) -> String {
        self.count += 1;
        format!("{what}{}", self.count)
    }

    pub fn shape(&self, id: NodeId) -> Vec<usize> {
        self.graph.shape(id).to_vec()
    }

    pub fn param(&mut self, what: &str, shape: &[usize]) -> NodeId {
        let path = self.name("p");
        let path = format!("{path}.{what}");
        let source = Source::Tensor { name: path.clone(), shape: shape.to_vec() };
        self.graph.param(Param { path, shape: shape.to_vec(), trained: true, source })
    }

    pub fn op(&mut self, op: Op, inputs: &[NodeId]) -> NodeId {
        let name = self.name(op.mnemonic());
        self.graph.push(name, op, inputs.to_vec()).unwrap()
    }

    pub fn output(&mut self, name: &str, id: NodeId) {
        self.graph.outputs.push((name.into(), id));
    }

    pub fn conv(&mut self, x: NodeId, outputs: usize, conv: Conv, bias: bool) -> NodeId {
        let inputs = self.shape(x)[3] / conv.groups;
        let weight = self.param("weight", &[outputs, inputs, conv.kernel[0], conv.kernel[1]]);
        let mut operands = vec![x, weight];
        if bias {
            operands.push(self.param("bias", &[outputs]));
        }
        self.op(Op::Conv(conv), &operands)
    }

    pub fn linear(&mut self, x: NodeId, outputs: usize, bias: bool) -> NodeId {
        let inputs = *self.shape(x).last().unwrap();
        let mut operands = vec![x, self.param("weight", &[outputs, inputs])];
        if bias {
            operands.push(self.param("bias", &[outputs]));
        }
        self.op(Op::Linear, &operands)
    }

    pub fn batch_norm(&mut self, x: NodeId) -> NodeId {
        let c = *self.shape(x).last().unwrap();
        let vectors = ["gamma", "beta", "mean", "var"].map(|name| self.param(name, &[c]));
        self.op(Op::BatchNorm { eps: 1e-3 }, &[&[x], &vectors[..]].concat())
    }

    pub fn layer_norm(&mut self, x: NodeId, eps: f64, affine: bool) -> NodeId {
        let c = *self.shape(x).last().unwrap();
        let mut operands = vec![x];
        if affine {
            operands.extend(["gamma", "beta"].map(|name| self.param(name, &[c])));
        }
        self.op(Op::LayerNorm { eps }, &operands)
    }
}

pub fn window(kernel: usize, stride: usize, pad: usize, groups: usize) -> Conv {
    Conv {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::Explicit { top: pad, bottom: pad, left: pad, right: pad },
        dilation: [1, 1],
        groups,
    }
}

/// A random graph of about `steps` operations over a small map. Every value that nothing reads is a
/// result, and a few others are features.
pub fn random_graph(seed: u64, steps: usize) -> Graph {
    let mut n = Numbers::new(seed);
    let shape = [1 + n.below(2), 3 + n.below(7), 3 + n.below(7), 1 + n.below(6)];
    let (mut net, x) = Net::new(&shape);
    let mut values = vec![x];
    for _ in 0..steps {
        // Mostly the newest value, so that chains come about.
        let x = match n.below(4) {
            0 => values[n.below(values.len())],
            _ => values[values.len() - 1],
        };
        if let Some(y) = random_step(&mut net, &mut n, x, &values)
            && net.shape(y).iter().product::<usize>() <= 6000
        {
            values.push(y);
        }
    }
    let used = net.graph.use_counts(false);
    for (i, &value) in values.iter().enumerate() {
        if used[value.index()] == 0 {
            net.output(&format!("out{i}"), value);
        } else if n.below(8) == 0 {
            net.graph.features.push((format!("feature{i}"), value));
        }
    }
    if net.graph.outputs.is_empty() {
        // All values are read, by steps whose results were too large to go on with.
        net.output("last", values[values.len() - 1]);
    }
    net.graph
}

fn random_step(net: &mut Net, n: &mut Numbers, x: NodeId, values: &[NodeId]) -> Option<NodeId> {
    let shape = net.shape(x);
    let (rank, c) = (shape.len(), *shape.last()?);
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
    Some(match n.below(if rank == 4 { 26 } else { 18 }) {
        0 => net.op(act(acts[n.below(acts.len())]), &[x]),
        1 => net.op(Op::Affine { mul: 0.7, add: 0.3 }, &[x]),
        2 => net.op(Op::Clamp { low: -0.5, high: 0.9 }, &[x]),
        3 => {
            let op = [Binary::Add, Binary::Sub, Binary::Mul, Binary::Max, Binary::Min][n.below(5)];
            let other = match n.below(4) {
                0 => net.param("vector", &[c]),
                1 => {
                    let scalar = Tensor::new([1], vec![n.value()]);
                    net.op(Op::Const(Arc::new(scalar)), &[])
                }
                2 => x,
                _ => {
                    let same: Vec<NodeId> =
                        values.iter().copied().filter(|&v| net.shape(v) == shape).collect();
                    same[n.below(same.len())]
                }
            };
            let operands = if n.below(2) == 0 { [x, other] } else { [other, x] };
            net.op(Op::Binary(op), &operands)
        }
        4 | 5 => net.linear(x, 1 + n.below(9), true),
        6 => {
            let affine = n.below(3) > 0;
            net.layer_norm(x, 0.1, affine)
        }
        7 => net.op(Op::Softmax { axis: n.below(rank) }, &[x]),
        8 => net.batch_norm(x),
        9 => {
            let axis = n.below(rank);
            let len = 1 + n.below(shape[axis]);
            let start = n.below(shape[axis] - len + 1);
            net.op(Op::Slice { axis, start, len, step: 1 }, &[x])
        }
        10 => {
            let axis = n.below(rank);
            let same: Vec<NodeId> = values
                .iter()
                .copied()
                .filter(|&v| {
                    let other = net.shape(v);
                    other.len() == rank && (0..rank).all(|i| i == axis || other[i] == shape[i])
                })
                .collect();
            net.op(Op::Concat { axis }, &[x, same[n.below(same.len())]])
        }
        11 => {
            let (axis, shift) = (n.below(rank), n.below(9) as i64 - 4);
            net.op(Op::Roll { axis, shift }, &[x])
        }
        12 => {
            let axis = n.below(rank);
            let count = 1 + n.below(5);
            let indices = (0..count).map(|_| n.below(shape[axis]) as u32).collect();
            net.op(Op::Gather { axis, indices: Arc::new(indices), shape: vec![count] }, &[x])
        }
        13 => {
            let mut perm: Vec<usize> = (0..rank).collect();
            for i in (1..rank).rev() {
                perm.swap(i, n.below(i + 1));
            }
            net.op(Op::Transpose { perm }, &[x])
        }
        14 if rank >= 2 => {
            let total: usize = shape.iter().product();
            let new = match n.below(3) {
                0 => vec![shape[0], total / shape[0] / c, c],
                1 => vec![shape[0], total / shape[0]],
                _ => vec![shape[0], 1, total / shape[0] / c, c],
            };
            net.op(Op::Reshape { shape: new }, &[x])
        }
        15 => {
            let kind =
                [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::Min, Reduce::L2][n.below(5)];
            let axes: Vec<usize> = (1..rank).filter(|_| n.below(2) == 0).collect();
            if axes.is_empty() || (axes.len() + 1 >= rank && n.below(2) == 0) {
                return None;
            }
            net.op(Op::Reduce { kind, axes, keep: n.below(2) == 0 }, &[x])
        }
        16 if rank >= 2 => {
            let transpose_b = n.below(2) == 0;
            let y = net.op(Op::MatMul { transpose_a: !transpose_b, transpose_b }, &[x, x]);
            net.op(Op::Affine { mul: 0.25, add: 0.0 }, &[y])
        }
        17 => {
            let mut amounts = vec![(0, 0); rank];
            let axis = n.below(rank);
            amounts[axis] = (n.below(shape[axis].min(3)), n.below(shape[axis].min(3)));
            let modes = [PadMode::Reflect, PadMode::Replicate, PadMode::Constant(1f32.to_bits())];
            net.op(Op::Pad { amounts, mode: modes[n.below(3)] }, &[x])
        }
        14 | 16 => return None,
        18..=21 => {
            let kernel = [1 + n.below(3.min(shape[1])), 1 + n.below(3.min(shape[2]))];
            let groups = match n.below(3) {
                0 => c,
                1 if c % 2 == 0 => 2,
                _ => 1,
            };
            let padding = if n.below(2) == 0 {
                Padding::Same
            } else {
                let mut p = || n.below(2);
                Padding::Explicit { top: p(), bottom: p(), left: p(), right: p() }
            };
            let conv = Conv {
                kernel,
                stride: [1 + n.below(2), 1 + n.below(2)],
                padding,
                dilation: [1, 1],
                groups,
            };
            let outputs = if n.below(2) == 0 { c } else { groups * (1 + n.below(3)) };
            let bias = n.below(2) == 0;
            let y = net.conv(x, outputs, conv, bias);
            if n.below(2) == 0 { net.batch_norm(y) } else { y }
        }
        22 => {
            let zeros = Op::Pad {
                amounts: vec![(0, 0), (1, 1), (n.below(2), n.below(3)), (0, 0)],
                mode: PadMode::Constant(0),
            };
            let y = net.op(zeros, &[x]);
            net.conv(y, c, window(3.min(shape[1]).min(shape[2]), 1, 0, c), false)
        }
        23 => {
            let kind = if n.below(2) == 0 { PoolKind::Max } else { PoolKind::Avg };
            let kernel = if n.below(3) == 0 {
                [shape[1], shape[2]]
            } else {
                [2.min(shape[1]), 2.min(shape[2])]
            };
            let pad = usize::from(kernel[0] > 1 && kernel[1] > 1 && n.below(2) == 0);
            let padding = Padding::Explicit { top: pad, bottom: pad, left: pad, right: 0 };
            net.op(
                Op::Pool(Pool {
                    kind,
                    kernel,
                    stride: [1 + n.below(2); 2],
                    padding,
                    ceil_mode: n.below(2) == 0,
                    count_include_pad: n.below(2) == 0,
                }),
                &[x],
            )
        }
        24 => {
            let pooled =
                net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: true }, &[x]);
            let squeezed = net.conv(pooled, 1 + n.below(4), window(1, 1, 0, 1), true);
            let squeezed = net.op(act(Act::Relu), &[squeezed]);
            let gate = net.conv(squeezed, c, window(1, 1, 0, 1), true);
            let gate = net.op(act(Act::HardSigmoid), &[gate]);
            net.op(Op::Binary(Binary::Mul), &[x, gate])
        }
        _ => {
            let mode = [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic]
                [n.below(3)];
            let smooth = mode != Interpolation::Nearest;
            let align_corners = smooth && n.below(2) == 0;
            let antialias = smooth && n.below(2) == 0;
            let size = [1 + n.below(8), 1 + n.below(8)];
            net.op(Op::Resize { size, mode, align_corners, antialias }, &[x])
        }
    })
}

/// A depthwise convolution, a gate from its mean, and a projection to `out` channels.
pub fn gated(shape: &[usize], out: usize) -> (Net, NodeId) {
    let (mut net, x) = Net::new(shape);
    let channels = shape[3];
    let y = net.conv(x, channels, window(3, 1, 1, channels), true);
    let y = net.op(act(Act::Silu), &[y]);
    let mean = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: true }, &[y]);
    let gate = net.conv(mean, channels, window(1, 1, 0, 1), true);
    let gate = net.op(act(Act::Sigmoid), &[gate]);
    let y = net.op(Op::Binary(Binary::Mul), &[y, gate]);
    let out = net.conv(y, out, window(1, 1, 0, 1), true);
    net.output("y", out);
    (net, y)
}
