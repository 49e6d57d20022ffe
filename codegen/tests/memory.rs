//! Code memory is given back. Alone in its process, since it looks at the process's size.

mod support;

use netwright_codegen::program::*;
use netwright_codegen::{CompileOptions, compile};
use support::harness::program;

/// Compiling again and again does not grow the process.
#[test]
#[cfg(target_os = "linux")]
fn dropped_programs_free_their_code() {
    let pages = || -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    let program = program(&Kernel::Softmax { outer: 5, len: 40, inner: 1 });
    let options = CompileOptions { threads: 1, ..Default::default() };
    let round = || (0..100).for_each(|_| drop(compile(&program, &options).unwrap()));
    round();
    let before = pages();
    (0..4).for_each(|_| round());
    // 400 programs of at least two mappings of a page each would be 800 pages.
    assert!(pages() < before + 400, "{before} pages before, {} after", pages());
}
