//! From steps over buffers to steps over places.

use super::arena::{self, Life};
use super::lower::{Lowered, Step as Lower};
use super::view::Root;
use super::weights::aligned;
use super::{Buffer, Plan, identifier};
use netwright_codegen::program::{Place, Program, Step};
use netwright_ir::Graph;

/// Buffers that share memory because a step computes one in place of the other.
struct Classes {
    parent: Vec<usize>,
}

impl Classes {
    fn find(&self, mut buffer: usize) -> usize {
        while self.parent[buffer] != buffer {
            buffer = self.parent[buffer];
        }
        buffer
    }
}

/// Gives every buffer a place.
pub(super) fn place(graph: &Graph, lowered: Lowered) -> Plan {
    let own = lives(&lowered);
    let (classes, lives) = share(&lowered, own.clone());

    // Classes that the caller's outputs do not hold go to the arena.
    let placed: Vec<usize> = (0..lowered.buffers.len())
        .filter(|&b| {
            classes.find(b) == b && lowered.buffers[b].output.is_none() && lives[b].is_some()
        })
        .collect();
    let spans: Vec<Life> = placed.iter().filter_map(|&b| lives[b]).collect();
    let (offsets, arena_bytes) = arena::place(&spans);
    let mut places = vec![Place::Arena(0); lowered.buffers.len()];
    for (&buffer, &offset) in placed.iter().zip(&offsets) {
        places[buffer] = Place::Arena(offset);
    }
    for buffer in 0..places.len() {
        places[buffer] = match lowered.buffers[buffer].output {
            Some(output) => Place::Output(output),
            None => places[classes.find(buffer)],
        };
    }

    let items = &lowered.weights.items;
    let locate = |root: Root, offset: usize| match root {
        Root::Input(i) => Place::Input(i),
        Root::Output(i) => Place::Output(i),
        Root::Weights(item) => Place::Weights(items[item].offset + offset),
        Root::Buffer(buffer) => match places[buffer] {
            Place::Arena(base) => Place::Arena(base + offset),
            place => place,
        },
    };
    let steps = lowered
        .steps
        .iter()
        .map(|step| Step {
            name: step.name.clone(),
            kernel: step.kernel,
            args: step.args.iter().map(|arg| locate(arg.root, arg.offset)).collect(),
        })
        .collect();
    let buffers = lowered
        .buffers
        .iter()
        .zip(own)
        .zip(&places)
        .filter_map(|((buffer, life), &place)| {
            let life = life?;
            let (name, bytes) = (buffer.name.clone(), buffer.bytes);
            Some(Buffer { name, bytes, first: life.first, last: life.last, place })
        })
        .collect();
    let program = Program {
        name: identifier(&graph.name),
        kernels: lowered.kernels,
        steps,
        rounds: 1,
        inputs: lowered.inputs.iter().map(|port| port.elements() * 4).collect(),
        outputs: lowered.outputs.iter().map(|port| port.elements() * 4).collect(),
        arena_bytes: aligned(arena_bytes),
        weights_bytes: lowered.weights.bytes(),
    };
    let (inputs, outputs) = (lowered.inputs, lowered.outputs);
    let (choices, tuned) = (lowered.choices, lowered.tuned);
    Plan { program, items: lowered.weights.items, buffers, inputs, outputs, choices, tuned }
}

/// The life of each buffer; nothing for those that no step touches.
fn lives(lowered: &Lowered) -> Vec<Option<Life>> {
    let mut lives: Vec<Option<Life>> = vec![None; lowered.buffers.len()];
    for (s, step) in lowered.steps.iter().enumerate() {
        for arg in &step.args {
            if let Root::Buffer(b) = arg.root {
                let bytes = lowered.buffers[b].bytes;
                lives[b].get_or_insert(Life { bytes, first: s, last: s }).last = s;
            }
        }
    }
    lives
}

/// Lets elementwise steps write over an operand that dies there and is as large. The life of a
/// class is kept at its representative.
fn share(lowered: &Lowered, mut lives: Vec<Option<Life>>) -> (Classes, Vec<Option<Life>>) {
    let mut classes = Classes { parent: (0..lowered.buffers.len()).collect() };
    for (s, step) in lowered.steps.iter().enumerate() {
        let Some((class, out)) = in_place(lowered, &classes, &lives, s, step) else { continue };
        if let (Some(life), Some(written)) = (lives[class], lives[out]) {
            classes.parent[out] = class;
            lives[class] = Some(Life { last: written.last, ..life });
        }
    }
    (classes, lives)
}

/// The class that step `s` may overwrite, and the buffer that it writes.
fn in_place(
    lowered: &Lowered,
    classes: &Classes,
    lives: &[Option<Life>],
    s: usize,
    step: &Lower,
) -> Option<(usize, usize)> {
    let Root::Buffer(out) = step.args.iter().find(|arg| arg.writes)?.root else { return None };
    let written = lives[out]?;
    if written.first != s || lowered.buffers[out].output.is_some() {
        return None;
    }
    step.in_place.iter().find_map(|&candidate| {
        let Root::Buffer(buffer) = step.args[candidate].root else { return None };
        let class = classes.find(buffer);
        let life = lives[class]?;
        // Whatever else the step reads of it must be read in the same order.
        let elsewhere = step.args.iter().enumerate().any(|(i, arg)| {
            !step.in_place.contains(&i)
                && matches!(arg.root, Root::Buffer(b) if b != out && classes.find(b) == class)
        });
        let fits = class != out
            && life.last == s
            && life.bytes == written.bytes
            && step.args[candidate].offset == 0
            && lowered.buffers[class].output.is_none()
            && !elsewhere;
        fits.then_some((class, out))
    })
}
