//! Blocks: their lines, their labels and their place in the tree.

use super::bind::Bound;
use super::codes;
use super::expander::{Eval, Expander, Fault};
use super::layers::Layer;
use super::limits::MAX_CALLS;
use super::scope::Scope;
use crate::instance::{Instance, Kind};
use crate::spec::BlockId;
use crate::value::Value;
use netwright_grammar::ast::{Block, Expr, ExprKind, Name, Statement};
use netwright_grammar::{Diagnostic, Span};

/// What the lines of a block or of a network left behind.
pub(crate) struct Lines {
    /// The value of the last line.
    pub result: Option<Value>,
    /// Every label, and whether its line is present.
    pub labels: Vec<(String, bool)>,
}

impl<'a> Expander<'a> {
    /// Expands a block, its arguments bound.
    pub fn run_block(&mut self, id: BlockId, slots: Vec<Option<Bound>>, span: Span) -> Eval<Value> {
        let spec: &'a crate::spec::Spec = self.spec;
        let (file, block) = spec.block(id);
        if self.recursive.contains(&id) {
            return Err(Fault::Known);
        }
        if self.calls.contains(&id) {
            let message = format!("block `{}` is used inside itself", block.name.text);
            return Err(Diagnostic::error(codes::RECURSION, span, message)
                .help("blocks cannot be recursive; `repeat` does a thing several times")
                .into());
        }
        if self.calls.len() >= MAX_CALLS {
            let message = format!("blocks are nested more than {MAX_CALLS} deep");
            return Err(Diagnostic::error(codes::TOO_DEEP, span, message).into());
        }
        self.findings.visit(id, self.row);
        self.calls.push(id);
        let (result, children) = self.inside(|this| this.block_body(file, block, slots));
        self.calls.pop();
        let (value, args, labels) = result?;
        let name = block.name.text.clone();
        self.attach(Instance {
            label: name.clone(),
            kind: Kind::Block { name, args, labels },
            children,
            span,
        });
        match value {
            Value::Poison => Err(Fault::Known),
            value => Ok(value),
        }
    }

    #[allow(clippy::type_complexity)]
    fn block_body(
        &mut self,
        file: usize,
        block: &'a Block,
        slots: Vec<Option<Bound>>,
    ) -> Eval<(Value, Vec<(String, Value)>, Vec<(String, bool)>)> {
        let mut scope = Scope::block(file);
        for (parameter, slot) in block.params.iter().zip(slots) {
            let value = match (slot, &parameter.default) {
                (Some(bound), _) => bound.value,
                (None, Some(default)) => {
                    let value = self.eval(default, &mut scope);
                    self.settle(value)
                }
                (None, None) => Value::Absent,
            };
            scope.set(&parameter.name.text, value);
        }
        let args = scope.locals.clone();
        let lines = self.lines(&block.body, &mut scope);
        let result = lines.result.ok_or_else(|| {
            let message = format!("block `{}` has no line, so no result", block.name.text);
            Diagnostic::error(codes::RESULTS, block.name.span, message)
        })?;
        Ok((result, args, lines.labels))
    }

    /// Runs lines one after the other. A line that goes wrong poisons its labels, and the lines
    /// that do not need them go on. A `require` that does not hold ends them: what follows relies
    /// on it.
    pub fn lines(&mut self, body: &'a [Statement], scope: &mut Scope) -> Lines {
        let mut lines = Lines { result: None, labels: Vec::new() };
        for statement in body {
            match statement {
                Statement::Let { labels, value, when, otherwise, span } => {
                    let line = Line { labels, value, when, otherwise, span: *span };
                    let present = self.line(line, scope, &mut lines.result);
                    lines.labels.extend(labels.iter().map(|label| (label.text.clone(), present)));
                }
                Statement::Param { name, dims, .. } => {
                    let value = self.free_parameter(name, dims, scope);
                    let value = self.settle(value);
                    scope.set(&name.text, value);
                    lines.labels.push((name.text.clone(), true));
                }
                Statement::Require { condition, message, span } => {
                    if let Err(fault) = self.require(condition, message.as_ref(), *span, scope) {
                        self.report_fault(fault);
                        lines.result = Some(Value::Poison);
                        return lines;
                    }
                }
            }
        }
        lines
    }

    fn require(
        &mut self,
        condition: &Expr,
        message: Option<&Expr>,
        span: Span,
        scope: &mut Scope,
    ) -> Eval<()> {
        if self.condition(condition, scope)? {
            return Ok(());
        }
        let said = match message {
            Some(message) => self.eval(message, scope)?.as_text("the message", message.span)?,
            None => format!("`{}` does not hold", self.text(condition.span)).into(),
        };
        Err(Diagnostic::error(codes::REQUIRE, span, said.to_string()).into())
    }

    /// Runs one line; says whether it is present.
    fn line(&mut self, line: Line<'a>, scope: &mut Scope, last: &mut Option<Value>) -> bool {
        let holds = match line.when {
            Some(when) => {
                let holds = self.condition(when, scope);
                holds.map_err(|fault| self.report_fault(fault)).ok()
            }
            None => Some(true),
        };
        let Some(present) = holds else {
            self.bind(line.labels, Value::Poison, line.span, scope);
            *last = Some(Value::Poison);
            return false;
        };
        let label = line.labels[0].text.as_str();
        let (nodes, params) = (self.graph.nodes.len(), self.graph.params.len());
        let place = self.layers.len();
        self.layer_depth += 1;
        let (value, children) = self.inside(|this| {
            this.labelled(label, |this| {
                let value = match (present, line.otherwise) {
                    (true, _) => this.eval(line.value, scope),
                    (false, Some(otherwise)) => this.eval(otherwise, scope),
                    (false, None) => this.first_operand(line.value, scope),
                };
                this.settle(value)
            })
        });
        self.layer_depth -= 1;
        let made = self.graph.nodes.len() > nodes;
        if made {
            let output = match &value {
                Value::Tensor(id) => Some(self.shape(*id).to_vec()),
                _ => None,
            };
            let shown = if present { Some(line.value) } else { line.otherwise.as_ref() };
            let layer = Layer {
                path: self.labelled(label, |this| this.prefix.clone()),
                depth: self.layer_depth,
                operator: shown.map(|expr| self.text(expr.span).to_string()).unwrap_or_default(),
                span: line.span,
                nodes: nodes..self.graph.nodes.len(),
                params: params..self.graph.params.len(),
                output,
            };
            self.layers.insert(place, layer);
        }
        if present || !children.is_empty() {
            let label = label.to_string();
            self.attach(Instance { label, kind: Kind::Line, children, span: line.span });
        }
        let fits = self.bind(line.labels, value.clone(), line.span, scope);
        *last = Some(if fits { value } else { Value::Poison });
        present
    }

    /// Gives labels their values: one the whole, several one part each. Says whether there is a part
    /// for each.
    fn bind(&mut self, labels: &[Name], value: Value, span: Span, scope: &mut Scope) -> bool {
        let mut fits = true;
        let parts = match (labels, value) {
            ([_], value) => vec![value],
            (_, Value::List(items)) if items.len() == labels.len() => items.to_vec(),
            (_, Value::Poison) => vec![Value::Poison; labels.len()],
            (_, other) => {
                let got = match &other {
                    Value::List(items) => format!("{} results", items.len()),
                    _ => "one result".to_string(),
                };
                let message = format!("{} labels for {got}", labels.len());
                let error = Diagnostic::error(codes::RESULTS, span, message);
                self.report(error.help("`split` gives several results"));
                fits = false;
                vec![Value::Poison; labels.len()]
            }
        };
        for (label, value) in labels.iter().zip(parts) {
            if let Value::Tensor(id) = value {
                let path = self.labelled(&label.text, |this| this.prefix.clone());
                self.name(path, id);
            }
            scope.set(&label.text, value);
        }
        fits
    }

    /// What a line stands for whose condition does not hold: the leftmost value in it.
    fn first_operand(&mut self, expr: &'a Expr, scope: &mut Scope) -> Eval<Value> {
        let mut expr = expr;
        loop {
            expr = match &expr.kind {
                ExprKind::Pipe(first, _) => first,
                ExprKind::Binary(_, first, _) => first,
                ExprKind::Unary(_, operand) => operand,
                ExprKind::Call(_, arguments) if !arguments.is_empty() => &arguments[0].value,
                ExprKind::Param(..) | ExprKind::Grid(..) => {
                    let message = "this line begins with a parameter, which does not exist when \
                                   its condition fails";
                    return Err(Diagnostic::error(codes::NO_TENSOR, expr.span, message)
                        .help("say what it stands for then: `when ... else x`")
                        .into());
                }
                _ => return self.eval(expr, scope),
            };
        }
    }

    /// `param name[dims]`.
    pub fn free_parameter(&mut self, name: &Name, dims: &[Expr], scope: &mut Scope) -> Eval<Value> {
        let what = format!("a length of `{}`", name.text);
        let mut shape = Vec::with_capacity(dims.len());
        let mut fault = None;
        for dim in dims {
            let length =
                self.eval(dim, scope).and_then(|value| Ok(value.as_count(&what, dim.span)?));
            match length {
                Ok(length) => shape.push(length),
                Err(error) => {
                    self.report_fault(error);
                    fault = Some(Fault::Known);
                }
            }
        }
        match fault {
            Some(fault) => Err(fault),
            None => self.parameter(&name.text, shape, true, name.span).map(Value::Tensor),
        }
    }
}

struct Line<'a> {
    labels: &'a [Name],
    value: &'a Expr,
    when: &'a Option<Expr>,
    otherwise: &'a Option<Expr>,
    span: Span,
}
