//! Rows of a result shared among threads. A row is computed by one thread in a fixed order, so the
//! result does not depend on the number of threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Work below this many operations is not worth a thread.
const WORTH_SHARING: usize = 1 << 18;

/// Calls `f(first_row, rows)` on consecutive pieces of `out`, of at most `piece` rows of `len`
/// elements each, on up to `threads` threads. `cost` is about the number of operations in all.
pub(super) fn rows(
    threads: usize,
    cost: usize,
    out: &mut [f32],
    len: usize,
    piece: usize,
    f: impl Fn(usize, &mut [f32]) + Sync,
) {
    if out.is_empty() {
        return;
    }
    let chunk = len * piece.max(1);
    let pieces = out.len().div_ceil(chunk);
    let threads = if cost < WORTH_SHARING { 1 } else { threads.clamp(1, pieces) };
    if threads == 1 {
        for (i, rows) in out.chunks_mut(chunk).enumerate() {
            f(i * piece, rows);
        }
        return;
    }
    let slots: Vec<Mutex<&mut [f32]>> = out.chunks_mut(chunk).map(Mutex::new).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let work = || {
            loop {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(slot) = slots.get(i) else { break };
                // Each slot is taken once: it is never contended, nor poisoned by its own holder.
                let mut rows = slot.lock().unwrap_or_else(|poison| poison.into_inner());
                f(i * piece, &mut rows);
            }
        };
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
}
