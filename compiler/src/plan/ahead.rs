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
const MACS_A_BYTE: usize = 4;
/// Products of fewer taps for each value are written out: they have no loop in which they could fetch.
const LEAST_TAPS: usize = 33;
/// Bytes that are worth it.
const LEAST: usize = 32 << 10;
/// Most bytes that come to the last cache from when weights are fetched to when they are read, themselves
/// included: less than it has, since others use it too.
const MOST: usize = 16 << 20;
/// Bytes between neighbours that are fetched in one go.
const GAP: usize = 256;

/// Bytes of the packed weights.
#[derive(Clone, Copy)]
struct Range {
    start: usize,
    end: usize,
    /// Bytes of weights that steps before the reader read, from the step that is looked at on.
    between: usize,
}

/// Lets products fetch what later steps wait for.
pub(super) fn fetch(lowered: &mut Lowered) {
    // The soonest last.
    let mut wanted: Vec<Range> = Vec::new();
    let mut choices = Vec::new();
    for at in (0..lowered.steps.len()).rev() {
        let kernel = &lowered.kernels[lowered.steps[at].kernel];
        let own = weights(lowered, &lowered.steps[at], kernel);
        if capacity(kernel).is_some() {
            limit(&mut wanted);
        }
        if let (Some(most), Some(range)) = (capacity(kernel), wanted.last_mut()) {
            // Of more than it can fetch, what is read first is fetched last.
            let first = range.start;
            range.start = range.end.min(first + most);
            let ahead = range.start - first;
            range.between += ahead;
            choices.push(Choice {
                node: lowered.steps[at].name.clone(),
                way: Way::FetchesAhead,
                reason: format!("{} KiB of weights that later steps would wait for", ahead >> 10),
            });
            fetch_in(lowered, at, first, ahead);
        }
        let bytes: usize = own.iter().map(|range| range.end - range.start).sum();
        wanted.iter_mut().for_each(|range| range.between += bytes);
        if let (true, Some(&range)) =
            (waits_for_weights(&lowered.kernels[lowered.steps[at].kernel]), own.first())
        {
            match wanted.last_mut() {
                Some(next) if (range.end..range.end + GAP).contains(&next.start) => {
                    *next = Range { end: next.end, ..range };
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
    let mut room = MOST;
    for range in wanted.iter_mut().rev() {
        let most = room.saturating_sub(range.between);
        range.end = range.end.min(range.start + most);
        room -= range.end - range.start;
    }
    wanted.retain(|range| range.end - range.start >= LEAST);
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
    let product = c.groups == 1 && rows > FEW_ROWS && taps >= LEAST_TAPS;
    let bytes = rows * taps / MACS_A_BYTE * c.out_c / 64 * 64;
    Some(bytes).filter(|bytes| product && *bytes >= LEAST)
}

/// Whether a kernel takes about as long as its weights take to come.
fn waits_for_weights(kernel: &Kernel) -> bool {
    match kernel {
        // Each weight of a depthwise kernel is used for each pixel, but not in time for the first.
        Kernel::Conv(c) => {
            c.is_depthwise() || c.groups == 1 && c.batch * c.out_h * c.out_w <= FEW_ROWS
        }
        Kernel::Scale(_) => true,
        _ => false,
    }
}

/// The packed weights that a step reads.
fn weights(lowered: &Lowered, step: &Step, kernel: &Kernel) -> Vec<Range> {
    let infos = operands(kernel).unwrap_or_default();
    let read = step.args.iter().zip(infos).filter_map(|(arg, info)| match (arg.root, info.role) {
        (Root::Weights(item), Role::Weights) => {
            let start = lowered.weights.items[item].offset + arg.offset;
            Some(Range { start, end: start + info.bytes, between: 0 })
        }
        _ => None,
    });
    read.collect()
}
