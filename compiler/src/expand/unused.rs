//! Rows and lines that have parameters and whose result reaches no output: a label that was renamed in
//! one place only, an `output` line that stops half-way.

use super::codes;
use crate::instance::{Instance, Kind};
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::{Graph, Op};
use std::collections::HashSet;

/// A warning for each row, line or layer that could go without changing an output; the outermost where
/// all within are so.
pub fn unused(graph: &Graph, tree: &Instance) -> Vec<Diagnostic> {
    let search = Search { live: live(graph) };
    let mut dead = Vec::new();
    search.visit(tree, &mut dead);
    let mut spans: HashSet<Span> = HashSet::new();
    let once = dead.into_iter().filter(|instance| spans.insert(instance.span));
    once.map(warning).collect()
}

/// For each parameter, whether an output depends on it.
fn live(graph: &Graph) -> Vec<bool> {
    let mut live = vec![false; graph.params.len()];
    let mut reached = vec![false; graph.nodes.len()];
    let mut open: Vec<_> = graph.outputs.iter().map(|(_, id)| *id).collect();
    while let Some(id) = open.pop() {
        if std::mem::replace(&mut reached[id.index()], true) {
            continue;
        }
        let node = graph.node(id);
        if let Op::Param(index) = node.op {
            live[index] = true;
        }
        open.extend(&node.inputs);
    }
    live
}

fn warning(instance: &Instance) -> Diagnostic {
    let what = match (&instance.kind, instance.label.as_str()) {
        (Kind::Row { .. }, "") => "this row".to_string(),
        (_, label) => format!("`{label}`"),
    };
    let message = format!("no output depends on {what}");
    Diagnostic::warning(codes::UNUSED, instance.span, message).help(
        "use its label where another stands, name it in an `output` line, or remove it: weights must \
         have its tensors all the same",
    )
}

/// What the parameters within an instance are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// There are none.
    Empty,
    /// No output depends on any.
    Dead,
    /// An output depends on one.
    Live,
}

struct Search {
    live: Vec<bool>,
}

impl Search {
    /// Collects the outermost dead instances within one that is not dead itself.
    fn visit<'a>(&self, instance: &'a Instance, dead: &mut Vec<&'a Instance>) -> State {
        if let Kind::Tensor { param } = instance.kind {
            return if self.live[param] { State::Live } else { State::Dead };
        }
        let states: Vec<State> =
            instance.children.iter().map(|child| self.visit(child, dead)).collect();
        if !states.contains(&State::Live) {
            return if states.contains(&State::Dead) { State::Dead } else { State::Empty };
        }
        // A layer is whole: what of it is not used is its own affair.
        if !matches!(instance.kind, Kind::Layer { .. }) {
            let own = instance.children.iter().zip(states);
            dead.extend(own.filter(|(_, state)| *state == State::Dead).map(|(child, _)| child));
        }
        State::Live
    }
}
