//! `netwright dump`: a stage of the compiler as text.

use super::args::{DumpArgs, Stage};
use super::common;
use super::failure::{Failure, Outcome};
use crate::error::Error;
use crate::session::Backend;
use netwright_compiler::{driver, passes, plan};
use std::io::Write;

pub fn run(args: &DumpArgs) -> Outcome {
    let mut out = std::io::stdout().lock();
    if args.stage == Stage::Ast {
        let (spec, _) = common::load(&args.spec, 1)?;
        // A tree with holes is still a tree.
        for (file, (path, _)) in spec.files.iter().zip(&spec.sources.files) {
            writeln!(out, "// {path}")?;
            write!(out, "{}", netwright_grammar::dump(file))?;
        }
        return common::report(&spec.sources, &spec.diagnostics);
    }
    let (_, expanded) = common::expand(&args.spec, args.batch as usize)?;
    let fused = || {
        passes::optimize(&expanded.graph, &passes::Options::default())
            .map_err(|error| Failure::Input(error.to_string()))
    };
    match args.stage {
        Stage::Ast => {}
        Stage::Graph => write!(out, "{}", expanded.graph.to_text())?,
        Stage::Fused => write!(out, "{}", fused()?.graph.to_text())?,
        Stage::Plan => {
            let options = common::plan_options(&args.spec.machine)?;
            let plan = plan::plan_batch(&mut fused()?.graph, &options)
                .map_err(|error| Failure::Input(error.to_string()))?;
            write!(out, "{plan}")?;
        }
        Stage::Clif | Stage::Asm => {
            let mut options = common::run_options(&args.spec.machine, args.backend)?;
            if options.backend == Backend::Interpreter {
                return Err(Failure::Usage("the interpreter has no machine code".into()));
            }
            // The wide kernels never are Cranelift IR; their portable twins are.
            if args.stage == Stage::Clif && options.backend == Backend::Auto {
                options.backend = Backend::Portable;
            }
            let code = driver::compile(&expanded.graph, &options.driver()?).map_err(Error::from)?;
            if args.stage == Stage::Asm {
                write!(out, "{}", code.program().asm_text())?;
            } else {
                let text = code.program().clif_text();
                write!(out, "{}", text.map_err(|error| Failure::Input(error.to_string()))?)?;
            }
        }
    }
    Ok(())
}
