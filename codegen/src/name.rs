//! Names of kernels: they state operation, shape and epilogue, for symbols, profiles and listings.

use crate::program::{
    Arithmetic, AttentionKernel, ChainKernel, ConvKernel, CopyKernel, Epilogue, Function, Half,
    Kernel, MapKernel, MatMulKernel, Operand, PoolKernel, Post, Reduction, ResizeKernel,
};
use std::fmt::Write;

/// Longest name: enough to tell kernels apart, short enough for listings.
const MAX: usize = 120;

/// The name of a kernel: letters, digits and underscores.
pub fn kernel(kernel: &Kernel) -> String {
    let mut name = match kernel {
        Kernel::Conv(c) => conv(c),
        Kernel::Rows(c) => conv(c) + "_rows",
        Kernel::Chain(c) => chain(c),
        // `winograd4_3x3_..`: the number is the tile's.
        Kernel::Winograd(w) => conv(&w.conv).replacen("conv", &format!("winograd{}", w.tile), 1),
        Kernel::MatMul(m) => matmul(m),
        Kernel::Attention(a) => attention(a),
        Kernel::Map(m) => map(m),
        Kernel::Pool(p) => pool(p),
        Kernel::Reduce(r) => {
            let kind = match r.kind {
                Reduction::Sum => "sum",
                Reduction::Mean => "mean",
                Reduction::Max => "max",
                Reduction::Min => "min",
                Reduction::L2 => "l2",
            };
            format!("reduce_{kind}_{}x{}x{}{}", r.outer, r.len, r.inner, epilogue(&r.epilogue))
        }
        Kernel::Softmax { outer, len, inner } => format!("softmax_{outer}x{len}x{inner}"),
        Kernel::LayerNorm { rows, len, affine, epilogue: posts, .. } => {
            let affine = if *affine { "_affine" } else { "" };
            format!("layernorm_{rows}x{len}{affine}{}", epilogue(posts))
        }
        Kernel::Copy(c) => copy(c),
        Kernel::Gather { outer, len, inner, count } => {
            format!("gather_{outer}x{len}x{inner}_{count}")
        }
        Kernel::Resize(r) => resize(r),
        Kernel::Bytes(b) => format!("bytes_{}", sizes(&[b.batch, b.pixels, b.channels])),
        Kernel::Scale(s) => format!("scale_weights_{}x{}", s.inputs, s.outputs),
        Kernel::Widen(w) => match w.format {
            Half::F16 => format!("widen_f16_{}", w.values),
            Half::Bf16 => format!("widen_bf16_{}", w.values),
        },
    };
    name.truncate(MAX);
    name
}

fn sizes(shape: &[usize]) -> String {
    match shape {
        [] => "1".into(),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join("x"),
    }
}

fn conv(c: &ConvKernel) -> String {
    let kind = if c.groups == 1 {
        "conv"
    } else if c.groups == c.in_c && c.groups == c.out_c {
        "depthwise"
    } else {
        "grouped"
    };
    let mut name = format!(
        "{kind}_{}_{}_to_{}",
        sizes(&c.kernel),
        sizes(&[c.batch, c.in_h, c.in_w, c.in_c]),
        sizes(&[c.out_h, c.out_w, c.out_c]),
    );
    if c.stride != [1, 1] {
        let _ = write!(name, "_s{}", sizes(&c.stride));
    }
    if c.dilation != [1, 1] {
        let _ = write!(name, "_d{}", sizes(&c.dilation));
    }
    if c.groups > 1 && kind == "grouped" {
        let _ = write!(name, "_g{}", c.groups);
    }
    if c.input_nchw {
        name.push_str("_nchw");
    }
    name += &epilogue(&c.epilogue);
    if c.ahead > 0 {
        let _ = write!(name, "_ahead{}", c.ahead);
    }
    name
}

/// The first stage, and of the others window, step and channels: `.._then_3x3s2_96_then_1x1_24`.
fn chain(chain: &ChainKernel) -> String {
    let mut name = String::from("chain");
    for (i, c) in chain.stages.iter().enumerate() {
        if i == 0 {
            let _ = write!(name, "_{}", sizes(&[c.batch, c.in_h, c.in_w, c.in_c]));
        }
        let _ = write!(name, "_{}", sizes(&c.kernel));
        if c.stride != [1, 1] {
            let _ = write!(name, "s{}", sizes(&c.stride));
        }
        let _ = write!(name, "_{}{}", c.out_c, epilogue(&c.epilogue));
    }
    name
}

fn matmul(m: &MatMulKernel) -> String {
    let transposed = if m.b_strides[1] == 1 { "" } else { "_transposed" };
    let shape = sizes(&[m.m, m.n, m.k]);
    format!("matmul_{}_{shape}{transposed}{}", sizes(&m.batch), epilogue(&m.epilogue))
}

/// `attention_64x3_49x49_32_to_32_..`: batch, queries and keys, the widths.
fn attention(a: &AttentionKernel) -> String {
    format!(
        "attention_{}_{}_{}_to_{}{}",
        sizes(&a.batch),
        sizes(&[a.queries, a.keys]),
        a.width,
        a.out_width,
        epilogue(&a.steps)
    )
}

fn map(m: &MapKernel) -> String {
    format!("map_{}{}", sizes(&m.shape), epilogue(&m.steps))
}

fn pool(p: &PoolKernel) -> String {
    format!(
        "{}pool_{}_{}_to_{}_s{}{}",
        if p.max { "max" } else { "avg" },
        sizes(&p.kernel),
        sizes(&[p.batch, p.in_h, p.in_w, p.channels]),
        sizes(&[p.out_h, p.out_w]),
        sizes(&p.stride),
        epilogue(&p.epilogue)
    )
}

fn copy(c: &CopyKernel) -> String {
    let kind = if c.fill.is_some() { "fill" } else { "copy" };
    format!("{kind}_{}", sizes(&c.shape))
}

fn resize(r: &ResizeKernel) -> String {
    format!(
        "resize_{}_to_{}",
        sizes(&[r.batch, r.in_h, r.in_w, r.channels]),
        sizes(&[r.out_h, r.out_w])
    )
}

/// The steps, each preceded by an underscore.
fn epilogue(posts: &Epilogue) -> String {
    posts.iter().fold(String::new(), |mut name, post| {
        name.push('_');
        match post {
            Post::Unary(function) => name.push_str(function_name(*function)),
            Post::RowSums => name.push_str("rowsums"),
            Post::Binary(op, operand) => {
                name.push_str(match op {
                    Arithmetic::Add => "add",
                    Arithmetic::Sub => "sub",
                    Arithmetic::Mul => "mul",
                    Arithmetic::Div => "div",
                    Arithmetic::Max => "max",
                    Arithmetic::Min => "min",
                    Arithmetic::Pow => "pow",
                });
                name.push_str(match operand {
                    Operand::Full => "",
                    Operand::Channel => "_channel",
                    Operand::ImageChannel => "_image",
                    Operand::Scalar => "_scalar",
                });
            }
        }
        name
    })
}

fn function_name(function: Function) -> &'static str {
    match function {
        Function::Relu => "relu",
        Function::Clamp { .. } => "clamp",
        Function::Affine { .. } => "affine",
        Function::HardSwish => "hardswish",
        Function::HardSigmoid => "hardsigmoid",
        Function::Sigmoid => "sigmoid",
        Function::Silu => "silu",
        Function::Gelu => "gelu",
        Function::GeluTanh => "gelutanh",
        Function::Tanh => "tanh",
        Function::Exp => "exp",
        Function::Log => "log",
        Function::Sqrt => "sqrt",
        Function::Rsqrt => "rsqrt",
        Function::Recip => "recip",
        Function::Square => "square",
        Function::Neg => "neg",
        Function::Abs => "abs",
    }
}
