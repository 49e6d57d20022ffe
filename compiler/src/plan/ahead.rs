//! Weights that are asked for before the step that reads them.
//!
//! A layer over a single row of values (the last of a classifier, both of squeeze-and-excitation) uses each of its
//! weights once, so it takes as long as they take to come from memory, where those of a large network are. While a
//! matrix product over many rows multiplies, memory has nothing to do. So products fetch such weights, a few lines
//! now and then, and the layer finds them in a cache.

use super::choice::{Choice, Way};
use super::lower::{Arg, Lowered, Step};
use super::view::Root;
use netwright_codegen::operands::{Role, operands};
use netwright_codegen::program::{ConvKernel, Kernel};

/// Rows of a product up to which its weights take longer to come than to be used.
const FEW_ROWS: usize = 8;
/// Multiply-accumulates of a product for each byte that it fetches.
const MACS_A_BYTE: usize = 6;
/// Bytes that are worth it.
const LEAST: usize = 32 << 10;
/// Most bytes that wait in a cache at a time: about the two last layers of MobileNetV3. Others use it too.
const MOST: usize = 12 << 20;
/// Bytes between neighbours that are fetched in one go.
const GAP: usize = 256;

/// Bytes of the packed weights.
#[derive(Clone, Copy)]
struct Range {
    start: usize,
    end: usize,
}

/// Lets products fetch what later steps wait for.
pub(super) fn fetch(lowered: &mut Lowered) {
    // The soonest last.
    let mut wanted: Vec<Range> = Vec::new();
    let mut choices = Vec::new();
    for at in (0..lowered.steps.len()).rev() {
        let kernel = &lowered.kernels[lowered.steps[at].kernel];
        if let Some(most) = capacity(kernel) {
            limit(&mut wanted);
            let Some(range) = wanted.last_mut() else { continue };
            // Of more than it can fetch, what is read first is fetched last.
            let first = range.start;
            range.start = range.end.min(first + most);
            let ahead = range.start - first;
            choices.push(Choice {
                node: lowered.steps[at].name.clone(),
                way: Way::FetchesAhead,
                reason: format!("{} KiB of weights that later steps would wait for", ahead >> 10),
            });
            fetch_in(lowered, at, first, ahead);
        } else if let Some(range) = waits_for(lowered, &lowered.steps[at], kernel) {
            match wanted.last_mut() {
                Some(next) if (range.end..range.end + GAP).contains(&next.start) => {
                    next.start = range.start;
                }
                _ => wanted.push(range),
            }
        }
    }
    lowered.choices.extend(choices.into_iter().rev());
    lowered.drop_unused_kernels();
}

/// Leaves out what is not worth it, and what would not stay in a cache until it is read.
fn limit(wanted: &mut Vec<Range>) {
    wanted.retain(|range| range.end - range.start >= LEAST);
    let mut room = MOST;
    for range in wanted.iter_mut().rev() {
        range.end = range.end.min(range.start + room);
        room -= range.end - range.start;
    }
}

/// Makes a product fetch so many bytes of the packed weights.
fn fetch_in(lowered: &mut Lowered, at: usize, first: usize, ahead: usize) {
    let items = &lowered.weights.items;
    let item = items.partition_point(|item| item.offset <= first) - 1;
    let offset = first - items[item].offset;
    let Kernel::Conv(conv) = &lowered.kernels[lowered.steps[at].kernel] else { return };
    let kernel = Kernel::Conv(ConvKernel { ahead, ..conv.clone() });
    let kernel = lowered.number(kernel);
    let step = &mut lowered.steps[at];
    step.kernel = kernel;
    step.args.push(Arg { root: Root::Weights(item), offset, writes: false });
}

/// Bytes that a kernel can fetch on the way, if it is a product of some size.
fn capacity(kernel: &Kernel) -> Option<usize> {
    let Kernel::Conv(c) = kernel else { return None };
    let rows = c.batch * c.out_h * c.out_w;
    let taps = c.in_c * c.kernel[0] * c.kernel[1];
    let product = c.groups == 1 && rows > FEW_ROWS && taps >= 16;
    let bytes = rows * taps / MACS_A_BYTE * c.out_c / 64 * 64;
    Some(bytes).filter(|bytes| product && *bytes >= LEAST)
}

/// The packed weights of a step that takes as long as they take to come.
fn waits_for(lowered: &Lowered, step: &Step, kernel: &Kernel) -> Option<Range> {
    let waits = match kernel {
        // Each weight of a depthwise kernel is used for each pixel, but not in time for the first.
        Kernel::Conv(c) => {
            c.is_depthwise() || c.groups == 1 && c.batch * c.out_h * c.out_w <= FEW_ROWS
        }
        Kernel::Scale(_) => true,
        _ => false,
    };
    if !waits {
        return None;
    }
    let infos = operands(kernel).ok()?;
    let (arg, info) = step.args.iter().zip(infos).find(|(_, info)| info.role == Role::Weights)?;
    let Root::Weights(item) = arg.root else { return None };
    let start = lowered.weights.items[item].offset + arg.offset;
    Some(Range { start, end: start + info.bytes })
}
