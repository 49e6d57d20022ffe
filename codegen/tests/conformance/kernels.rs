//! All kernels but convolutions against plain loops.

use crate::cases::{Cases, groups};
use crate::support::harness::{random, random_operands};
use netwright_codegen::program::*;

fn unary(f: Function) -> Post {
    Post::Unary(f)
}

const ADD: Post = Post::Binary(Arithmetic::Add, Operand::Full);

fn matmul(cases: &mut Cases) {
    for (m, n, k) in [(1, 1, 1), (5, 7, 3), (16, 16, 16), (49, 32, 20), (197, 33, 64), (2, 100, 9)]
    {
        for transposed_a in [false, true] {
            for transposed_b in [false, true] {
                cases.add(Kernel::MatMul(MatMulKernel {
                    batch: vec![2, 3],
                    a_batch: vec![3 * m * k, m * k],
                    b_batch: vec![0, n * k],
                    m,
                    n,
                    k,
                    a_strides: if transposed_a { [1, m] } else { [k, 1] },
                    b_strides: if transposed_b { [1, k] } else { [n, 1] },
                    epilogue: vec![],
                }));
            }
        }
    }
    cases.add(Kernel::MatMul(MatMulKernel {
        batch: vec![],
        a_batch: vec![],
        b_batch: vec![],
        m: 20,
        n: 21,
        k: 22,
        a_strides: [50, 2],
        b_strides: [63, 3],
        epilogue: vec![
            Post::Binary(Arithmetic::Mul, Operand::Scalar),
            ADD,
            Post::Binary(Arithmetic::Add, Operand::Channel),
            unary(Function::Gelu),
        ],
    }));
}

fn map(cases: &mut Cases) {
    let step = |op| Post::Binary(op, Operand::Full);
    for (shape, strides) in [
        (vec![1], vec![vec![1], vec![1]]),
        (vec![10_007], vec![vec![1], vec![0]]),
        (vec![3, 5000], vec![vec![5000, 1], vec![0, 1]]),
        (vec![7, 3, 19], vec![vec![57, 19, 1], vec![3, 1, 0]]),
        (vec![4, 5, 6], vec![vec![1, 24, 4], vec![0, 6, 1]]),
        (vec![70, 70, 3], vec![vec![210, 3, 1], vec![3, 0, 1]]),
        (vec![], vec![vec![], vec![]]),
    ] {
        cases.add(Kernel::Map(MapKernel {
            shape,
            strides,
            steps: vec![step(Arithmetic::Sub), unary(Function::Sigmoid)],
        }));
    }
    // Two values a vector apart in every operation.
    let shape = vec![37];
    let strides = vec![vec![1]; 7];
    let steps = [
        Arithmetic::Add,
        Arithmetic::Max,
        Arithmetic::Mul,
        Arithmetic::Sub,
        Arithmetic::Min,
        Arithmetic::Div,
    ];
    let kernel = Kernel::Map(MapKernel { shape, strides, steps: steps.map(step).to_vec() });
    let mut values: Vec<Vec<f32>> = (0..7).map(|i| random(37, i + 3)).collect();
    values[6].iter_mut().for_each(|v| *v += 1.5 * v.signum());
    cases.add_values(&kernel, &values, 1e-5);
}

fn extrema_keep_nan(cases: &mut Cases) {
    let special = [1.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0];
    let pairs: Vec<(f32, f32)> =
        special.iter().flat_map(|a| special.iter().map(|b| (*a, *b))).collect();
    let values =
        [pairs.iter().map(|p| p.0).collect(), pairs.iter().map(|p| p.1).collect::<Vec<_>>()];
    for op in [Arithmetic::Max, Arithmetic::Min] {
        let steps = vec![Post::Binary(op, Operand::Full)];
        let strides = vec![vec![1]; 2];
        let kernel = Kernel::Map(MapKernel { shape: vec![pairs.len()], strides, steps });
        cases.add_values(&kernel, &values, 0.0);
    }
}

fn pooling(cases: &mut Cases) {
    for max in [false, true] {
        for (size, kernel, stride, pad) in [
            ([1, 8, 8, 5], [2, 2], [2, 2], [0; 4]),
            ([2, 7, 9, 17], [3, 3], [2, 2], [1; 4]),
            ([1, 5, 6, 16], [3, 2], [1, 2], [1, 1, 0, 1]),
            ([1, 4, 4, 3], [3, 3], [1, 1], [2, 1, 1, 2]),
        ] {
            for count_include_pad in [false, true] {
                let out = |n: usize, axis: usize| {
                    (n + pad[2 * axis] + pad[2 * axis + 1] - kernel[axis]) / stride[axis] + 1
                };
                cases.add(Kernel::Pool(PoolKernel {
                    max,
                    batch: size[0],
                    in_h: size[1],
                    in_w: size[2],
                    out_h: out(size[1], 0),
                    out_w: out(size[2], 1),
                    channels: size[3],
                    kernel,
                    stride,
                    pad,
                    count_include_pad,
                    epilogue: vec![
                        Post::Binary(Arithmetic::Mul, Operand::ImageChannel),
                        ADD,
                        unary(Function::Relu),
                    ],
                }));
            }
        }
        // The last window hangs over the border (PyTorch's ceil_mode).
        cases.add(Kernel::Pool(PoolKernel {
            max,
            batch: 1,
            in_h: 6,
            in_w: 6,
            out_h: 3,
            out_w: 3,
            channels: 4,
            kernel: [3, 3],
            stride: [2, 2],
            pad: [0; 4],
            count_include_pad: true,
            epilogue: vec![],
        }));
    }
}

fn reductions(cases: &mut Cases) {
    for kind in [Reduction::Sum, Reduction::Mean, Reduction::Max, Reduction::Min, Reduction::L2] {
        for (outer, len, inner) in
            [(1, 1, 1), (3, 5, 1), (2, 1000, 1), (2, 49, 40), (1, 300, 3), (3, 2, 65), (1, 7, 16)]
        {
            cases.add(Kernel::Reduce(ReduceKernel {
                kind,
                outer,
                len,
                inner,
                epilogue: vec![
                    Post::Binary(Arithmetic::Add, Operand::Channel),
                    Post::Binary(Arithmetic::Mul, Operand::ImageChannel),
                    unary(Function::HardSwish),
                ],
            }));
        }
    }
}

fn extreme_reductions_keep_nan(cases: &mut Cases) {
    for (at, len, inner) in [(0, 9, 1), (5, 9, 1), (8, 9, 1), (40, 9, 5), (0, 100, 1)] {
        for kind in [Reduction::Max, Reduction::Min] {
            let mut x = random(len * inner, 1);
            x[at] = f32::NAN;
            let kernel =
                Kernel::Reduce(ReduceKernel { kind, outer: 1, len, inner, epilogue: vec![] });
            cases.add_values(&kernel, &[x], 0.0);
        }
    }
}

fn softmax(cases: &mut Cases) {
    for (outer, len, inner) in [(1, 1, 1), (5, 49, 1), (3, 17, 1), (2, 6, 7), (1, 1000, 1)] {
        let kernel = Kernel::Softmax { outer, len, inner };
        cases.add(kernel.clone());
        let mut x = random(outer * len * inner, 9);
        x.iter_mut().for_each(|v| *v *= 60.0);
        cases.add_values(&kernel, &[x.clone()], 1e-5);
        if len > 1 {
            x[0] = f32::NEG_INFINITY;
            cases.add_values(&kernel, &[x.clone()], 1e-5);
        }
        x[0] = f32::NAN;
        cases.add_values(&kernel, &[x], 1e-5);
    }
}

fn layernorm(cases: &mut Cases) {
    for (rows, len) in [(1, 4), (5, 96), (3, 37), (2, 1), (7, 3)] {
        for affine in [false, true] {
            for epilogue in [vec![], vec![Post::Binary(Arithmetic::Mul, Operand::Channel), ADD]] {
                cases.add(Kernel::LayerNorm {
                    rows,
                    len,
                    eps: 1e-5f32.to_bits(),
                    affine,
                    epilogue,
                });
            }
        }
    }
}

/// A copy kernel whose output is dense, so that all of it is compared.
fn copy(shape: &[usize], x_offset: usize, x_strides: &[isize]) -> CopyKernel {
    let out_strides = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
    CopyKernel {
        shape: shape.to_vec(),
        x_offset,
        x_strides: x_strides.to_vec(),
        out_offset: 0,
        out_strides,
        fill: None,
    }
}

fn copies(cases: &mut Cases) {
    cases.add(Kernel::Copy(copy(&[37], 0, &[1])));
    cases.add(Kernel::Copy(copy(&[5, 7, 9], 0, &[63, 9, 1])));
    cases.add(Kernel::Copy(copy(&[5, 7, 9], 2, &[1, 5, 35])));
    cases.add(Kernel::Copy(copy(&[100, 90], 0, &[1, 100])));
    cases.add(Kernel::Copy(copy(&[6, 11], 65, &[-11, -1])));
    cases.add(Kernel::Copy(copy(&[6, 11, 3], 0, &[0, 3, 1])));
    cases.add(Kernel::Copy(copy(&[6, 11], 3, &[1, 0])));
    cases.add(Kernel::Copy(copy(&[], 4, &[])));
    cases.add(Kernel::Copy(CopyKernel { fill: Some(0x7f80_0000), ..copy(&[3, 13], 0, &[0, 0]) }));
    // Places between the box's values are not touched: they keep their NaN.
    cases.add(Kernel::Copy(CopyKernel {
        out_offset: 3,
        out_strides: vec![40, 2],
        ..copy(&[3, 13], 0, &[13, 1])
    }));
}

fn gathers(cases: &mut Cases) {
    for (outer, len, inner, count) in
        [(1, 10, 1, 49), (3, 5, 7, 16), (2, 30, 64, 20), (1, 9, 3000, 4)]
    {
        cases.add(Kernel::Gather { outer, len, inner, count });
    }
}

fn resizes(cases: &mut Cases) {
    for (size, out, taps) in [
        ([1, 4, 5, 3], [8, 16], [2, 2]),
        ([2, 9, 9, 20], [5, 4], [4, 3]),
        ([1, 2, 2, 1], [3, 3], [1, 1]),
    ] {
        cases.add(Kernel::Resize(ResizeKernel {
            batch: size[0],
            in_h: size[1],
            in_w: size[2],
            channels: size[3],
            out_h: out[0],
            out_w: out[1],
            taps_h: taps[0],
            taps_w: taps[1],
        }));
    }
}

fn bytes(cases: &mut Cases) {
    for (batch, pixels, channels) in
        [(1, 4, 1), (4, 7, 3), (2, 50 * 50, 3), (1, 5000, 1), (4, 9, 5)]
    {
        cases.add(Kernel::Bytes(BytesKernel { batch, pixels, channels }));
    }
}

fn halves(cases: &mut Cases) {
    for format in [Half::F16, Half::Bf16] {
        for values in [32, 96, 32 * 2500] {
            let kernel = Kernel::Widen(WidenKernel { values, format });
            let operands = random_operands(&kernel);
            // Exactly: a tolerance relative to the value alone.
            cases.add_values(&kernel, &operands, 0.0);
        }
    }
}

fn weights_times_factors(cases: &mut Cases) {
    for (inputs, outputs) in [(1, 1), (3, 16), (4, 17), (30, 40), (97, 5)] {
        cases.add(Kernel::Scale(ScaleKernel { inputs, outputs }));
    }
}

groups! {
    matmul
    map
    extrema_keep_nan
    pooling
    reductions
    extreme_reductions_keep_nan
    softmax
    layernorm
    copies
    gathers
    resizes
    bytes
    halves
    weights_times_factors
}
