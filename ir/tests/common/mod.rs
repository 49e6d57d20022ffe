//! A network and values for the tests.

use netwright_ir::*;

/// Values without a pattern, in [-1, 1), by a multiplicative generator.
pub fn noise(shape: &[usize], seed: u64) -> Tensor {
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

/// Weights that keep values in range: variances are positive, sums grow slowly.
pub fn weight(param: &Param, seed: u64) -> Tensor {
    let mut tensor = noise(&param.shape, seed);
    let fan_in: usize = param.shape[1..].iter().product();
    let gain = (6.0 / fan_in as f32).sqrt();
    for value in &mut tensor.data {
        if param.path.ends_with("var") {
            *value = 1.0 + value.abs();
        } else if param.shape.len() > 1 {
            *value *= gain;
        }
    }
    tensor
}

/// MobileNetV2 of width 1.
pub struct MobileNetV2 {
    pub resolution: usize,
    pub batch: usize,
}

impl MobileNetV2 {
    pub fn graph(&self) -> Graph {
        let mut g = Graph { name: "mobilenet_v2".into(), ..Graph::default() };
        let mut x =
            g.input("image", vec![self.batch, self.resolution, self.resolution, 3]).unwrap();
        x = conv_bn(&mut g, "stem", x, 32, 3, 2, 1, true);
        let mut block = 0;
        for (t, c, n, s) in [
            (1, 16, 1, 1),
            (6, 24, 2, 2),
            (6, 32, 3, 2),
            (6, 64, 4, 2),
            (6, 96, 3, 1),
            (6, 160, 3, 2),
            (6, 320, 1, 1),
        ] {
            for i in 0..n {
                let name = |part: &str| format!("blocks.{block}.{part}");
                let input = x;
                let channels = g.shape(x)[3];
                if t != 1 {
                    x = conv_bn(&mut g, &name("expand"), x, t * channels, 1, 1, 1, true);
                }
                let stride = if i == 0 { s } else { 1 };
                let wide = t * channels;
                x = conv_bn(&mut g, &name("dw"), x, wide, 3, stride, wide, true);
                x = conv_bn(&mut g, &name("project"), x, c, 1, 1, 1, false);
                if stride == 1 && c == channels {
                    x = g.push(name("out"), Op::Binary(Binary::Add), vec![x, input]).unwrap();
                }
                block += 1;
            }
            g.features.push((format!("stage{block}"), x));
        }
        x = conv_bn(&mut g, "last", x, 1280, 1, 1, 1, true);
        let mean = Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: false };
        x = g.push("pool", mean, vec![x]).unwrap();
        let w = param(&mut g, "classifier.weight", &[1000, 1280], true);
        let b = param(&mut g, "classifier.bias", &[1000], true);
        x = g.push("classifier", Op::Linear, vec![x, w, b]).unwrap();
        g.outputs.push(("logits".into(), x));
        g
    }
}

fn param(g: &mut Graph, path: &str, shape: &[usize], trained: bool) -> NodeId {
    g.param(Param {
        path: path.into(),
        shape: shape.to_vec(),
        trained,
        source: Source::Tensor { name: path.into(), shape: shape.to_vec() },
    })
}

#[allow(clippy::too_many_arguments)] // The columns of the paper's table.
fn conv_bn(
    g: &mut Graph,
    name: &str,
    x: NodeId,
    outputs: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    act: bool,
) -> NodeId {
    let channels = g.shape(x)[3];
    let path = format!("{name}.conv.weight");
    let w = param(g, &path, &[outputs, channels / groups, kernel, kernel], true);
    let pad = kernel / 2;
    let conv = Op::Conv(Conv {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: Padding::Explicit { top: pad, bottom: pad, left: pad, right: pad },
        dilation: [1, 1],
        groups,
    });
    let y = g.push(format!("{name}.conv"), conv, vec![x, w]).unwrap();
    let mut operands = vec![y];
    for (part, trained) in [("gamma", true), ("beta", true), ("mean", false), ("var", false)] {
        operands.push(param(g, &format!("{name}.bn.{part}"), &[outputs], trained));
    }
    let y = g.push(format!("{name}.bn"), Op::BatchNorm { eps: 1e-5 }, operands).unwrap();
    if !act {
        return y;
    }
    g.push(format!("{name}.relu6"), Op::Unary(Unary::Act(Act::Relu6)), vec![y]).unwrap()
}
