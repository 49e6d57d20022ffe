//! Images as bytes, channels last, to planes of `f32`. Operands: the bytes, a table, `out`.
//!
//! The table has the value of each of the 256 levels for each channel, so that a level becomes exactly what
//! whoever filled the table computed.

use super::{BuiltKernel, Target, begin, block_size, each_unit, equal, indices, scaled};
use crate::program::BytesKernel;
use crate::vir::{Builder, Count, G, GImmOp, GOp};

/// Levels of a channel.
pub const LEVELS: usize = 256;
/// Pixels whose bytes are whole words, whatever the number of channels.
const GROUP: usize = 4;
/// Groups of a unit.
const UNIT: usize = 512;

/// Builds the kernel.
pub fn build(k: &BytesKernel, name: &str, target: &Target) -> BuiltKernel {
    let groups = k.pixels / GROUP;
    let rest = k.pixels % GROUP;
    let parts = groups.div_ceil(UNIT).max(1);
    let units = k.batch * parts;
    let (mut b, params) = begin(name, target);
    each_unit(&mut b, params, |b, unit| {
        let index = indices(b, unit, &[k.batch, parts]);
        let first = scaled(b, index[1], UNIT);
        let count = block_size(b, first, UNIT, groups);
        let x = params.operand(b, 0);
        let x = b.g_address(x, index[0], (k.pixels * k.channels) as i64, 0);
        let x = b.g_address(x, first, (GROUP * k.channels) as i64, 0);
        let table = params.operand(b, 1);
        let out = params.operand(b, 2);
        let out = b.g_address(out, index[0], (k.pixels * k.channels) as i64 * 4, 0);
        let out = b.g_address(out, first, GROUP as i64 * 4, 0);
        b.repeat(Count::Reg(count), |b| {
            for word in 0..k.channels {
                let bytes = b.g_load32(x, word as i32 * 4);
                for i in 0..4 {
                    put(b, k, (table, out), (bytes, i), word * 4 + i);
                }
            }
            b.g_advance(x, (GROUP * k.channels) as i64);
            b.g_advance(out, GROUP as i64 * 4);
        });
        if rest > 0 {
            let last = b.g_const(parts as i64 - 1);
            let is_last = equal(b, index[1], last);
            b.when(is_last, |b| {
                let total = rest * k.channels;
                for byte in 0..total {
                    // No word reaches behind the image.
                    let start = (byte as i32 & !3).min(total as i32 - 4);
                    let bytes = b.g_load32(x, start);
                    put(b, k, (table, out), (bytes, (byte as i32 - start) as usize), byte);
                }
            });
        }
    });
    let cost = (k.batch * k.pixels * k.channels) as u64 * 3 / 2;
    BuiltKernel { function: b.finish(), units, scratch: 0, cost }
}

/// Stores the value of byte `i` of a word, which is the `byte`-th from where `out` points to.
fn put(b: &mut Builder, k: &BytesKernel, (table, out): (G, G), (word, i): (G, usize), byte: usize) {
    let (pixel, channel) = (byte / k.channels, byte % k.channels);
    let level = b.g_imm(GImmOp::Shl, word, 56 - 8 * i as i64);
    let level = b.g_imm(GImmOp::Shr, level, 56);
    let offset = b.g_imm(GImmOp::Shl, level, 2);
    let entry = b.g_bin(GOp::Add, table, offset);
    let value = b.load_n(entry, (channel * LEVELS * 4) as i32, 1);
    b.store_n(value, out, ((channel * k.pixels + pixel) * 4) as i32, 1);
}
