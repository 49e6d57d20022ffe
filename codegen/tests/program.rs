//! Whole programs: several steps, places, threads, wrong programs and wrong buffers.

mod support;

use netwright_codegen::jit::StepTime;
use netwright_codegen::program::*;
use netwright_codegen::{
    AlignedBuffer, Backend, CodegenError, CompileOptions, CompiledProgram, Pool, compile, pack,
};
use std::time::Duration;
use support::harness::random;
use support::reference;

const PIXELS: usize = 30;
const INNER: usize = 24;
const CHANNELS: usize = 10;

fn pointwise(in_c: usize, out_c: usize, epilogue: Epilogue) -> Kernel {
    Kernel::Conv(ConvKernel { epilogue, ..ConvKernel::linear(PIXELS, in_c, out_c) })
}

/// Copies the input into the arena, expands it, projects it back onto the copy (in place), and
/// writes the result and its mean.
fn block() -> (Program, AlignedBuffer) {
    let bytes = |channels: usize| PIXELS * channels * 4;
    let copy = Kernel::Copy(CopyKernel {
        shape: vec![PIXELS * CHANNELS],
        x_offset: 0,
        x_strides: vec![1],
        out_offset: 0,
        out_strides: vec![1],
        fill: None,
    });
    let expand = pointwise(CHANNELS, INNER, vec![Post::Unary(Function::Silu)]);
    let residual = vec![Post::Binary(Arithmetic::Add, Operand::Full)];
    let project = pointwise(INNER, CHANNELS, residual);
    let mean = Kernel::Reduce(ReduceKernel {
        kind: Reduction::Mean,
        outer: 1,
        len: PIXELS,
        inner: CHANNELS,
        epilogue: vec![],
    });
    let kernels = vec![copy, expand, project, mean];
    let first = pack::packed_bytes(&kernels[1]);
    let second = pack::packed_bytes(&kernels[2]);
    let at = bytes(CHANNELS).next_multiple_of(64);
    let step = |name: &str, kernel: usize, args: &[Place]| Step {
        name: name.into(),
        kernel,
        args: args.to_vec(),
    };
    let x = Place::Arena(0);
    let program = Program {
        name: "block".into(),
        steps: vec![
            step("copy", 0, &[Place::Input(0), x]),
            step("expand", 1, &[x, Place::Weights(0), Place::Arena(at)]),
            step("project", 2, &[Place::Arena(at), Place::Weights(first), x, x]),
            step("write", 0, &[x, Place::Output(0)]),
            step("mean", 3, &[x, Place::Output(1)]),
        ],
        inputs: vec![bytes(CHANNELS)],
        rounds: 1,
        outputs: vec![bytes(CHANNELS), CHANNELS * 4],
        arena_bytes: at + bytes(INNER),
        weights_bytes: first + second,
        kernels,
    };
    let mut weights = AlignedBuffer::zeroed(program.weights_bytes).unwrap();
    let (low, high) = weights.as_bytes_mut().split_at_mut(first);
    pack::pack(&program.kernels[1], &[&expand_weights(), &random(INNER, 3)], low).unwrap();
    pack::pack(&program.kernels[2], &[&project_weights()], high).unwrap();
    (program, weights)
}

fn expand_weights() -> Vec<f32> {
    random(CHANNELS * INNER, 1)
}

fn project_weights() -> Vec<f32> {
    random(CHANNELS * INNER, 2)
}

fn expected(x: &[f32]) -> Vec<f64> {
    let (program, _) = block();
    let operands = [x.to_vec(), expand_weights(), random(INNER, 3)];
    let inner = reference::run(&program.kernels[1], &operands);
    let inner: Vec<f32> = inner.into_iter().map(|v| v as f32).collect();
    let operands = [inner, project_weights(), vec![0.0; CHANNELS], x.to_vec()];
    reference::run(&program.kernels[2], &operands)
}

fn run(compiled: &CompiledProgram, weights: &AlignedBuffer, x: &[f32], pool: &Pool) -> Vec<f32> {
    let mut workspace = compiled.workspace(pool.threads()).unwrap();
    let mut out = vec![0.0; PIXELS * CHANNELS];
    let mut mean = vec![0.0; CHANNELS];
    let outputs = &mut [out.as_mut_slice(), mean.as_mut_slice()];
    compiled.run(&[x], outputs, weights.as_bytes(), &mut workspace, pool).unwrap();
    out.extend(mean);
    out
}

#[test]
fn steps_follow_each_other() {
    let (program, weights) = block();
    let x = random(PIXELS * CHANNELS, 5);
    let want = expected(&x);
    for backend in [Backend::Auto, Backend::Portable] {
        for share_from_ns in [0, u64::MAX] {
            let options = CompileOptions { backend, share_from_ns, ..Default::default() };
            let compiled = compile(&program, &options).unwrap();
            for threads in 1..4 {
                let out = run(&compiled, &weights, &x, &Pool::new(threads));
                for (got, want) in out.iter().zip(&want) {
                    assert!((f64::from(*got) - want).abs() < 1e-5, "{got} {want}");
                }
                for (c, got) in out[PIXELS * CHANNELS..].iter().enumerate() {
                    let column = want.iter().skip(c).step_by(CHANNELS);
                    let mean = column.sum::<f64>() / PIXELS as f64;
                    assert!((f64::from(*got) - mean).abs() < 1e-5);
                }
            }
        }
    }
}

#[test]
fn callers_share_a_program_and_a_pool() {
    let (program, weights) = block();
    let options = CompileOptions { share_from_ns: 0, ..Default::default() };
    let compiled = compile(&program, &options).unwrap();
    let pool = Pool::new(3);
    let inputs: Vec<Vec<f32>> = (0..3).map(|i| random(PIXELS * CHANNELS, 10 + i)).collect();
    let alone: Vec<Vec<f32>> =
        inputs.iter().map(|x| run(&compiled, &weights, x, &Pool::new(1))).collect();
    std::thread::scope(|scope| {
        for (x, want) in inputs.iter().zip(&alone) {
            let (compiled, weights, pool) = (&compiled, &weights, &pool);
            scope.spawn(move || {
                for _ in 0..50 {
                    assert_eq!(&run(compiled, weights, x, pool), want);
                }
            });
        }
    });
}

#[test]
fn times_are_measured_by_step() {
    let (program, weights) = block();
    let compiled = compile(&program, &CompileOptions::default()).unwrap();
    let x = random(PIXELS * CHANNELS, 5);
    let mut workspace = compiled.workspace(1).unwrap();
    let (mut out, mut mean) = (vec![0.0; PIXELS * CHANNELS], vec![0.0; CHANNELS]);
    let outputs = &mut [out.as_mut_slice(), mean.as_mut_slice()];
    let mut times = compiled.step_times();
    let (weights_bytes, pool) = (weights.as_bytes(), Pool::new(1));
    compiled.run_timed(&[&x], outputs, weights_bytes, &mut workspace, &pool, &mut times).unwrap();
    assert!(times.iter().all(|t| !t.total.is_zero() && t.stages.is_empty()));
    let short = &mut times[1..];
    let error = compiled.run_timed(&[&x], outputs, weights_bytes, &mut workspace, &pool, short);
    assert!(error.unwrap_err().to_string().contains("times: "));
    out.extend(mean);
    assert_eq!(out, run(&compiled, &weights, &x, &pool));
}

/// Of a function that calls its stages.
#[test]
fn times_are_measured_by_stage() {
    let conv = |in_c: usize, out_c: usize| ConvKernel {
        batch: 1,
        in_h: 40,
        in_w: 16,
        in_c,
        out_h: 40,
        out_w: 16,
        out_c,
        kernel: [3; 2],
        stride: [1; 2],
        pad: [1; 2],
        dilation: [1; 2],
        groups: 1,
        input_nchw: false,
        ahead: 0,
        epilogue: vec![],
    };
    let chain = ChainKernel { stages: vec![conv(16, 24), conv(24, 8)], rows: 4 };
    for backend in [Backend::Auto, Backend::Portable] {
        check_stage_times(&Kernel::Chain(chain.clone()), backend);
    }
}

/// Of a kernel that does what several do.
#[test]
fn times_are_measured_within_attention() {
    let attention = Kernel::Attention(AttentionKernel {
        batch: vec![2, 3],
        queries: 70,
        keys: 50,
        width: 16,
        out_width: 24,
        q: vec![3 * 70 * 16, 70 * 16, 16, 1],
        k: vec![3 * 50 * 16, 50 * 16, 16, 1],
        v: vec![3 * 50 * 24, 50 * 24, 24, 1],
        out: vec![3 * 70 * 24, 70 * 24, 24, 1],
        steps: vec![Post::Unary(Function::Relu), Post::Binary(Arithmetic::Add, Operand::Full)],
        operands: vec![vec![0, 70 * 50, 50, 1]],
        rows: 24,
    });
    for backend in [Backend::Auto, Backend::Portable] {
        check_stage_times(&attention, backend);
    }
}

/// Stages are timed beside the ordinary code, and take no longer than their step.
fn check_stage_times(kernel: &Kernel, backend: Backend) {
    let program = support::harness::program(kernel);
    let options = CompileOptions { share_from_ns: 0, backend, ..Default::default() };
    let plain = compile(&program, &options).unwrap();
    let compiled = compile(&program, &CompileOptions { stage_times: true, ..options }).unwrap();
    let shape = |compiled: &CompiledProgram| -> Vec<(String, usize)> {
        compiled.symbols().map(|s| (s.name.to_string(), s.bytes)).collect()
    };
    let (plain_symbols, symbols) = (shape(&plain), shape(&compiled));
    assert!(symbols.len() > plain_symbols.len());
    assert!(plain_symbols.iter().all(|symbol| symbols.contains(symbol)), "{symbols:?}");
    let values = support::harness::random_operands(kernel);
    let (inputs, packed) = support::harness::split(kernel, &values);
    let inputs: Vec<&[f32]> = inputs.iter().map(Vec::as_slice).collect();
    let mut weights = AlignedBuffer::zeroed(packed.len()).unwrap();
    weights.as_bytes_mut().copy_from_slice(&packed);
    for threads in 1..4 {
        let pool = Pool::new(threads);
        let run = |compiled: &CompiledProgram, times: Option<&mut [StepTime]>| {
            let mut out = vec![0.0; program.outputs[0] / 4];
            let mut workspace = compiled.workspace(threads).unwrap();
            let (x, w) = (&inputs[..], weights.as_bytes());
            let outputs = &mut [out.as_mut_slice()];
            match times {
                None => compiled.run(x, outputs, w, &mut workspace, &pool),
                Some(t) => compiled.run_timed(x, outputs, w, &mut workspace, &pool, t),
            }
            .unwrap();
            out
        };
        let wanted = run(&plain, None);
        assert_eq!(run(&compiled, None), wanted);
        let mut times = compiled.step_times();
        assert_eq!(run(&compiled, Some(&mut times)), wanted);
        let StepTime { total, stages } = &times[0];
        assert_eq!(stages.len(), kernel.stages().len());
        assert!(stages.iter().all(|stage| !stage.is_zero()), "{times:?}");
        // The clocks are two: they agree well enough.
        let all: Duration = stages.iter().sum();
        assert!(all <= total.mul_f64(1.05) + Duration::from_micros(10), "{times:?}");
    }
}

#[test]
fn symbols_cover_the_code() {
    let (program, _) = block();
    let compiled = compile(&program, &CompileOptions::default()).unwrap();
    let mut symbols: Vec<_> = compiled.symbols().collect();
    assert_eq!(symbols.len(), program.kernels.len() + 2);
    assert!(symbols.iter().any(|s| s.name == format!("{}_steps", program.name)));
    assert!(symbols.iter().all(|s| s.bytes > 0 && s.address != 0), "{symbols:?}");
    symbols.sort_by_key(|symbol| symbol.address);
    assert!(symbols.windows(2).all(|pair| pair[0].address + pair[0].bytes <= pair[1].address));
}

#[test]
fn texts_name_every_kernel() {
    let (program, _) = block();
    let options = CompileOptions { backend: Backend::Portable, ..Default::default() };
    let compiled = compile(&program, &options).unwrap();
    for text in [compiled.clif_text().unwrap(), compiled.vir_text().unwrap(), compiled.asm_text()] {
        assert!(text.contains("conv_1x1_1x1x30x10_to_1x30x24_silu"), "{text}");
        assert!(text.contains("reduce_mean_1x30x10"), "{text}");
    }
    assert!(compiled.asm_text().contains("ret"));
    assert!(compiled.code_bytes() > 100);
}

/// Makes a program wrong.
type Breakage = fn(&mut Program);

#[test]
fn wrong_programs_are_refused() {
    let breakages: [(&str, Breakage); 12] = [
        ("not a C identifier", |p| p.name = "a b".into()),
        ("has no kernel", |p| p.steps[0].kernel = 9),
        ("operands", |p| p.steps[1].args.truncate(2)),
        ("does not fit", |p| p.arena_bytes -= 1),
        ("does not fit", |p| p.weights_bytes = 64),
        ("does not fit", |p| p.inputs[0] -= 4),
        ("does not fit", |p| p.steps[0].args[0] = Place::Input(1)),
        ("does not fit", |p| p.steps[1].args[2] = Place::Arena(usize::MAX - 63)),
        ("does not fit", |p| p.steps[1].args[0] = Place::Arena(4)),
        ("writes to", |p| p.steps[0].args[1] = Place::Input(0)),
        ("a size of 0", |p| {
            p.kernels[3] = Kernel::Softmax { outer: 0, len: 1, inner: 1 };
        }),
        ("2 GiB", |p| {
            p.kernels[3] = Kernel::Softmax { outer: 1 << 40, len: 1 << 40, inner: 1 << 60 };
        }),
    ];
    for (message, breakage) in breakages {
        let (mut program, _) = block();
        breakage(&mut program);
        match compile(&program, &CompileOptions::default()) {
            Ok(_) => panic!("no error; expected: {message}"),
            Err(error) => assert!(error.to_string().contains(message), "{error}"),
        }
    }
}

#[test]
fn wrong_buffers_are_refused() {
    let (program, weights) = block();
    let compiled = compile(&program, &CompileOptions::default()).unwrap();
    let pool = Pool::new(2);
    let x = random(PIXELS * CHANNELS, 5);
    let attempt = |x: &[f32], out: usize, weights: &[u8], workspace: usize| {
        let (mut out, mut mean) = (vec![0.0; out], vec![0.0; CHANNELS]);
        let mut workspace = AlignedBuffer::zeroed(workspace).unwrap();
        let outputs = &mut [out.as_mut_slice(), mean.as_mut_slice()];
        compiled.run(&[x], outputs, weights, &mut workspace, &pool)
    };
    let size = compiled.workspace_bytes(2);
    let w = weights.as_bytes();
    assert!(attempt(&x, x.len(), w, size).is_ok());
    // Memory for one thread is enough: the second is not used.
    assert!(attempt(&x, x.len(), w, compiled.workspace_bytes(1)).is_ok());
    let unaligned = [w, w].concat();
    let shift = 4 + (64 - unaligned.as_ptr() as usize % 64) % 64;
    for (what, result) in [
        ("input 0", attempt(&x[1..], x.len(), w, size)),
        ("output 0", attempt(&x, x.len() + 1, w, size)),
        ("weights", attempt(&x, x.len(), &w[..64], size)),
        ("weights", attempt(&x, x.len(), &unaligned[shift..], size)),
        ("workspace", attempt(&x, x.len(), w, 64)),
    ] {
        match result {
            Err(CodegenError::Buffer { what: found, .. }) => assert_eq!(found, what),
            other => panic!("{what}: {other:?}"),
        }
    }
    let mut workspace = compiled.workspace(1).unwrap();
    assert!(compiled.run(&[], &mut [], w, &mut workspace, &pool).is_err());
}

#[test]
fn damaged_index_tables_are_refused() {
    let kernel = Kernel::Gather { outer: 1, len: 5, inner: 3, count: 4 };
    let program = support::harness::program(&kernel);
    let compiled = compile(&program, &CompileOptions::default()).unwrap();
    let mut workspace = compiled.workspace(1).unwrap();
    let x = random(15, 1);
    let mut out = vec![0.0; 12];
    for (index, ok) in [(4u8, true), (5, false), (255, false)] {
        let mut weights = AlignedBuffer::zeroed(16).unwrap();
        weights.as_bytes_mut()[8] = index;
        let outputs = &mut [out.as_mut_slice()];
        let w = weights.as_bytes();
        let result = compiled.run(&[&x], outputs, w, &mut workspace, &Pool::new(1));
        assert_eq!(result.is_ok(), ok, "{index}");
    }
}

#[test]
fn packing_checks_its_tensors() {
    let (program, _) = block();
    let kernel = &program.kernels[1];
    let mut out = vec![0; pack::packed_bytes(kernel)];
    let w = expand_weights();
    assert!(pack::pack(kernel, &[&w], &mut out).is_ok());
    assert!(pack::pack(kernel, &[&w[1..]], &mut out).is_err());
    assert!(pack::pack(kernel, &[&w, &w], &mut out).is_err());
    assert!(pack::pack(kernel, &[], &mut out).is_err());
    assert!(pack::pack(kernel, &[&w], &mut out[1..]).is_err());
    assert!(pack::pack(&program.kernels[0], &[&w], &mut []).is_err());
}
