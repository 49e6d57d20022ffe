//! Running allocates nothing.
//!
//! Without the test harness (see Cargo.toml): its main thread allocates whenever it gets to it, and the count is of all
//! threads, since the pool's are what is watched.

mod support;

use netwright_codegen::program::*;
use netwright_codegen::{CompileOptions, Pool, compile};
use std::alloc::{GlobalAlloc, Layout, System};
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
    // Threads allocate when they start.
    (0..10).for_each(|_| assert!(run() < 100));
    assert_eq!((0..100).map(|_| run()).sum::<usize>(), 0);
}
