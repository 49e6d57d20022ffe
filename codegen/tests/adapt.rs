//! Programs with weights in 16 bits compute what the original does with rounded weights.

mod support;

use netwright_codegen::adapt::half::narrow;
use netwright_codegen::program::*;
use netwright_codegen::{CodegenError, CompileOptions, Pool, compile};
use support::harness::random;

fn conv(channels: usize, out_c: usize, groups: usize, kernel: usize) -> Kernel {
    Kernel::Conv(ConvKernel {
        batch: 1,
        in_h: 5,
        in_w: 7,
        in_c: channels,
        out_h: 5,
        out_w: 7,
        out_c,
        kernel: [kernel, kernel],
        stride: [1, 1],
        pad: [kernel / 2, kernel / 2],
        dilation: [1, 1],
        groups,
        input_nchw: false,
        ahead: 0,
        epilogue: vec![Post::Binary(Arithmetic::Add, Operand::Channel)],
    })
}

/// Convolutions whose weights have a vector and a table of indices between them.
fn program() -> (Program, Vec<u8>) {
    let mut program = Program { name: "net".into(), ..Program::default() };
    let mut weights = Vec::new();
    let (mut value, mut channels, pixels) = (Place::Input(0), 8, 35);
    program.inputs = vec![pixels * channels * 4];
    for (i, (out_c, groups, kernel)) in [(20, 1, 3), (20, 20, 3), (9, 1, 1)].into_iter().enumerate()
    {
        let kernel = conv(channels, out_c, groups, kernel);
        let packed = weights.len();
        let bytes = netwright_codegen::pack::packed_bytes(&kernel);
        weights.extend(random(bytes / 4, i as u64).iter().flat_map(|v| v.to_le_bytes()));
        let vector = weights.len();
        weights.extend(random(out_c, 7).iter().flat_map(|v| v.to_le_bytes()));
        weights.resize(weights.len().next_multiple_of(64), 0);
        let out = Place::Arena(program.arena_bytes);
        program.arena_bytes += (pixels * out_c * 4).next_multiple_of(64);
        let args = vec![value, Place::Weights(packed), out, Place::Weights(vector)];
        program.steps.push(Step { name: format!("conv{i}"), kernel: program.kernels.len(), args });
        program.kernels.push(kernel);
        (value, channels) = (out, out_c);
    }
    let table = weights.len();
    weights.extend([4u32, 0, 34].iter().flat_map(|v| v.to_le_bytes()));
    weights.resize(weights.len().next_multiple_of(64), 0);
    let args = vec![value, Place::Weights(table), Place::Output(0)];
    program.steps.push(Step { name: "rows".into(), kernel: program.kernels.len(), args });
    program.kernels.push(Kernel::Gather { outer: 1, len: pixels, inner: channels, count: 3 });
    program.outputs = vec![3 * channels * 4];
    program.weights_bytes = weights.len();
    (program, weights)
}

fn run(program: &Program, weights: &[u8]) -> Vec<f32> {
    let code = compile(program, &CompileOptions::default()).unwrap();
    let input = random(program.inputs[0] / 4, 99);
    let mut output = vec![0.0; program.outputs[0] / 4];
    let mut workspace = code.workspace(1).unwrap();
    let mut aligned = netwright_codegen::AlignedBuffer::zeroed(weights.len()).unwrap();
    aligned.as_bytes_mut().copy_from_slice(weights);
    let pool = Pool::new(1);
    code.run(&[&input], &mut [&mut output], aligned.as_bytes(), &mut workspace, &pool).unwrap();
    output
}

#[test]
fn halves_are_rounded_weights() {
    let (program, weights) = program();
    let exact = run(&program, &weights);
    for (format, error) in [(Half::F16, 2e-3), (Half::Bf16, 2e-2)] {
        let narrowed = narrow(&program, format).unwrap();
        assert!(narrowed.program.weights_bytes < weights.len() * 6 / 10);
        let halves = run(&narrowed.program, narrowed.pack(&weights).unwrap().as_bytes());
        let mut rounded = weights.clone();
        narrowed.round(&mut rounded).unwrap();
        assert_eq!(halves, run(&program, &rounded), "{format:?}");
        assert_ne!(halves, exact);
        let largest = exact.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (a, b) in halves.iter().zip(&exact) {
            assert!((a - b).abs() <= error * largest, "{a} {b} {format:?}");
        }
    }
}

#[test]
fn what_halves_cannot_hold_is_an_error() {
    let (program, weights) = program();
    for (value, f16, bf16) in
        [(65504.0f32, true, true), (1e6, false, true), (f32::NAN, false, false)]
    {
        let mut weights = weights.clone();
        weights[64..68].copy_from_slice(&value.to_le_bytes());
        for (format, fine) in [(Half::F16, f16), (Half::Bf16, bf16)] {
            let result = narrow(&program, format).unwrap().pack(&weights);
            assert_eq!(result.is_ok(), fine, "{value} {format:?}");
            if let Err(error) = result {
                assert!(matches!(error, CodegenError::Buffer { .. }));
                assert!(error.to_string().contains("conv0"), "{error}");
            }
        }
    }
}
