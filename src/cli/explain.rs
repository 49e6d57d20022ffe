//! `netwright explain`: what was fused, what was not, and why.

use super::args::ExplainArgs;
use super::common;
use super::failure::{Failure, Outcome};
use super::table::{Align, Table};
use netwright_compiler::passes;
use std::io::Write;

pub fn run(args: &ExplainArgs) -> Outcome {
    let (spec, expanded) = common::expand(&args.spec, args.batch as usize)?;
    let fused = passes::optimize(&expanded.graph, &passes::Options::default())
        .map_err(|error| Failure::Input(error.to_string()))?;
    let mut out = std::io::stdout().lock();
    let before = expanded.graph.nodes.len();
    let after = fused.graph.nodes.len();
    writeln!(out, "{}: {before} nodes as written, {after} after the passes", common::title(&expanded, &spec))?;
    writeln!(out)?;
    let mut table =
        Table::new(&[("fusion", Align::Left), ("fired", Align::Right), ("did not", Align::Right)]);
    for (name, fired, refused) in fused.log.summary() {
        table.row(vec![name.to_string(), fired.to_string(), refused.to_string()]);
    }
    table.write(&mut out)?;
    writeln!(out)?;
    write!(out, "{}", fused.log)?;
    Ok(())
}
