//! Memory between two pages that fault on any access.

/// Where a buffer lies between the guard pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It starts right behind the lower page.
    Left,
    /// It ends right before the upper page.
    Right,
}

/// Bytes between guard pages.
pub struct Guarded {
    map: *mut u8,
    map_bytes: usize,
    start: *mut u8,
    bytes: usize,
}

impl Guarded {
    /// So many bytes, filled with a pattern that is a NaN as `f32`.
    pub fn new(bytes: usize, side: Side) -> Guarded {
        // SAFETY: plain system calls on a mapping of our own.
        unsafe {
            let page = libc::sysconf(libc::_SC_PAGESIZE) as usize;
            let inner = bytes.next_multiple_of(page);
            let map_bytes = inner + 2 * page;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let map = libc::mmap(std::ptr::null_mut(), map_bytes, libc::PROT_NONE, flags, -1, 0);
            assert_ne!(map, libc::MAP_FAILED);
            let map = map.cast::<u8>();
            let usable = map.add(page);
            if inner > 0 {
                let access = libc::PROT_READ | libc::PROT_WRITE;
                assert_eq!(libc::mprotect(usable.cast(), inner, access), 0);
            }
            let start = match side {
                Side::Left => usable,
                Side::Right => usable.add(inner - bytes),
            };
            std::ptr::write_bytes(start, 0xff, bytes);
            Guarded { map, map_bytes, start, bytes }
        }
    }

    pub fn from_f32(values: &[f32], side: Side) -> Guarded {
        let mut guarded = Guarded::new(values.len() * 4, side);
        guarded.f32_mut().copy_from_slice(values);
        guarded
    }

    pub fn from_bytes(values: &[u8], side: Side) -> Guarded {
        let mut guarded = Guarded::new(values.len(), side);
        guarded.bytes_mut().copy_from_slice(values);
        guarded
    }

    pub fn f32(&self) -> &[f32] {
        // SAFETY: the mapping is live; its start is a multiple of 4 as all lengths of `f32`s are.
        unsafe { std::slice::from_raw_parts(self.start.cast(), self.bytes / 4) }
    }

    pub fn f32_mut(&mut self) -> &mut [f32] {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.bytes / 4) }
    }

    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the mapping is live.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the mapping is live.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // SAFETY: the mapping made by `new`.
        unsafe { libc::munmap(self.map.cast(), self.map_bytes) };
    }
}
