//! Packed weights times a factor for each input channel. Operands: the factors, packed weights, `out`,
//! packed like the weights.
//!
//! A convolution of a gated map is the convolution of the map with gated weights. Where there are fewer weights
//! than values, the gate costs less there.

use super::{BuiltKernel, PANEL, Target, begin, each_unit};
use crate::program::ScaleKernel;
use crate::vir::{BinOp, Builder, G};

/// Channels in a turn of the inner loop.
const CHANNELS: usize = 4;

/// Builds the kernel. A unit is a panel.
pub fn build(k: &ScaleKernel, name: &str, target: &Target) -> BuiltKernel {
    let units = k.outputs.div_ceil(PANEL);
    let panel = ((1 + k.inputs) * PANEL * 4) as i64;
    let (mut b, params) = begin(name, target);
    each_unit(&mut b, params, |b, unit| {
        let factors = params.operand(b, 0);
        let factors = b.g_copy(factors);
        let weights = params.operand(b, 1);
        let weights = b.g_address(weights, unit, panel, 0);
        let out = params.operand(b, 2);
        let out = b.g_address(out, unit, panel, 0);
        // The bias stays.
        for at in (0..PANEL as i32 * 4).step_by(b.lanes() * 4) {
            let bias = b.load(weights, at);
            b.store(bias, out, at);
        }
        b.g_advance(weights, PANEL as i64 * 4);
        b.g_advance(out, PANEL as i64 * 4);
        for (times, channels) in [(k.inputs / CHANNELS, CHANNELS), (k.inputs % CHANNELS, 1)] {
            b.times(times, |b| scale(b, factors, weights, out, channels));
        }
    });
    let cost = (units * PANEL * k.inputs) as u64 / 8;
    BuiltKernel { function: b.finish(), units, scratch: 0, cost }
}

/// Scales the weights of some channels and moves on.
fn scale(b: &mut Builder, factors: G, weights: G, out: G, channels: usize) {
    for channel in 0..channels {
        let factor = b.broadcast(factors, channel as i32 * 4);
        let row = (channel * PANEL * 4) as i32;
        for at in (0..PANEL as i32 * 4).step_by(b.lanes() * 4) {
            let weight = b.load(weights, row + at);
            let scaled = b.bin(BinOp::Mul, weight, factor);
            b.store(scaled, out, row + at);
        }
    }
    b.g_advance(factors, channels as i64 * 4);
    b.g_advance(weights, (channels * PANEL * 4) as i64);
    b.g_advance(out, (channels * PANEL * 4) as i64);
}
