//! Weights in the order in which kernels read them.
//!
//! One packing serves all widths of vectors, so it depends on the kernel's descriptor alone.
//!
//! - Dense and grouped convolution and linear layers: for each group, panels of 16 output channels,
//!   `[ceil(O / 16)][1 + K][16]`; row 0 is the bias, the others follow the window row by row, column
//!   by column, channel by channel; of an input `[C, H, W]` channel by channel, row by row.
//! - Depthwise convolution: `[ceil(C / 16)][1 + kh * kw][16]`, the bias first.
//!
//! - Winograd's algorithm: see [`winograd`].
//!
//! Columns beyond the last channel are 0.

pub mod winograd;

use crate::error::CodegenError;
use crate::kernels::{PANEL, depthwise};
use crate::name;
use crate::program::{ConvKernel, Kernel};
use std::ops::Range;

/// Bytes of a kernel's packed weights, a multiple of 64; 0 for kernels without any.
pub fn packed_bytes(kernel: &Kernel) -> usize {
    match kernel {
        Kernel::Conv(conv) | Kernel::Rows(conv) => {
            conv_bytes(conv).map_or(0, |n| usize::try_from(n).unwrap_or(0))
        }
        Kernel::Winograd(w) => usize::try_from(winograd::bytes(w)).unwrap_or(0),
        _ => 0,
    }
}

/// Bytes of a group's panels. The descriptor has been checked.
pub(crate) fn group_bytes(c: &ConvKernel) -> usize {
    let k = c.in_c / c.groups * c.kernel[0] * c.kernel[1];
    (c.out_c / c.groups).div_ceil(PANEL) * (1 + k) * PANEL * 4
}

/// As [`packed_bytes`], for a descriptor with positive sizes.
pub(crate) fn conv_bytes(c: &ConvKernel) -> Result<u128, String> {
    if c.groups == 0 || c.in_c < c.groups || c.out_c < c.groups {
        return Err(format!("{} groups of {} and {} channels", c.groups, c.in_c, c.out_c));
    }
    let taps = c.kernel[0] as u128 * c.kernel[1] as u128;
    let panel = PANEL as u128 * 4;
    Ok(if depthwise::applies(c) {
        c.in_c.div_ceil(PANEL) as u128 * (1 + taps) * panel
    } else {
        let inputs = taps.saturating_mul((c.in_c / c.groups) as u128);
        panels_bytes(inputs, c.out_c / c.groups).saturating_mul(c.groups as u128)
    })
}

/// Bytes of the panels of so many products for each of so many output channels.
pub(crate) fn panels_bytes(inputs: u128, outputs: usize) -> u128 {
    let panel = inputs.saturating_add(1).saturating_mul(PANEL as u128 * 4);
    panel.saturating_mul(outputs.div_ceil(PANEL) as u128)
}

/// A piece of a kernel's packed weights, which can be filled without the others: some consecutive
/// output channels.
pub struct Part<'a> {
    conv: &'a ConvKernel,
    channels: Range<usize>,
    place: Place<'a>,
}

enum Place<'a> {
    Panel(&'a mut [u8]),
    Winograd(winograd::Panel<'a>),
}

impl Part<'_> {
    /// The output channels whose weights it holds.
    pub fn channels(&self) -> Range<usize> {
        self.channels.clone()
    }

    /// How many weights each channel has.
    pub fn weights_each(&self) -> usize {
        weights_each(self.conv)
    }

    /// Packs the weights of its channels, `[channels, I / groups, kh, kw]`, and their biases; zeros where
    /// there are none.
    ///
    /// # Errors
    /// When there are more or fewer of them.
    pub fn fill(self, weights: &[f32], bias: Option<&[f32]>) -> Result<(), CodegenError> {
        let channels = self.channels.len();
        let fail = |what: &str, given: usize, expected: usize| {
            let message = format!("{given} {what} instead of {expected}");
            Err(CodegenError::Buffer { what: "weights to pack".into(), message })
        };
        let expected = channels * self.weights_each();
        if weights.len() != expected {
            return fail("weights", weights.len(), expected);
        }
        if let Some(bias) = bias.filter(|bias| bias.len() != channels) {
            return fail("biases", bias.len(), channels);
        }
        match self.place {
            Place::Panel(panel) => fill_panel(self.conv, weights, bias.unwrap_or(&[]), panel),
            Place::Winograd(panel) => panel.fill(weights, bias.unwrap_or(&[])),
        }
        Ok(())
    }
}

/// Weights of one output channel.
fn weights_each(c: &ConvKernel) -> usize {
    c.in_c / c.groups * c.kernel[0] * c.kernel[1]
}

/// Cuts the memory for a kernel's packed weights, [`packed_bytes`] of it, into its parts; none for kernels
/// without packed weights.
///
/// # Errors
/// When the kernel contradicts itself, or the memory has another size.
pub fn parts<'a>(kernel: &'a Kernel, out: &'a mut [u8]) -> Result<Vec<Part<'a>>, CodegenError> {
    let fail = |message: String| CodegenError::Kernel { kernel: name::kernel(kernel), message };
    crate::operands::operands(kernel)?;
    let bytes = packed_bytes(kernel);
    if out.len() != bytes {
        return Err(fail(format!("{} bytes for {bytes} bytes of packed weights", out.len())));
    }
    let conv = match kernel {
        Kernel::Conv(c) | Kernel::Rows(c) => c,
        Kernel::Winograd(w) => {
            let panel = |(i, panel)| Part {
                conv: &w.conv,
                channels: i * PANEL..w.conv.out_c.min((i + 1) * PANEL),
                place: Place::Winograd(panel),
            };
            return Ok(winograd::panels(w, out).into_iter().enumerate().map(panel).collect());
        }
        _ => return Ok(Vec::new()),
    };
    let part = |channels, panel| Part { conv, channels, place: Place::Panel(panel) };
    let panel_bytes = (1 + weights_each(conv)) * PANEL * 4;
    if depthwise::applies(conv) {
        let panels = out.chunks_exact_mut(panel_bytes).enumerate();
        return Ok(panels
            .map(|(i, panel)| part(i * PANEL..conv.out_c.min((i + 1) * PANEL), panel))
            .collect());
    }
    let group = conv.out_c / conv.groups;
    let mut parts = Vec::new();
    for (g, panels) in out.chunks_exact_mut(group_bytes(conv)).enumerate() {
        for (i, panel) in panels.chunks_exact_mut(panel_bytes).enumerate() {
            let first = g * group + i * PANEL;
            parts.push(part(first..(first + PANEL).min((g + 1) * group), panel));
        }
    }
    Ok(parts)
}

/// Packs a kernel's weights.
///
/// `tensors` are the weight in PyTorch's layout, `[O, I / groups, kh, kw]`, and optionally the bias,
/// `[O]`; `out` has [`packed_bytes`] bytes. Values are written little-endian, as the targets are.
/// Kernels without packed weights take no tensors.
///
/// # Errors
/// When the kernel contradicts itself, or something has another size.
pub fn pack(kernel: &Kernel, tensors: &[&[f32]], out: &mut [u8]) -> Result<(), CodegenError> {
    let fail = |message: String| CodegenError::Kernel { kernel: name::kernel(kernel), message };
    let parts = parts(kernel, out)?;
    let c = match kernel {
        Kernel::Conv(c) | Kernel::Rows(c) => c,
        Kernel::Winograd(w) => &w.conv,
        _ if tensors.is_empty() => return Ok(()),
        _ => return Err(fail("it has no weights to pack".into())),
    };
    let (weight, bias) = match *tensors {
        [weight] => (weight, None),
        [weight, bias] => (weight, Some(bias)),
        _ => return Err(fail(format!("{} tensors instead of weight and bias", tensors.len()))),
    };
    let k = weights_each(c);
    if weight.len() != c.out_c * k {
        return Err(fail(format!("{} weights instead of {}", weight.len(), c.out_c * k)));
    }
    if let Some(bias) = bias.filter(|b| b.len() != c.out_c) {
        return Err(fail(format!("{} biases instead of {}", bias.len(), c.out_c)));
    }
    for part in parts {
        let channels = part.channels();
        let weights = &weight[channels.start * k..channels.end * k];
        part.fill(weights, bias.map(|bias| &bias[channels]))?;
    }
    Ok(())
}

/// Columns of a panel that are brought from rows at a time.
const BLOCK: usize = 4;

/// One panel: the bias, then the products' weights in the order of the window.
fn fill_panel(c: &ConvKernel, weights: &[f32], bias: &[f32], panel: &mut [u8]) {
    let (k, taps) = (weights_each(c), c.kernel[0] * c.kernel[1]);
    let inputs = k / taps;
    let (head, rows) = panel.split_at_mut(PANEL * 4);
    head.fill(0);
    for (bytes, value) in head.chunks_exact_mut(4).zip(bias) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
    let channels = weights.len() / k;
    // Weights `tap` and `input` of a channel lie at `input * taps + tap`, and go to this row. Planes are
    // walked through in that order.
    let as_they_are = taps == 1 || c.input_nchw;
    let row = |at: usize| if as_they_are { at } else { at % taps * inputs + at / taps };
    let rows: &mut [[u8; PANEL * 4]] = rows.as_chunks_mut().0;
    let blocked = if channels == PANEL { k / BLOCK * BLOCK } else { 0 };
    for at in (0..blocked).step_by(BLOCK) {
        let block = transposed(weights, k, at);
        for (i, values) in block.iter().enumerate() {
            put(&mut rows[row(at + i)], values);
        }
    }
    for at in blocked..k {
        let mut values = [0.0; PANEL];
        for (channel, value) in values[..channels].iter_mut().enumerate() {
            *value = weights[channel * k + at];
        }
        put(&mut rows[row(at)], &values);
    }
}

/// Values `at..at + BLOCK` of each of [`PANEL`] rows of `k`, as columns.
#[inline(always)]
fn transposed(weights: &[f32], k: usize, at: usize) -> [[f32; PANEL]; BLOCK] {
    let mut columns = [[0.0; PANEL]; BLOCK];
    for channel in 0..PANEL {
        let values: &[f32; BLOCK] =
            weights[channel * k + at..].first_chunk().expect("a whole block of each row");
        for (column, value) in columns.iter_mut().zip(values) {
            column[channel] = *value;
        }
    }
    columns
}

#[inline(always)]
fn put(row: &mut [u8; PANEL * 4], values: &[f32; PANEL]) {
    for (bytes, value) in row.as_chunks_mut::<4>().0.iter_mut().zip(values) {
        *bytes = value.to_le_bytes();
    }
}
