//! Text forms: kernels in the vector kernel IR, names, the portable emitter's choices.

mod support;

use netwright_codegen::kernels::{Target, build};
use netwright_codegen::name;
use netwright_codegen::portable::{Portable, PortableIsa};
use netwright_codegen::program::*;

fn linear(rows: usize, in_c: usize, out_c: usize) -> Kernel {
    Kernel::Conv(ConvKernel {
        epilogue: vec![Post::Unary(Function::Relu), Post::Binary(Arithmetic::Add, Operand::Full)],
        ..ConvKernel::linear(rows, in_c, out_c)
    })
}

#[test]
fn a_small_product() {
    let kernel = linear(3, 8, 20);
    let target = Target { lanes: 8, tile: (2, 2), columns: 4, unroll: 4, prefetch: true };
    let built = build(&kernel, "linear", &target).unwrap();
    insta::assert_snapshot!("product", built.function);
}

#[test]
fn a_row_reduction() {
    let kernel = Kernel::Reduce(ReduceKernel {
        kind: Reduction::Max,
        outer: 2,
        len: 9,
        inner: 1,
        epilogue: vec![],
    });
    insta::assert_snapshot!("reduction", build(&kernel, "max", &Target::AVX2).unwrap().function);
}

#[test]
fn names() {
    let Kernel::Conv(conv) = linear(49, 3, 8) else { unreachable!("linear is a convolution") };
    let kernels = [
        Kernel::Conv(conv.clone()),
        Kernel::Conv(ConvKernel {
            kernel: [3, 3],
            stride: [2, 2],
            dilation: [1, 2],
            in_c: 8,
            groups: 8,
            epilogue: vec![Post::Unary(Function::HardSwish)],
            ..conv.clone()
        }),
        Kernel::Winograd(WinogradKernel {
            conv: ConvKernel { kernel: [3, 3], epilogue: vec![], ..conv.clone() },
            tile: 4,
        }),
        Kernel::Conv(ConvKernel { groups: 2, in_c: 4, input_nchw: true, ..conv }),
        Kernel::Softmax { outer: 2, len: 3, inner: 1 },
        Kernel::LayerNorm { rows: 7, len: 96, eps: 0, affine: true, epilogue: vec![] },
        Kernel::Gather { outer: 1, len: 2, inner: 3, count: 4 },
    ];
    let names: Vec<String> = kernels.iter().map(name::kernel).collect();
    insta::assert_snapshot!("names", names.join("\n"));
}

#[test]
fn without_fused_products_there_are_products_and_sums() {
    let isa = PortableIsa { fma: false, ..PortableIsa::host().unwrap() };
    let built = build(&linear(3, 8, 20), "linear", &Target::X86_128).unwrap();
    let mut compiler = Portable::new(&isa);
    let text = compiler.text(&built.function);
    assert!(!text.contains("fma") && text.contains("fmul") && text.contains("fadd"), "{text}");
    assert!(!compiler.compile(&built.function).unwrap().0.is_empty());
}

#[test]
fn wide_vectors_become_several() {
    let isa = PortableIsa::host().unwrap();
    for target in [Target::AVX2, Target::AVX512] {
        let built = build(&Kernel::Softmax { outer: 2, len: 37, inner: 1 }, "softmax", &target);
        assert!(Portable::new(&isa).compile(&built.unwrap().function).is_ok());
    }
}
