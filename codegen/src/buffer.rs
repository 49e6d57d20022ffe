//! Memory aligned for vectors.

use crate::error::CodegenError;

/// Alignment of workspaces and packed weights.
pub const ALIGN: usize = 64;

#[repr(C, align(64))]
#[derive(Clone, Copy)]
struct Line([u8; ALIGN]);

/// Bytes that start at a multiple of [`ALIGN`].
#[derive(Clone, Default)]
pub struct AlignedBuffer {
    lines: Vec<Line>,
    bytes: usize,
}

impl AlignedBuffer {
    /// So many bytes, all 0.
    pub fn zeroed(bytes: usize) -> Result<AlignedBuffer, CodegenError> {
        let count = bytes.div_ceil(ALIGN);
        let mut lines = Vec::new();
        lines.try_reserve_exact(count).map_err(|_| CodegenError::Memory { bytes })?;
        lines.resize(count, Line([0; ALIGN]));
        Ok(AlignedBuffer { lines, bytes })
    }

    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        // SAFETY: lines are plain bytes without padding, and `zeroed` made `bytes` of them at least.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.bytes) }
    }

    /// The bytes, to be written.
    pub fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_bytes`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.bytes) }
    }

    /// The whole `f32`s among the bytes.
    pub fn as_f32(&self) -> &[f32] {
        // SAFETY: aligned beyond what `f32` needs, long enough, and every bit pattern is a value.
        unsafe { std::slice::from_raw_parts(self.lines.as_ptr().cast(), self.bytes / 4) }
    }

    /// The whole `f32`s among the bytes, to be written.
    pub fn as_f32_mut(&mut self) -> &mut [f32] {
        // SAFETY: as in `as_f32`; the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.bytes / 4) }
    }
}

impl std::fmt::Debug for AlignedBuffer {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "AlignedBuffer({} bytes)", self.bytes)
    }
}
