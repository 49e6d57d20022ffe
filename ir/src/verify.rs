//! The verifier.
//!
//! A graph that passes keeps these invariants, and everything else may rely on them:
//!
//! 1. **Order.** Every operand, also of a fused step, is an earlier node.
//! 2. **Shapes.** Every node's operands and attributes are what its operator takes (their number,
//!    ranks, lengths, and attributes' ranges), and its shape is the one that inference gives. An
//!    input's shape is free. No value is empty, nor larger than [`crate::MAX_ELEMENTS`].
//! 3. **Fused steps.** Every fused operand broadcasts to the node's shape, and constants of fused
//!    steps are usable (`low <= high`; finite factors).
//! 4. **Constants.** A constant holds as many elements as its shape says.
//! 5. **Parameters.** Each read parameter exists. Parameters have distinct, non-empty paths. A
//!    parameter's source makes its shape, apart from unit axes.
//! 6. **Results.** There is an output; outputs have distinct, non-empty names, features have
//!    distinct, non-empty names, and each names an existing node.

use crate::graph::{Graph, NodeId, Param, Source};
use crate::infer::{ShapeError, elements, infer, infer_post};
use crate::op::{Op, PostOp};
use std::collections::HashSet;
use std::fmt;

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Where: the node with its name, the parameter's path, or the result's name.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl std::error::Error for Violation {}

/// Checks all invariants.
///
/// # Errors
/// Every violation, in the graph's order.
pub fn verify(graph: &Graph) -> Result<(), Vec<Violation>> {
    let mut violations = Vec::new();
    params(graph, &mut violations);
    for id in graph.ids() {
        let node = graph.node(id);
        let mut report = |message: String| {
            let place = format!("{id} {} `{}`", node.op.mnemonic(), node.name);
            violations.push(Violation { place, message });
        };
        match shape(graph, id) {
            Ok(expected) if expected == node.shape => {}
            Ok(expected) => {
                report(format!("has shape {:?}, but its operands make {expected:?}", node.shape))
            }
            Err(error) => report(error.to_string()),
        }
        for (i, post) in node.post.iter().enumerate() {
            if let Err(error) = fused(graph, id, post) {
                report(format!("fused step {} ({}): {error}", i + 1, post.mnemonic()));
            }
        }
    }
    results(graph, &mut violations);
    if violations.is_empty() { Ok(()) } else { Err(violations) }
}

/// The shape that a node should have.
fn shape(graph: &Graph, id: NodeId) -> Result<Vec<usize>, ShapeError> {
    let node = graph.node(id);
    if matches!(node.op, Op::Input) && node.inputs.is_empty() {
        elements(&node.shape)?;
        return Ok(node.shape.clone());
    }
    let mut shapes = Vec::with_capacity(node.inputs.len());
    for &input in &node.inputs {
        earlier(input, id)?;
        shapes.push(graph.shape(input));
    }
    infer(&node.op, &shapes, &graph.params)
}

fn fused(graph: &Graph, id: NodeId, post: &PostOp) -> Result<(), ShapeError> {
    let operand = match post {
        PostOp::Binary { operand, .. } => {
            earlier(*operand, id)?;
            graph.shape(*operand)
        }
        _ => &[],
    };
    infer_post(graph.shape(id), post, operand)
}

fn earlier(operand: NodeId, id: NodeId) -> Result<(), ShapeError> {
    if operand < id {
        return Ok(());
    }
    Err(ShapeError::new(format!("operand {operand} is not an earlier node")))
}

fn params(graph: &Graph, violations: &mut Vec<Violation>) {
    let mut paths = HashSet::new();
    for (index, param) in graph.params.iter().enumerate() {
        let mut report = |message: String| {
            let place = format!("parameter #{index} `{}`", param.path);
            violations.push(Violation { place, message });
        };
        if param.path.is_empty() {
            report("has no path".into());
        } else if !paths.insert(&param.path) {
            report("has the path of an earlier parameter".into());
        }
        if let Err(error) = source(param) {
            report(error.to_string());
        }
    }
}

fn source(param: &Param) -> Result<(), ShapeError> {
    elements(&param.shape)?;
    let made = param.source.shape()?;
    let without_units = |shape: &[usize]| -> Vec<usize> {
        shape.iter().copied().filter(|&length| length != 1).collect()
    };
    if without_units(&made) == without_units(&param.shape) {
        return Ok(());
    }
    let message = format!("has shape {:?}, but its source makes {made:?}", param.shape);
    Err(ShapeError::new(message))
}

impl Source {
    /// Shape of the tensor that it makes.
    ///
    /// # Errors
    /// When parts do not fit together, or the result is empty or too large.
    pub fn shape(&self) -> Result<Vec<usize>, ShapeError> {
        let shape = match self {
            Source::Tensor { shape, .. } | Source::Zeros { shape } => shape.clone(),
            Source::Concat { axis, parts } => {
                let shapes: Vec<Vec<usize>> =
                    parts.iter().map(Source::shape).collect::<Result<_, _>>()?;
                let shapes: Vec<&[usize]> = shapes.iter().map(Vec::as_slice).collect();
                infer(&Op::Concat { axis: *axis }, &shapes, &[])?
            }
            Source::Rows { of, start, len } => {
                let op = Op::Slice { axis: 0, start: *start, len: *len, step: 1 };
                infer(&op, &[&of.shape()?], &[])?
            }
            Source::Resample { of, prefix, grid, .. } => {
                let table = of.shape()?;
                let (rows, channels) = match table[..] {
                    [rows, channels] | [1, rows, channels] => (rows, channels),
                    _ => {
                        return Err(ShapeError::new(format!(
                            "a position table is [positions, C] or [1, positions, C], not {table:?}"
                        )));
                    }
                };
                if rows <= *prefix {
                    return Err(ShapeError::new(format!(
                        "a position table of {rows} rows has no grid after a prefix of {prefix}"
                    )));
                }
                let made = elements(grid)?
                    .checked_add(*prefix)
                    .ok_or_else(|| ShapeError::new("the position table is too long"))?;
                let mut shape = vec![made, channels];
                if table.len() == 3 {
                    shape.insert(0, 1);
                }
                shape
            }
        };
        elements(&shape)?;
        Ok(shape)
    }
}

fn results(graph: &Graph, violations: &mut Vec<Violation>) {
    let mut report = |place: String, message: String| {
        violations.push(Violation { place, message });
    };
    if graph.outputs.is_empty() {
        report("the graph".into(), "has no output".into());
    }
    for (kind, list) in [("output", &graph.outputs), ("feature", &graph.features)] {
        let mut names = HashSet::new();
        for (name, id) in list {
            let place = || format!("{kind} `{name}`");
            if name.is_empty() {
                report(place(), "has no name".into());
            } else if !names.insert(name) {
                report(place(), format!("has the name of an earlier {kind}"));
            }
            if id.index() >= graph.nodes.len() {
                report(place(), format!("node {id} does not exist"));
            }
        }
    }
}
