//! The state of one expansion: the graph and the tree of instances that grow, and what was found.

use super::codes;
use super::findings::{Findings, RowPlace};
use super::layers::Layer;
use super::limits::MAX_NODES;
use super::primitives::{Axis, Lengths};
use super::scope::Scope;
use crate::instance::{Instance, Kind};
use crate::spec::{BlockId, Spec};
use crate::value::{Value, is_silent};
use netwright_grammar::ast::Network;
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::{Graph, NodeId, Op, Param, Source};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Why an evaluation has no value.
#[derive(Debug)]
pub(crate) enum Fault {
    /// This is wrong, and not reported yet.
    New(Box<Diagnostic>),
    /// Something is wrong, and reported.
    Known,
}

impl From<Diagnostic> for Fault {
    fn from(diagnostic: Diagnostic) -> Fault {
        if is_silent(&diagnostic) { Fault::Known } else { Fault::New(Box::new(diagnostic)) }
    }
}

/// The result of an evaluation.
pub(crate) type Eval<T> = Result<T, Fault>;

/// A declared knob, or an operator, while or after it is evaluated.
#[derive(Clone, Debug)]
pub(crate) enum Lazy {
    Running,
    Done(Value),
}

pub(crate) struct Expander<'a> {
    pub spec: &'a Spec,
    pub network: &'a Network,
    pub graph: Graph,
    /// For each node, whether it depends on the input.
    pub live: Vec<bool>,
    pub findings: Findings,
    /// The containers of the tree that are being filled, outermost first.
    pub open: Vec<Vec<Instance>>,
    /// Where new nodes stand: labels joined by dots.
    pub prefix: String,
    /// The network's parameters.
    pub parameters: Vec<(String, Value)>,
    /// What the dialect sets, by name.
    pub dialect_settings: BTreeMap<String, Value>,
    pub settings: BTreeMap<String, Lazy>,
    pub operators: BTreeMap<(usize, usize), Lazy>,
    /// What names mean that are neither labels nor parameters, by file and kind of scope.
    pub globals: HashMap<(usize, bool), HashMap<String, Option<Value>>>,
    /// Blocks that are being expanded, outermost first.
    pub calls: Vec<BlockId>,
    pub depth: usize,
    pub steps: u64,
    pub grid_steps: u64,
    /// The row that is being expanded.
    pub row: Option<RowPlace>,
    /// Images in a batch.
    pub batch: usize,
    /// Whether shape columns are checked.
    pub at_defaults: bool,
    /// Every labelled tensor, by its path.
    pub named: BTreeMap<String, NodeId>,
    /// For each path that was given, in order, what it meant before: a trial is undone by it.
    named_before: Vec<(String, Option<NodeId>)>,
    pub layers: Vec<Layer>,
    pub layer_depth: usize,
    /// The patterns by which tensors were taken apart, for `view(.., like = y)`.
    pub views: BTreeMap<NodeId, Vec<(Vec<Axis>, Lengths)>>,
    /// Blocks that are known to need themselves, and reported.
    pub recursive: BTreeSet<BlockId>,
}

/// What a trial must put back.
pub(crate) struct Snapshot {
    nodes: usize,
    params: usize,
    /// Length of each open container: a trial adds to them and takes nothing away.
    open: Vec<usize>,
    named: usize,
    findings: super::findings::Mark,
    layers: usize,
    steps: u64,
}

impl<'a> Expander<'a> {
    pub fn new(spec: &'a Spec, network: &'a Network) -> Self {
        Expander {
            spec,
            network,
            graph: Graph::default(),
            live: Vec::new(),
            findings: Findings::default(),
            open: vec![Vec::new()],
            prefix: String::new(),
            parameters: Vec::new(),
            dialect_settings: BTreeMap::new(),
            settings: BTreeMap::new(),
            operators: BTreeMap::new(),
            globals: HashMap::new(),
            calls: Vec::new(),
            depth: 0,
            steps: 0,
            grid_steps: 0,
            row: None,
            batch: 1,
            at_defaults: false,
            named: BTreeMap::new(),
            named_before: Vec::new(),
            layers: Vec::new(),
            layer_depth: 0,
            views: BTreeMap::new(),
            recursive: BTreeSet::new(),
        }
    }

    /// Reports a diagnostic, with the row and the block in which it came up.
    pub fn report(&mut self, diagnostic: Diagnostic) {
        self.findings.add(diagnostic, self.row, self.calls.last().copied());
    }

    /// Reports a fault, unless that was done.
    pub fn report_fault(&mut self, fault: Fault) {
        if let Fault::New(diagnostic) = fault {
            self.report(*diagnostic);
        }
    }

    /// The value, or poison once the fault is reported.
    pub fn settle(&mut self, result: Eval<Value>) -> Value {
        result.unwrap_or_else(|fault| {
            self.report_fault(fault);
            Value::Poison
        })
    }

    /// Appends an operation.
    pub fn push(&mut self, op: Op, inputs: Vec<NodeId>, span: Span) -> Eval<NodeId> {
        self.room(span)?;
        let live = inputs.iter().any(|id| self.live[id.index()]);
        let name = self.prefix.clone();
        let id = self
            .graph
            .push(name, op, inputs)
            .map_err(|error| Diagnostic::error(codes::SHAPE, span, error.message))?;
        self.live.push(live);
        Ok(id)
    }

    /// Appends an input of the graph.
    pub fn input(&mut self, name: &str, shape: Vec<usize>, span: Span) -> Eval<NodeId> {
        let id = self
            .graph
            .input(name, shape)
            .map_err(|error| Diagnostic::error(codes::SHAPE, span, error.message))?;
        self.live.push(true);
        Ok(id)
    }

    /// Appends a parameter, and its place in the tree.
    pub fn parameter(
        &mut self,
        label: &str,
        shape: Vec<usize>,
        trained: bool,
        span: Span,
    ) -> Eval<NodeId> {
        self.room(span)?;
        netwright_ir::elements(&shape)
            .map_err(|error| Diagnostic::error(codes::SHAPE, span, error.message))?;
        let source = Source::Tensor { name: label.to_string(), shape: shape.clone() };
        let param = self.graph.params.len();
        let id = self.graph.param(Param { path: label.to_string(), shape, trained, source });
        self.live.push(false);
        let instance = Instance {
            label: label.to_string(),
            kind: Kind::Tensor { param },
            children: Vec::new(),
            span,
        };
        self.attach(instance);
        Ok(id)
    }

    fn room(&mut self, span: Span) -> Eval<()> {
        if self.graph.nodes.len() < MAX_NODES {
            return Ok(());
        }
        let message = format!("the network has more than {MAX_NODES} operations");
        Err(Diagnostic::error(codes::TOO_MANY_NODES, span, message)
            .help("lower the repeat counts")
            .into())
    }

    /// Adds a node of the tree to the innermost open container, its label made distinct there.
    pub fn attach(&mut self, mut instance: Instance) {
        if let Some(container) = self.open.last_mut() {
            let distinct = matches!(
                instance.kind,
                Kind::Layer { .. } | Kind::Block { .. } | Kind::Tensor { .. }
            );
            let same = |other: &&Instance| {
                other.label == instance.label
                    || other
                        .label
                        .strip_prefix(&instance.label)
                        .and_then(|rest| rest.strip_prefix('_'))
                        .is_some_and(|rest| rest.parse::<usize>().is_ok())
            };
            // Rounds of `repeat` can be thousands and bring labels of their own: they are not counted.
            let count = if distinct { container.iter().filter(same).count() } else { 0 };
            if count > 0 {
                instance.label = format!("{}_{}", instance.label, count + 1);
            }
            container.push(instance);
        }
    }

    /// Runs `f` with a new open container, and gives what `f` put there.
    pub fn inside<T>(&mut self, f: impl FnOnce(&mut Self) -> T) -> (T, Vec<Instance>) {
        self.open.push(Vec::new());
        let result = f(self);
        (result, self.open.pop().unwrap_or_default())
    }

    /// Runs `f` with `label` appended to the prefix.
    pub fn labelled<T>(&mut self, label: &str, f: impl FnOnce(&mut Self) -> T) -> T {
        let length = self.prefix.len();
        if !label.is_empty() {
            if length > 0 {
                self.prefix.push('.');
            }
            self.prefix.push_str(label);
        }
        let result = f(self);
        self.prefix.truncate(length);
        result
    }

    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            nodes: self.graph.nodes.len(),
            params: self.graph.params.len(),
            open: self.open.iter().map(Vec::len).collect(),
            named: self.named_before.len(),
            findings: self.findings.mark(),
            layers: self.layers.len(),
            steps: self.steps,
        }
    }

    /// Forgets everything since the snapshot.
    pub fn restore(&mut self, snapshot: Snapshot) {
        self.graph.nodes.truncate(snapshot.nodes);
        self.graph.params.truncate(snapshot.params);
        self.live.truncate(snapshot.nodes);
        self.open.truncate(snapshot.open.len());
        for (container, length) in self.open.iter_mut().zip(snapshot.open) {
            container.truncate(length);
        }
        for (path, before) in self.named_before.drain(snapshot.named..).rev() {
            match before {
                Some(id) => self.named.insert(path, id),
                None => self.named.remove(&path),
            };
        }
        self.findings.forget(snapshot.findings);
        self.layers.truncate(snapshot.layers);
        self.steps = snapshot.steps;
        let nodes = self.graph.nodes.len();
        if let Some((last, _)) = self.views.last_key_value()
            && last.index() >= nodes
        {
            self.views.retain(|id, _| id.index() < nodes);
        }
    }

    /// Gives a tensor a path, by which outputs find it.
    pub fn name(&mut self, path: String, id: NodeId) {
        let before = self.named.insert(path.clone(), id);
        self.named_before.push((path, before));
    }

    /// The tensor that a value is.
    pub fn tensor(&self, value: &Value, what: &str, span: Span) -> Eval<NodeId> {
        match value {
            Value::Tensor(id) => Ok(*id),
            Value::Poison => Err(Fault::Known),
            Value::Callable(callable) => Err(self.not_applied(callable, what, span).into()),
            other => Err(Diagnostic::error(
                codes::NO_TENSOR,
                span,
                format!("{what} must be a tensor, this is {}", other.kind()),
            )
            .into()),
        }
    }

    pub fn shape(&self, id: NodeId) -> &[usize] {
        self.graph.shape(id)
    }

    /// A scope in which the network's parameters are visible.
    pub fn network_scope(&self) -> Scope {
        Scope::network(0)
    }

    /// The text of a span, for messages and `summary`.
    pub fn text(&self, span: Span) -> &'a str {
        let spec: &'a Spec = self.spec;
        let file = spec.sources.files.get(span.file as usize);
        file.and_then(|(_, text)| text.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }
}
