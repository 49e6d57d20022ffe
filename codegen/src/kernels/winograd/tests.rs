//! The kernel for vectors of every width, also where the machine has none such.

use super::*;
use crate::pack;
use crate::program::{Arithmetic, ConvKernel, Function, Kernel, Operand, Post};
use crate::wide::tests::Evaluator;
use crate::wide::{WideIsa, emit};

/// Evaluates all units in parts of `units`.
fn evaluate(built: &BuiltKernel, operands: &[*const f32], units: usize) {
    let mut scratch = vec![f32::NAN; built.scratch / 4];
    for first in (0..built.units).step_by(units) {
        let end = built.units.min(first + units);
        let args =
            [operands.as_ptr() as u64, first as u64, end as u64, scratch.as_mut_ptr() as u64];
        // SAFETY: the operands are as large as the descriptor says, the scratch memory as the
        // kernel asks for.
        unsafe { Evaluator::run(&built.function, &args) };
    }
}

#[test]
fn all_widths_give_the_same_bits() {
    let conv = ConvKernel {
        batch: 2,
        in_h: 5,
        in_w: 9,
        in_c: 18,
        out_h: 5,
        out_w: 9,
        out_c: 41,
        kernel: [3, 3],
        stride: [1, 1],
        pad: [1, 1],
        dilation: [1, 1],
        groups: 1,
        input_nchw: false,
        ahead: 0,
        epilogue: vec![
            Post::Binary(Arithmetic::Mul, Operand::ImageChannel),
            Post::Unary(Function::Relu),
        ],
    };
    let values = |n: usize, step: usize| -> Vec<f32> {
        (0..n).map(|i| (i * step % 101) as f32 / 50.0 - 1.0).collect()
    };
    let x = values(2 * 5 * 9 * 18, 37);
    let gate = values(2 * 41, 13);
    let (weight, bias) = (values(41 * 18 * 9, 59), values(41, 7));
    for tile in [2, 4] {
        let w = WinogradKernel { conv: conv.clone(), tile };
        let kernel = Kernel::Winograd(w.clone());
        let mut bytes = vec![0; pack::packed_bytes(&kernel)];
        pack::pack(&kernel, &[&weight, &bias], &mut bytes).unwrap();
        let packed: Vec<f32> =
            bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        let mut first: Option<Vec<u32>> = None;
        for target in [Target::X86_128, Target::NEON, Target::AVX2, Target::AVX512] {
            let built = build(&w, "winograd", &target);
            for units in [1, 3, built.units] {
                let mut out = vec![f32::NAN; 2 * 5 * 9 * 41];
                let operands = [x.as_ptr(), packed.as_ptr(), out.as_mut_ptr(), gate.as_ptr()];
                evaluate(&built, &operands, units);
                let bits: Vec<u32> = out.iter().map(|value| value.to_bits()).collect();
                assert!(out.iter().all(|value| value.is_finite()), "{target:?}");
                assert_eq!(first.get_or_insert(bits.clone()), &bits, "{target:?}, {units} units");
            }
        }
    }
}

#[test]
fn vectors_do_not_spill() {
    let conv = |out_c: usize| ConvKernel {
        batch: 1,
        in_h: 56,
        in_w: 54,
        in_c: 64,
        out_h: 56,
        out_w: 54,
        out_c,
        kernel: [3, 3],
        stride: [1, 1],
        pad: [1, 1],
        dilation: [1, 1],
        groups: 1,
        input_nchw: false,
        ahead: 0,
        epilogue: vec![Post::Unary(Function::Relu)],
    };
    for (isa, target) in [(WideIsa::Avx2, Target::AVX2), (WideIsa::Avx512, Target::AVX512)] {
        for (tile, out_c) in [(2, 64), (4, 64), (4, 24)] {
            let built = build(&WinogradKernel { conv: conv(out_c), tile }, "winograd", &target);
            let code = emit(&built.function, isa).unwrap();
            let text = crate::asm::listing(&code.bytes[..code.code_len]);
            let spilled = text.lines().filter(|l| l.contains("mm") && l.contains("[rsp"));
            assert_eq!(spilled.count(), 0, "tiles of {tile}, {}", isa.name());
        }
    }
}
