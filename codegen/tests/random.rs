//! Random geometry against plain loops.

mod support;

use netwright_codegen::program::*;
use proptest::prelude::*;
use support::harness::check;

fn posts() -> impl Strategy<Value = Epilogue> {
    let post = prop_oneof![
        Just(Post::Unary(Function::Relu)),
        Just(Post::Unary(Function::HardSwish)),
        Just(Post::Unary(Function::Silu)),
        Just(Post::Binary(Arithmetic::Add, Operand::Full)),
        Just(Post::Binary(Arithmetic::Mul, Operand::ImageChannel)),
        Just(Post::Binary(Arithmetic::Sub, Operand::Channel)),
        Just(Post::Binary(Arithmetic::Mul, Operand::Scalar)),
    ];
    prop::collection::vec(post, 0..4)
}

/// Kernel, stride, dilation, border before, border after, along one axis, with input and output.
#[derive(Clone, Debug)]
struct Axis {
    input: usize,
    output: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    pad: usize,
}

fn axis() -> impl Strategy<Value = Axis> {
    (1usize..14, 1usize..6, 1usize..4, 1usize..3, 0usize..4, 0usize..4).prop_map(
        |(input, kernel, stride, dilation, pad, after)| {
            let reach = (kernel - 1) * dilation + 1;
            let output = ((input + pad + after).saturating_sub(reach)) / stride + 1;
            Axis { input, output, kernel, stride, dilation, pad }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..Default::default() })]

    #[test]
    fn convolutions(
        rows in axis(),
        columns in axis(),
        batch in 1usize..3,
        groups in 1usize..4,
        channels in (1usize..9, 1usize..24),
        depthwise in any::<bool>(),
        input_nchw in any::<bool>(),
        ahead in (0usize..20).prop_map(|n| n.saturating_sub(10) * 1000),
        epilogue in posts(),
    ) {
        let (mut in_c, mut out_c) = (channels.0 * groups, channels.1 * groups);
        let mut groups = groups;
        if depthwise {
            (in_c, out_c, groups) = (channels.1 * 2, channels.1 * 2, channels.1 * 2);
        }
        check(Kernel::Conv(ConvKernel {
            batch,
            in_h: rows.input,
            in_w: columns.input,
            in_c,
            out_h: rows.output,
            out_w: columns.output,
            out_c,
            kernel: [rows.kernel, columns.kernel],
            stride: [rows.stride, columns.stride],
            pad: [rows.pad, columns.pad],
            dilation: [rows.dilation, columns.dilation],
            groups,
            input_nchw,
            ahead: if groups == 1 { ahead } else { 0 },
            epilogue,
        }));
    }

    #[test]
    fn products(m in 1usize..60, n in 1usize..70, k in 1usize..40, epilogue in posts()) {
        let by_image = Operand::ImageChannel;
        let epilogue =
            epilogue.into_iter().filter(|p| !matches!(p, Post::Binary(_, o) if *o == by_image));
        check(Kernel::MatMul(MatMulKernel {
            batch: vec![2],
            a_batch: vec![m * k],
            b_batch: vec![n * k],
            m,
            n,
            k,
            a_strides: [k, 1],
            b_strides: [1, k],
            epilogue: epilogue.collect(),
        }));
    }
}
