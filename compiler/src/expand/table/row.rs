//! One row: its cells are evaluated for each instance, bound to its operators, and run.

use super::operator_cell::Part;
use super::roles::{Column, Role};
use crate::expand::bind::{Binder, Bound};
use crate::expand::call::{Argued, earlier};
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander, Fault};
use crate::expand::findings::RowPlace;
use crate::expand::layers::Layer;
use crate::expand::limits::MAX_REPEATS;
use crate::expand::scope::{Record, Scope};
use crate::expand::signature::Signature;
use crate::instance::{Instance, Kind};
use crate::value::Value;
use netwright_grammar::ast::{Cell, Row};
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::NodeId;
use std::rc::Rc;

/// Counters of the rows so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Position {
    /// Stages before this one that hold unlabelled rows with parameters.
    pub stage: usize,
    /// Such instances in this stage.
    pub index: usize,
    /// Such instances in all.
    pub flat: usize,
    /// All instances.
    pub all: usize,
    /// The value after the last such instance of this stage.
    pub end: Option<NodeId>,
}

/// A row, read but not run.
pub(crate) struct Plan<'a> {
    pub row: &'a Row,
    pub columns: Rc<Vec<Column>>,
    pub parts: Vec<Part>,
    pub place: RowPlace,
    /// Printed cells of the row before.
    pub prev: Rc<Record>,
}

/// Values that a trial puts in place of columns and holes.
pub(crate) type Overrides<'o> = &'o [(&'o str, Value)];

impl<'a> Plan<'a> {
    /// The column of a role, with its cell.
    pub fn cell(&self, role: Role) -> Option<(&Column, &'a Cell)> {
        let at = self.columns.iter().position(|column| column.role == role)?;
        Some((&self.columns[at], self.row.cells.get(at)?))
    }

    fn scope(&self, x: Option<NodeId>, position: &Position) -> Scope {
        let mut scope = Scope::network(0);
        scope.set("x", x.map_or(Value::Poison, Value::Tensor));
        scope.set("stage", Value::from(position.stage));
        scope.set("n", Value::from(position.flat));
        scope.records.push(("prev", self.prev.clone()));
        scope
    }
}

impl<'a> Expander<'a> {
    /// A cell's own value, no rule applied.
    pub fn printed(&mut self, cell: &Cell, scope: &mut Scope) -> Eval<Value> {
        match &cell.value {
            Ok(Some(expr)) => self.eval(expr, scope),
            Ok(None) => Ok(Value::Absent),
            Err(diagnostic) => Err(Fault::New(diagnostic.clone())),
        }
    }

    /// The printed cells of a row, by every name of their columns. Cells that cannot be read are
    /// poison here; whoever uses them reports it.
    pub fn record(
        &mut self,
        plan: &Plan<'a>,
        x: Option<NodeId>,
        position: &Position,
    ) -> Rc<Record> {
        let mut scope = plan.scope(x, position);
        scope.set("i", Value::from(0usize));
        scope.set("last", Value::Bool(false));
        let mut record = Record::new();
        let columns = plan.columns.clone();
        for (column, cell) in columns.iter().zip(&plan.row.cells) {
            let value = match column.role {
                Role::Operator | Role::Other | Role::Stage => Value::text(&cell.text),
                _ => match &cell.value {
                    Ok(Some(expr)) => {
                        let mark = self.findings.mark();
                        let value = self.eval(expr, &mut scope);
                        self.findings.forget(mark);
                        value.unwrap_or(Value::Poison)
                    }
                    Ok(None) => Value::Absent,
                    Err(_) => Value::Poison,
                },
            };
            record.extend(column.names.iter().map(|name| (name.clone(), value.clone())));
        }
        Rc::new(record)
    }

    /// Whether the row is there at all.
    pub fn row_holds(
        &mut self,
        plan: &Plan<'a>,
        x: Option<NodeId>,
        position: &Position,
    ) -> Eval<bool> {
        let Some(when) = &plan.row.when else { return Ok(true) };
        let mut scope = plan.scope(x, position);
        self.condition(when, &mut scope)
    }

    /// How often the row is repeated.
    fn rounds(
        &mut self,
        plan: &Plan<'a>,
        x: NodeId,
        position: &Position,
        record: &Rc<Record>,
    ) -> Eval<usize> {
        let whole = |value: &Value, span: Span| match value {
            Value::Absent => Ok(1),
            value => value.as_index("a repeat count", span).map_err(|mut error| {
                if error.code != crate::value::SILENT {
                    error.code = codes::REPEAT;
                }
                error
            }),
        };
        let mut count = 1;
        let mut place = plan.place.span;
        for part in &plan.parts {
            if let Some((_, value, span)) = part.holes.iter().find(|(name, ..)| name == "n") {
                count = whole(value, *span)?;
                place = *span;
            }
        }
        if let Some((column, cell)) = plan.cell(Role::Repeat)
            && !self.taken_by_parameter(plan, column)
        {
            let mut scope = plan.scope(Some(x), position);
            scope.set("i", Value::from(0usize));
            scope.records.push(("row", record.clone()));
            let value = self.column_value(column, cell, &mut scope)?;
            if !value.is_absent() {
                count = whole(&value, cell.span)?;
                place = cell.span;
            }
        }
        if count > MAX_REPEATS {
            let message = format!("{count} repeats are more than {MAX_REPEATS}");
            return Err(Diagnostic::error(codes::TOO_MANY_REPEATS, place, message).into());
        }
        Ok(count)
    }

    /// Whether a repeat column is really a parameter of an operator (MobileViT's `L`).
    fn taken_by_parameter(&self, plan: &Plan<'a>, column: &Column) -> bool {
        plan.parts.iter().any(|part| {
            self.signature(&part.callee).is_ok_and(|signature| {
                let own = column.heading.text.as_str();
                signature.find(own).is_some_and(|at| at > 0)
            })
        })
    }

    /// A cell's value after the column's rule.
    fn column_value(&mut self, column: &Column, cell: &Cell, scope: &mut Scope) -> Eval<Value> {
        let printed = self.printed(cell, scope)?;
        if printed.is_absent() || cell.exempt {
            return Ok(printed);
        }
        let network = self.network;
        let Some(rule) = network.columns.iter().find(|rule| column.is_called(&rule.name.text))
        else {
            return Ok(printed);
        };
        let depth = scope.locals.len();
        scope.set(&rule.name.text, printed);
        let value = self.eval(&rule.value, scope);
        scope.locals.truncate(depth);
        value
    }

    /// Runs all instances of a row; gives the value after the last.
    pub fn run_row(
        &mut self,
        plan: &Plan<'a>,
        x: NodeId,
        position: &mut Position,
        overrides: Overrides<'_>,
    ) -> Eval<NodeId> {
        self.row = Some(plan.place);
        let result = self.row_instances(plan, x, position, overrides);
        let result = result.map_err(|fault| {
            self.report_fault(fault);
            Fault::Known
        });
        self.row = None;
        result
    }

    fn row_instances(
        &mut self,
        plan: &Plan<'a>,
        mut x: NodeId,
        position: &mut Position,
        overrides: Overrides<'_>,
    ) -> Eval<NodeId> {
        let record = self.record(plan, Some(x), position);
        let rounds = self.rounds(plan, x, position, &record)?;
        let mut used = Used { columns: vec![false; plan.columns.len()] };
        for round in 0..rounds {
            let mut scope = plan.scope(Some(x), position);
            scope.set("i", Value::from(round));
            scope.set("last", Value::Bool(round + 1 == rounds));
            let record =
                if round == 0 { record.clone() } else { self.record(plan, Some(x), position) };
            scope.records.push(("row", record));
            let values = self.instance_values(plan, &mut scope, overrides);
            let instance = Round { plan, values: &values, round, rounds, overrides };
            for part in &plan.parts {
                x = self.run_part(&instance, part, x, &mut scope, position, &mut used)?;
            }
            if round == 0 {
                self.check_unused(plan, &values, &used);
            }
        }
        if rounds == 0 {
            let values = vec![None; plan.columns.len()];
            used.columns.fill(true);
            self.check_unused(plan, &values, &used);
        }
        Ok(x)
    }

    /// The values of all columns that can bind; `None` for the others.
    fn instance_values(
        &mut self,
        plan: &Plan<'a>,
        scope: &mut Scope,
        overrides: Overrides<'_>,
    ) -> Vec<Option<Value>> {
        let columns = plan.columns.clone();
        columns
            .iter()
            .zip(&plan.row.cells)
            .map(|(column, cell)| match column.role {
                Role::Parameter | Role::Stride | Role::Repeat => {
                    if let Some((_, value)) =
                        overrides.iter().find(|(name, _)| *name == column.name)
                    {
                        return Some(value.clone());
                    }
                    let value = self.column_value(column, cell, scope);
                    Some(self.settle(value))
                }
                _ => None,
            })
            .collect()
    }

    /// A cell that no operator took must be absent.
    fn check_unused(&mut self, plan: &Plan<'a>, values: &[Option<Value>], used: &Used) {
        for ((column, value), (cell, taken)) in
            plan.columns.iter().zip(values).zip(plan.row.cells.iter().zip(&used.columns))
        {
            let Some(value) = value else { continue };
            let harmless = match (column.role, value) {
                (_, Value::Absent | Value::Poison) => true,
                (Role::Stride, Value::Number(stride)) => *stride == 1.0,
                (Role::Repeat, _) => true,
                _ => false,
            };
            if *taken || harmless {
                continue;
            }
            let names: Vec<String> = plan
                .parts
                .iter()
                .filter_map(|part| self.signature(&part.callee).ok())
                .map(|signature| signature.takes())
                .collect();
            let message =
                format!("no operator of this row takes `{}`, so its cell must be `-`", column.name);
            let error = Diagnostic::error(codes::CELL_UNUSED, cell.span, message)
                .label(format!("column `{}`", column.heading.text))
                .help(names.join("; "));
            self.report(error);
        }
    }

    fn run_part(
        &mut self,
        round: &Round<'_, 'a>,
        part: &Part,
        x: NodeId,
        scope: &mut Scope,
        position: &mut Position,
        used: &mut Used,
    ) -> Eval<NodeId> {
        let signature = self.signature(&part.callee)?;
        let binder = self.bind_part(round, part, signature, x, scope, used)?;
        let several = round.rounds > 1;
        let path = match (&part.label, several) {
            (Some(label), false) => label.clone(),
            (Some(label), true) => format!("{label}.{}", round.round),
            (None, _) => format!("blocks.{}.{}", position.stage, position.index),
        };
        let (nodes, params) = (self.graph.nodes.len(), self.graph.params.len());
        let place = self.layers.len();
        self.layer_depth += 1;
        let (result, children) = self.inside(|this| {
            this.labelled(&path, |this| this.run(&part.callee.target, binder, part.span))
        });
        self.layer_depth -= 1;
        let parameterised = self.graph.params.len() > params;
        let path = if part.label.is_none() && !parameterised {
            let own = format!("{}_{}", signature.name(), position.all);
            self.rename(nodes, place, &path, &own);
            own
        } else {
            path
        };
        let unlabelled = part.label.is_none() && parameterised;
        self.attach(Instance {
            label: part.label.clone().unwrap_or_default(),
            kind: Kind::Row {
                stage: position.stage,
                index: if part.label.is_some() { round.round } else { position.index },
                flat: position.flat,
                all: position.all,
            },
            children,
            span: part.span,
        });
        position.all += 1;
        if unlabelled {
            position.index += 1;
            position.flat += 1;
        }
        let value = result?;
        let id = self.tensor(&value, "the row's result", part.span)?;
        let layer = Layer {
            path: path.clone(),
            depth: 0,
            operator: self.text(part.span).to_string(),
            span: part.span,
            nodes: nodes..self.graph.nodes.len(),
            params: params..self.graph.params.len(),
            output: Some(self.shape(id).to_vec()),
        };
        self.layers.insert(place, layer);
        self.name(path, id);
        if let Some(label) = &part.label {
            self.name(label.clone(), id);
        }
        if unlabelled {
            position.end = Some(id);
        }
        Ok(id)
    }

    /// Gives what a row without parameters made a path of its own.
    fn rename(&mut self, nodes: usize, layers: usize, from: &str, to: &str) {
        let renamed = |name: &str| {
            let rest = name.strip_prefix(from)?;
            (rest.is_empty() || rest.starts_with('.')).then(|| format!("{to}{rest}"))
        };
        for node in &mut self.graph.nodes[nodes..] {
            if let Some(name) = renamed(&node.name) {
                node.name = name;
            }
        }
        for layer in &mut self.layers[layers..] {
            if let Some(path) = renamed(&layer.path) {
                layer.path = path;
            }
        }
    }

    /// Binds in the order of the language: the operator's own arguments, columns by name, holes of
    /// the pattern, the cell's arguments.
    fn bind_part(
        &mut self,
        round: &Round<'_, 'a>,
        part: &Part,
        signature: Signature<'a>,
        x: NodeId,
        scope: &mut Scope,
        used: &mut Used,
    ) -> Eval<Binder<'a>> {
        let mut binder = Binder::new(signature);
        if signature.len() == 0 {
            let message = format!("`{}` is no operator for a row", signature.name());
            return Err(Diagnostic::error(codes::NOT_CALLABLE, part.span, message).into());
        }
        binder.slots[0] = Some(Bound { value: Value::Tensor(x), span: part.span });
        let mut wrong = binder.all(earlier(&part.callee));
        let first = round.round == 0;
        let mut absent: Vec<&str> = Vec::new();
        for (at, column) in round.plan.columns.iter().enumerate() {
            let Some(value) = round.values.get(at).cloned().flatten() else { continue };
            let Some(name) = parameter_of(column, &signature) else { continue };
            if binder.is_bound(name) {
                continue;
            }
            used.columns[at] = true;
            let span = round.plan.row.cells[at].span;
            if value.is_absent() {
                absent.push(name);
                continue;
            }
            let Some(value) = once(column.role == Role::Stride, first, value, &signature, name)
            else {
                continue;
            };
            wrong.extend(binder.named(name, span, Bound { value, span }).err());
        }
        self.computed_columns(round.plan, &mut binder, scope);
        for (name, value, span) in &part.holes {
            let (stride, span) = (name == "s", *span);
            let value = round.overridden(name).unwrap_or_else(|| value.clone());
            let parameter = if stride {
                stride_of(&signature)
            } else {
                signature.find(name).map(|_| name.as_str())
            };
            match parameter {
                Some(parameter) => {
                    let Some(value) = once(stride, first, value, &signature, parameter) else {
                        continue;
                    };
                    wrong.extend(binder.named(parameter, span, Bound { value, span }).err());
                }
                None if name == "n" => {}
                None if stride && value.same(&Value::Number(1.0)) => {}
                None if stride => {
                    let message = format!("`{}` takes no stride, this must be 1", signature.name());
                    wrong.push(Diagnostic::error(codes::CELL_UNUSED, span, message));
                }
                // Reported by the check of the pattern.
                None => return Err(Fault::Known),
            }
        }
        let given = self.eval_arguments(&part.arguments, signature, scope);
        wrong.extend(binder.all(given.into_iter().map(|Argued { given, .. }| given).collect()));
        // `-` is a value for a block's parameter; a primitive says that it lacks its argument.
        for name in absent.into_iter().filter(|_| matches!(signature, Signature::Block(_))) {
            let free = signature.find(name).filter(|&at| signature.required(at));
            if let Some(at) = free
                && binder.slots[at].is_none()
            {
                binder.slots[at] = Some(Bound { value: Value::Absent, span: part.span });
            }
        }
        if wrong.is_empty() {
            return Ok(binder);
        }
        for diagnostic in wrong {
            self.report(diagnostic);
        }
        Err(Fault::Known)
    }

    /// Column rules without a column: they bind wherever an operator has the parameter.
    fn computed_columns(&mut self, plan: &Plan<'a>, binder: &mut Binder<'a>, scope: &mut Scope) {
        let network = self.network;
        for rule in &network.columns {
            let name = rule.name.text.as_str();
            if plan.columns.iter().any(|column| column.is_called(name)) {
                continue;
            }
            let Some(at) = binder.signature.find(name).filter(|at| *at > 0) else { continue };
            if binder.slots[at].is_none() {
                let value = self.eval(&rule.value, scope);
                let value = self.settle(value);
                binder.slots[at] = Some(Bound { value, span: rule.name.span });
            }
        }
    }
}

/// The parameter that a column binds.
fn parameter_of<'s>(column: &'s Column, signature: &Signature<'s>) -> Option<&'s str> {
    let has = |name: &&str| signature.find(name).is_some_and(|at| at > 0);
    match column.role {
        Role::Parameter => Some(column.name.as_str()).filter(has),
        Role::Stride => stride_of(signature),
        Role::Repeat => Some(column.heading.text.as_str()).filter(has),
        _ => None,
    }
}

/// The stride parameter of a callee: `s` of blocks, `stride` of primitives.
fn stride_of(signature: &Signature<'_>) -> Option<&'static str> {
    ["s", "stride"].into_iter().find(|name| signature.find(name).is_some_and(|at| at > 0))
}

/// A stride holds for the first repeat only; the others have the parameter's default, or 1.
fn once(
    stride: bool,
    first: bool,
    value: Value,
    signature: &Signature<'_>,
    name: &str,
) -> Option<Value> {
    if !stride || first {
        return Some(value);
    }
    let required = signature.find(name).is_some_and(|at| signature.required(at));
    required.then_some(Value::Number(1.0))
}

/// Which columns some operator of the row took.
struct Used {
    columns: Vec<bool>,
}

/// One instance of a row.
struct Round<'r, 'a> {
    plan: &'r Plan<'a>,
    values: &'r [Option<Value>],
    round: usize,
    rounds: usize,
    overrides: Overrides<'r>,
}

impl Round<'_, '_> {
    fn overridden(&self, name: &str) -> Option<Value> {
        self.overrides.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone())
    }
}
