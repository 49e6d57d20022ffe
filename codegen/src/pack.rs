//! Weights in the order in which kernels read them.
//!
//! One packing serves all widths of vectors, so it depends on the kernel's descriptor alone.
//!
//! - Dense and grouped convolution and linear layers: for each group, panels of 16 output channels,
//!   `[ceil(O / 16)][1 + K][16]`; row 0 is the bias, the others follow the window row by row, column
//!   by column, channel by channel.
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
        let rows = 1 + taps.saturating_mul((c.in_c / c.groups) as u128);
        let panels = c.groups as u128 * (c.out_c / c.groups).div_ceil(PANEL) as u128;
        panels.saturating_mul(rows).saturating_mul(panel)
    })
}

/// Packs a kernel's weights.
///
/// `tensors` are the weight in PyTorch's layout, `[O, I / groups, kh, kw]`, and optionally the bias,
/// `[O]`; `out` has [`packed_bytes`] bytes. Values are written little-endian, as the targets are.
/// Kernels without packed weights take no tensors.
pub fn pack(kernel: &Kernel, tensors: &[&[f32]], out: &mut [u8]) -> Result<(), CodegenError> {
    let fail = |message: String| CodegenError::Kernel { kernel: name::kernel(kernel), message };
    crate::operands::operands(kernel)?;
    let bytes = packed_bytes(kernel);
    if out.len() != bytes {
        return Err(fail(format!("{} bytes for {bytes} bytes of packed weights", out.len())));
    }
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
    let k = c.in_c / c.groups * c.kernel[0] * c.kernel[1];
    if weight.len() != c.out_c * k {
        return Err(fail(format!("{} weights instead of {}", weight.len(), c.out_c * k)));
    }
    if let Some(bias) = bias.filter(|b| b.len() != c.out_c) {
        return Err(fail(format!("{} biases instead of {}", bias.len(), c.out_c)));
    }
    if let Kernel::Winograd(w) = kernel {
        winograd::pack(w, weight, bias, out);
        return Ok(());
    }
    let panel_bytes = (1 + k) * PANEL * 4;
    if depthwise::applies(c) {
        for (i, panel) in out.chunks_exact_mut(panel_bytes).enumerate() {
            let channels = i * PANEL..c.out_c.min((i + 1) * PANEL);
            pack_panel(c, weight, bias, channels, panel);
        }
    } else {
        let group = c.out_c / c.groups;
        for (g, panels) in out.chunks_exact_mut(group_bytes(c)).enumerate() {
            for (i, panel) in panels.chunks_exact_mut(panel_bytes).enumerate() {
                let first = g * group + i * PANEL;
                let channels = first..(first + PANEL).min((g + 1) * group);
                pack_panel(c, weight, bias, channels, panel);
            }
        }
    }
    Ok(())
}

/// One panel: the bias, then the products' weights in the order of the window.
fn pack_panel(
    c: &ConvKernel,
    weight: &[f32],
    bias: Option<&[f32]>,
    channels: std::ops::Range<usize>,
    panel: &mut [u8],
) {
    panel.fill(0);
    let inputs = c.in_c / c.groups;
    let taps = c.kernel[0] * c.kernel[1];
    for (column, channel) in channels.enumerate() {
        let mut put = |row: usize, value: f32| {
            let at = (row * PANEL + column) * 4;
            panel[at..at + 4].copy_from_slice(&value.to_le_bytes());
        };
        put(0, bias.map_or(0.0, |b| b[channel]));
        let weights = &weight[channel * inputs * taps..][..inputs * taps];
        for (input, values) in weights.chunks_exact(taps).enumerate() {
            for (tap, value) in values.iter().enumerate() {
                put(1 + tap * inputs + input, *value);
            }
        }
    }
}
