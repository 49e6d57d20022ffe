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
    let mut open = None;
    for spec in &catalog {
        let folder = spec.name.split_once('/').map(|(folder, _)| folder);
        if let Some(folder) = folder.filter(|folder| open != Some(*folder)) {
            writeln!(out, "{folder}/: {} specs", in_folder(&catalog, folder))?;
        }
        open = folder;
        let facts = facts(spec, &bundled);
        if folder.is_some() {
            let facts: Vec<String> =
                facts.iter().map(|(what, value)| format!("{what} {value}")).collect();
            writeln!(out, "    {:<30} {}", spec.name, facts.join("; "))?;
            continue;
        }
        writeln!(out, "{}", spec.name)?;
        for (what, value) in facts {
            writeln!(out, "    {what:<11} {value}")?;
        }
    }
    Ok(())
}

fn in_folder(catalog: &[Catalog], folder: &str) -> usize {
    let own = |spec: &&Catalog| spec.name.split_once('/').is_some_and(|(known, _)| known == folder);
    catalog.iter().filter(own).count()
}

/// What there is to say about a spec, under a heading each.
fn facts(spec: &Catalog, bundled: &[String]) -> Vec<(&'static str, String)> {
    let mut facts = Vec::new();
    if !spec.variants.is_empty() {
        facts.push(("variants", spec.variants.join(", ")));
    }
    let shown = spec.parameters.iter().map(|parameter| match &parameter.default {
        Some(default) => format!("{} = {default}", parameter.name),
        None => parameter.name.clone(),
    });
    facts.push(("parameters", shown.collect::<Vec<_>>().join(", ")));
    if !spec.dialects.is_empty() {
        facts.push(("dialects", spec.dialects.join(", ")));
    }
    let own = |name: &&String| name.split(':').next() == Some(&spec.name);
    let own: Vec<&str> = bundled.iter().filter(own).map(String::as_str).collect();
    if !own.is_empty() {
        facts.push(("weights", format!("come along for {}", own.join(", "))));
    }
    facts
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
