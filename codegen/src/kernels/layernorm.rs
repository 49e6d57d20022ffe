//! Normalisation of rows: `(x - mean) / sqrt(variance + eps) [* gamma + beta]`, with the variance
//! from the differences to the mean. Operands: `x`, [`gamma`, `beta`,] `out`, the epilogue's.

use super::epilogue::{self, Constants, Operands, Position};
use super::reduce;
use super::{BuiltKernel, Target, begin, each_unit, each_vector, scaled};
use crate::program::{Post, Reduction};
use crate::vir::{BinOp, FoldOp, GOp, UnOp};

/// What is normalised, see [`crate::program::Kernel::LayerNorm`].
pub struct LayerNorm<'a> {
    /// Number of rows.
    pub rows: usize,
    /// Values in a row.
    pub len: usize,
    /// Bits of the epsilon.
    pub eps: u32,
    /// Whether gamma and beta are operands.
    pub affine: bool,
    /// Applied to each value.
    pub epilogue: &'a [Post],
}

/// Builds the kernel. A unit is a row.
pub fn build(norm: &LayerNorm, name: &str, target: &Target) -> BuiltKernel {
    let (mut b, params) = begin(name, target);
    let out_index = if norm.affine { 3 } else { 1 };
    each_unit(&mut b, params, |b, unit| {
        let full = scaled(b, unit, norm.len * 4);
        let x = params.operand(b, 0);
        let x = b.g_bin(GOp::Add, x, full);
        let sum = reduce::row(b, Reduction::Sum, x, norm.len);
        let len = b.splat(norm.len as f32);
        let mean = b.bin(BinOp::Div, sum, len);

        let lanes = b.lanes();
        let squares = b.splat(0.0);
        let from = b.g_copy(x);
        each_vector(
            b,
            norm.len,
            |b, n| {
                let value = b.load_n(from, 0, n);
                let difference = b.bin(BinOp::Sub, value, mean);
                let difference = if n < lanes {
                    let mask = b.mask(n);
                    b.bin(BinOp::And, difference, mask)
                } else {
                    difference
                };
                b.fma(squares, difference, difference);
            },
            |b, bytes| b.g_advance(from, bytes),
        );
        let squares = b.fold(FoldOp::Add, squares);
        let variance = b.bin(BinOp::Div, squares, len);
        let eps = b.splat_bits(norm.eps);
        let variance = b.bin(BinOp::Add, variance, eps);
        let deviation = b.un(UnOp::Sqrt, variance);
        let one = b.splat(1.0);
        let scale = b.bin(BinOp::Div, one, deviation);

        let from = b.g_copy(x);
        let out = params.operand(b, out_index);
        let out = b.g_bin(GOp::Add, out, full);
        let affine = norm.affine.then(|| (params.operand(b, 1), params.operand(b, 2)));
        let channel = b.g_const(0);
        let position = Position { full, channel, image: None };
        let operands = Operands::at(b, norm.epilogue, params.args, out_index + 1, position);
        each_vector(
            b,
            norm.len,
            |b, n| {
                let value = b.load_n(from, 0, n);
                let difference = b.bin(BinOp::Sub, value, mean);
                let mut value = b.bin(BinOp::Mul, difference, scale);
                if let Some((gamma, beta)) = affine {
                    let gamma = b.load_n(gamma, 0, n);
                    let beta = b.load_n(beta, 0, n);
                    b.fma(beta, value, gamma);
                    value = beta;
                }
                let value = epilogue::apply(
                    b,
                    norm.epilogue,
                    value,
                    &mut Constants::default(),
                    |b, index, _| operands.load(b, index, 0, 0, n),
                );
                b.store_n(value, out, 0, n);
            },
            |b, bytes| {
                b.g_advance(from, bytes);
                b.g_advance(out, bytes);
                if let Some((gamma, beta)) = affine {
                    b.g_advance(gamma, bytes);
                    b.g_advance(beta, bytes);
                }
                operands.advance_channels(b, bytes);
            },
        );
    });
    let values = (norm.rows * norm.len) as u64;
    BuiltKernel {
        function: b.finish(),
        units: norm.rows,
        scratch: 0,
        cost: values * (800 + epilogue::cost(norm.epilogue)) / 1000,
    }
}
