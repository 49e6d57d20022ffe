//! Parser of the text form that [`crate::text`] prints.
//!
//! It reads any well-formed text, also of graphs that [`crate::verify()`] then rejects. It never
//! panics, and what it allocates is bounded by the text's length and by [`MAX_CONSTANTS`].

use crate::graph::{Graph, Node, NodeId, Param, Resampling, Source};
use crate::lex::{Token, split};
use crate::op::{
    Binary, Conv, Interpolation, Op, PadMode, Padding, Pool, PoolKind, PostOp, Reduce, Size2, Unary,
};
use crate::tensor::Tensor;
use std::sync::Arc;
use thiserror::Error;

/// Most elements of all constants and index lists of a text together.
pub const MAX_CONSTANTS: usize = 1 << 26;

/// Deepest nesting of a parameter's source.
const MAX_DEPTH: usize = 32;

/// Where and why a text is not a graph.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("line {line}: {message}")]
pub struct ParseError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
}

type Result<T> = std::result::Result<T, String>;

/// Parses the text form of a graph.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> std::result::Result<Graph, ParseError> {
    let mut graph = Graph::default();
    let mut named = false;
    let mut budget = MAX_CONSTANTS;
    for (index, line) in text.lines().enumerate() {
        let mut read = || -> Result<()> {
            let (tokens, name) = split(line)?;
            if tokens.is_empty() && name.is_none() {
                return Ok(());
            }
            let mut line = Line { tokens: &tokens, at: 0, budget: &mut budget };
            if !named {
                line.keyword("graph")?;
                graph.name = line.text()?;
                named = true;
            } else {
                statement(&mut line, &mut graph, name.as_deref())?;
            }
            line.end()
        };
        read().map_err(|message| ParseError { line: index + 1, message })?;
    }
    if !named {
        let message = "the text is empty; a graph starts with `graph \"name\"`".into();
        return Err(ParseError { line: 1, message });
    }
    Ok(graph)
}

fn statement(line: &mut Line<'_, '_>, graph: &mut Graph, name: Option<&str>) -> Result<()> {
    if name.is_some() && line.peek() != Some(&Token::Mark('%')) {
        return Err("only a node's line has a name after `;`".into());
    }
    if line.eat('#') {
        let index = line.number("the number of a parameter")?;
        in_order("#", index, graph.params.len())?;
        graph.params.push(param(line)?);
        return Ok(());
    }
    if line.eat('%') {
        let index: u32 = line.number("the number of a node")?;
        in_order("%", index as usize, graph.nodes.len())?;
        line.expect('=')?;
        let node = node(line, name.unwrap_or_default())?;
        graph.nodes.push(node);
        return Ok(());
    }
    let list = match line.word()? {
        "output" => &mut graph.outputs,
        "feature" => &mut graph.features,
        other => {
            return Err(format!(
                "`{other}` starts no statement; expected `#`, `%`, `output` or `feature`"
            ));
        }
    };
    let name = line.text()?;
    line.expect('=')?;
    list.push((name, line.node_id()?));
    Ok(())
}

fn in_order(mark: &str, given: usize, expected: usize) -> Result<()> {
    if given == expected {
        return Ok(());
    }
    Err(format!("expected {mark}{expected} here, not {mark}{given}: they are numbered in order"))
}

fn param(line: &mut Line<'_, '_>) -> Result<Param> {
    let path = line.text()?;
    line.expect(':')?;
    let shape = line.shape()?;
    let trained = !line.eat_word("statistic");
    line.expect('=')?;
    let source = source(line, 0)?;
    Ok(Param { path, shape, trained, source })
}

fn source(line: &mut Line<'_, '_>, depth: usize) -> Result<Source> {
    if depth > MAX_DEPTH {
        return Err(format!("a source is nested more than {MAX_DEPTH} deep"));
    }
    let inner = |line: &mut Line<'_, '_>| -> Result<Box<Source>> {
        line.expect('(')?;
        let of = source(line, depth + 1)?;
        line.expect(')')?;
        Ok(Box::new(of))
    };
    match line.word()? {
        "tensor" => Ok(Source::Tensor { name: line.text()?, shape: line.shape()? }),
        "zeros" => Ok(Source::Zeros { shape: line.shape()? }),
        "concat" => {
            let axis = line.field("axis")?;
            line.expect('(')?;
            let mut parts = Vec::new();
            while !line.eat(')') {
                if !parts.is_empty() {
                    line.expect(',')?;
                }
                parts.push(source(line, depth + 1)?);
            }
            Ok(Source::Concat { axis, parts })
        }
        "rows" => {
            let (start, len) = (line.field("start")?, line.field("len")?);
            Ok(Source::Rows { of: inner(line)?, start, len })
        }
        "resample" => {
            line.keyword("mode")?;
            line.expect('=')?;
            let way = match line.word()? {
                "geometric" => Resampling::Geometric,
                mode => Resampling::Interpolated {
                    mode: Interpolation::from_name(mode)
                        .ok_or_else(|| format!("unknown interpolation `{mode}`"))?,
                    align_corners: line.eat_word("align_corners"),
                    antialias: line.eat_word("antialias"),
                },
            };
            let prefix = line.field("prefix")?;
            line.keyword("grid")?;
            line.expect('=')?;
            let grid = size(line.word()?)?;
            Ok(Source::Resample { of: inner(line)?, prefix, grid, way })
        }
        other => Err(format!("unknown source `{other}`")),
    }
}

fn node(line: &mut Line<'_, '_>, name: &str) -> Result<Node> {
    let mnemonic = line.word()?;
    // What stands where operands would, for the operators that have none.
    let mut index = None;
    let mut constant = None;
    let mut inputs = Vec::new();
    if line.eat('#') {
        index = Some(line.number("the number of a parameter")?);
    } else if line.peek() == Some(&Token::Mark('{')) {
        constant = Some(line.list(number32)?);
    } else if line.eat('(') {
        while !line.eat(')') {
            if !inputs.is_empty() {
                line.expect(',')?;
            }
            inputs.push(line.node_id()?);
        }
    }
    let mut attributes = Attributes::read(line, mnemonic)?;
    let mut post = Vec::new();
    while line.eat('|') {
        post.push(post_op(line)?);
    }
    line.expect(':')?;
    let shape = line.shape()?;
    let op = match (mnemonic, index, constant) {
        ("param", Some(index), None) => Op::Param(index),
        ("const", None, Some(data)) => {
            let elements = shape.iter().try_fold(1usize, |product, &n| product.checked_mul(n));
            if elements != Some(data.len()) {
                return Err(format!("shape {shape:?} does not hold {} elements", data.len()));
            }
            Op::Const(Arc::new(Tensor { shape: shape.clone(), data }))
        }
        ("param" | "const", _, _) => {
            return Err("`param` is followed by `#` and a number, `const` by `{values}`".into());
        }
        (_, None, None) => op(mnemonic, &mut attributes, &shape)?,
        _ => return Err(format!("`{mnemonic}` takes operands in parentheses")),
    };
    attributes.end()?;
    Ok(Node { name: name.to_string(), op, inputs, post, shape })
}

fn op(mnemonic: &str, attributes: &mut Attributes<'_>, shape: &[usize]) -> Result<Op> {
    let a = attributes;
    if let Some(kind) = PoolKind::from_name(mnemonic) {
        return Ok(Op::Pool(Pool {
            kind,
            kernel: size(a.word("kernel")?)?,
            stride: size(a.word("stride")?)?,
            padding: a.padding()?,
            ceil_mode: a.flag("ceil_mode"),
            count_include_pad: a.flag("count_include_pad"),
        }));
    }
    if let Some(kind) = Reduce::from_name(mnemonic) {
        return Ok(Op::Reduce { kind, axes: a.numbers("axes")?, keep: a.flag("keep") });
    }
    if let Some(unary) = Unary::from_name(mnemonic) {
        return Ok(Op::Unary(unary));
    }
    if let Some(binary) = Binary::from_name(mnemonic) {
        return Ok(Op::Binary(binary));
    }
    Ok(match mnemonic {
        "input" => Op::Input,
        "conv" => Op::Conv(Conv {
            kernel: size(a.word("kernel")?)?,
            stride: size(a.word("stride")?)?,
            padding: a.padding()?,
            dilation: if a.has("dilation") { size(a.word("dilation")?)? } else { [1, 1] },
            groups: if a.has("groups") { a.number("groups")? } else { 1 },
        }),
        "batch_norm" => Op::BatchNorm { eps: a.number("eps")? },
        "layer_norm" => Op::LayerNorm { eps: a.number("eps")? },
        "linear" => Op::Linear,
        "matmul" => {
            Op::MatMul { transpose_a: a.flag("transpose_a"), transpose_b: a.flag("transpose_b") }
        }
        "clamp" => Op::Clamp { low: a.number("low")?, high: a.number("high")? },
        "affine" => Op::Affine { mul: a.number("mul")?, add: a.number("add")? },
        "softmax" => Op::Softmax { axis: a.number("axis")? },
        "concat" => Op::Concat { axis: a.number("axis")? },
        "slice" => Op::Slice {
            axis: a.number("axis")?,
            start: a.number("start")?,
            len: a.number("len")?,
            step: if a.has("step") { a.number("step")? } else { 1 },
        },
        "pad" => {
            let (before, after) = (a.numbers("before")?, a.numbers("after")?);
            if before.len() != after.len() {
                return Err("`before` and `after` have different lengths".into());
            }
            let mode = match a.word("mode")? {
                "constant" => PadMode::Constant(number32(a.word("value")?)?.to_bits()),
                "reflect" => PadMode::Reflect,
                "replicate" => PadMode::Replicate,
                other => return Err(format!("unknown mode of pad `{other}`")),
            };
            Op::Pad { amounts: before.into_iter().zip(after).collect(), mode }
        }
        "roll" => Op::Roll { axis: a.number("axis")?, shift: a.number("shift")? },
        "gather" => Op::Gather {
            axis: a.number("axis")?,
            indices: Arc::new(a.indices()?),
            shape: a.numbers("shape")?,
        },
        "reshape" => Op::Reshape { shape: shape.to_vec() },
        "transpose" => Op::Transpose { perm: a.numbers("perm")? },
        "expand" => Op::Expand { shape: shape.to_vec() },
        "resize" => {
            let mode = a.word("mode")?;
            Op::Resize {
                size: size(a.word("size")?)?,
                mode: Interpolation::from_name(mode)
                    .ok_or_else(|| format!("unknown interpolation `{mode}`"))?,
                align_corners: a.flag("align_corners"),
                antialias: a.flag("antialias"),
            }
        }
        other => return Err(format!("unknown operator `{other}`")),
    })
}

fn post_op(line: &mut Line<'_, '_>) -> Result<PostOp> {
    let mnemonic = line.word()?;
    if let Some(unary) = Unary::from_name(mnemonic) {
        return Ok(PostOp::Unary(unary));
    }
    if let Some(op) = Binary::from_name(mnemonic) {
        return Ok(PostOp::Binary { op, operand: line.node_id()? });
    }
    let mut pair = || -> Result<(f64, f64)> {
        line.expect('(')?;
        let first = line.number("a number")?;
        line.expect(',')?;
        let second = line.number("a number")?;
        line.expect(')')?;
        Ok((first, second))
    };
    match mnemonic {
        "clamp" => pair().map(|(low, high)| PostOp::Clamp { low, high }),
        "affine" => pair().map(|(mul, add)| PostOp::Affine { mul, add }),
        other => Err(format!("`{other}` cannot be fused")),
    }
}

fn size(word: &str) -> Result<Size2> {
    word.split_once('x')
        .and_then(|(rows, columns)| Some([rows.parse().ok()?, columns.parse().ok()?]))
        .ok_or_else(|| format!("expected a size such as `3x3`, not `{word}`"))
}

fn number32(word: &str) -> Result<f32> {
    match word.strip_prefix("bits.") {
        Some(bits) => u32::from_str_radix(bits, 16).ok().map(f32::from_bits),
        None => word.parse().ok(),
    }
    .ok_or_else(|| format!("expected a number, not `{word}`"))
}

/// A line that is being read.
struct Line<'a, 'b> {
    tokens: &'a [Token<'a>],
    at: usize,
    /// Elements that constants may still have.
    budget: &'b mut usize,
}

impl<'a> Line<'a, '_> {
    fn peek(&self) -> Option<&'a Token<'a>> {
        self.tokens.get(self.at)
    }

    fn wrong<T>(&self, expected: &str) -> Result<T> {
        match self.peek() {
            Some(token) => Err(format!("expected {expected}, not {token}")),
            None => Err(format!("expected {expected} at the end of the line")),
        }
    }

    fn eat(&mut self, mark: char) -> bool {
        let found = self.peek() == Some(&Token::Mark(mark));
        self.at += usize::from(found);
        found
    }

    fn eat_word(&mut self, word: &str) -> bool {
        let found = self.peek() == Some(&Token::Word(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, mark: char) -> Result<()> {
        if self.eat(mark) { Ok(()) } else { self.wrong(&format!("`{mark}`")) }
    }

    fn keyword(&mut self, word: &str) -> Result<()> {
        if self.eat_word(word) { Ok(()) } else { self.wrong(&format!("`{word}`")) }
    }

    fn word(&mut self) -> Result<&'a str> {
        match self.peek() {
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(word)
            }
            _ => self.wrong("a word"),
        }
    }

    fn text(&mut self) -> Result<String> {
        match self.peek() {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(text.clone())
            }
            _ => self.wrong("a quoted text"),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, what: &str) -> Result<T> {
        let number = match self.peek() {
            Some(Token::Word(word)) => word.parse().ok(),
            _ => None,
        };
        match number {
            Some(number) => {
                self.at += 1;
                Ok(number)
            }
            None => self.wrong(what),
        }
    }

    fn field(&mut self, name: &str) -> Result<usize> {
        self.keyword(name)?;
        self.expect('=')?;
        self.number("a number")
    }

    fn node_id(&mut self) -> Result<NodeId> {
        self.expect('%')?;
        self.number("the number of a node").map(NodeId)
    }

    fn shape(&mut self) -> Result<Vec<usize>> {
        self.expect('[')?;
        let mut shape = Vec::new();
        while !self.eat(']') {
            if !shape.is_empty() {
                self.expect(',')?;
            }
            shape.push(self.number("a length")?);
        }
        Ok(shape)
    }

    /// `{a, b*3}`
    fn list<T: Clone>(&mut self, element: impl Fn(&str) -> Result<T>) -> Result<Vec<T>> {
        self.expect('{')?;
        let mut list = Vec::new();
        while !self.eat('}') {
            if !list.is_empty() {
                self.expect(',')?;
            }
            let value = element(self.word()?)?;
            let count = if self.eat('*') { self.number("a count")? } else { 1usize };
            *self.budget = self
                .budget
                .checked_sub(count)
                .ok_or_else(|| format!("constants of more than {MAX_CONSTANTS} elements"))?;
            list.resize(list.len() + count, value);
        }
        Ok(list)
    }

    fn end(&self) -> Result<()> {
        if self.at == self.tokens.len() { Ok(()) } else { self.wrong("the end of the line") }
    }
}

/// What an attribute is set to.
enum Value<'a> {
    Flag,
    Words(Vec<&'a str>),
    Numbers(Vec<usize>),
    Indices(Vec<u32>),
}

/// Attributes of a node's line; each is taken once, and what is left is an error.
struct Attributes<'a> {
    mnemonic: &'a str,
    list: Vec<(&'a str, Value<'a>)>,
}

impl<'a> Attributes<'a> {
    fn read(line: &mut Line<'a, '_>, mnemonic: &'a str) -> Result<Self> {
        let mut list: Vec<(&str, Value<'_>)> = Vec::new();
        while let Some(Token::Word(name)) = line.peek() {
            line.at += 1;
            let value = if !line.eat('=') {
                Value::Flag
            } else if line.peek() == Some(&Token::Mark('[')) {
                Value::Numbers(line.shape()?)
            } else if line.peek() == Some(&Token::Mark('{')) {
                let index = |word: &str| {
                    word.parse().map_err(|_| format!("expected an index, not `{word}`"))
                };
                Value::Indices(line.list(index)?)
            } else {
                let mut words = vec![line.word()?];
                while line.eat(',') {
                    words.push(line.word()?);
                }
                Value::Words(words)
            };
            if list.iter().any(|(other, _)| other == name) {
                return Err(format!("attribute `{name}` stands twice"));
            }
            list.push((name, value));
        }
        Ok(Attributes { mnemonic, list })
    }

    fn has(&self, name: &str) -> bool {
        self.list.iter().any(|(other, _)| *other == name)
    }

    fn take(&mut self, name: &str) -> Result<Value<'a>> {
        let found = self.list.iter().position(|(other, _)| *other == name);
        match found {
            Some(at) => Ok(self.list.remove(at).1),
            None => Err(format!("`{}` lacks the attribute `{name}`", self.mnemonic)),
        }
    }

    fn flag(&mut self, name: &str) -> bool {
        let found = self
            .list
            .iter()
            .position(|(other, value)| *other == name && matches!(value, Value::Flag));
        found.map(|at| self.list.remove(at)).is_some()
    }

    fn word(&mut self, name: &str) -> Result<&'a str> {
        match self.take(name)? {
            Value::Words(words) if words.len() == 1 => Ok(words[0]),
            _ => Err(format!("attribute `{name}` takes one word")),
        }
    }

    fn number<T: std::str::FromStr>(&mut self, name: &str) -> Result<T> {
        let word = self.word(name)?;
        word.parse().map_err(|_| format!("attribute `{name}` takes a number, not `{word}`"))
    }

    fn numbers(&mut self, name: &str) -> Result<Vec<usize>> {
        match self.take(name)? {
            Value::Numbers(numbers) => Ok(numbers),
            _ => Err(format!("attribute `{name}` takes a list such as `[0, 2, 1]`")),
        }
    }

    fn indices(&mut self) -> Result<Vec<u32>> {
        match self.take("indices")? {
            Value::Indices(indices) => Ok(indices),
            _ => Err("attribute `indices` takes a list such as `{0, 2, 1}`".into()),
        }
    }

    fn padding(&mut self) -> Result<Padding> {
        let Value::Words(words) = self.take("pad")? else {
            return Err("attribute `pad` takes `same` or four numbers".into());
        };
        if words == ["same"] {
            return Ok(Padding::Same);
        }
        let numbers: Option<Vec<usize>> = words.iter().map(|word| word.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[top, bottom, left, right]) => Ok(Padding::Explicit { top, bottom, left, right }),
            _ => Err("attribute `pad` takes `same` or four numbers".into()),
        }
    }

    fn end(self) -> Result<()> {
        match self.list.first() {
            None => Ok(()),
            Some((name, _)) => Err(format!(
                "`{}` has no attribute `{name}`, or it has no such value",
                self.mnemonic
            )),
        }
    }
}
