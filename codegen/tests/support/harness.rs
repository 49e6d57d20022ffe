//! Runs one kernel on every back end, in guarded memory, with several numbers of threads.

use super::case::Case;
use super::guard::{Guarded, Side};
use netwright_codegen::jit::{Backend, CompileOptions, CompiledProgram, compile};
use netwright_codegen::operands::{Role, operands};
use netwright_codegen::pack::{pack, packed_bytes};
use netwright_codegen::pool::Pool;
use netwright_codegen::program::{Half, Kernel, Place, Program, Step};
use netwright_codegen::wide::WideIsa;

/// A back end with its instruction set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Emitter {
    pub backend: Backend,
    pub isa: Option<WideIsa>,
}

/// The back ends under test: those that this machine can run.
pub fn backends() -> Vec<Emitter> {
    let mut result = vec![Emitter { backend: Backend::Portable, isa: None }];
    for isa in [WideIsa::Avx2, WideIsa::Avx512] {
        if isa.is_available() {
            result.push(Emitter { backend: Backend::Wide, isa: Some(isa) });
        }
    }
    result
}

/// Pseudorandom values between -1 and 1 (xorshift).
pub fn random(n: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// A program of that one kernel, its operands inputs, its weights at the start of the weights.
pub fn program(kernel: &Kernel) -> Program {
    let mut program =
        Program { name: "test".into(), kernels: vec![kernel.clone()], ..Default::default() };
    let mut args = vec![];
    for operand in operands(kernel).unwrap() {
        args.push(match operand.role {
            Role::Input | Role::Ahead => {
                program.inputs.push(operand.bytes);
                Place::Input(program.inputs.len() - 1)
            }
            Role::Weights => {
                let offset = program.weights_bytes.next_multiple_of(64);
                program.weights_bytes = offset + operand.bytes;
                Place::Weights(offset)
            }
            Role::Output => {
                program.outputs.push(operand.bytes);
                Place::Output(program.outputs.len() - 1)
            }
        });
    }
    program.steps.push(Step { name: "step".into(), kernel: 0, args });
    program
}

/// Random operands of a kernel, outputs left out; for a convolution weight and bias unpacked.
pub fn random_operands(kernel: &Kernel) -> Vec<Vec<f32>> {
    let mut result = vec![];
    let stages = match kernel {
        Kernel::Conv(c) | Kernel::Rows(c) => vec![c],
        Kernel::Winograd(w) => vec![&w.conv],
        Kernel::Chain(chain) => chain.stages.iter().collect(),
        _ => vec![],
    };
    let mut stages = stages.into_iter();
    for (i, operand) in operands(kernel).unwrap().into_iter().enumerate() {
        if operand.role == Role::Weights
            && let Some(c) = stages.next()
        {
            let k = c.in_c / c.groups * c.kernel[0] * c.kernel[1];
            // The sums of all stages of a chain are of about the same size.
            let chain = matches!(kernel, Kernel::Chain(_));
            let scale = if chain { (k as f32).sqrt().recip() } else { 1.0 };
            let weight = random(c.out_c * k, 7 * i as u64 + 1);
            result.push(weight.into_iter().map(|w| w * scale).collect());
            result.push(random(c.out_c, 7 * i as u64 + 2));
            continue;
        }
        let seed = 7 * i as u64 + 1;
        match (operand.role, kernel) {
            (Role::Output, _) => {}
            (Role::Weights, Kernel::Gather { len, count, .. }) => {
                result.push((0..*count).map(|i| f32::from_bits((i * 7 % len) as u32)).collect());
            }
            (Role::Weights, Kernel::Resize(r)) => {
                let mut table = vec![];
                for (outputs, taps, size) in
                    [(r.out_h, r.taps_h, r.in_h), (r.out_w, r.taps_w, r.in_w)]
                {
                    for i in 0..outputs * taps {
                        table.push(f32::from_bits((i * 5 % size) as u32));
                        table.push((i % 4) as f32 / 3.0 - 0.2);
                    }
                }
                result.push(table);
            }
            (Role::Input, Kernel::Bytes(_)) => {
                let word = |i: usize| (i as u32).wrapping_mul(0x9e37_79b9) ^ 0x1357_9bdf;
                result.push((0..operand.bytes / 4).map(|i| f32::from_bits(word(i))).collect());
            }
            (Role::Weights, Kernel::Widen(w)) => {
                // All finite halves come up, subnormal ones too.
                let (limit, step) = match w.format {
                    Half::F16 => (0x7c00, 0x0123),
                    Half::Bf16 => (0x7f80, 0x0457),
                };
                let half = |i: u32| (i * step % limit) | ((i & 1) << 15);
                let word = |i: u32| half(2 * i) | half(2 * i + 1) << 16;
                result
                    .push((0..operand.bytes as u32 / 4).map(|i| f32::from_bits(word(i))).collect());
            }
            (Role::Weights | Role::Input | Role::Ahead, _) => {
                result.push(random(operand.bytes / 4, seed))
            }
        }
    }
    result
}

/// Compiles and runs a kernel on given operands, and returns the outputs, one after the other. All results for 1, 2 and 3
/// threads and both sides of guard pages must be the same bits.
pub fn run(kernel: &Kernel, values: &[Vec<f32>], backend: Emitter) -> Vec<f32> {
    let program = program(kernel);
    let options = CompileOptions {
        backend: backend.backend,
        isa: backend.isa,
        threads: 1,
        share_from_ns: 0,
        ..CompileOptions::default()
    };
    let compiled = compile(&program, &options).unwrap();
    let (inputs, weights) = split(kernel, values);
    let mut first: Option<Vec<f32>> = None;
    for threads in 1..4 {
        let pool = Pool::new(threads);
        for side in [Side::Left, Side::Right] {
            let out = run_once(&compiled, &inputs, &weights, &pool, side);
            match &first {
                None => first = Some(out),
                Some(first) => {
                    let equal = first.iter().zip(&out).all(|(a, b)| a.to_bits() == b.to_bits());
                    assert!(equal, "{threads} threads give other bits, {backend:?} {kernel:?}");
                }
            }
        }
    }
    first.unwrap()
}

/// Inputs, and packed weights.
pub fn split(kernel: &Kernel, values: &[Vec<f32>]) -> (Vec<Vec<f32>>, Vec<u8>) {
    let mut inputs = values.to_vec();
    let mut weights = vec![];
    match kernel {
        Kernel::Chain(chain) => {
            for (c, tensors) in chain.stages.iter().zip(values[1..].chunks(2)) {
                let kernel = Kernel::Conv(c.clone());
                let mut packed = vec![0xff; packed_bytes(&kernel)];
                pack(&kernel, &[&tensors[0], &tensors[1]], &mut packed).unwrap();
                weights.extend(packed);
            }
            inputs.drain(1..1 + 2 * chain.stages.len());
        }
        Kernel::Conv(_) | Kernel::Rows(_) | Kernel::Winograd(_) => {
            weights = vec![0xff; packed_bytes(kernel)];
            pack(kernel, &[&values[1], &values[2]], &mut weights).unwrap();
            inputs.drain(1..3);
        }
        Kernel::Widen(_) => {
            weights = inputs.remove(0).iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        }
        Kernel::Gather { .. } | Kernel::Resize(_) | Kernel::Bytes(_) | Kernel::Scale(_) => {
            weights = inputs.remove(1).iter().flat_map(|v| v.to_bits().to_le_bytes()).collect();
        }
        _ => {}
    }
    (inputs, weights)
}

fn run_once(
    compiled: &CompiledProgram,
    inputs: &[Vec<f32>],
    weights: &[u8],
    pool: &Pool,
    side: Side,
) -> Vec<f32> {
    let inputs: Vec<Guarded> = inputs.iter().map(|v| Guarded::from_f32(v, side)).collect();
    let inputs: Vec<&[f32]> = inputs.iter().map(|g| g.f32()).collect();
    // Weights start at a multiple of 64, so only whole lines can end at the upper page.
    let weights_side = if weights.len().is_multiple_of(64) { side } else { Side::Left };
    let weights = Guarded::from_bytes(weights, weights_side);
    let sizes = &compiled.program().outputs;
    let mut outputs: Vec<Guarded> = sizes.iter().map(|bytes| Guarded::new(*bytes, side)).collect();
    let mut results: Vec<&mut [f32]> = outputs.iter_mut().map(Guarded::f32_mut).collect();
    let mut workspace = Guarded::new(compiled.workspace_bytes(pool.threads()), side);
    compiled.run_in(&inputs, &mut results, weights.bytes(), workspace.bytes_mut(), pool).unwrap();
    outputs.iter().flat_map(|out| out.f32().to_vec()).collect()
}

/// Checks a kernel against the reference on random operands.
pub fn check(kernel: Kernel) {
    let values = random_operands(&kernel);
    check_values(&kernel, &values, 1e-5);
}

/// Checks a kernel on given operands; `tolerance` is relative to `1 + |expected|`.
pub fn check_values(kernel: &Kernel, values: &[Vec<f32>], tolerance: f64) {
    Case::new(kernel, values, tolerance).check();
}
