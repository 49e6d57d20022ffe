//! Half-precision weights to `f32`, exactly. Operands: the halves, `out`.
//!
//! Values are stored by blocks of 32 in 16 words of 32 bits: word `j` holds value `j` in its lower half and
//! value `j + 16` in its upper half, so that vectors of any width need no shuffle.

use super::{BuiltKernel, Target, begin, block_size, each_unit, scaled};
use crate::program::{Half, WidenKernel};
use crate::vir::{BinOp, Builder, Cmp, Count, UnOp, V};

/// Values of a block.
pub const BLOCK: usize = 32;
/// Blocks of a unit.
const UNIT: usize = 256;

/// Difference of the exponents' biases of `f32` and `f16`, at the exponent's place.
const REBIAS: u32 = 112 << 23;
/// 2^-14, the smallest normal `f16`.
const SMALLEST_NORMAL: u32 = 113 << 23;

/// Builds the kernel.
pub fn build(k: &WidenKernel, name: &str, target: &Target) -> BuiltKernel {
    let blocks = k.values / BLOCK;
    let units = blocks.div_ceil(UNIT);
    let (mut b, params) = begin(name, target);
    each_unit(&mut b, params, |b, unit| {
        let first = scaled(b, unit, UNIT);
        let count = block_size(b, first, UNIT, blocks);
        let x = params.operand(b, 0);
        let x = b.g_address(x, first, BLOCK as i64 * 2, 0);
        let out = params.operand(b, 1);
        let out = b.g_address(out, first, BLOCK as i64 * 4, 0);
        b.repeat(Count::Reg(count), |b| {
            let step = b.vector_bytes();
            for i in 0..(BLOCK / 2 / b.lanes()) as i32 {
                let words = b.load(x, i * step);
                let [low, high] = match k.format {
                    Half::Bf16 => bf16(b, words),
                    Half::F16 => f16(b, words),
                };
                b.store(low, out, i * step);
                b.store(high, out, i * step + BLOCK as i32 * 2);
            }
            b.g_advance(x, BLOCK as i64 * 2);
            b.g_advance(out, BLOCK as i64 * 4);
        });
    });
    BuiltKernel { function: b.finish(), units, scratch: 0, cost: k.values as u64 / 8 }
}

/// The halves of words, each the upper half of an `f32`.
fn bf16(b: &mut Builder, words: V) -> [V; 2] {
    let upper = b.splat_bits(0xffff_0000);
    [b.un(UnOp::Shl(16), words), b.bin(BinOp::And, words, upper)]
}

fn f16(b: &mut Builder, words: V) -> [V; 2] {
    // Exponent and mantissa, at their places in an `f32`.
    let magnitude = b.splat_bits(0x7fff << 13);
    let low = b.un(UnOp::Shl(13), words);
    let low = b.bin(BinOp::And, low, magnitude);
    let high = b.un(UnOp::Shr(3), words);
    let high = b.bin(BinOp::And, high, magnitude);
    let sign = b.splat_bits(0x8000_0000);
    let low_sign = b.un(UnOp::Shl(16), words);
    let low_sign = b.bin(BinOp::And, low_sign, sign);
    let high_sign = b.bin(BinOp::And, words, sign);
    [(low, low_sign), (high, high_sign)].map(|(bits, sign)| {
        let rebias = b.splat_bits(REBIAS);
        let normal = b.bin(BinOp::IAdd, bits, rebias);
        // Of a subnormal, the mantissa above 2^-14 and minus that: no subnormal `f32` on the way.
        let smallest = b.splat_bits(SMALLEST_NORMAL);
        let above = b.bin(BinOp::IAdd, bits, smallest);
        let subnormal = b.bin(BinOp::Sub, above, smallest);
        let value = b.select(Cmp::Lt, [normal, smallest], subnormal, normal);
        b.bin(BinOp::Or, value, sign)
    })
}
