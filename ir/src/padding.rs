//! Windows that slide over a map: borders and numbers of windows.

use crate::infer::ShapeError;
use crate::op::{Conv, Padding, Pool, Size2};

/// A border in numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Border {
    /// Rows above.
    pub top: usize,
    /// Rows below.
    pub bottom: usize,
    /// Columns to the left.
    pub left: usize,
    /// Columns to the right.
    pub right: usize,
}

impl Padding {
    /// The border that this padding means for a map of `input` rows and columns.
    ///
    /// SAME is TensorFlow's: in each direction the border is
    /// `max((ceil(i / s) - 1) * s + (k - 1) * d + 1 - i, 0)` in total, the half rounded down comes
    /// before, the rest after.
    ///
    /// # Errors
    /// When a stride is zero or a number overflows.
    pub fn resolve(
        &self,
        input: Size2,
        kernel: Size2,
        stride: Size2,
        dilation: Size2,
    ) -> Result<Border, ShapeError> {
        match *self {
            Padding::Explicit { top, bottom, left, right } => {
                Ok(Border { top, bottom, left, right })
            }
            Padding::Same => {
                let (top, bottom) = same(input[0], kernel[0], stride[0], dilation[0])?;
                let (left, right) = same(input[1], kernel[1], stride[1], dilation[1])?;
                Ok(Border { top, bottom, left, right })
            }
        }
    }
}

fn same(
    input: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
) -> Result<(usize, usize), ShapeError> {
    let extent = extent(kernel, dilation)?;
    if stride == 0 {
        return Err(ShapeError::new("the stride must be at least 1"));
    }
    let covered = (input.div_ceil(stride).max(1) - 1)
        .checked_mul(stride)
        .and_then(|last| last.checked_add(extent))
        .ok_or_else(too_large)?;
    let total = covered.saturating_sub(input);
    Ok((total / 2, total - total / 2))
}

/// Cells between the first and the last tap of a kernel, both included.
fn extent(kernel: usize, dilation: usize) -> Result<usize, ShapeError> {
    if kernel == 0 || dilation == 0 {
        return Err(ShapeError::new("kernel and dilation must be at least 1"));
    }
    (kernel - 1).checked_mul(dilation).and_then(|v| v.checked_add(1)).ok_or_else(too_large)
}

fn too_large() -> ShapeError {
    ShapeError::new("the window's size, stride, dilation or border is too large")
}

/// Length of a padded axis.
fn padded(input: usize, before: usize, after: usize) -> Result<usize, ShapeError> {
    input.checked_add(before).and_then(|v| v.checked_add(after)).ok_or_else(too_large)
}

/// Geometry of windows over a map, all numbers known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Windows {
    /// Rows and columns of the output.
    pub output: Size2,
    /// The border.
    pub border: Border,
}

impl Conv {
    /// Border and output size over a map of `input` rows and columns.
    ///
    /// # Errors
    /// When an attribute is zero, a number overflows, or the kernel is larger than the padded map.
    pub fn windows(&self, input: Size2) -> Result<Windows, ShapeError> {
        windows(input, self.kernel, self.stride, self.dilation, self.padding, false)
    }
}

impl Pool {
    /// Border and output size over a map of `input` rows and columns.
    ///
    /// # Errors
    /// As [`Conv::windows`], and when the border is so wide that a window would see no cell of the
    /// map.
    pub fn windows(&self, input: Size2) -> Result<Windows, ShapeError> {
        let result =
            windows(input, self.kernel, self.stride, [1, 1], self.padding, self.ceil_mode)?;
        let Border { top, bottom, left, right } = result.border;
        if top.max(bottom) >= self.kernel[0] || left.max(right) >= self.kernel[1] {
            return Err(ShapeError::new(format!(
                "a border of {top},{bottom},{left},{right} is too wide for a pooling window of {}: \
                 some windows would hold nothing but border",
                by(self.kernel)
            )));
        }
        Ok(result)
    }
}

fn windows(
    input: Size2,
    kernel: Size2,
    stride: Size2,
    dilation: Size2,
    padding: Padding,
    ceil_mode: bool,
) -> Result<Windows, ShapeError> {
    if stride.contains(&0) {
        return Err(ShapeError::new("the stride must be at least 1"));
    }
    let border = padding.resolve(input, kernel, stride, dilation)?;
    let extents = [extent(kernel[0], dilation[0])?, extent(kernel[1], dilation[1])?];
    let before = [border.top, border.left];
    let whole = [
        padded(input[0], border.top, border.bottom)?,
        padded(input[1], border.left, border.right)?,
    ];
    if extents[0] > whole[0] || extents[1] > whole[1] {
        let dilated = if extents == kernel {
            String::new()
        } else {
            format!(" (which spans {} with its dilation)", by(extents))
        };
        return Err(ShapeError::new(format!(
            "kernel {}{dilated} is larger than the padded map {}",
            by(kernel),
            by(whole)
        )));
    }
    let mut output = [0; 2];
    for axis in 0..2 {
        let room = whole[axis] - extents[axis];
        let mut count = room / stride[axis] + 1;
        if ceil_mode && room % stride[axis] != 0 {
            count += 1;
            // PyTorch: the last window must start inside the map or the border before it.
            if (count - 1).saturating_mul(stride[axis]) >= input[axis] + before[axis] {
                count -= 1;
            }
        }
        output[axis] = count;
    }
    Ok(Windows { output, border })
}

fn by(size: Size2) -> String {
    format!("{}x{}", size[0], size[1])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::PoolKind;

    const ZERO: Padding = Padding::Explicit { top: 0, bottom: 0, left: 0, right: 0 };

    fn conv(kernel: usize, stride: usize, dilation: usize, padding: Padding) -> Conv {
        Conv {
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding,
            dilation: [dilation; 2],
            groups: 1,
        }
    }

    #[test]
    fn same_puts_the_smaller_half_before() {
        for (input, kernel, stride, dilation, before, after, output) in [
            (224, 3, 2, 1, 0, 1, 112),
            (225, 3, 2, 1, 1, 1, 113),
            (112, 5, 2, 1, 1, 2, 56),
            (7, 3, 1, 1, 1, 1, 7),
            (7, 3, 1, 2, 2, 2, 7),
            (8, 1, 2, 1, 0, 0, 4),
            (8, 2, 1, 1, 0, 1, 8),
            (1, 3, 2, 1, 1, 1, 1),
        ] {
            let w = conv(kernel, stride, dilation, Padding::Same).windows([input; 2]).unwrap();
            let expected = Border { top: before, bottom: after, left: before, right: after };
            assert_eq!(w.border, expected, "i={input} k={kernel} s={stride} d={dilation}");
            assert_eq!(w.output, [output; 2]);
        }
    }

    #[test]
    fn too_large_a_kernel_is_named() {
        let error = conv(7, 1, 1, ZERO).windows([5, 5]).unwrap_err();
        assert_eq!(error.to_string(), "kernel 7x7 is larger than the padded map 5x5");
        let error = conv(3, 1, 4, ZERO).windows([5, 5]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "kernel 3x3 (which spans 9x9 with its dilation) is larger than the padded map 5x5"
        );
    }

    #[test]
    fn extremes_are_errors() {
        let huge = Padding::Explicit { top: usize::MAX, bottom: 1, left: 0, right: 0 };
        assert!(conv(3, 1, 1, huge).windows([5, 5]).is_err());
        assert!(conv(3, 0, 1, Padding::Same).windows([5, 5]).is_err());
        assert!(conv(0, 1, 1, ZERO).windows([5, 5]).is_err());
        assert!(conv(usize::MAX, 1, usize::MAX, Padding::Same).windows([5, 5]).is_err());
    }

    #[test]
    fn ceil_mode_as_pytorch() {
        let pool = |kernel, stride, pad, ceil_mode| Pool {
            kind: PoolKind::Max,
            kernel: [kernel; 2],
            stride: [stride; 2],
            padding: Padding::Explicit { top: pad, bottom: pad, left: pad, right: pad },
            ceil_mode,
            count_include_pad: false,
        };
        let size = |p: Pool, input: usize| p.windows([input; 2]).unwrap().output[0];
        assert_eq!(size(pool(2, 2, 0, false), 7), 3);
        assert_eq!(size(pool(2, 2, 0, true), 7), 4);
        assert_eq!(size(pool(3, 2, 1, false), 112), 56);
        // The 57th window starts at row 111, inside the map.
        assert_eq!(size(pool(3, 2, 1, true), 112), 57);
        assert_eq!(size(pool(2, 3, 1, true), 5), 2);
        assert_eq!(size(pool(2, 2, 1, true), 3), 2);
        assert!(pool(2, 2, 2, false).windows([8, 8]).is_err());
    }
}
