//! Memory that a product asks for while it multiplies, so that it is in a cache when it is read.

use crate::vir::{Builder, G, GImmOp, GOp};

/// Bytes of a cache line.
const LINE: usize = 64;
/// Most cache lines in a turn of the innermost loop: more at a time would wait for each other.
const MOST_LINES: usize = 4;

/// A range of memory, fetched line by line.
#[derive(Clone, Copy)]
pub struct Ahead {
    /// The next cache line; once everything is fetched, the end.
    pub next: G,
    /// The end.
    pub end: G,
    /// Cache lines in each turn of the innermost loop.
    pub lines: usize,
}

impl Ahead {
    /// The part that one of `units` units fetches of `bytes` bytes, which start at `from` and which all units
    /// together fetch in `turns` turns of their innermost loops; nothing where there are no loops.
    pub fn part(
        b: &mut Builder,
        (from, bytes): (G, usize),
        (unit, units): (G, usize),
        turns: usize,
    ) -> Option<Ahead> {
        if bytes == 0 || turns == 0 {
            return None;
        }
        let part = bytes.div_ceil(units).next_multiple_of(LINE);
        let next = b.g_address(from, unit, part as i64, 0);
        let end = b.g_imm(GImmOp::Add, from, bytes as i64);
        let part_end = b.g_imm(GImmOp::Add, next, part as i64);
        // The last units may have nothing left.
        b.g_bin_to(GOp::Min, next, next, end);
        let end = b.g_bin(GOp::Min, end, part_end);
        Some(Ahead { next, end, lines: bytes.div_ceil(LINE * turns).min(MOST_LINES) })
    }

    /// Appends the lines of a turn.
    pub fn fetch(self, b: &mut Builder) {
        for line in 0..self.lines {
            b.prefetch(self.next, (line * LINE) as i32);
        }
        b.g_advance(self.next, (self.lines * LINE) as i64);
        b.g_bin_to(GOp::Min, self.next, self.next, self.end);
    }
}

#[cfg(test)]
mod tests {
    use crate::kernels::{Target, build};
    use crate::operands::operands;
    use crate::program::{ConvKernel, Kernel};
    use crate::wide::tests::Evaluator;
    use std::collections::BTreeSet;

    /// The addresses that all units of a convolution ask for, from the start of its last operand on.
    fn fetched(conv: &ConvKernel, target: &Target) -> Vec<i64> {
        let kernel = Kernel::Conv(conv.clone());
        let built = build(&kernel, "fetching", target).unwrap();
        let mut memory: Vec<Vec<f32>> =
            operands(&kernel).unwrap().iter().map(|one| vec![0.0; one.bytes.div_ceil(4)]).collect();
        let addresses: Vec<u64> =
            memory.iter_mut().map(|values| values.as_mut_ptr() as u64).collect();
        let mut scratch = vec![0.0f32; built.scratch / 4];
        let units = (0..built.units as u64).flat_map(|unit| {
            let args = [addresses.as_ptr() as u64, unit, unit + 1, scratch.as_mut_ptr() as u64];
            // SAFETY: the operands are as large as the descriptor says, the scratch memory as the kernel
            // asks for, and nobody else has them.
            unsafe { Evaluator::run(&built.function, &args) }.fetched
        });
        let start = *addresses.last().unwrap() as i64;
        units.map(|address| address as i64 - start).collect()
    }

    #[test]
    fn units_fetch_everything_together_and_nothing_else() {
        let conv = |[rows, inputs, outputs]: [usize; 3], window: usize, ahead: usize| ConvKernel {
            batch: 1,
            in_h: rows,
            in_w: 7,
            in_c: inputs,
            out_h: rows,
            out_w: 7,
            out_c: outputs,
            kernel: [window; 2],
            stride: [1, 1],
            pad: [window / 2; 2],
            dilation: [1, 1],
            groups: 1,
            input_nchw: false,
            epilogue: vec![],
            ahead,
        };
        for target in [Target::AVX2, Target::AVX512] {
            for (shape, window) in [([7, 40, 50], 1), ([3, 64, 40], 1), ([5, 17, 40], 3)] {
                for ahead in [4, 64, 100, 1000, 8000] {
                    let asked = fetched(&conv(shape, window, ahead), &target);
                    let lines: BTreeSet<i64> = asked.iter().copied().collect();
                    let all = (0..ahead as i64).step_by(64);
                    assert!(all.clone().all(|line| lines.contains(&line)), "{shape:?} {ahead}");
                    // The last turn of a unit may go on behind its part.
                    let near = 0..(ahead as i64 + super::MOST_LINES as i64 * 64);
                    assert!(lines.iter().all(|line| near.contains(line)), "{shape:?} {ahead}");
                }
            }
            assert_eq!(fetched(&conv([7, 40, 50], 1, 0), &target), []);
        }
        let portable = fetched(&conv([7, 40, 50], 1, 1000), &Target::X86_128);
        assert_eq!(portable, []);
    }
}
