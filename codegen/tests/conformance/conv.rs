//! Convolutions and linear layers against plain loops.

use crate::cases::{Cases, groups};
use netwright_codegen::program::*;

fn conv(input: [usize; 4], out_c: usize, kernel: usize, stride: usize, pad: usize) -> ConvKernel {
    let size = |n: usize| (n + 2 * pad - kernel) / stride + 1;
    ConvKernel {
        batch: input[0],
        in_h: input[1],
        in_w: input[2],
        in_c: input[3],
        out_h: size(input[1]),
        out_w: size(input[2]),
        out_c,
        kernel: [kernel; 2],
        stride: [stride; 2],
        pad: [pad; 2],
        dilation: [1; 2],
        groups: 1,
        input_nchw: false,
        ahead: 0,
        epilogue: vec![],
    }
}

fn depthwise(input: [usize; 4], kernel: usize, stride: usize, pad: usize) -> ConvKernel {
    ConvKernel { groups: input[3], ..conv(input, input[3], kernel, stride, pad) }
}

const RELU6: Post = Post::Unary(Function::Clamp { low: 0, high: 0x40c0_0000 });
const SILU: Post = Post::Unary(Function::Silu);
const RESIDUAL: Post = Post::Binary(Arithmetic::Add, Operand::Full);
const GATE: Post = Post::Binary(Arithmetic::Mul, Operand::ImageChannel);

fn pointwise_sizes(cases: &mut Cases) {
    for (pixels, inputs, outputs) in [
        (1, 1, 1),
        (1, 7, 3),
        (1, 64, 100),
        (1, 1280, 67),
        (2, 5, 4),
        (3, 9, 17),
        (4, 16, 16),
        (5, 24, 24),
        (6, 33, 31),
        (7, 12, 33),
        (13, 40, 40),
        (49, 20, 56),
        (97, 3, 129),
    ] {
        cases.add(Kernel::Conv(conv([1, 1, pixels, inputs], outputs, 1, 1, 0)));
    }
}

fn pointwise_with_large_weights(cases: &mut Cases) {
    cases.add(Kernel::Conv(conv([1, 7, 7, 300], 260, 1, 1, 0)));
    cases.add(Kernel::Conv(conv([2, 11, 13, 300], 260, 1, 1, 0)));
}

fn pointwise_epilogues(cases: &mut Cases) {
    for epilogue in [
        vec![RELU6],
        vec![RESIDUAL],
        vec![SILU],
        vec![GATE, SILU, RESIDUAL],
        vec![Post::Binary(Arithmetic::Mul, Operand::Channel), RESIDUAL, RELU6],
        vec![Post::Binary(Arithmetic::Sub, Operand::Scalar), Post::Unary(Function::Gelu)],
    ] {
        for input in [[1, 5, 7, 19], [3, 3, 5, 8], [2, 1, 1, 20]] {
            cases.add(Kernel::Conv(ConvKernel {
                epilogue: epilogue.clone(),
                ..conv(input, 37, 1, 1, 0)
            }));
        }
    }
}

/// The bytes that are fetched for later steps are only asked for: results are the same.
fn fetching_ahead(cases: &mut Cases) {
    for ahead in [4, 64, 1000, 70_000] {
        for input in [[1, 1, 1, 40], [1, 7, 7, 33], [3, 3, 5, 300]] {
            let conv = ConvKernel { ahead, ..conv(input, 130, 1, 1, 0) };
            let epilogue = vec![GATE, SILU, RESIDUAL];
            cases.add(Kernel::Conv(ConvKernel { epilogue, ..conv.clone() }));
            cases.add(Kernel::Conv(conv));
        }
        // Written out, in a loop, and over several loops.
        for size in [[1, 9, 9, 3], [1, 9, 9, 20], [2, 6, 6, 100]] {
            cases.add(Kernel::Conv(ConvKernel { ahead, ..conv(size, 18, 3, 2, 1) }));
        }
    }
}

fn windows(cases: &mut Cases) {
    for (size, kernel, stride, pad) in [
        ([1, 5, 5, 3], 3, 1, 1),
        ([1, 9, 11, 4], 3, 2, 1),
        ([2, 7, 7, 17], 3, 1, 1),
        ([1, 14, 14, 8], 5, 1, 2),
        ([1, 15, 9, 2], 7, 2, 3),
        ([1, 8, 12, 5], 2, 2, 0),
        ([2, 8, 8, 6], 1, 2, 0),
        ([1, 16, 16, 3], 4, 4, 0),
        ([1, 3, 3, 4], 3, 1, 2),
        ([1, 1, 1, 4], 3, 1, 1),
        ([1, 40, 6, 70], 3, 1, 1),
    ] {
        cases.add(Kernel::Conv(conv(size, 18, kernel, stride, pad)));
        cases.add(Kernel::Conv(ConvKernel {
            epilogue: vec![RESIDUAL, SILU, GATE],
            ..conv(size, 5, kernel, stride, pad)
        }));
    }
}

fn windows_with_large_weights(cases: &mut Cases) {
    cases.add(Kernel::Conv(conv([2, 7, 7, 64], 130, 3, 1, 1)));
    cases.add(Kernel::Conv(conv([1, 13, 5, 96], 80, 3, 2, 1)));
}

fn uneven_geometry(cases: &mut Cases) {
    // Windows over the lower and right border only, as TensorFlow's SAME has at step 2.
    cases.add(Kernel::Conv(ConvKernel {
        out_h: 4,
        out_w: 5,
        pad: [0, 1],
        ..conv([1, 8, 10, 6], 9, 3, 2, 1)
    }));
    // Steps, dilations, borders and windows that differ by axis.
    cases.add(Kernel::Conv(ConvKernel {
        kernel: [3, 2],
        stride: [1, 2],
        pad: [2, 1],
        dilation: [2, 3],
        out_h: 9,
        out_w: 6,
        ..conv([2, 9, 11, 7], 20, 3, 1, 1)
    }));
    // Windows that see nothing but border.
    cases.add(Kernel::Conv(ConvKernel {
        pad: [5, 5],
        out_h: 12,
        out_w: 12,
        ..conv([1, 4, 4, 3], 6, 3, 1, 1)
    }));
}

fn planar_images(cases: &mut Cases) {
    for (size, kernel, stride, pad) in [
        ([1, 9, 9, 3], 3, 2, 1),
        ([2, 16, 13, 3], 7, 2, 3),
        ([2, 6, 5, 1], 3, 1, 1),
        ([1, 8, 8, 3], 4, 4, 0),
        ([1, 5, 6, 4], 1, 1, 0),
    ] {
        cases.add(Kernel::Conv(ConvKernel {
            input_nchw: true,
            ahead: 0,
            epilogue: vec![RELU6],
            ..conv(size, 19, kernel, stride, pad)
        }));
    }
}

fn groups(cases: &mut Cases) {
    for (inputs, outputs, groups) in [(8, 8, 2), (12, 36, 3), (64, 64, 4), (10, 20, 10), (6, 34, 2)]
    {
        for (kernel, pad) in [(1, 0), (3, 1)] {
            cases.add(Kernel::Conv(ConvKernel {
                groups,
                epilogue: vec![Post::Binary(Arithmetic::Add, Operand::Channel), RESIDUAL],
                ..conv([2, 6, 7, inputs], outputs, kernel, 1, pad)
            }));
        }
    }
}

fn depthwise_sizes(cases: &mut Cases) {
    for channels in [2, 3, 4, 7, 8, 16, 20, 33, 40] {
        for (size, kernel, stride, pad) in [
            ([7, 7], 3, 1, 1),
            ([14, 31], 3, 1, 1),
            ([9, 20], 3, 2, 1),
            ([7, 9], 5, 1, 2),
            ([8, 24], 5, 2, 2),
            ([6, 11], 7, 1, 3),
        ] {
            cases.add(Kernel::Conv(depthwise(
                [1, size[0], size[1], channels],
                kernel,
                stride,
                pad,
            )));
        }
    }
}

fn depthwise_with_sums_of_its_rows(cases: &mut Cases) {
    let channel = Post::Binary(Arithmetic::Add, Operand::Channel);
    for posts in [&[][..], &[RELU6], &[SILU], &[GATE, SILU], &[channel], &[SILU, RESIDUAL]] {
        for input in [[1, 7, 7, 40], [2, 9, 19, 21], [1, 5, 30, 16], [3, 1, 1, 3]] {
            let epilogue = posts.iter().copied().chain([Post::RowSums]).collect();
            cases.add(Kernel::Conv(ConvKernel { epilogue, ..depthwise(input, 3, 1, 1) }));
        }
    }
    let epilogue = vec![SILU, Post::RowSums];
    cases.add(Kernel::Conv(ConvKernel { epilogue, ..depthwise([1, 11, 12, 24], 5, 2, 2) }));
}

fn depthwise_geometry_and_epilogues(cases: &mut Cases) {
    for epilogue in [vec![RELU6], vec![SILU, GATE], vec![RESIDUAL, SILU, RESIDUAL]] {
        cases.add(Kernel::Conv(ConvKernel { epilogue, ..depthwise([2, 9, 19, 21], 3, 1, 1) }));
    }
    let base = depthwise([1, 9, 23, 18], 3, 1, 1);
    cases.add(Kernel::Conv(ConvKernel { dilation: [2, 2], pad: [2, 2], ..base.clone() }));
    cases.add(Kernel::Conv(ConvKernel { dilation: [3, 4], pad: [1, 7], ..base.clone() }));
    cases.add(Kernel::Conv(ConvKernel { dilation: [1, 40], pad: [1, 40], ..base.clone() }));
    cases.add(Kernel::Conv(ConvKernel { kernel: [5, 1], pad: [2, 0], ..base.clone() }));
    cases.add(Kernel::Conv(ConvKernel { kernel: [1, 17], pad: [0, 8], ..base.clone() }));
    cases.add(Kernel::Conv(ConvKernel {
        out_h: 4,
        out_w: 11,
        stride: [2, 2],
        pad: [0, 0],
        ..base.clone()
    }));
    cases.add(Kernel::Conv(ConvKernel { pad: [12, 30], out_h: 12, out_w: 40, ..base }));
    cases.add(Kernel::Conv(ConvKernel { input_nchw: true, ..depthwise([2, 9, 8, 5], 3, 1, 1) }));
}

groups! {
    pointwise_sizes
    pointwise_with_large_weights
    pointwise_epilogues
    fetching_ahead
    windows
    windows_with_large_weights
    uneven_geometry
    planar_images
    groups
    depthwise_sizes
    depthwise_with_sums_of_its_rows
    depthwise_geometry_and_epilogues
}

#[test]
fn only_depthwise_convolutions_sum_their_rows() {
    let fails =
        |kernel: Kernel| netwright_codegen::operands::operands(&kernel).unwrap_err().to_string();
    let sums = vec![Post::RowSums];
    let dense = ConvKernel { epilogue: sums.clone(), ..conv([1, 5, 5, 8], 8, 3, 1, 1) };
    assert!(fails(Kernel::Conv(dense)).contains("only depthwise"));
    let early = vec![Post::RowSums, RELU6];
    let early = ConvKernel { epilogue: early, ..depthwise([1, 5, 5, 8], 3, 1, 1) };
    assert!(fails(Kernel::Conv(early)).contains("not the last"));
    let map = MapKernel { shape: vec![4], strides: vec![vec![1]], steps: sums };
    assert!(fails(Kernel::Map(map)).contains("not the last"));
}
