//! Measures the kernels of some convolutions: time, share of the machine's peak, compile time.
//!
//! `cargo run --release -p netwright-codegen --example measure [portable|avx2|avx512] [threads]`

use netwright_codegen::buffer::AlignedBuffer;
use netwright_codegen::jit::{Backend, CompileOptions, compile};
use netwright_codegen::operands::{Role, operands};
use netwright_codegen::peak;
use netwright_codegen::pool::Pool;
use netwright_codegen::program::*;
use netwright_codegen::wide::WideIsa;
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (backend, isa) = match args.next().as_deref() {
        Some("avx2") => (Backend::Wide, Some(WideIsa::Avx2)),
        Some("avx512") => (Backend::Wide, Some(WideIsa::Avx512)),
        Some("portable") => (Backend::Portable, None),
        _ => (Backend::Auto, None),
    };
    let threads = args.next().map_or(Ok(1), |n| n.parse())?;
    let pool = Pool::new(threads);
    let peaks = peak::measure(threads)?;
    for peak in &peaks {
        println!("{} bits: {:.1} GFLOP/s on {} threads", peak.bits, peak.gflops, peak.threads);
    }
    let peak = peaks.iter().find(|p| p.bits == 256).unwrap_or(&peaks[0]).gflops;
    let mut all = Program { name: "all".into(), ..Default::default() };
    for (kernel, macs) in kernels() {
        all.kernels.push(kernel.clone());
        let program = program(&kernel)?;
        let start = Instant::now();
        let options = CompileOptions { backend, isa, ..Default::default() };
        let compiled = compile(&program, &options)?;
        let compile_ms = start.elapsed().as_secs_f64() * 1e3;
        let inputs = program.inputs.iter().map(|n| AlignedBuffer::zeroed(*n));
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        let inputs: Vec<&[f32]> = inputs.iter().map(AlignedBuffer::as_f32).collect();
        let mut out = AlignedBuffer::zeroed(program.outputs[0])?;
        let weights = AlignedBuffer::zeroed(program.weights_bytes)?;
        let mut workspace = compiled.workspace(threads)?;
        let mut best = f64::INFINITY;
        for _ in 0..30 {
            let start = Instant::now();
            let outputs = &mut [out.as_f32_mut()];
            compiled.run(&inputs, outputs, weights.as_bytes(), &mut workspace, &pool)?;
            best = best.min(start.elapsed().as_secs_f64());
        }
        let gflops = 2.0 * macs as f64 / best / 1e9;
        println!(
            "{:9.3} ms {gflops:7.1} GFLOP/s {:5.1}% of 256-bit peak, compiled in {compile_ms:5.2} ms, \
             {:6} bytes: {}",
            best * 1e3,
            100.0 * gflops / peak,
            compiled.code_bytes(),
            netwright_codegen::name::kernel(&kernel),
        );
    }
    let start = Instant::now();
    let compiled = compile(&all, &CompileOptions { backend, isa, ..Default::default() })?;
    println!(
        "all {} kernels as one program: compiled in {:.1} ms, {} bytes",
        all.kernels.len(),
        start.elapsed().as_secs_f64() * 1e3,
        compiled.code_bytes()
    );
    Ok(())
}

fn kernels() -> Vec<(Kernel, usize)> {
    let relu6 = Post::Unary(Function::Clamp { low: 0, high: 6f32.to_bits() });
    let silu = Post::Unary(Function::Silu);
    let mut result = vec![];
    // size, input channels, output channels, window, step, groups, epilogue
    for (size, in_c, out_c, kernel, stride, groups, post) in [
        (224, 3, 32, 3, 2, 1, relu6),
        (112, 32, 16, 1, 1, 1, relu6),
        (112, 16, 96, 1, 1, 1, relu6),
        (56, 24, 144, 1, 1, 1, relu6),
        (56, 144, 24, 1, 1, 1, relu6),
        (28, 192, 32, 1, 1, 1, relu6),
        (14, 64, 384, 1, 1, 1, relu6),
        (14, 384, 64, 1, 1, 1, relu6),
        (14, 576, 96, 1, 1, 1, silu),
        (7, 160, 960, 1, 1, 1, relu6),
        (7, 960, 320, 1, 1, 1, relu6),
        (7, 320, 1280, 1, 1, 1, relu6),
        (1, 1280, 1000, 1, 1, 1, relu6),
        (112, 32, 32, 3, 1, 32, relu6),
        (112, 96, 96, 3, 2, 96, relu6),
        (56, 144, 144, 3, 1, 144, relu6),
        (28, 192, 192, 3, 1, 192, relu6),
        (14, 384, 384, 3, 1, 384, relu6),
        (14, 576, 576, 5, 1, 576, silu),
        (7, 960, 960, 3, 1, 960, relu6),
        (56, 64, 64, 3, 1, 1, relu6),
        (14, 256, 256, 3, 1, 1, relu6),
        (7, 512, 512, 3, 1, 1, relu6),
        (56, 128, 128, 3, 1, 32, relu6),
    ] {
        let pad = kernel / 2;
        let out = (size + 2 * pad - kernel) / stride + 1;
        let conv = ConvKernel {
            batch: 1,
            in_h: size,
            in_w: size,
            in_c,
            out_h: out,
            out_w: out,
            out_c,
            kernel: [kernel; 2],
            stride: [stride; 2],
            pad: [pad; 2],
            dilation: [1; 2],
            groups,
            input_nchw: in_c == 3,
            ahead: 0,
            epilogue: vec![post],
        };
        let macs = out * out * out_c * (in_c / groups) * kernel * kernel;
        result.push((Kernel::Conv(conv.clone()), macs));
        if kernel == 3 && stride == 1 && groups == 1 {
            for tile in [2, 4] {
                result.push((Kernel::Winograd(WinogradKernel { conv: conv.clone(), tile }), macs));
            }
        }
    }
    result
}

/// A program of one kernel, with inputs for its operands.
fn program(kernel: &Kernel) -> Result<Program, Box<dyn Error>> {
    let mut program =
        Program { name: "measure".into(), kernels: vec![kernel.clone()], ..Default::default() };
    let mut args = vec![];
    for operand in operands(kernel)? {
        args.push(match operand.role {
            Role::Input | Role::Ahead => {
                program.inputs.push(operand.bytes);
                Place::Input(program.inputs.len() - 1)
            }
            Role::Weights => {
                program.weights_bytes = operand.bytes;
                Place::Weights(0)
            }
            Role::Output => {
                program.outputs.push(operand.bytes);
                Place::Output(0)
            }
        });
    }
    program.steps.push(Step { name: "step".into(), kernel: 0, args });
    Ok(program)
}
