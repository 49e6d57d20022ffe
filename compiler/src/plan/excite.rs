//! What squeeze-and-excitation does to whole maps, done where it costs less.
//!
//! The mean of a map comes from the sums of its rows, which the depthwise convolution that makes the map adds up
//! on the way; and a gate goes over the weights of the pointwise convolution that reads the gated map, where they are
//! fewer than the map's values. Both are found by what the steps do, whatever they belong to.
//!
//! EfficientNet-B0 reads its maps once less for each: 4.5% of its time were means and gates.

use super::Options;
use super::choice::{Choice, Way};
use super::lower::{Arg, Buffer, Lowered, Step};
use super::tuned::{self, Answer, Candidate, Layer, Question, Used};
use super::view::Root;
use netwright_codegen::program::{
    Arithmetic, ConvKernel, Function, Kernel, Post, ReduceKernel, Reduction, ScaleKernel,
};

/// Takes means from sums of rows.
pub(super) fn means(lowered: &mut Lowered) {
    for step in 0..lowered.steps.len() {
        mean_from_rows(lowered, step);
    }
    lowered.drop_unused_kernels();
}

/// Puts gates over weights where that is a measured answer, or estimated to be faster.
pub(super) fn gates(lowered: &mut Lowered, options: &Options) {
    for step in 0..lowered.steps.len() {
        if let Some(gated) = gated(lowered, step) {
            place_gate(lowered, step, gated, options);
        }
    }
    lowered.drop_unused_kernels();
}

/// The questions about gates, before they are placed.
pub(super) fn questions(lowered: &Lowered) -> Vec<Question> {
    let question = |at: usize| {
        let gated = gated(lowered, at)?;
        let layer = |step: usize| Layer {
            node: lowered.steps[step].name.clone(),
            kernel: lowered.kernels[lowered.steps[step].kernel].clone(),
        };
        let layers = vec![layer(at), layer(gated.reader)];
        let on_map = layers[0].kernel.clone();
        let candidate = |answer, kernel| Candidate { answer, kernel, layers: 1 };
        let candidates = vec![
            candidate(Answer::GateOnMap, on_map),
            candidate(Answer::GateOnWeights, gated.scale()),
        ];
        let model = gated.estimate();
        Some(Question { key: gated.key(), step: at, layers, candidates, model })
    };
    (0..lowered.steps.len()).filter_map(question).collect()
}

/// Makes the convolution that writes a map add up its rows, if step `at` is the map's mean.
fn mean_from_rows(lowered: &mut Lowered, at: usize) {
    let step = &lowered.steps[at];
    let Kernel::Reduce(mean) = &lowered.kernels[step.kernel] else { return };
    let map = step.args[0];
    if mean.kind != Reduction::Mean || map.offset != 0 {
        return;
    }
    let writes = |step: &Step| step.args.iter().any(|arg| arg.writes && arg.root == map.root);
    let mut writers = lowered.steps.iter().enumerate().filter(|(_, step)| writes(step));
    let (Some((writer, conv)), None) = (writers.next(), writers.next()) else { return };
    let Kernel::Conv(c) = &lowered.kernels[conv.kernel] else { return };
    // A second mean of the same map reads the map.
    let sums = c.epilogue.contains(&Post::RowSums);
    let same = [mean.outer, mean.len, mean.inner] == [c.batch, c.out_h * c.out_w, c.out_c];
    if !c.is_depthwise() || sums || !same || c.out_w < 2 || conv.args[2].offset != 0 {
        return;
    }
    let mut summing = c.clone();
    summing.epilogue.push(Post::RowSums);
    let share = 1.0 / mean.len as f32;
    let scale = Post::Unary(Function::Affine { mul: share.to_bits(), add: 0 });
    let of_rows = ReduceKernel {
        kind: Reduction::Sum,
        len: c.out_h,
        epilogue: [&[scale], &mean.epilogue[..]].concat(),
        ..mean.clone()
    };
    let bytes = c.batch * c.out_h * c.out_c * 4;
    let kibibytes = (mean.outer * mean.len * mean.inner * 4) >> 10;
    let choice = Choice {
        node: step.name.clone(),
        way: Way::FromRows,
        reason: format!("{} adds up the rows of its map of {kibibytes} KiB", conv.name),
    };
    let name = format!("{} rows", step.name);
    lowered.buffers.push(Buffer { name, bytes, output: None });
    let root = Root::Buffer(lowered.buffers.len() - 1);
    let (summing, of_rows) =
        (lowered.number(Kernel::Conv(summing)), lowered.number(Kernel::Reduce(of_rows)));
    let conv = &mut lowered.steps[writer];
    conv.kernel = summing;
    conv.args.push(Arg { root, offset: 0, writes: true });
    let mean = &mut lowered.steps[at];
    mean.kernel = of_rows;
    mean.args[0].root = root;
    lowered.choices.push(choice);
}

/// A map times a gate, and the convolution that alone reads the product.
struct Gated {
    /// The map.
    map: Arg,
    /// A factor for each channel.
    gate: Arg,
    /// The step of the convolution.
    reader: usize,
    conv: ConvKernel,
}

impl Gated {
    /// Values of the map.
    fn values(&self) -> usize {
        self.conv.in_c * self.conv.out_h * self.conv.out_w
    }

    /// Weights that read it.
    fn weights(&self) -> usize {
        self.conv.in_c * self.conv.out_c
    }

    /// What multiplies the weights by the gate.
    fn scale(&self) -> Kernel {
        Kernel::Scale(ScaleKernel { inputs: self.conv.in_c, outputs: self.conv.out_c })
    }

    /// Either takes a pass over what it multiplies.
    fn estimate(&self) -> Answer {
        match self.weights() < self.values() {
            true => Answer::GateOnWeights,
            false => Answer::GateOnMap,
        }
    }

    fn key(&self) -> String {
        format!("gate then {}", tuned::key(std::slice::from_ref(&self.conv)))
    }
}

/// Decides what the gate of step `at` goes over: the map that it stands at, or the weights of its reader.
fn place_gate(lowered: &mut Lowered, at: usize, gated: Gated, options: &Options) {
    let (weights, values) = (gated.weights(), gated.values());
    let node = lowered.steps[at].name.clone();
    let reader = lowered.steps[gated.reader].name.clone();
    let mut answer = gated.estimate();
    let mut reason = match answer {
        Answer::GateOnWeights => {
            format!("{weights} weights of {reader} are fewer than {values} values")
        }
        _ => format!("its {values} values are not more than the {weights} weights that read it"),
    };
    if !options.tuned.is_empty() {
        let key = gated.key();
        if let Some(measured) = options.tuned.get(&key)
            && let Answer::GateOnMap | Answer::GateOnWeights = measured.answer
        {
            (answer, reason) = (measured.answer, measured.reason());
            lowered.tuned.push(Used { key, answer });
        }
    }
    if answer != Answer::GateOnWeights {
        return lowered.choices.push(Choice { node, way: Way::GateOnMap, reason });
    }
    lowered.choices.push(Choice { node, way: Way::GateOnWeights, reason });
    let bytes = netwright_codegen::pack::packed_bytes(&Kernel::Conv(gated.conv.clone()));
    let name = format!("{reader} weights");
    lowered.buffers.push(Buffer { name, bytes, output: None });
    let scaled = Root::Buffer(lowered.buffers.len() - 1);
    let kernel = lowered.number(gated.scale());
    let Gated { map, gate, reader, .. } = gated;
    let reader = &mut lowered.steps[reader];
    let weights =
        std::mem::replace(&mut reader.args[1], Arg { root: scaled, offset: 0, writes: false });
    reader.args[0] = map;
    let step = &mut lowered.steps[at];
    step.kernel = kernel;
    step.args = vec![gate, weights, Arg { root: scaled, offset: 0, writes: true }];
    step.in_place.clear();
}

/// Recognises a gate over one map, channels last, that one pointwise convolution reads.
fn gated(lowered: &Lowered, at: usize) -> Option<Gated> {
    let step = &lowered.steps[at];
    let Kernel::Map(map) = &lowered.kernels[step.kernel] else { return None };
    let ([Post::Binary(Arithmetic::Mul, _)], [pixels, channels]) = (&map.steps[..], &map.shape[..])
    else {
        return None;
    };
    // The map's strides, and the gate's, in either order.
    let (dense, constant) = (vec![*channels, 1], vec![0, 1]);
    let [x, gate] = match &map.strides[..] {
        [first, second] if *first == dense && *second == constant => [step.args[0], step.args[1]],
        [first, second] if *first == constant && *second == dense => [step.args[1], step.args[0]],
        _ => return None,
    };
    let product = step.args[2].root;
    let Root::Buffer(buffer) = product else { return None };
    let touches = |step: &Step| step.args.iter().filter(|arg| arg.root == product).count();
    let readers: Vec<usize> =
        (0..lowered.steps.len()).filter(|i| *i != at && touches(&lowered.steps[*i]) > 0).collect();
    let [reader] = readers[..] else { return None };
    let read = &lowered.steps[reader];
    let Kernel::Conv(conv) = &lowered.kernels[read.kernel] else { return None };
    let fits = conv.batch * conv.in_h * conv.in_w == *pixels
        && conv.in_c == *channels
        && conv.groups == 1
        && conv.kernel == [1, 1]
        && conv.stride == [1, 1]
        && conv.pad == [0, 0]
        && !conv.input_nchw
        && read.args[0].root == product
        && read.args[0].offset == 0
        && touches(read) == 1
        && matches!(read.args[1].root, Root::Weights(_))
        && lowered.buffers[buffer].output.is_none();
    fits.then(|| Gated { map: x, gate, reader, conv: conv.clone() })
}
