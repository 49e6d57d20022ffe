//! Running allocates nothing.
//!
//! Without the test harness (see Cargo.toml): its main thread allocates when it likes, and the
//! count is that of all threads, since the pool's are what is watched.

mod support;

use netwright_codegen::program::*;
use netwright_codegen::{CompileOptions, Pool, compile};
use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use support::harness::{program, random};

struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is handed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::SeqCst);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    let kernel = Kernel::Softmax { outer: 50, len: 40, inner: 1 };
    let options = CompileOptions { share_from_ns: 0, ..Default::default() };
    let compiled = compile(&program(&kernel), &options).unwrap();
    let pool = Pool::new(2);
    let x = random(2000, 1);
    let mut out = vec![0.0; 2000];
    let mut workspace = compiled.workspace(2).unwrap();
    let mut run = || {
        let before = COUNT.load(Ordering::SeqCst);
        compiled.run(&[&x], &mut [&mut out], &[], &mut workspace, &pool).unwrap();
        COUNT.load(Ordering::SeqCst) - before
    };
    wait_for_both(&pool);
    assert_eq!((0..100).map(|_| run()).sum::<usize>(), 0);
}

/// Returns when both threads of the pool have run a piece: a thread allocates when it starts, which
/// may be long after the pool was made.
fn wait_for_both(pool: &Pool) {
    unsafe extern "C" fn meet(barrier: *mut c_void, _: usize) {
        // SAFETY: `wait_for_both` passes a barrier that outlives the job.
        unsafe { (*barrier.cast::<Barrier>()).wait() };
    }
    let barrier = Barrier::new(2);
    let argument = std::ptr::from_ref(&barrier).cast_mut().cast();
    // SAFETY: waiting at a barrier is safe on any thread, and does not unwind.
    unsafe { pool.parallel_for(2, meet, argument) };
}
