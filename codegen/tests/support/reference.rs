//! Every kernel as plain loops in `f64`.

use netwright_codegen::program::*;

/// The function of one variable, as PyTorch defines it.
pub fn function(f: Function, x: f64) -> f64 {
    let relu6 = |x: f64| clamp(x, 0.0, 6.0);
    match f {
        Function::Relu => clamp(x, 0.0, f64::INFINITY),
        Function::Clamp { low, high } => {
            clamp(x, f32::from_bits(low).into(), f32::from_bits(high).into())
        }
        Function::Affine { mul, add } => {
            x * f64::from(f32::from_bits(mul)) + f64::from(f32::from_bits(add))
        }
        Function::HardSwish => x * relu6(x + 3.0) / 6.0,
        Function::HardSigmoid => relu6(x + 3.0) / 6.0,
        Function::Sigmoid => 1.0 / (1.0 + (-x).exp()),
        Function::Silu => x / (1.0 + (-x).exp()),
        Function::Gelu => x * 0.5 * erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
        Function::GeluTanh => {
            let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
            0.5 * x * (1.0 + inner.tanh())
        }
        Function::Tanh => x.tanh(),
        Function::Exp => x.exp(),
        Function::Log => x.ln(),
        Function::Sqrt => x.sqrt(),
        Function::Rsqrt => 1.0 / x.sqrt(),
        Function::Recip => 1.0 / x,
        Function::Square => x * x,
        Function::Neg => -x,
        Function::Abs => x.abs(),
    }
}

/// Clamping that keeps NaN.
fn clamp(x: f64, low: f64, high: f64) -> f64 {
    if x.is_nan() { x } else { x.max(low).min(high) }
}

/// The complementary error function: a series near 0, a continued fraction beyond.
pub fn erfc(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x.abs() < 3.0 {
        let (mut sum, mut term) = (x, x);
        for n in 1..100 {
            term *= -x * x / n as f64;
            sum += term / (2 * n + 1) as f64;
        }
        return 1.0 - 2.0 / std::f64::consts::PI.sqrt() * sum;
    }
    let size = x.abs();
    let mut fraction = 0.0;
    for k in (1..150).rev() {
        fraction = k as f64 * 0.5 / (size + fraction);
    }
    let value = (-size * size).exp() / std::f64::consts::PI.sqrt() / (size + fraction);
    if x > 0.0 { value } else { 2.0 - value }
}

pub fn arithmetic(op: Arithmetic, a: f64, b: f64) -> f64 {
    match op {
        Arithmetic::Add => a + b,
        Arithmetic::Sub => a - b,
        Arithmetic::Mul => a * b,
        Arithmetic::Div => a / b,
        Arithmetic::Max if a.is_nan() || b.is_nan() => f64::NAN,
        Arithmetic::Min if a.is_nan() || b.is_nan() => f64::NAN,
        Arithmetic::Max => a.max(b),
        Arithmetic::Min => a.min(b),
        Arithmetic::Pow => a.powf(b),
    }
}

/// Applies an epilogue to values of `[images, .., channels]`.
fn epilogue(posts: &[Post], values: &mut [f64], images: usize, c: usize, operands: &[Vec<f32>]) {
    let mut next = 0;
    let per_image = values.len() / images;
    for post in posts {
        match *post {
            Post::RowSums => {}
            Post::Unary(f) => values.iter_mut().for_each(|v| *v = function(f, *v)),
            Post::Binary(op, kind) => {
                let operand = &operands[next];
                next += 1;
                for (i, v) in values.iter_mut().enumerate() {
                    let index = match kind {
                        Operand::Full => i,
                        Operand::Channel => i % c,
                        Operand::ImageChannel => i / per_image * c + i % c,
                        Operand::Scalar => 0,
                    };
                    *v = arithmetic(op, *v, operand[index].into());
                }
            }
        }
    }
}

/// The sums of each row of a map by channel, if the epilogue asks for them.
fn row_sums(c: &ConvKernel, map: &[f64]) -> Vec<f64> {
    let rows = match c.epilogue.contains(&Post::RowSums) {
        true => map.chunks(c.out_w * c.out_c),
        false => [].chunks(1),
    };
    rows.flat_map(|row| (0..c.out_c).map(|i| row.iter().skip(i).step_by(c.out_c).sum::<f64>()))
        .collect()
}

/// The results of a kernel, one after the other. `operands` are all operands but the outputs; weights are
/// unpacked, as weight and bias; tables are `u32` bits.
pub fn run(kernel: &Kernel, operands: &[Vec<f32>]) -> Vec<f64> {
    let x = &operands[0];
    match kernel {
        Kernel::Chain(chain) => {
            let mut value: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            let mut next = 1 + 2 * chain.stages.len();
            for (c, tensors) in chain.stages.iter().zip(operands[1..].chunks(2)) {
                value = conv(c, &value, &tensors[0], &tensors[1]);
                epilogue(&c.epilogue, &mut value, c.batch, c.out_c, &operands[next..]);
                next += c.epilogue.iter().filter(|p| matches!(p, Post::Binary(..))).count();
            }
            let sums = chain.stages.last().map(|c| row_sums(c, &value));
            value.into_iter().chain(sums.into_iter().flatten()).collect()
        }
        Kernel::Conv(c) | Kernel::Rows(c) | Kernel::Winograd(WinogradKernel { conv: c, .. }) => {
            let x: Vec<f64> = x.iter().map(|v| f64::from(*v)).collect();
            let x = &x;
            let mut out = conv(c, x, &operands[1], &operands[2]);
            epilogue(&c.epilogue, &mut out, c.batch, c.out_c, &operands[3..]);
            let sums = row_sums(c, &out);
            out.into_iter().chain(sums).collect()
        }
        Kernel::Scale(s) => {
            let panels = operands[1].chunks((1 + s.inputs) * 16);
            let scaled = panels.flat_map(|panel| {
                let rows = panel[16..].chunks(16).zip(x);
                let weights = rows.flat_map(|(row, f)| row.iter().map(move |w| f64::from(w * f)));
                panel[..16].iter().map(|bias| f64::from(*bias)).chain(weights)
            });
            scaled.collect()
        }
        Kernel::MatMul(m) => {
            let mut out = matmul(m, x, &operands[1]);
            epilogue(&m.epilogue, &mut out, 1, m.n, &operands[2..]);
            out
        }
        Kernel::Attention(a) => attention(a, operands),
        Kernel::Map(m) => map(m, operands),
        Kernel::Pool(p) => {
            let mut out = pool(p, x);
            epilogue(&p.epilogue, &mut out, p.batch, p.channels, &operands[1..]);
            out
        }
        Kernel::Reduce(r) => {
            let mut out = vec![];
            for o in 0..r.outer {
                for i in 0..r.inner {
                    let values = (0..r.len).map(|l| f64::from(x[(o * r.len + l) * r.inner + i]));
                    out.push(match r.kind {
                        Reduction::Sum => values.sum(),
                        Reduction::Mean => values.sum::<f64>() / r.len as f64,
                        Reduction::Max => {
                            values.reduce(|a, b| arithmetic(Arithmetic::Max, a, b)).unwrap()
                        }
                        Reduction::Min => {
                            values.reduce(|a, b| arithmetic(Arithmetic::Min, a, b)).unwrap()
                        }
                        Reduction::L2 => values.map(|v| v * v).sum::<f64>().sqrt(),
                    });
                }
            }
            epilogue(&r.epilogue, &mut out, r.outer, r.inner, &operands[1..]);
            out
        }
        Kernel::Softmax { outer, len, inner } => {
            let mut out = vec![0.0; x.len()];
            for o in 0..*outer {
                for i in 0..*inner {
                    let at = |l: usize| (o * len + l) * inner + i;
                    let largest =
                        (0..*len).map(|l| f64::from(x[at(l)])).fold(f64::NEG_INFINITY, f64::max);
                    let e = |l: usize| (f64::from(x[at(l)]) - largest).exp();
                    let sum: f64 = (0..*len).map(e).sum();
                    (0..*len).for_each(|l| out[at(l)] = e(l) / sum);
                }
            }
            out
        }
        Kernel::Bytes(b) => {
            let bytes: Vec<u8> = x.iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
            let mut out = vec![0.0; bytes.len()];
            for (i, level) in bytes.iter().enumerate() {
                let (image, pixel, channel) =
                    (i / b.channels / b.pixels, i / b.channels % b.pixels, i % b.channels);
                let value = operands[1][channel * 256 + usize::from(*level)];
                out[(image * b.channels + channel) * b.pixels + pixel] = value.into();
            }
            out
        }
        Kernel::Widen(w) => {
            let value = |i: usize| {
                let word = x[i / 32 * 16 + i % 16].to_bits();
                let half = (word >> (i % 32 / 16 * 16)) as u16;
                match w.format {
                    Half::F16 => half::f16::from_bits(half).to_f64(),
                    Half::Bf16 => half::bf16::from_bits(half).to_f64(),
                }
            };
            (0..w.values).map(value).collect()
        }
        Kernel::LayerNorm { len, eps, affine, epilogue: posts, .. } => {
            let mut out = vec![];
            for row in x.chunks(*len) {
                let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / *len as f64;
                let variance =
                    row.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / *len as f64;
                let scale = 1.0 / (variance + f64::from(f32::from_bits(*eps))).sqrt();
                out.extend(row.iter().enumerate().map(|(i, v)| {
                    let value = (f64::from(*v) - mean) * scale;
                    match affine {
                        true => value * f64::from(operands[1][i]) + f64::from(operands[2][i]),
                        false => value,
                    }
                }));
            }
            epilogue(posts, &mut out, 1, *len, &operands[if *affine { 3 } else { 1 }..]);
            out
        }
        Kernel::Copy(c) => copy(c, x),
        Kernel::Gather { outer, len, inner, count } => {
            let mut out = vec![];
            for o in 0..*outer {
                for row in operands[1].iter().take(*count).map(|v| v.to_bits() as usize) {
                    let start = (o * len + row) * inner;
                    out.extend(x[start..start + inner].iter().map(|v| f64::from(*v)));
                }
            }
            out
        }
        Kernel::Resize(r) => resize(r, x, &operands[1]),
    }
}

/// All indices of a box, the last axis fastest.
fn indices(shape: &[usize]) -> Vec<Vec<usize>> {
    let total: usize = shape.iter().product();
    (0..total)
        .map(|mut i| {
            let mut index = vec![0; shape.len()];
            for (axis, n) in shape.iter().enumerate().rev() {
                index[axis] = i % n;
                i /= n;
            }
            index
        })
        .collect()
}

fn dot(index: &[usize], strides: &[usize]) -> usize {
    index.iter().zip(strides).map(|(i, s)| i * s).sum()
}

fn conv(c: &ConvKernel, x: &[f64], weight: &[f32], bias: &[f32]) -> Vec<f64> {
    let (inputs, outputs) = (c.in_c / c.groups, c.out_c / c.groups);
    let at = |n: usize, y: usize, z: usize, ch: usize| match c.input_nchw {
        true => x[((n * c.in_c + ch) * c.in_h + y) * c.in_w + z],
        false => x[((n * c.in_h + y) * c.in_w + z) * c.in_c + ch],
    };
    let mut out = vec![];
    for index in indices(&[c.batch, c.out_h, c.out_w, c.out_c]) {
        let (n, oy, ox, o) = (index[0], index[1], index[2], index[3]);
        let mut sum = f64::from(bias[o]);
        for tap in indices(&[c.kernel[0], c.kernel[1]]) {
            let y = (oy * c.stride[0] + tap[0] * c.dilation[0]).wrapping_sub(c.pad[0]);
            let z = (ox * c.stride[1] + tap[1] * c.dilation[1]).wrapping_sub(c.pad[1]);
            if y >= c.in_h || z >= c.in_w {
                continue;
            }
            for i in 0..inputs {
                let w = weight[((o * inputs + i) * c.kernel[0] + tap[0]) * c.kernel[1] + tap[1]];
                sum += f64::from(w) * at(n, y, z, o / outputs * inputs + i);
            }
        }
        out.push(sum);
    }
    out
}

fn matmul(m: &MatMulKernel, a: &[f32], b: &[f32]) -> Vec<f64> {
    let mut out = vec![];
    for batch in indices(&m.batch) {
        let (a, b) = (&a[dot(&batch, &m.a_batch)..], &b[dot(&batch, &m.b_batch)..]);
        for index in indices(&[m.m, m.n]) {
            let product = |k: usize| {
                f64::from(a[dot(&[index[0], k], &m.a_strides)])
                    * f64::from(b[dot(&[k, index[1]], &m.b_strides)])
            };
            out.push((0..m.k).map(product).sum());
        }
    }
    out
}

/// The whole output buffer; NaN where nothing is written.
fn attention(a: &AttentionKernel, operands: &[Vec<f32>]) -> Vec<f64> {
    let at = |i: usize, batch: &[usize], matrix: [usize; 2], strides: &[usize]| {
        f64::from(operands[i][dot(batch, strides) + dot(&matrix, &strides[batch.len()..])])
    };
    let last: usize = {
        let shape = a.batch.iter().chain([&a.queries, &a.out_width]);
        shape.zip(&a.out).map(|(n, s)| (n - 1) * s).sum()
    };
    let mut out = vec![f64::NAN; last + 1];
    for batch in indices(&a.batch) {
        for query in 0..a.queries {
            let score = |key: usize| {
                let product =
                    |c: usize| at(0, &batch, [query, c], &a.q) * at(1, &batch, [key, c], &a.k);
                let mut score: f64 = (0..a.width).map(product).sum();
                let mut next = 0;
                for step in &a.steps {
                    score = match *step {
                        Post::RowSums => score,
                        Post::Unary(f) => function(f, score),
                        Post::Binary(op, _) => {
                            let other = at(3 + next, &batch, [query, key], &a.operands[next]);
                            next += 1;
                            arithmetic(op, score, other)
                        }
                    };
                }
                score
            };
            let scores: Vec<f64> = (0..a.keys).map(score).collect();
            let largest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let shares: Vec<f64> = scores.iter().map(|s| (s - largest).exp()).collect();
            let sum: f64 = shares.iter().sum();
            for column in 0..a.out_width {
                let of = |key: usize| shares[key] / sum * at(2, &batch, [key, column], &a.v);
                let place = dot(&batch, &a.out) + dot(&[query, column], &a.out[batch.len()..]);
                out[place] = (0..a.keys).map(of).sum();
            }
        }
    }
    out
}

fn map(m: &MapKernel, inputs: &[Vec<f32>]) -> Vec<f64> {
    let mut out = vec![];
    for index in indices(&m.shape) {
        let at = |i: usize| f64::from(inputs[i][dot(&index, &m.strides[i])]);
        let mut value = at(0);
        let mut next = 1;
        for step in &m.steps {
            value = match *step {
                Post::RowSums => value,
                Post::Unary(f) => function(f, value),
                Post::Binary(op, _) => {
                    next += 1;
                    arithmetic(op, value, at(next - 1))
                }
            };
        }
        out.push(value);
    }
    out
}

fn pool(p: &PoolKernel, x: &[f32]) -> Vec<f64> {
    let mut out = vec![];
    for index in indices(&[p.batch, p.out_h, p.out_w, p.channels]) {
        let mut value = if p.max { f64::NEG_INFINITY } else { 0.0 };
        let (mut inside, mut padded) = (0, 0);
        for tap in indices(&p.kernel) {
            let y = index[1] * p.stride[0] + tap[0];
            let z = index[2] * p.stride[1] + tap[1];
            padded +=
                usize::from(y < p.in_h + p.pad[0] + p.pad[1] && z < p.in_w + p.pad[2] + p.pad[3]);
            let (y, z) = (y.wrapping_sub(p.pad[0]), z.wrapping_sub(p.pad[2]));
            if y < p.in_h && z < p.in_w {
                inside += 1;
                let at = ((index[0] * p.in_h + y) * p.in_w + z) * p.channels + index[3];
                let v = f64::from(x[at]);
                value = if p.max { arithmetic(Arithmetic::Max, value, v) } else { value + v };
            }
        }
        let cells = if p.count_include_pad { padded } else { inside };
        out.push(if p.max { value } else { value / cells as f64 });
    }
    out
}

/// The whole output buffer; NaN where the copy writes nothing.
fn copy(c: &CopyKernel, x: &[f32]) -> Vec<f64> {
    let reach: usize = c.shape.iter().zip(&c.out_strides).map(|(n, s)| (n - 1) * s).sum();
    let mut out = vec![f64::NAN; c.out_offset + reach + 1];
    for index in indices(&c.shape) {
        let from = index.iter().zip(&c.x_strides).map(|(i, s)| *i as isize * s).sum::<isize>();
        out[c.out_offset + dot(&index, &c.out_strides)] = f64::from(match c.fill {
            Some(bits) => f32::from_bits(bits),
            None => x[(c.x_offset as isize + from) as usize],
        });
    }
    out
}

fn resize(r: &ResizeKernel, x: &[f32], table: &[f32]) -> Vec<f64> {
    let tap = |i: usize| (table[2 * i].to_bits() as usize, f64::from(table[2 * i + 1]));
    let mut out = vec![];
    for index in indices(&[r.batch, r.out_h, r.out_w, r.channels]) {
        let mut sum = 0.0;
        for i in 0..r.taps_h {
            for j in 0..r.taps_w {
                let (y, wy) = tap(index[1] * r.taps_h + i);
                let (z, wz) = tap(r.out_h * r.taps_h + index[2] * r.taps_w + j);
                let at = ((index[0] * r.in_h + y) * r.in_w + z) * r.channels + index[3];
                sum += wy * wz * f64::from(x[at]);
            }
        }
        out.push(sum);
    }
    out
}
