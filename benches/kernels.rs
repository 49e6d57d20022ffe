//! Kernels one by one, on one thread: `cargo bench`, `cargo bench -- depthwise`.
//!
//! A kernel runs through the same code as in a network: its descriptor is compiled as a program of one step.
//! Items are floating-point operations (two for a multiply-accumulate), so `Gitem/s` reads as GFLOP/s;
//! where a kernel has no products, items are the values that it reads or makes, whichever are more, and the inverse is
//! nanoseconds a value.

use divan::Bencher;
use divan::counter::ItemsCount;
use netwright_codegen::operands::{Role, operands};
use netwright_codegen::program::*;
use netwright_codegen::{AlignedBuffer, CompileOptions, Pool, compile, name};
use std::fmt;

fn main() {
    divan::main();
}

/// A kernel by its name.
struct Case(Kernel);

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&name::kernel(&self.0))
    }
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Case {
    fn run(&self, bencher: Bencher) {
        let program = self.program();
        let compiled = compile(&program, &CompileOptions::default()).expect("a kernel compiles");
        let inputs: Vec<AlignedBuffer> = program.inputs.iter().map(|n| filled(*n)).collect();
        let inputs: Vec<&[f32]> = inputs.iter().map(AlignedBuffer::as_f32).collect();
        let weights = match &self.0 {
            Kernel::Resize(resize) => table(resize),
            _ => filled(program.weights_bytes),
        };
        let mut output = filled(program.outputs[0]);
        let mut workspace = compiled.workspace(1).expect("there is memory");
        let pool = Pool::new(1);
        let work = self.0.work();
        let items = if work.macs > 0 { work.flops() } else { work.read.max(work.written) / 4 };
        bencher.counter(ItemsCount::new(items)).bench_local(|| {
            let outputs = &mut [output.as_f32_mut()];
            compiled
                .run(&inputs, outputs, weights.as_bytes(), &mut workspace, &pool)
                .expect("buffers fit");
        });
    }

    /// A program of the kernel, with a buffer for each operand.
    fn program(&self) -> Program {
        let mut program =
            Program { name: "bench".into(), kernels: vec![self.0.clone()], ..Program::default() };
        let mut args = Vec::new();
        for operand in operands(&self.0).expect("a sound descriptor") {
            args.push(match operand.role {
                Role::Input | Role::Ahead => {
                    program.inputs.push(operand.bytes);
                    Place::Input(program.inputs.len() - 1)
                }
                Role::Weights => {
                    let offset = program.weights_bytes;
                    program.weights_bytes = offset + operand.bytes.next_multiple_of(64);
                    Place::Weights(offset)
                }
                Role::Output => {
                    program.outputs.push(operand.bytes);
                    Place::Output(0)
                }
            });
        }
        program.steps.push(Step { name: "step".into(), kernel: 0, args });
        program
    }
}

/// So many bytes of values between -2 and 2, without any that computes slowly (subnormals).
fn filled(bytes: usize) -> AlignedBuffer {
    let mut buffer = AlignedBuffer::zeroed(bytes).expect("there is memory");
    let mut state = 1u32;
    for value in buffer.as_f32_mut() {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *value = (state >> 8) as f32 / (1 << 22) as f32 - 2.0;
    }
    buffer
}

/// A convolution that keeps the map's size but for its stride.
fn conv(
    size: usize,
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    groups: usize,
) -> ConvKernel {
    let [in_c, out_c] = channels;
    let pad = kernel / 2;
    let out = (size + 2 * pad - kernel) / stride + 1;
    ConvKernel {
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
        input_nchw: false,
        ahead: 0,
        epilogue: vec![],
    }
}

/// Rows, columns and products of each of a pointwise convolution or linear layer.
fn gemms() -> Vec<Case> {
    let shapes = [
        [12544, 96, 16],
        [3136, 24, 144],
        [784, 192, 32],
        [196, 576, 96],
        [196, 64, 384],
        [49, 1280, 320],
        [1, 1000, 1280],
        [3136, 384, 96],
        [197, 3072, 768],
        [197, 576, 192],
    ];
    let case = |[rows, out_c, in_c]: [usize; 3]| {
        let one = conv(1, [in_c, out_c], 1, 1, 1);
        Case(Kernel::Conv(ConvKernel { in_w: rows, out_w: rows, ..one }))
    };
    shapes.map(case).into()
}

#[divan::bench(args = gemms())]
fn gemm(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

fn depthwise_convs() -> Vec<Case> {
    let shapes = [
        (112, 32, 3, 1),
        (112, 96, 3, 2),
        (56, 144, 3, 1),
        (28, 192, 3, 1),
        (14, 384, 3, 1),
        (7, 960, 3, 1),
        (28, 240, 5, 1),
        (14, 672, 5, 1),
        (14, 672, 5, 2),
        (56, 96, 7, 1),
        (14, 384, 7, 1),
    ];
    let case =
        |(size, c, kernel, stride)| Case(Kernel::Conv(conv(size, [c, c], kernel, stride, c)));
    shapes.map(case).into()
}

#[divan::bench(args = depthwise_convs())]
fn depthwise(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

fn dense_convs() -> Vec<Case> {
    let shapes = [
        (56, [64, 64], 3, 1),
        (28, [128, 128], 3, 1),
        (14, [256, 256], 3, 1),
        (7, [512, 512], 3, 1),
        (56, [128, 128], 3, 2),
        (56, [24, 96], 3, 1),
        (224, [3, 32], 3, 2),
        (224, [3, 64], 7, 2),
    ];
    let case = |(size, channels, kernel, stride): (usize, [usize; 2], usize, usize)| {
        let conv = conv(size, channels, kernel, stride, 1);
        Case(Kernel::Conv(ConvKernel { input_nchw: channels[0] == 3, ..conv }))
    };
    shapes.map(case).into()
}

#[divan::bench(args = dense_convs())]
fn dense(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

/// Expansion, depthwise convolution and projection, in bands of as many rows as the planner takes.
fn chains() -> Vec<Case> {
    let shapes = [(112, [16, 96, 24], 2, 2), (56, [24, 144, 24], 1, 4), (28, [32, 192, 32], 1, 7)];
    let case = |(size, [x, inner, out], stride, rows): (usize, [usize; 3], usize, usize)| {
        let expand = conv(size, [x, inner], 1, 1, 1);
        let inside = conv(size, [inner; 2], 3, stride, inner);
        let project = conv(inside.out_h, [inner, out], 1, 1, 1);
        Case(Kernel::Chain(ChainKernel { stages: vec![expand, inside, project], rows }))
    };
    shapes.map(case).into()
}

#[divan::bench(args = chains())]
fn chain(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

fn grouped_convs() -> Vec<Case> {
    let shapes = [(56, 128, 32), (28, 256, 32), (14, 512, 32), (7, 1024, 32)];
    let case = |(size, c, groups)| Case(Kernel::Conv(conv(size, [c, c], 3, 1, groups)));
    shapes.map(case).into()
}

#[divan::bench(args = grouped_convs())]
fn grouped(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

/// Both products of attention, heads read out of packed rows of queries, keys and values.
fn attention_products() -> Vec<Case> {
    let shapes = [(1, 197, 3, 64), (1, 197, 12, 64), (64, 49, 3, 32), (4, 256, 4, 36)];
    let case = |(windows, tokens, heads, width): (usize, usize, usize, usize)| {
        let row = 3 * heads * width;
        let scores = MatMulKernel {
            batch: vec![windows, heads],
            a_batch: vec![tokens * row, width],
            b_batch: vec![tokens * row, width],
            m: tokens,
            n: tokens,
            k: width,
            a_strides: [row, 1],
            b_strides: [1, row],
            epilogue: vec![],
        };
        let mixed = MatMulKernel {
            a_batch: vec![heads * tokens * tokens, tokens * tokens],
            n: width,
            k: tokens,
            a_strides: [tokens, 1],
            b_strides: [row, 1],
            ..scores.clone()
        };
        [Case(Kernel::MatMul(scores)), Case(Kernel::MatMul(mixed))]
    };
    shapes.into_iter().flat_map(case).collect()
}

#[divan::bench(args = attention_products())]
fn attention(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

/// Whole attention, head by head, in blocks of as many queries as the planner takes.
fn heads() -> Vec<Case> {
    let shapes =
        [(1, 197, 3, 64, 31), (1, 197, 12, 64, 31), (64, 49, 3, 32, 49), (4, 256, 4, 36, 24)];
    let case = |(windows, tokens, heads, width, rows): (usize, usize, usize, usize, usize)| {
        let row = 3 * heads * width;
        let part = vec![tokens * row, width, row, 1];
        Case(Kernel::Attention(AttentionKernel {
            batch: vec![windows, heads],
            queries: tokens,
            keys: tokens,
            width,
            out_width: width,
            q: part.clone(),
            k: part.clone(),
            v: part,
            out: vec![tokens * heads * width, width, heads * width, 1],
            steps: vec![Post::Unary(Function::Affine { mul: 0.125f32.to_bits(), add: 0 })],
            operands: vec![],
            rows,
        }))
    };
    shapes.map(case).into()
}

#[divan::bench(args = heads())]
fn attention_by_heads(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

fn softmaxes() -> Vec<Case> {
    let shapes = [(3 * 197, 197), (64 * 3 * 49, 49), (16 * 256, 256)];
    shapes.map(|(outer, len)| Case(Kernel::Softmax { outer, len, inner: 1 })).into()
}

#[divan::bench(args = softmaxes())]
fn softmax(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

fn layer_norms() -> Vec<Case> {
    let case = |(rows, len)| {
        let eps = 1e-6f32.to_bits();
        Case(Kernel::LayerNorm { rows, len, eps, affine: false, epilogue: vec![] })
    };
    [(3136, 96), (197, 192), (196, 384), (49, 768)].map(case).into()
}

#[divan::bench(args = layer_norms())]
fn layer_norm(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

/// Functions of 16384 values, which stay in the second-level cache.
fn functions() -> Vec<Case> {
    let functions = [
        Function::Relu,
        Function::Clamp { low: 0, high: 6f32.to_bits() },
        Function::HardSwish,
        Function::Exp,
        Function::Sigmoid,
        Function::Silu,
        Function::Gelu,
        Function::GeluTanh,
        Function::Tanh,
    ];
    let case = |function| {
        let (shape, strides) = (vec![16384], vec![vec![1]]);
        Case(Kernel::Map(MapKernel { shape, strides, steps: vec![Post::Unary(function)] }))
    };
    functions.map(case).into()
}

#[divan::bench(args = functions())]
fn activation(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

fn pools() -> Vec<Case> {
    let window = PoolKernel {
        max: true,
        batch: 1,
        in_h: 112,
        in_w: 112,
        out_h: 56,
        out_w: 56,
        channels: 64,
        kernel: [3, 3],
        stride: [2, 2],
        pad: [1; 4],
        count_include_pad: true,
        epilogue: vec![],
    };
    let average = PoolKernel { max: false, kernel: [2, 2], pad: [0; 4], ..window.clone() };
    let global = |len, inner| {
        let epilogue = vec![];
        Kernel::Reduce(ReduceKernel { kind: Reduction::Mean, outer: 1, len, inner, epilogue })
    };
    [Kernel::Pool(window), Kernel::Pool(average), global(49, 1280), global(784, 240)]
        .map(Case)
        .into()
}

#[divan::bench(args = pools())]
fn pooling(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

/// The table of a bilinear interpolation that doubles rows and columns.
fn table(r: &ResizeKernel) -> AlignedBuffer {
    let mut words = Vec::new();
    for (inputs, outputs) in [(r.in_h, r.out_h), (r.in_w, r.out_w)] {
        for output in 0..outputs {
            let near = output / 2;
            let far = if output % 2 == 0 { near.saturating_sub(1) } else { near + 1 };
            for (source, weight) in [(near, 0.75f32), (far.min(inputs - 1), 0.25)] {
                words.extend([source as u32, weight.to_bits()]);
            }
        }
    }
    let mut table = AlignedBuffer::zeroed(words.len() * 4).expect("there is memory");
    for (bytes, word) in table.as_bytes_mut().chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    table
}

fn resizes() -> Vec<Case> {
    let case = |(size, channels)| {
        let (batch, taps_h, taps_w) = (1, 2, 2);
        let [out_h, out_w] = [2 * size; 2];
        let [in_h, in_w] = [size; 2];
        Case(Kernel::Resize(ResizeKernel {
            batch,
            in_h,
            in_w,
            out_h,
            out_w,
            channels,
            taps_h,
            taps_w,
        }))
    };
    [(9, 144), (14, 256)].map(case).into()
}

#[divan::bench(args = resizes())]
fn resize(bencher: Bencher, case: &Case) {
    case.run(bencher);
}

fn copies() -> Vec<Case> {
    let case = |shape: Vec<usize>, x_strides: Vec<isize>| {
        let mut out_strides = vec![1; shape.len()];
        for i in (1..shape.len()).rev() {
            out_strides[i - 1] = out_strides[i] * shape[i];
        }
        let (x_offset, out_offset, fill) = (0, 0, None);
        Case(Kernel::Copy(CopyKernel { shape, x_offset, x_strides, out_offset, out_strides, fill }))
    };
    vec![
        // Windows of 7x7 out of a map of 56x56x96.
        case(vec![8, 8, 7, 7 * 96], vec![7 * 56 * 96, 7 * 96, 56 * 96, 1]),
        // Channels last to planes.
        case(vec![256, 784], vec![1, 256]),
        // Heads together: [heads, tokens, width] to [tokens, heads, width].
        case(vec![197, 3, 64], vec![64, 197 * 64, 1]),
    ]
}

#[divan::bench(args = copies())]
fn copy(bencher: Bencher, case: &Case) {
    case.run(bencher);
}
