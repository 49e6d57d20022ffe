//! Attention head by head: against plain loops, and bit for bit against its steps one by one.

use crate::cases::{Cases, groups};
use crate::support::case::Case;
use crate::support::harness::{backends, random_operands, run};
use netwright_codegen::program::*;

const SCALE: Post =
    Post::Unary(Function::Affine { mul: 0.125f32.to_bits(), add: 0.0f32.to_bits() });
const TANH: Post = Post::Unary(Function::Tanh);
const ADD: Post = Post::Binary(Arithmetic::Add, Operand::Full);
const MUL: Post = Post::Binary(Arithmetic::Mul, Operand::Full);

/// Windows, heads, queries, keys, width of queries and keys, width of values.
type Shape = [usize; 6];

/// Queries, keys and values side by side in rows of `[windows, tokens, 3, heads, width]` where the shape
/// allows it; the results of all heads of a token side by side.
fn attention([windows, heads, m, n, k, d]: Shape, rows: usize) -> AttentionKernel {
    let part = |tokens: usize, width: usize, row: usize| vec![tokens * row, width, row, 1];
    let [q_row, v_row] = match (m == n, k == d) {
        (true, true) => [3 * heads * k; 2],
        _ => [heads * k, heads * d],
    };
    AttentionKernel {
        batch: vec![windows, heads],
        queries: m,
        keys: n,
        width: k,
        out_width: d,
        q: part(m, k, q_row),
        k: part(n, k, q_row),
        v: part(n, d, v_row),
        out: part(m, d, heads * d),
        steps: vec![],
        operands: vec![],
        rows,
    }
}

/// Blocks of several sizes.
fn add_blocks(cases: &mut Cases, attention: &AttentionKernel) {
    for rows in [1, 7, attention.queries] {
        cases.add(Kernel::Attention(AttentionKernel { rows, ..attention.clone() }));
    }
}

/// Product, steps, softmax and product as kernels of their own give the same bits.
#[test]
fn same_bits_as_steps() {
    GROUPS.iter().flat_map(|group| group.cases()).for_each(|case| same_bits(&case));
}

fn same_bits(case: &Case) {
    let Kernel::Attention(a) = &case.kernel else { panic!("attention") };
    let axes = a.batch.len();
    let [m, n] = [a.queries, a.keys];
    let product = |matrices: [&[usize]; 2], [m, n, k]: [usize; 3], b_strides| MatMulKernel {
        batch: a.batch.clone(),
        a_batch: matrices[0][..axes].to_vec(),
        b_batch: matrices[1][..axes].to_vec(),
        m,
        n,
        k,
        a_strides: [matrices[0][axes], matrices[0][axes + 1]],
        b_strides,
        epilogue: vec![],
    };
    let scores = product([&a.q, &a.k], [m, n, a.width], [a.k[axes + 1], a.k[axes]]);
    let shape: Vec<usize> = a.batch.iter().copied().chain([m, n]).collect();
    let dense: Vec<usize> = (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect();
    let mixed = product([&dense, &a.v], [m, a.out_width, n], [a.v[axes], a.v[axes + 1]]);
    let mut strides = vec![dense.clone()];
    strides.extend(a.operands.clone());
    let map = MapKernel { shape: shape.clone(), strides, steps: a.steps.clone() };
    let outer = shape[..axes + 1].iter().product();

    let (kernel, operands) = (&case.kernel, &case.values);
    for backend in backends() {
        let run = |kernel: Kernel, operands: Vec<Vec<f32>>| run(&kernel, &operands, backend);
        let mut value = run(Kernel::MatMul(scores.clone()), operands[..2].to_vec());
        if !a.steps.is_empty() {
            let mut inputs = vec![value];
            inputs.extend_from_slice(&operands[3..]);
            value = run(Kernel::Map(map.clone()), inputs);
        }
        value = run(Kernel::Softmax { outer, len: n, inner: 1 }, vec![value]);
        value = run(Kernel::MatMul(mixed.clone()), vec![value, operands[2].clone()]);
        let together = run(kernel.clone(), operands.clone());
        // Values by batch, query and column lie where the kernel's steps say.
        let mut rest = value.iter();
        let mut next = |at: usize| {
            let bits = rest.next().map(|v| v.to_bits());
            assert_eq!(bits, Some(together[at].to_bits()), "{backend:?} {a:?}");
        };
        let sizes: Vec<usize> = a.batch.iter().copied().chain([m, a.out_width]).collect();
        for i in 0..sizes.iter().product() {
            let mut left: usize = i;
            let mut at = 0;
            for (size, step) in sizes.iter().zip(&a.out).rev() {
                at += left % size * step;
                left /= size;
            }
            next(at);
        }
    }
}

fn tokens_and_widths(cases: &mut Cases) {
    for tokens in [1, 2, 17, 49] {
        for width in [1, 16, 20] {
            add_blocks(cases, &attention([2, 3, tokens, tokens, width, width], 1));
        }
    }
    add_blocks(cases, &attention([1, 2, 67, 67, 64, 64], 1));
    // Rows of many vectors.
    add_blocks(cases, &attention([1, 1, 9, 300, 8, 8], 1));
}

fn queries_and_keys_of_different_numbers(cases: &mut Cases) {
    for [m, n, k, d] in [[1, 50, 24, 24], [7, 16, 5, 33], [30, 3, 8, 17], [13, 33, 64, 1]] {
        add_blocks(cases, &attention([2, 2, m, n, k, d], 1));
    }
}

fn scaling_bias_and_mask(cases: &mut Cases) {
    for (tokens, steps) in [
        (9, vec![SCALE]),
        (19, vec![SCALE, ADD, ADD]),
        (16, vec![MUL, ADD]),
        (33, vec![ADD, SCALE, TANH, MUL]),
        (12, vec![TANH, SCALE]),
    ] {
        let [windows, heads] = [3, 2];
        let plain = attention([windows, heads, tokens, tokens, 12, 12], 1);
        let cells = tokens * tokens;
        // By head, by window, one value a head, one a query, one a key.
        let kinds = [
            vec![0, cells, tokens, 1],
            vec![cells, 0, tokens, 1],
            vec![0, 1, 0, 0],
            vec![0, tokens, 1, 0],
            vec![tokens, 0, 0, 1],
        ];
        let count = steps.iter().filter(|step| matches!(step, Post::Binary(..))).count();
        for first in 0..kinds.len() {
            let operands = (0..count).map(|i| kinds[(first + i) % kinds.len()].clone()).collect();
            add_blocks(cases, &AttentionKernel { steps: steps.clone(), operands, ..plain.clone() });
            if count < 2 {
                break;
            }
        }
    }
}

fn heads_one_after_the_other_and_keys_in_columns(cases: &mut Cases) {
    let plain = attention([2, 3, 11, 11, 8, 8], 1);
    let dense = vec![3 * 11 * 8, 11 * 8, 8, 1];
    add_blocks(cases, &AttentionKernel { out: dense.clone(), ..plain.clone() });
    let columns = vec![3 * 11 * 8, 11 * 8, 1, 11];
    add_blocks(cases, &AttentionKernel { k: columns.clone(), v: columns, ..plain.clone() });
    // All heads have the same keys and values.
    let one = vec![11 * 8, 0, 8, 1];
    add_blocks(cases, &AttentionKernel { k: one.clone(), v: one, out: dense, ..plain });
}

groups! {
    tokens_and_widths
    queries_and_keys_of_different_numbers
    scaling_bias_and_mask
    heads_one_after_the_other_and_keys_in_columns
}

#[test]
fn a_mask_of_infinities_and_what_is_not_a_number() {
    let steps = vec![ADD];
    let plain = attention([1, 2, 9, 21, 8, 8], 4);
    let mut kernel = AttentionKernel { steps, operands: vec![vec![0, 0, 21, 1]], ..plain };
    for backend in backends() {
        let mut operands = random_operands(&Kernel::Attention(kernel.clone()));
        for (i, mask) in operands[3].iter_mut().enumerate() {
            *mask = if i % 21 > i / 21 { f32::NEG_INFINITY } else { 0.0 };
        }
        let masked = run(&Kernel::Attention(kernel.clone()), &operands, backend);
        assert!(masked.iter().all(|v| v.is_finite()), "{backend:?}");
        // The first query sees the first key alone.
        assert!((masked[0] - operands[2][0]).abs() < 1e-6, "{backend:?}");
        operands[0][8 * 2 * 5] = f32::NAN;
        let out = run(&Kernel::Attention(kernel.clone()), &operands, backend);
        for (row, values) in out.chunks(2 * 8).enumerate() {
            let lost = values[..8].iter().filter(|v| v.is_nan()).count();
            assert_eq!(lost, if row == 5 { 8 } else { 0 }, "{backend:?} row {row}");
        }
        kernel.rows = 1;
    }
}

#[test]
fn contradictions_are_errors() {
    let sound = attention([2, 3, 11, 11, 8, 8], 4);
    let fails = |change: &dyn Fn(&mut AttentionKernel)| {
        let mut kernel = sound.clone();
        change(&mut kernel);
        netwright_codegen::operands::operands(&Kernel::Attention(kernel)).unwrap_err().to_string()
    };
    assert!(fails(&|a| a.rows = 0).contains("size of 0"));
    assert!(fails(&|a| a.steps = vec![ADD]).contains("0 operands for 1 binary"));
    assert!(fails(&|a| a.k = vec![1, 1, 1]).contains("do not match"));
    assert!(fails(&|a| a.q[3] = 2).contains("not adjacent"));
    assert!(
        fails(&|a| {
            a.steps = vec![ADD];
            a.operands = vec![vec![0, 0, 1, 11]];
        })
        .contains("neither adjacent")
    );
    assert!(fails(&|a| a.keys = 1 << 28).contains("2 GiB"));
}
