//! An input of bytes in place of `f32`.

use super::kernel_number;
use crate::buffer::ALIGN;
use crate::kernels::bytes::LEVELS;
use crate::program::{BytesKernel, Kernel, Place, Program, Step};

/// Lets a program take images as bytes, `[batch, pixels, channels]`, in place of its only input,
/// `[batch, channels, pixels]` of `f32`. A first step looks up each byte in a table, `[channels][256]` of
/// `f32`, which has to be put into the weights at the offset that is returned.
///
/// Borders are as before: what convolutions see around an image is zeros among the values of the table.
pub fn take_bytes(program: &mut Program, images: BytesKernel) -> usize {
    let values = images.batch * images.pixels * images.channels;
    program.inputs = vec![values];
    // Each round takes its part of them.
    let (images, values) =
        (BytesKernel { batch: images.batch / program.rounds, ..images }, values / program.rounds);
    let table = program.weights_bytes.next_multiple_of(ALIGN);
    program.weights_bytes = table + images.channels * LEVELS * 4;
    let planes = program.arena_bytes.next_multiple_of(ALIGN);
    program.arena_bytes = planes + (values * 4).next_multiple_of(ALIGN);
    for place in program.steps.iter_mut().flat_map(|step| &mut step.args) {
        if *place == Place::Input(0) {
            *place = Place::Arena(planes);
        }
    }
    let kernel = kernel_number(program, Kernel::Bytes(images));
    let args = vec![Place::Input(0), Place::Weights(table), Place::Arena(planes)];
    program.steps.insert(0, Step { name: "input".into(), kernel, args });
    table
}

/// Puts the table of a channel, as `f32` of the 256 levels, to its place in the packed weights.
pub fn fill(weights: &mut [u8], table: usize, levels: &[[f32; LEVELS]]) {
    let values = levels.iter().flatten();
    for (place, value) in weights[table..].chunks_exact_mut(4).zip(values) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}
