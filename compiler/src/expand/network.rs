//! A whole network: parameters, dialect, rows, results, names.

use super::codes;
use super::expander::Expander;
use super::layers::Layer;
use super::parameters::{Variant, cell_text};
use super::preprocess::Preprocess;
use super::scope::Scope;
use super::unused::unused;
use crate::instance::{Instance, Kind};
use crate::names;
use crate::spec::Spec;
use crate::value::Value;
use netwright_grammar::ast::{Network, Weights};
use netwright_grammar::{Diagnostic, Severity, Span};
use netwright_ir::{Graph, NodeId, Op, Source};
use std::collections::{BTreeMap, HashSet};

/// What to expand.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The variant; `None`: the one that the spec was loaded with.
    pub variant: Option<String>,
    /// `--set name=value`, in order.
    pub sets: Vec<(String, String)>,
    /// The dialect; `None`: the first of the spec, if it has one.
    pub dialect: Option<String>,
    /// Images in a batch, at least 1.
    pub batch: usize,
}

impl Default for Request {
    fn default() -> Self {
        Request { variant: None, sets: Vec::new(), dialect: None, batch: 1 }
    }
}

/// An expanded network.
#[derive(Clone, Debug)]
pub struct Expanded {
    /// The graph; its input is `[batch, rows, columns, channels]`.
    pub graph: Graph,
    /// Which block, line and layer each parameter belongs to.
    pub tree: Instance,
    /// The variant.
    pub variant: Option<String>,
    /// The dialect.
    pub dialect: Option<String>,
    /// The network's parameters with their values, `variant` not included.
    pub parameters: Vec<(String, Value)>,
    /// Shape of the input.
    pub input: [usize; 4],
    /// What photos go through.
    pub preprocess: Preprocess,
    /// Patterns of tensors that the file may hold and the network does not use.
    pub drops: Vec<String>,
    /// Rows and lines, for `summary`.
    pub layers: Vec<Layer>,
    /// Columns that change nothing, of the variant's row: heading and text.
    pub carried: Vec<(String, String)>,
    /// What may not mean what its author thinks.
    pub warnings: Vec<Diagnostic>,
}

/// Expands one variant of a spec under one dialect.
///
/// # Errors
/// Every independent mistake, in the order of the text; syntax errors of the spec among them.
pub fn expand(spec: &Spec, request: &Request) -> Result<Expanded, Vec<Diagnostic>> {
    let mut diagnostics = spec.diagnostics.clone();
    let Some(network) = single_network(spec, &mut diagnostics) else { return Err(diagnostics) };
    let expansion = Expansion { spec, network, request };
    let (result, found) = expansion.run();
    diagnostics.extend(found);
    let (errors, warnings): (Vec<_>, Vec<_>) =
        diagnostics.into_iter().partition(|diagnostic| diagnostic.severity == Severity::Error);
    match result {
        Some(mut expanded) if errors.is_empty() => {
            expanded.warnings.extend(warnings);
            in_order(&mut expanded.warnings);
            Ok(expanded)
        }
        _ => {
            let mut all = errors;
            all.extend(warnings);
            in_order(&mut all);
            Err(all)
        }
    }
}

/// Checks a spec: all its variants, all its dialects, its printed shapes and expectations. Each
/// finding is there once.
pub fn check_spec(spec: &Spec) -> Vec<Diagnostic> {
    let some = |name: &str| Some(name.to_string());
    let mut variants: Vec<Option<String>> = spec.variants().iter().map(|name| some(name)).collect();
    if variants.is_empty() {
        variants.push(None);
    }
    let mut dialects: Vec<Option<String>> = spec.dialects().into_iter().map(some).collect();
    if dialects.is_empty() {
        dialects.push(None);
    }
    let mut all: Vec<Diagnostic> = Vec::new();
    let mut known: HashSet<(&str, Span)> = HashSet::new();
    for variant in &variants {
        for dialect in &dialects {
            let request = Request {
                variant: variant.clone(),
                dialect: dialect.clone(),
                ..Request::default()
            };
            let found = match expand(spec, &request) {
                Ok(expanded) => expanded.warnings,
                Err(errors) => errors,
            };
            for diagnostic in found {
                if known.insert((diagnostic.code, diagnostic.span)) {
                    all.push(diagnostic);
                }
            }
        }
    }
    in_order(&mut all);
    all
}

fn in_order(diagnostics: &mut [Diagnostic]) {
    diagnostics
        .sort_by_key(|diagnostic| (diagnostic.span.file, diagnostic.span.start, diagnostic.code));
}

fn single_network<'a>(spec: &'a Spec, diagnostics: &mut Vec<Diagnostic>) -> Option<&'a Network> {
    let networks = spec.files.first().map(|file| file.networks.as_slice()).unwrap_or_default();
    match networks {
        [network] => Some(network),
        [] => {
            if diagnostics.iter().all(|diagnostic| diagnostic.severity != Severity::Error) {
                let message = "the spec has no network";
                let error = Diagnostic::error(codes::NETWORK, Span::default(), message);
                diagnostics.push(error.help("write `network name { table { ... } }`"));
            }
            None
        }
        [first, second, ..] => {
            let message = "a spec has one network";
            let error = Diagnostic::error(codes::NETWORK, second.name.span, message);
            diagnostics.push(
                error
                    .related(first.name.span, "the first")
                    .help("put it into a file of its own; what both need into a third, with `use`"),
            );
            None
        }
    }
}

struct Expansion<'a> {
    spec: &'a Spec,
    network: &'a Network,
    request: &'a Request,
}

impl<'a> Expansion<'a> {
    fn run(&self) -> (Option<Expanded>, Vec<Diagnostic>) {
        let mut this = Expander::new(self.spec, self.network);
        let expanded = self.expand(&mut this);
        (expanded, this.findings.finish())
    }

    fn expand(&self, this: &mut Expander<'a>) -> Option<Expanded> {
        let mark = this.findings.mark();
        let wanted = self.request.variant.as_deref().or(self.spec.variant.as_deref());
        let variant = match this.variant(wanted) {
            Ok(variant) => variant,
            Err(fault) => {
                this.report_fault(fault);
                return None;
            }
        };
        let name = variant.as_ref().map(|variant| variant.name.clone());
        this.parameters(variant.as_ref(), &self.request.sets);
        let dialect = self.dialect(this);
        let chain = self.chain(dialect);
        self.settings(this, &chain);
        this.lint();
        this.check_operators();
        let input = self.input(this)?;
        let (x, shape) = input;
        let last = self.rows(this, variant.as_ref(), x);
        this.results(last);
        this.graph.features.sort_by_key(|(_, id)| *id);
        this.graph.name = match &name {
            Some(variant) => format!("{}:{variant}", self.network.name.text),
            None => self.network.name.text.clone(),
        };
        let [_, h, w, channels] = shape;
        let preprocess = this.preprocess(&chain, [h, w], channels);
        if this.findings.since(mark) || self.spec.has_errors() {
            self.names_in_text(this, dialect);
            return None;
        }
        if self.request.sets.is_empty() {
            this.check_expectations(variant.as_ref());
        }
        let tree = Instance {
            label: String::new(),
            kind: Kind::Network,
            children: std::mem::take(&mut this.open).into_iter().next().unwrap_or_default(),
            span: self.network.span,
        };
        this.open.push(Vec::new());
        self.names(this, &tree, dialect);
        if this.findings.since(mark) {
            return None;
        }
        let warnings = unused(&this.graph, &tree);
        let parameters =
            this.parameters.iter().filter(|(name, _)| name != "variant").cloned().collect();
        Some(Expanded {
            graph: std::mem::take(&mut this.graph),
            tree,
            variant: name,
            dialect: dialect.map(|weights| weights.name.text.clone()),
            parameters,
            input: shape,
            preprocess,
            drops: drops(&chain),
            layers: std::mem::take(&mut this.layers),
            carried: self.carried(variant.as_ref()),
            warnings,
        })
    }

    fn dialect(&self, this: &mut Expander<'a>) -> Option<&'a Weights> {
        let all = &self.network.weights;
        let Some(wanted) = &self.request.dialect else { return all.first() };
        let found = all.iter().find(|weights| weights.name.text == *wanted);
        if found.is_none() {
            let message = format!("the network has no dialect `{wanted}`");
            let span = self.network.name.span;
            let error = Diagnostic::error(codes::DIALECT, span, message);
            let known = all.iter().map(|weights| weights.name.text.as_str()).collect();
            let fault = this.with_near(error, wanted, known, "its dialects are");
            this.report_fault(fault);
        }
        found
    }

    /// The dialect and those it is like, nearest first. Circles are reported with the names.
    fn chain(&self, dialect: Option<&'a Weights>) -> Vec<&'a Weights> {
        let mut chain: Vec<&Weights> = dialect.into_iter().collect();
        while let Some(like) = chain.last().and_then(|weights| weights.like.as_ref()) {
            let next = self.network.weights.iter().find(|weights| weights.name.text == like.text);
            match next {
                Some(next) if !chain.iter().any(|seen| std::ptr::eq(*seen, next)) => {
                    chain.push(next)
                }
                _ => break,
            }
        }
        chain
    }

    /// Settings that the dialect sets; its own win over those of the dialect it is like.
    fn settings(&self, this: &mut Expander<'a>, chain: &[&'a Weights]) {
        for weights in chain.iter().rev() {
            for set in &weights.sets {
                let name = set.name.text.as_str();
                if !this.has_setting(name) {
                    let message = format!("no setting `{name}` is declared");
                    let error = Diagnostic::error(codes::SET, set.name.span, message);
                    let error = match this.near_setting(name) {
                        Some(near) => error.help(format!("did you mean `{near}`?")),
                        None => error.help(format!("declare it: `setting {name} = ...`")),
                    };
                    this.report(error);
                    continue;
                }
                let mut scope = Scope::network(set.name.span.file as usize);
                let value = this.eval(&set.value, &mut scope);
                let value = this.settle(value);
                this.dialect_settings.insert(name.to_string(), value);
            }
        }
        // What was evaluated before the dialect spoke is evaluated again.
        this.settings.clear();
        this.operators.clear();
        this.globals.clear();
    }

    fn input(&self, this: &mut Expander<'a>) -> Option<(NodeId, [usize; 4])> {
        let span = self.network.name.span;
        let resolution =
            this.parameter_named("resolution").as_size2("`resolution`", 1, span).ok()?;
        let channels = this.parameter_named("channels").as_count("`channels`", span).ok()?;
        this.batch = self.request.batch.max(1);
        let shape = [this.batch, resolution[0], resolution[1], channels];
        match this.input("input", shape.to_vec(), span) {
            Ok(id) => Some((id, shape)),
            Err(fault) => {
                this.report_fault(fault);
                None
            }
        }
    }

    /// The tables of the variant, or the lines of a network without tables.
    fn rows(
        &self,
        this: &mut Expander<'a>,
        variant: Option<&Variant<'a>>,
        x: NodeId,
    ) -> Option<NodeId> {
        let network = self.network;
        if network.tables.is_empty() {
            return self.lines(this, x);
        }
        let name = variant.map(|variant| variant.name.as_str());
        let mut tables = Vec::new();
        for table in &network.tables {
            let own = table.variants.is_empty()
                || table.variants.iter().any(|known| Some(known.text.as_str()) == name);
            if own {
                tables.push((table, this.table_is_at_defaults(table, variant, &self.request.sets)));
            }
        }
        if tables.is_empty() {
            let message = format!("there is no table for variant `{}`", name.unwrap_or("-"));
            let span = variant.map_or(network.name.span, |variant| variant.row.span);
            this.report(Diagnostic::error(codes::NO_TABLE, span, message));
            return None;
        }
        this.run_tables(&tables, name, x)
    }

    fn lines(&self, this: &mut Expander<'a>, x: NodeId) -> Option<NodeId> {
        let network = self.network;
        this.at_defaults = self.request.sets.is_empty();
        if network.body.is_empty() {
            if !self.spec.has_errors() {
                let message = "the network has neither a table nor lines";
                this.report(Diagnostic::error(codes::NO_TABLE, network.name.span, message));
            }
            return None;
        }
        let mut scope = Scope::network(0);
        scope.set("x", Value::Tensor(x));
        this.layer_depth = 0;
        let lines = this.lines(&network.body, &mut scope);
        for (label, present) in &lines.labels {
            if let (true, Some(Value::Tensor(id))) = (present, scope.local(label)) {
                this.graph.features.push((label.clone(), *id));
            }
        }
        match lines.result {
            Some(value) => {
                let tensor = this.tensor(&value, "the network's result", network.name.span);
                tensor.map_err(|fault| this.report_fault(fault)).ok()
            }
            None => None,
        }
    }

    /// What is wrong with a dialect though there is no network to name. Without the files that a `use`
    /// asks for nobody knows which labels there are.
    fn names_in_text(&self, this: &mut Expander<'a>, dialect: Option<&'a Weights>) {
        let Some(dialect) = dialect else { return };
        if self.spec.diagnostics.iter().any(|found| found.code == codes::USE) {
            return;
        }
        let blocks = self.spec.block_ids().map(|id| self.spec.block(id).1);
        let file = self.network.name.span.file;
        let known = names::Known::of(self.network, blocks)
            .with_words(self.spec.sources.text(file), self.network);
        let errors = names::check_text(dialect, &self.network.weights, &known);
        errors.into_iter().for_each(|error| this.report(error));
    }

    /// Gives parameters their paths by the labels, and their sources by the dialect.
    fn names(&self, this: &mut Expander<'a>, tree: &Instance, dialect: Option<&'a Weights>) {
        let blocks = self.spec.block_ids().map(|id| self.spec.block(id).1);
        let known = names::Known::of(self.network, blocks);
        let mut values: BTreeMap<String, Value> = this.parameters.iter().cloned().collect();
        let settings: Vec<String> = self
            .network
            .settings
            .iter()
            .chain(self.spec.files.iter().flat_map(|file| &file.settings))
            .map(|setting| setting.name.text.clone())
            .collect();
        for name in settings {
            if let Ok(Some(value)) = this.setting(&name) {
                values.entry(name).or_insert(value);
            }
        }
        let lookup = |name: &str| values.get(name).cloned();
        let resolve = |graph: &Graph, dialect| {
            names::resolve(&names::Request {
                tree,
                params: &graph.params,
                dialect,
                all: &self.network.weights,
                known: &known,
                lookup: &lookup,
            })
        };
        match resolve(&this.graph, None) {
            Ok(sources) => {
                for (param, source) in this.graph.params.iter_mut().zip(sources) {
                    if let Some(name) = source_name(&source) {
                        param.path = name.to_string();
                    }
                    param.source = source;
                }
            }
            Err(errors) => errors.into_iter().for_each(|error| this.report(error)),
        }
        for node in &mut this.graph.nodes {
            if let Op::Param(index) = node.op {
                node.name = this.graph.params[index].path.clone();
            }
        }
        if dialect.is_none() {
            return;
        }
        match resolve(&this.graph, dialect) {
            Ok(sources) => {
                for (param, source) in this.graph.params.iter_mut().zip(sources) {
                    param.source = source;
                }
            }
            Err(errors) => errors.into_iter().for_each(|error| this.report(error)),
        }
    }

    fn carried(&self, variant: Option<&Variant<'a>>) -> Vec<(String, String)> {
        let names = self.network.carried.iter();
        names
            .filter_map(|name| {
                let cell = variant?.cell(&name.text)?;
                Some((name.text.clone(), cell_text(cell)))
            })
            .collect()
    }
}

/// The tensor of a source by the labels.
fn source_name(source: &Source) -> Option<&str> {
    match source {
        Source::Tensor { name, .. } => Some(name),
        Source::Resample { of, .. } | Source::Rows { of, .. } => source_name(of),
        Source::Concat { parts, .. } => parts.iter().find_map(source_name),
        Source::Zeros { .. } => None,
    }
}

fn drops(chain: &[&Weights]) -> Vec<String> {
    let mut drops: Vec<String> = Vec::new();
    for drop in chain.iter().flat_map(|weights| &weights.drops) {
        if !drops.contains(&drop.text) {
            drops.push(drop.text.clone());
        }
    }
    drops
}
