//! Chains of convolutions: against plain loops, and bit for bit against their stages one by one.

use crate::cases::{Cases, groups};
use crate::support::case::Case;
use crate::support::harness::{backends, run};
use netwright_codegen::program::*;

const SILU: Post = Post::Unary(Function::Silu);
const RELU: Post = Post::Unary(Function::Relu);
const RESIDUAL: Post = Post::Binary(Arithmetic::Add, Operand::Full);
const GATE: Post = Post::Binary(Arithmetic::Mul, Operand::ImageChannel);
const SHIFT: Post = Post::Binary(Arithmetic::Add, Operand::Channel);

/// A map: images, rows, columns, channels.
type Map = [usize; 4];

/// A convolution of `map`, and the map that it makes.
fn stage(
    map: Map,
    out_c: usize,
    [taps, stride, pad]: [usize; 3],
    groups: usize,
    epilogue: &[Post],
) -> (ConvKernel, Map) {
    let size = |n: usize| (n + 2 * pad - taps) / stride + 1;
    let out = [map[0], size(map[1]), size(map[2]), out_c];
    let conv = ConvKernel {
        batch: map[0],
        in_h: map[1],
        in_w: map[2],
        in_c: map[3],
        out_h: out[1],
        out_w: out[2],
        out_c,
        kernel: [taps; 2],
        stride: [stride; 2],
        pad: [pad; 2],
        dilation: [1; 2],
        groups,
        input_nchw: false,
        ahead: 0,
        epilogue: epilogue.to_vec(),
    };
    (conv, out)
}

fn pointwise(map: Map, out_c: usize, epilogue: &[Post]) -> (ConvKernel, Map) {
    stage(map, out_c, [1, 1, 0], 1, epilogue)
}

fn depthwise(map: Map, window: [usize; 3], epilogue: &[Post]) -> (ConvKernel, Map) {
    stage(map, map[3], window, map[3], epilogue)
}

/// Expansion, depthwise convolution, projection.
fn inverted_residual(map: Map, inner: usize, window: [usize; 3], last: &[Post]) -> Vec<ConvKernel> {
    let (expand, map) = pointwise(map, inner, &[SILU]);
    let (inside, map) = depthwise(map, window, &[RELU]);
    let (project, _) = pointwise(map, 12, last);
    vec![expand, inside, project]
}

/// Bands of several heights.
fn add_bands(cases: &mut Cases, stages: Vec<ConvKernel>) {
    let height = stages[stages.len() - 1].out_h;
    for rows in [1, 2, 3, height.div_ceil(2), height] {
        if rows <= height {
            cases.add(Kernel::Chain(ChainKernel { stages: stages.clone(), rows }));
        }
    }
}

fn sizes_of_maps(cases: &mut Cases) {
    for [height, width] in [[1, 1], [2, 5], [7, 7], [9, 13], [16, 6]] {
        for batch in [1, 3] {
            add_bands(cases, inverted_residual([batch, height, width, 5], 24, [3, 1, 1], &[]));
        }
    }
}

fn windows_and_steps(cases: &mut Cases) {
    for window in
        [[3, 2, 1], [5, 1, 2], [5, 2, 2], [7, 3, 3], [2, 2, 0], [3, 1, 0], [1, 1, 0], [3, 4, 1]]
    {
        add_bands(cases, inverted_residual([2, 15, 11, 8], 20, window, &[]));
    }
}

fn epilogues_see_rows_of_the_whole_map(cases: &mut Cases) {
    let map = [2, 9, 7, 12];
    for last in [&[RESIDUAL][..], &[SILU, RESIDUAL], &[RESIDUAL, RELU], &[GATE], &[SHIFT, SILU]] {
        add_bands(cases, inverted_residual(map, 17, [3, 1, 1], last));
    }
    let (expand, map) = pointwise(map, 18, &[GATE, SHIFT, SILU]);
    let (inside, map) = depthwise(map, [3, 1, 1], &[SHIFT, GATE]);
    let (project, _) = pointwise(map, 12, &[GATE, RESIDUAL]);
    add_bands(cases, vec![expand, inside, project]);
}

fn two_stages_and_four(cases: &mut Cases) {
    let (inside, map) = depthwise([1, 12, 10, 16], [3, 1, 1], &[RELU]);
    let (out, map) = pointwise(map, 33, &[RELU]);
    add_bands(cases, vec![inside.clone(), out.clone()]);
    let (second, map) = depthwise(map, [5, 2, 2], &[SILU]);
    let (last, _) = pointwise(map, 7, &[]);
    add_bands(cases, vec![inside, out, second, last]);
    let (expand, map) = pointwise([2, 8, 9, 4], 19, &[SILU]);
    let (inside, _) = depthwise(map, [3, 2, 1], &[SILU]);
    add_bands(cases, vec![expand, inside]);
}

fn the_last_stage_may_sum_its_rows(cases: &mut Cases) {
    for posts in [&[SILU, Post::RowSums][..], &[RELU, Post::RowSums], &[GATE, Post::RowSums]] {
        let (expand, map) = pointwise([2, 9, 13, 6], 20, &[SILU]);
        let (inside, _) = depthwise(map, [3, 1, 1], posts);
        add_bands(cases, vec![expand, inside]);
    }
}

fn a_stem_of_planes_and_dense_windows(cases: &mut Cases) {
    for batch in [1, 2] {
        let (mut stem, map) = stage([batch, 21, 19, 3], 16, [3, 2, 1], 1, &[RELU]);
        stem.input_nchw = true;
        let (inside, map) = depthwise(map, [3, 1, 1], &[RELU]);
        let (project, map) = pointwise(map, 8, &[]);
        add_bands(cases, vec![stem.clone(), inside.clone(), project.clone()]);
        let (dense, _) = stage(map, 10, [3, 1, 1], 1, &[SILU]);
        add_bands(cases, vec![stem, inside, project, dense]);
    }
}

groups! {
    sizes_of_maps
    windows_and_steps
    epilogues_see_rows_of_the_whole_map
    two_stages_and_four
    the_last_stage_may_sum_its_rows
    a_stem_of_planes_and_dense_windows
}

/// The stages as kernels of their own give the same bits.
#[test]
fn same_bits_as_stages() {
    GROUPS.iter().flat_map(|group| group.cases()).for_each(|case| same_bits(&case));
}

fn same_bits(case: &Case) {
    let Case { kernel, values, .. } = case;
    let Kernel::Chain(chain) = kernel else { panic!("a chain") };
    for backend in backends() {
        let mut value = values[0].clone();
        let mut next = 1 + 2 * chain.stages.len();
        for (c, tensors) in chain.stages.iter().zip(values[1..].chunks(2)) {
            let mut operands = vec![value, tensors[0].clone(), tensors[1].clone()];
            let count = c.epilogue.iter().filter(|p| matches!(p, Post::Binary(..))).count();
            operands.extend_from_slice(&values[next..next + count]);
            next += count;
            let plain = run(&Kernel::Conv(c.clone()), &operands, backend);
            let rows = run(&Kernel::Rows(c.clone()), &operands, backend);
            assert!(bits(&plain) == bits(&rows), "{backend:?} {c:?}");
            value = plain;
        }
        let depth_first = run(kernel, values, backend);
        assert!(bits(&value) == bits(&depth_first), "{backend:?} {kernel:?}");
    }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|v| v.to_bits()).collect()
}

#[test]
fn contradictions_are_errors() {
    let stages = inverted_residual([1, 8, 8, 4], 8, [3, 1, 1], &[]);
    let fails = |stages: Vec<ConvKernel>, rows: usize| {
        let kernel = Kernel::Chain(ChainKernel { stages, rows });
        netwright_codegen::operands::operands(&kernel).unwrap_err().to_string()
    };
    assert!(fails(stages.clone(), 0).contains("bands of 0 rows"));
    assert!(fails(stages.clone(), 9).contains("bands of 9 rows of a map of 8"));
    assert!(fails(stages[..1].to_vec(), 1).contains("at least two stages"));
    let mut other = stages.clone();
    other[1].in_h = 9;
    assert!(fails(other, 1).contains("the next reads"));
    let mut sums = stages.clone();
    sums[1].epilogue = vec![Post::RowSums];
    assert!(fails(sums, 1).contains("only the last stage may sum"));
    let mut full = stages;
    full[0].epilogue = vec![RESIDUAL];
    assert!(fails(full, 1).contains("only the last stage may read"));
}
