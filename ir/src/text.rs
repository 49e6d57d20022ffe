//! The text form of a graph. [`crate::parse()`] reads it back.
//!
//! ```text
//! graph "tiny"
//!
//! #0 "stem.conv.weight" : [8, 3, 3, 3] = tensor "conv_stem.weight" [8, 3, 3, 3]
//! #1 "stem.bn.mean" : [8] statistic = tensor "bn1.running_mean" [8]
//!
//! %0 = input : [1, 8, 8, 3]  ; image
//! %1 = param #0 : [8, 3, 3, 3]  ; stem.conv.weight
//! %2 = conv(%0, %1) kernel=3x3 stride=2x2 pad=1,1,1,1 | relu6 | add %0 : [1, 4, 4, 8]  ; stem.conv
//!
//! output "y" = %2
//! feature "stem" = %2
//! ```
//!
//! One node a line: its value, its operator with operands and attributes, its fused steps, its
//! shape, and after `;` its name. Attributes that stand for "nothing special" (`dilation=1x1`,
//! `groups=1`) are left out. Numbers print with the fewest digits that read back to the same bits;
//! a value that is not a number prints its bits. In lists, `v*n` is `n` times `v`.

use crate::graph::{Graph, NodeId, Param, Resampling, Source};
use crate::lex::{quote, stands_bare};
use crate::op::{Op, PadMode, Padding, PostOp, Size2};
use std::fmt::{self, Write};

/// Most items of a list that [`Graph::to_brief_text`] prints.
const BRIEF: usize = 8;

impl Graph {
    /// The exact text form: parsing it gives an equal graph, when the graph is valid
    /// ([`crate::verify()`]) and its constants are numbers.
    pub fn to_text(&self) -> String {
        self.print(usize::MAX)
    }

    /// The text form with long constants cut, for people; it does not parse back when a constant
    /// was cut.
    pub fn to_brief_text(&self) -> String {
        self.print(BRIEF)
    }

    /// One node as a line of the text form, long constants cut.
    pub fn node_text(&self, id: NodeId) -> String {
        let mut line = String::new();
        write_node(&mut line, self, id, BRIEF).expect("writing to a string cannot fail");
        line
    }

    fn print(&self, items: usize) -> String {
        let mut text = String::new();
        write_graph(&mut text, self, items).expect("writing to a string cannot fail");
        text
    }
}

fn write_graph(out: &mut String, graph: &Graph, items: usize) -> fmt::Result {
    writeln!(out, "graph {}", quote(&graph.name))?;
    if !graph.params.is_empty() {
        writeln!(out)?;
    }
    for (index, param) in graph.params.iter().enumerate() {
        write_param(out, index, param)?;
    }
    if !graph.nodes.is_empty() {
        writeln!(out)?;
    }
    for id in graph.ids() {
        write_node(out, graph, id, items)?;
        writeln!(out)?;
    }
    if !graph.outputs.is_empty() || !graph.features.is_empty() {
        writeln!(out)?;
    }
    for (kind, list) in [("output", &graph.outputs), ("feature", &graph.features)] {
        for (name, id) in list {
            writeln!(out, "{kind} {} = {id}", quote(name))?;
        }
    }
    Ok(())
}

fn write_param(out: &mut String, index: usize, param: &Param) -> fmt::Result {
    write!(out, "#{index} {} : {:?}", quote(&param.path), param.shape)?;
    if !param.trained {
        write!(out, " statistic")?;
    }
    write!(out, " = ")?;
    write_source(out, &param.source)?;
    writeln!(out)
}

fn write_source(out: &mut String, source: &Source) -> fmt::Result {
    match source {
        Source::Tensor { name, shape } => write!(out, "tensor {} {shape:?}", quote(name)),
        Source::Zeros { shape } => write!(out, "zeros {shape:?}"),
        Source::Concat { axis, parts } => {
            write!(out, "concat axis={axis} (")?;
            for (i, part) in parts.iter().enumerate() {
                if i > 0 {
                    write!(out, ", ")?;
                }
                write_source(out, part)?;
            }
            write!(out, ")")
        }
        Source::Rows { of, start, len } => {
            write!(out, "rows start={start} len={len} (")?;
            write_source(out, of)?;
            write!(out, ")")
        }
        Source::Resample { of, prefix, grid, way } => {
            match way {
                Resampling::Interpolated { mode, align_corners, antialias } => {
                    write!(out, "resample mode={}", mode.name())?;
                    flag(out, *align_corners, "align_corners")?;
                    flag(out, *antialias, "antialias")?;
                }
                Resampling::Geometric => write!(out, "resample mode=geometric")?,
            }
            write!(out, " prefix={prefix} grid={} (", by(*grid))?;
            write_source(out, of)?;
            write!(out, ")")
        }
    }
}

fn write_node(out: &mut String, graph: &Graph, id: NodeId, items: usize) -> fmt::Result {
    let node = graph.node(id);
    write!(out, "{id} = {}", node.op.mnemonic())?;
    match &node.op {
        Op::Param(index) => write!(out, " #{index}")?,
        Op::Const(tensor) => {
            let numbers = tensor.data.iter().map(|value| (value.to_bits(), number32(*value)));
            write!(out, " ")?;
            write_list(out, tensor.data.len(), numbers, items)?;
        }
        _ => {}
    }
    if !node.inputs.is_empty() {
        let operands: Vec<String> = node.inputs.iter().map(NodeId::to_string).collect();
        write!(out, "({})", operands.join(", "))?;
    }
    write_attributes(out, &node.op, items)?;
    for post in &node.post {
        write!(out, " | {}", post.mnemonic())?;
        match post {
            PostOp::Unary(_) => {}
            PostOp::Clamp { low, high } => write!(out, "({}, {})", number(*low), number(*high))?,
            PostOp::Affine { mul, add } => write!(out, "({}, {})", number(*mul), number(*add))?,
            PostOp::Binary { operand, .. } => write!(out, " {operand}")?,
        }
    }
    write!(out, " : {:?}", node.shape)?;
    match node.name.as_str() {
        "" => Ok(()),
        name if stands_bare(name) => write!(out, "  ; {name}"),
        name => write!(out, "  ; {}", quote(name)),
    }
}

fn write_attributes(out: &mut String, op: &Op, items: usize) -> fmt::Result {
    match op {
        Op::Input
        | Op::Param(_)
        | Op::Const(_)
        | Op::Linear
        | Op::Unary(_)
        | Op::Binary(_)
        | Op::Reshape { .. }
        | Op::Expand { .. } => Ok(()),
        Op::Conv(conv) => {
            write_windows(out, conv.kernel, conv.stride, conv.padding)?;
            if conv.dilation != [1, 1] {
                write!(out, " dilation={}", by(conv.dilation))?;
            }
            if conv.groups != 1 {
                write!(out, " groups={}", conv.groups)?;
            }
            Ok(())
        }
        Op::Pool(pool) => {
            write_windows(out, pool.kernel, pool.stride, pool.padding)?;
            flag(out, pool.ceil_mode, "ceil_mode")?;
            flag(out, pool.count_include_pad, "count_include_pad")
        }
        Op::BatchNorm { eps } | Op::LayerNorm { eps } => write!(out, " eps={}", number(*eps)),
        Op::MatMul { transpose_a, transpose_b } => {
            flag(out, *transpose_a, "transpose_a")?;
            flag(out, *transpose_b, "transpose_b")
        }
        Op::Clamp { low, high } => write!(out, " low={} high={}", number(*low), number(*high)),
        Op::Affine { mul, add } => write!(out, " mul={} add={}", number(*mul), number(*add)),
        Op::Reduce { axes, keep, .. } => {
            write!(out, " axes={axes:?}")?;
            flag(out, *keep, "keep")
        }
        Op::Softmax { axis } | Op::Concat { axis } => write!(out, " axis={axis}"),
        Op::Slice { axis, start, len, step } => {
            write!(out, " axis={axis} start={start} len={len}")?;
            if *step != 1 {
                write!(out, " step={step}")?;
            }
            Ok(())
        }
        Op::Pad { amounts, mode } => {
            let before: Vec<usize> = amounts.iter().map(|(before, _)| *before).collect();
            let after: Vec<usize> = amounts.iter().map(|(_, after)| *after).collect();
            write!(out, " before={before:?} after={after:?}")?;
            match mode {
                PadMode::Constant(bits) => {
                    write!(out, " mode=constant value={}", number32(f32::from_bits(*bits)))
                }
                PadMode::Reflect => write!(out, " mode=reflect"),
                PadMode::Replicate => write!(out, " mode=replicate"),
            }
        }
        Op::Roll { axis, shift } => write!(out, " axis={axis} shift={shift}"),
        Op::Gather { axis, indices, shape } => {
            write!(out, " axis={axis} shape={shape:?} indices=")?;
            let list = indices.iter().map(|index| (*index, index.to_string()));
            write_list(out, indices.len(), list, items)
        }
        Op::Transpose { perm } => write!(out, " perm={perm:?}"),
        Op::Resize { size, mode, align_corners, antialias } => {
            write!(out, " size={} mode={}", by(*size), mode.name())?;
            flag(out, *align_corners, "align_corners")?;
            flag(out, *antialias, "antialias")
        }
    }
}

fn flag(out: &mut String, set: bool, name: &str) -> fmt::Result {
    if set { write!(out, " {name}") } else { Ok(()) }
}

fn write_windows(out: &mut String, kernel: Size2, stride: Size2, padding: Padding) -> fmt::Result {
    write!(out, " kernel={} stride={}", by(kernel), by(stride))?;
    match padding {
        Padding::Same => write!(out, " pad=same"),
        Padding::Explicit { top, bottom, left, right } => {
            write!(out, " pad={top},{bottom},{left},{right}")
        }
    }
}

/// A list of `len` elements given as (identity, text), equal neighbours joined, at most `items`
/// items.
fn write_list(
    out: &mut String,
    len: usize,
    elements: impl Iterator<Item = (u32, String)>,
    items: usize,
) -> fmt::Result {
    let mut elements = elements.peekable();
    write!(out, "{{")?;
    let mut written = 0;
    while let Some((identity, text)) = elements.next() {
        if written > 0 {
            write!(out, ", ")?;
        }
        if written == items {
            write!(out, "... {len} in all")?;
            break;
        }
        let mut count = 1;
        while elements.next_if(|(next, _)| *next == identity).is_some() {
            count += 1;
        }
        write!(out, "{text}")?;
        if count > 1 {
            write!(out, "*{count}")?;
        }
        written += 1;
    }
    write!(out, "}}")
}

fn by(size: Size2) -> String {
    format!("{}x{}", size[0], size[1])
}

/// The fewest digits that read back to the same number.
fn number(value: f64) -> String {
    let text = format!("{value:?}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}

fn number32(value: f32) -> String {
    if value.is_nan() {
        return format!("bits.{:08x}", value.to_bits());
    }
    let text = format!("{value:?}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_string)
}
