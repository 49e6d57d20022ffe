//! `netwright specs`: the networks that come with the program.

use super::args::SpecsArgs;
use super::failure::Outcome;
use netwright_compiler::spec::{Catalog, catalog};
use serde_json::{Value, json};
use std::io::Write;

pub fn run(args: &SpecsArgs) -> Outcome {
    let mut out = std::io::stdout().lock();
    let catalog = catalog();
    if args.json {
        let all: Vec<Value> = catalog.iter().map(describe).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all).map_err(std::io::Error::other)?)?;
        return Ok(());
    }
    let bundled = crate::bundled::names();
    for spec in &catalog {
        writeln!(out, "{}", spec.name)?;
        if !spec.variants.is_empty() {
            writeln!(out, "    variants    {}", spec.variants.join(", "))?;
        }
        let shown = spec.parameters.iter().map(|parameter| match &parameter.default {
            Some(default) => format!("{} = {default}", parameter.name),
            None => parameter.name.clone(),
        });
        writeln!(out, "    parameters  {}", shown.collect::<Vec<_>>().join(", "))?;
        if !spec.dialects.is_empty() {
            writeln!(out, "    dialects    {}", spec.dialects.join(", "))?;
        }
        let own = |name: &&String| name.split(':').next() == Some(&spec.name);
        let own: Vec<&str> = bundled.iter().filter(own).map(String::as_str).collect();
        if !own.is_empty() {
            writeln!(out, "    weights     come along for {}", own.join(", "))?;
        }
    }
    Ok(())
}

fn describe(spec: &Catalog) -> Value {
    let parameters: Vec<Value> = spec
        .parameters
        .iter()
        .map(|parameter| json!({ "name": parameter.name, "default": parameter.default }))
        .collect();
    json!({
        "name": spec.name,
        "variants": spec.variants,
        "parameters": parameters,
        "dialects": spec.dialects,
    })
}
