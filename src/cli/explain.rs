//! `netwright explain`: what was fused, what was not, which algorithms were chosen, and why.

use super::args::ExplainArgs;
use super::common;
use super::failure::{Failure, Outcome};
use super::table::{Align, Table};
use netwright_compiler::{passes, plan};
use netwright_ir::{Graph, Op, PostOp};
use std::io::Write;

pub fn run(args: &ExplainArgs) -> Outcome {
    let (spec, expanded) = common::expand(&args.spec, args.batch as usize)?;
    let fused = passes::optimize(&expanded.graph, &passes::Options::default())
        .map_err(|error| Failure::Input(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    let (before, after) = (live(&expanded.graph), live(&fused.graph));
    let title = common::title(&expanded, &spec);
    writeln!(
        out,
        "{title}: {before} operations on the image as written, {after} after the passes"
    )?;
    writeln!(out)?;
    let mut table =
        Table::new(&[("fusion", Align::Left), ("fired", Align::Right), ("did not", Align::Right)]);
    for (name, fired, refused) in fused.log.summary() {
        table.row(vec![name.to_string(), fired.to_string(), refused.to_string()]);
    }
    table.write(&mut out)?;
    writeln!(out)?;
    write!(out, "{}", fused.log)?;
    let plan = plan::plan(&fused.graph, &common::plan_options(&args.spec.machine))
        .map_err(|error| Failure::Input(error.to_string()))?;
    for choice in &plan.choices {
        writeln!(out, "{choice}")?;
    }
    Ok(())
}

/// Operations whose results depend on the input; all others are done once, when weights are packed.
fn live(graph: &Graph) -> usize {
    let mut live = vec![false; graph.nodes.len()];
    for id in graph.ids() {
        let node = graph.node(id);
        // Operands of a node and of its epilogue come earlier.
        let mut operands =
            node.inputs.iter().chain(node.post.iter().filter_map(|post| match post {
                PostOp::Binary { operand, .. } => Some(operand),
                _ => None,
            }));
        live[id.index()] =
            matches!(node.op, Op::Input) || operands.any(|operand| live[operand.index()]);
    }
    live.iter().filter(|live| **live).count().saturating_sub(1)
}
