//! `netwright explain`: what was fused, what was not, and why; which algorithms were chosen; and
//! what runs in the end.

use super::args::ExplainArgs;
use super::common;
use super::failure::{Failure, Outcome};
use super::numbers;
use super::table::{Align, Table};
use netwright_codegen::program::Program;
use netwright_codegen::work::{Class, Work};
use netwright_compiler::passes::{self, Decision, Log};
use netwright_compiler::plan;
use netwright_ir::{Graph, NodeId, Op, PostOp};
use std::collections::HashSet;
use std::io::{self, Write};

/// Places that are listed for a fusion that did not fire, of those with the same reason.
const EXAMPLES: usize = 3;

pub fn run(args: &ExplainArgs) -> Outcome {
    let (spec, expanded) = common::expand(&args.spec, args.batch as usize)?;
    let mut fused = passes::optimize(&expanded.graph, &passes::Options::default())
        .map_err(|error| Failure::Input(error.to_string()))?;
    let plan = plan::plan_batch(&mut fused.graph, &common::plan_options(&args.spec.machine)?)
        .map_err(|error| Failure::Input(error.to_string()))?;
    let program = &plan.program;
    let mut out = std::io::stdout().lock();
    let operations = |graph: &Graph| live(graph).iter().filter(|live| **live).count();
    writeln!(
        out,
        "{}: {} operations on the image as written, {} after the passes, which {} steps of {} different kernels compute",
        common::title(&expanded, &spec),
        operations(&expanded.graph),
        operations(&fused.graph),
        program.steps.len(),
        program.kernels.len()
    )?;
    if program.rounds > 1 {
        let images = args.batch as usize / program.rounds;
        writeln!(out, "computed in {} rounds, {images} of the images in each", program.rounds)?;
    }
    writeln!(out, "\nFusions\n")?;
    fusions(&fused.log).write(&mut out)?;
    writeln!(out, "\nWhat runs\n")?;
    kernels(program).write(&mut out)?;
    writeln!(out, "\nLayer by layer\n")?;
    layers(&fused.graph, &fused.log, program).write(&mut out)?;
    refusals(&mut out, &expanded.graph, &fused.log)?;
    if args.all {
        writeln!(out, "\nEvery decision, in the order of the passes\n")?;
        write!(out, "{}", fused.log)?;
    }
    if !plan.choices.is_empty() {
        writeln!(out, "\nAlgorithms\n")?;
        if !plan.tuned.is_empty() {
            let count = plan.tuned.len();
            writeln!(
                out,
                "{count} different choices are measured (netwright tune); --untuned shows the estimates\n"
            )?;
        }
        for choice in &plan.choices {
            writeln!(out, "{choice}")?;
        }
    }
    Ok(())
}

fn fusions(log: &Log) -> Table {
    let mut table = Table::new(&[
        ("fusion", Align::Left),
        ("fused", Align::Right),
        ("not fused", Align::Right),
    ]);
    for (name, fired, refused) in log.summary() {
        table.row(vec![name.to_string(), fired.to_string(), refused.to_string()]);
    }
    table
}

/// Sums of the program's steps by class, the most multiply-accumulates first.
fn kernels(program: &Program) -> Table {
    let mut classes: Vec<(Class, usize, Work)> = Vec::new();
    for step in &program.steps {
        let kernel = &program.kernels[step.kernel];
        let (class, work) = (kernel.class(), kernel.work());
        match classes.iter_mut().find(|one| one.0 == class) {
            Some((_, steps, sum)) => {
                *steps += 1;
                *sum = [*sum, work].into_iter().sum();
            }
            None => classes.push((class, 1, work)),
        }
    }
    classes.sort_by_key(|(_, _, work)| std::cmp::Reverse((work.macs, work.bytes())));
    let mut table = Table::new(&[
        ("kernels", Align::Left),
        ("steps", Align::Right),
        ("MACs", Align::Right),
        ("share", Align::Right),
        ("moved", Align::Right),
    ]);
    let all: Work = classes.iter().map(|(_, _, work)| *work).sum();
    let row = |name: &str, steps: usize, work: &Work| {
        let share = 100.0 * work.macs as f64 / all.macs.max(1) as f64;
        let macs = if work.macs > 0 { numbers::short(work.macs) } else { String::new() };
        let share = if work.macs > 0 { format!("{share:.1}%") } else { String::new() };
        let moved = numbers::bytes(usize::try_from(work.bytes()).unwrap_or(usize::MAX));
        vec![name.to_string(), steps.to_string(), macs, share, moved]
    };
    for (class, steps, work) in &classes {
        table.row(row(class.name(), *steps, work));
    }
    table.rule();
    table.row(row("all", program.steps.len(), &all));
    table
}

/// A layer with the operations that the passes left there, and the steps that compute them.
struct Layer<'a> {
    name: &'a str,
    operations: Vec<String>,
    steps: Vec<&'static str>,
}

/// What became of each layer.
fn layers(graph: &Graph, log: &Log, program: &Program) -> Table {
    let mut layers: Vec<Layer> = Vec::new();
    let live = live(graph);
    for id in graph.ids().filter(|id| live[id.index()]) {
        let name = graph.node(id).name.as_str();
        layer(&mut layers, name).operations.push(operation(graph, id));
    }
    for step in &program.steps {
        for node in step.nodes() {
            layer(&mut layers, node).steps.push(program.kernels[step.kernel].class().name());
        }
    }
    let mut table = Table::new(&[
        ("layer", Align::Left),
        ("runs as", Align::Left),
        ("operations", Align::Left),
    ]);
    for layer in layers {
        let runs = match layer.steps.as_slice() {
            [] => "(a view)".to_string(),
            steps => counted(steps),
        };
        let mut operations = layer.operations.join(", then ");
        let folded = folded(log, layer.name);
        if !folded.is_empty() {
            operations += &format!(" ({} in its weights)", folded.join(", "));
        }
        table.row(vec![layer.name.to_string(), runs, operations]);
    }
    table
}

/// The layer of that name; a new one after all others if there is none.
fn layer<'a, 'l>(layers: &'l mut Vec<Layer<'a>>, name: &'a str) -> &'l mut Layer<'a> {
    let at = layers.iter().position(|layer| layer.name == name).unwrap_or_else(|| {
        layers.push(Layer { name, operations: Vec::new(), steps: Vec::new() });
        layers.len() - 1
    });
    &mut layers[at]
}

/// `copy ×4, elementwise`
fn counted(names: &[&str]) -> String {
    let runs = names.chunk_by(|a, b| a == b).map(|run| match run.len() {
        1 => run[0].to_string(),
        n => format!("{} ×{n}", run[0]),
    });
    runs.collect::<Vec<_>>().join(", ")
}

/// `conv 3x3/2 | relu6 | add stem`
fn operation(graph: &Graph, id: NodeId) -> String {
    let node = graph.node(id);
    let mut text = node.op.mnemonic().to_string();
    if let Op::Conv(conv) = &node.op {
        text += &format!(" {}x{}", conv.kernel[0], conv.kernel[1]);
        if conv.stride != [1, 1] {
            text += &format!("/{}", conv.stride[0].max(conv.stride[1]));
        }
        if conv.groups > 1 {
            text += &format!(" in {} groups", conv.groups);
        }
    }
    for post in &node.post {
        text += " | ";
        text += post.mnemonic();
        if let PostOp::Binary { operand, .. } = post {
            let name = &graph.node(*operand).name;
            text += &format!(" {name}");
        }
    }
    text
}

/// What was folded into the weights of a layer.
fn folded(log: &Log, name: &str) -> Vec<&'static str> {
    let mut found: Vec<&'static str> = Vec::new();
    for decision in log.decisions.iter().filter(|decision| decision.fired) {
        let Some(what) = decision.fusion.strip_suffix(" into weights") else { continue };
        // A layer normalisation is folded forwards, into the layer that reads it; others backwards.
        let into = match what {
            "layer norm" => decision.nodes.last(),
            _ => decision.nodes.first(),
        };
        if into.is_some_and(|node| node == name) && !found.contains(&what) {
            found.push(what);
        }
    }
    found
}

/// The fusions that did not fire, those with one reason together.
fn refusals(out: &mut impl Write, graph: &Graph, log: &Log) -> io::Result<()> {
    let names: HashSet<&str> = graph.nodes.iter().map(|node| node.name.as_str()).collect();
    let mut groups: Vec<(String, Vec<&Decision>)> = Vec::new();
    for decision in log.decisions.iter().filter(|decision| !decision.fired) {
        let key = format!("{}: {}", decision.fusion, general(&decision.reason, &names));
        match groups.iter_mut().find(|group| group.0 == key) {
            Some(group) => group.1.push(decision),
            None => groups.push((key, vec![decision])),
        }
    }
    if groups.is_empty() {
        return writeln!(out, "\nEvery fusion that was possible was made.");
    }
    writeln!(out, "\nNot fused, and why")?;
    groups.sort_by_key(|(_, decisions)| std::cmp::Reverse(decisions.len()));
    for (key, decisions) in &groups {
        let times = match decisions.len() {
            1 => String::new(),
            n => format!(" ({n} times)"),
        };
        writeln!(out, "\nnot fused: {key}{times}")?;
        for decision in decisions.iter().take(EXAMPLES) {
            writeln!(out, "  {}: {}", decision.nodes.join(" <- "), decision.reason)?;
        }
        if decisions.len() > EXAMPLES {
            writeln!(out, "  and {} more", decisions.len() - EXAMPLES)?;
        }
    }
    Ok(())
}

/// A reason without the names and shapes that make it differ from place to place.
fn general(reason: &str, names: &HashSet<&str>) -> String {
    let mut text = String::new();
    let mut depth = 0;
    // What is between brackets is a shape.
    for c in reason.chars() {
        depth -= i32::from(c == ']');
        if depth <= 0 {
            text.push(c);
        }
        if c == '[' {
            depth += 1;
            text.push('…');
        }
    }
    let word = |word: &str| {
        let bare = word.trim_matches(|c: char| "(),:;`".contains(c));
        if names.contains(bare) && !bare.is_empty() {
            word.replace(bare, "…")
        } else {
            word.into()
        }
    };
    text.split(' ').map(word).collect::<Vec<String>>().join(" ")
}

/// Which operations depend on the input and are not the input itself; all others are done once, when
/// weights are packed.
fn live(graph: &Graph) -> Vec<bool> {
    let known = graph.weight_expressions();
    let input = |id: NodeId| matches!(graph.node(id).op, Op::Input);
    graph.ids().map(|id| !known[id.index()] && !input(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_without_names_are_equal() {
        let names = HashSet::from(["blocks.0.dw", "blocks.1.se"]);
        let one = general("the value before is also read by blocks.0.dw", &names);
        assert_eq!(one, general("the value before is also read by blocks.1.se", &names));
        assert_eq!(one, "the value before is also read by …");
        assert_eq!(
            general("the result [1, 2] is larger than `blocks.0.dw` [3]", &names),
            "the result […] is larger than `…` […]"
        );
        assert_eq!(general("no ] sense [", &names), "no ] sense […");
    }

    #[test]
    fn runs_are_counted() {
        assert_eq!(counted(&["copy", "copy", "map", "copy"]), "copy ×2, map, copy");
    }
}
