//! Winograd's algorithm against plain loops.

use crate::cases::{Cases, groups};
use crate::support::harness::random_operands;
use netwright_codegen::program::*;

fn conv(input: [usize; 4], out_c: usize, pad: usize) -> ConvKernel {
    ConvKernel {
        batch: input[0],
        in_h: input[1],
        in_w: input[2],
        in_c: input[3],
        out_h: input[1] + 2 * pad - 2,
        out_w: input[2] + 2 * pad - 2,
        out_c,
        kernel: [3; 2],
        stride: [1; 2],
        pad: [pad; 2],
        dilation: [1; 2],
        groups: 1,
        input_nchw: false,
        ahead: 0,
        epilogue: vec![],
    }
}

/// Checks a convolution with both sizes of tiles. The transforms sum values up to 100 times (tiles
/// of 4) or 4 times (of 2) as large as a window's, which then cancel; so the error is relative to the
/// size of the sums, which is the square root of the number of channels for these operands.
fn add(cases: &mut Cases, conv: ConvKernel) {
    for (tile, error) in [(2, 2e-6), (4, 1e-5)] {
        let tolerance = error * (1.0 + (conv.in_c as f64).sqrt());
        let kernel = Kernel::Winograd(WinogradKernel { conv: conv.clone(), tile });
        cases.add_values(&kernel, &random_operands(&kernel), tolerance);
    }
}

const SILU: Post = Post::Unary(Function::Silu);
const RESIDUAL: Post = Post::Binary(Arithmetic::Add, Operand::Full);
const GATE: Post = Post::Binary(Arithmetic::Mul, Operand::ImageChannel);

fn sizes_of_maps(cases: &mut Cases) {
    for size in
        [[1, 1], [1, 7], [2, 2], [3, 5], [4, 4], [5, 3], [7, 7], [8, 8], [9, 18], [33, 4], [2, 97]]
    {
        for batch in [1, 3] {
            add(cases, conv([batch, size[0], size[1], 8], 16, 1));
        }
    }
}

fn numbers_of_channels(cases: &mut Cases) {
    for (inputs, outputs) in [
        (1, 1),
        (3, 5),
        (7, 24),
        (12, 20),
        (16, 17),
        (17, 32),
        (24, 24),
        (31, 9),
        (40, 56),
        (64, 70),
    ] {
        add(cases, conv([1, 6, 9, inputs], outputs, 1));
    }
}

fn borders(cases: &mut Cases) {
    for pad in [0, 1, 2, 5] {
        add(cases, conv([2, 5, 6, 10], 12, pad));
    }
    // Different above and to the left, and below and to the right; windows of nothing but border.
    for (pad, size) in [([0, 1], [6, 7]), ([2, 0], [8, 5]), ([1, 1], [3, 4]), ([9, 6], [13, 19])] {
        add(cases, ConvKernel { pad, out_h: size[0], out_w: size[1], ..conv([1, 6, 7, 5], 18, 1) });
    }
}

fn several_blocks_and_chunks(cases: &mut Cases) {
    add(cases, conv([1, 28, 30, 40], 24, 1));
    add(cases, conv([1, 7, 7, 300], 90, 1));
    add(cases, conv([2, 14, 13, 130], 200, 1));
    add(cases, conv([5, 7, 7, 64], 64, 1));
}

fn epilogues(cases: &mut Cases) {
    for epilogue in [
        vec![Post::Unary(Function::Relu)],
        vec![RESIDUAL, Post::Unary(Function::Relu)],
        vec![SILU],
        vec![GATE, SILU, RESIDUAL],
        vec![Post::Binary(Arithmetic::Mul, Operand::Channel), RESIDUAL],
        vec![Post::Binary(Arithmetic::Sub, Operand::Scalar), Post::Unary(Function::Gelu)],
    ] {
        add(cases, ConvKernel { epilogue: epilogue.clone(), ..conv([2, 7, 9, 19], 37, 1) });
        add(cases, ConvKernel { epilogue, ..conv([3, 8, 4, 8], 32, 1) });
    }
}

#[test]
fn other_convolutions_are_refused() {
    let good = conv([1, 8, 8, 8], 8, 1);
    for (conv, tile) in [
        (ConvKernel { stride: [1, 2], out_w: 4, ..good.clone() }, 2),
        (ConvKernel { kernel: [3, 1], ..good.clone() }, 2),
        (ConvKernel { dilation: [2, 2], ..good.clone() }, 4),
        (ConvKernel { groups: 2, ..good.clone() }, 4),
        (ConvKernel { input_nchw: true, ..good.clone() }, 4),
        (good, 3),
    ] {
        let kernel = Kernel::Winograd(WinogradKernel { conv, tile });
        assert!(netwright_codegen::operands::operands(&kernel).is_err(), "{kernel:?}");
    }
}

groups! {
    sizes_of_maps
    numbers_of_channels
    borders
    several_blocks_and_chunks
    epilogues
}
