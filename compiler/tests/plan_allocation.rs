//! Running a compiled network allocates nothing.

mod plan_common;

use netwright_compiler::driver::{Network, Options, compile};
use netwright_ir::{Act, Binary, Op, Reduce};
use plan_common::*;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The system's allocator, counting.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::SeqCst);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the pointer came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn running_allocates_nothing() {
    let (mut net, x) = Net::new(&[2, 20, 20, 3]);
    let mut y = net.conv(x, 16, window(3, 1, 1, 1), true);
    y = net.op(act(Act::Silu), &[y]);
    let pooled = net.op(Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep: true }, &[y]);
    y = net.op(Op::Binary(Binary::Mul), &[y, pooled]);
    net.output("y", y);
    let graph = net.graph.clone();
    let code = Arc::new(compile(&graph, &Options::default()).unwrap());
    let weights = Arc::new(code.pack(&|index| param_tensor(&graph, index)).unwrap());
    let image = image(&[2, 3, 20, 20], 1);
    let mut out = vec![0.0; 2 * 20 * 20 * 16];
    for threads in [1, 2] {
        let mut network = code.network(Arc::clone(&weights), threads).unwrap();
        network.run(&[&image], &mut [&mut out]).unwrap();
        let before = COUNT.load(Ordering::SeqCst);
        for _ in 0..10 {
            network.run(&[&image], &mut [&mut out]).unwrap();
        }
        assert_eq!(COUNT.load(Ordering::SeqCst), before, "{threads} threads");
    }
}
