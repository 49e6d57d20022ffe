//! Tables: rows one after the other, with their stages, their checked columns, and recovery after a
//! mistake so that later rows are still checked.

mod cure;
mod operator_cell;
mod pattern;
pub(crate) mod roles;
mod row;
mod shape_cell;

use super::codes;
use super::expander::{Eval, Expander, Fault};
use super::findings::RowPlace;
use super::scope::Record;
use crate::value::Value;
use netwright_grammar::ast::{Cell, Row, Table};
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::NodeId;
pub use roles::headings;
use roles::{Column, Role};
use row::{Plan, Position};
use shape_cell::Printed;
use std::collections::BTreeMap;
use std::rc::Rc;

/// What is carried from row to row.
struct Flow<'a> {
    /// The tensor; `None` after a mistake.
    x: Option<NodeId>,
    /// The shape of the last tensor that was known.
    shape: Vec<usize>,
    position: Position,
    /// The row before, with what came into it, for cures.
    before: Option<(Plan<'a>, NodeId, Position)>,
    prev: Rc<Record>,
    stage_cell: Option<String>,
    labels: BTreeMap<String, Span>,
    rows: usize,
    last: Span,
}

/// Whether a row belongs to the variant that is expanded: in a table with a column of operators for
/// each variant, `-` in one of them leaves the row out there.
fn in_variant(columns: &[Column], row: &Row) -> bool {
    let cells = || columns.iter().zip(&row.cells);
    let own = cells().find(|(column, _)| column.role == Role::Operator);
    let has_other = cells().any(|(column, cell)| is_of_other_variant(column) && !is_absent(cell));
    !(has_other && own.is_some_and(|(_, cell)| is_absent(cell)))
}

/// Whether this is the column of operators of another variant.
fn is_of_other_variant(column: &Column) -> bool {
    column.role == Role::Other && roles::role_of(&column.name) == Some(Role::Operator)
}

fn is_absent(cell: &Cell) -> bool {
    matches!(cell.text.as_str(), "" | "-")
}

/// A printed shape and its place.
struct Check<'a> {
    printed: Printed,
    span: Span,
    text: &'a str,
    column: &'a str,
}

impl<'a> Expander<'a> {
    /// Runs tables one after the other; gives the last row's value.
    pub fn run_tables(
        &mut self,
        tables: &[(&'a Table, bool)],
        variant: Option<&str>,
        x: NodeId,
    ) -> Option<NodeId> {
        let mut flow = Flow {
            x: Some(x),
            shape: self.shape(x).to_vec(),
            position: Position::default(),
            before: None,
            prev: Rc::new(Record::new()),
            stage_cell: None,
            labels: BTreeMap::new(),
            rows: 0,
            last: Span::default(),
        };
        for (number, (table, at_defaults)) in tables.iter().enumerate() {
            self.at_defaults = *at_defaults;
            if number > 0 {
                self.end_stage(&mut flow);
            }
            self.run_table(table, variant, &mut flow);
        }
        self.end_stage(&mut flow);
        flow.x
    }

    fn run_table(&mut self, table: &'a Table, variant: Option<&str>, flow: &mut Flow<'a>) {
        let columns = Rc::new(self.columns(table, variant));
        if table.rows.is_empty() {
            let message = "the table has no rows";
            self.report(Diagnostic::error(codes::TABLE, table.span, message));
        }
        flow.last = table.header.last().map_or(table.span, |name| name.span);
        for (at, row) in table.rows.iter().enumerate() {
            let stage = columns.iter().position(|column| column.role == Role::Stage);
            let stage = stage.and_then(|at| row.cells.get(at)).map(|cell| cell.text.clone());
            let stage =
                stage.filter(|text| !matches!(text.as_str(), "" | "-" | "–" | "—" | "None"));
            let new_stage = match (&stage, &flow.stage_cell) {
                (Some(now), Some(before)) => now != before,
                _ => false,
            };
            if stage.is_some() {
                flow.stage_cell = stage;
            }
            if row.starts_stage || new_stage {
                self.end_stage(flow);
            }
            if !in_variant(&columns, row) {
                continue;
            }
            let next = table.rows[at + 1..].iter().find(|row| in_variant(&columns, row));
            self.table_row(&columns, row, next, flow);
            flow.last = row.span;
        }
    }

    fn end_stage(&mut self, flow: &mut Flow<'a>) {
        if let Some(end) = flow.position.end.take() {
            let name = format!("stage{}", flow.position.stage);
            self.graph.features.push((name, end));
            flow.position.stage += 1;
        }
        flow.position.index = 0;
    }

    fn table_row(
        &mut self,
        columns: &Rc<Vec<Column>>,
        row: &'a Row,
        next: Option<&'a Row>,
        flow: &mut Flow<'a>,
    ) {
        let lost = self.spec.diagnostics.iter().any(|diagnostic| {
            let at = diagnostic.span;
            at.file == row.span.file && at.start >= flow.last.end && at.end <= row.span.start
        });
        if let Some(x) = flow.x {
            flow.shape = self.shape(x).to_vec();
        }
        let plan = self.plan(columns, row, flow);
        let plan = match plan {
            Ok(plan) => plan,
            Err(fault) => {
                self.report_fault(fault);
                self.skip_row(columns, row, flow);
                return;
            }
        };
        match self.row_holds(&plan, flow.x, &flow.position) {
            Ok(true) => {}
            Ok(false) => return,
            Err(fault) => {
                self.report_fault(fault);
                self.skip_row(columns, row, flow);
                return;
            }
        }
        let before = self.check_of(columns, row, &[Role::Input, Role::Resolution], true);
        let after = self.check_of(columns, row, &[Role::Output], true);
        if flow.x.is_none() || lost {
            // A row above is broken: the printed shape stands for what it would have made.
            let known = flow.x.map(|x| self.shape(x).to_vec());
            let channels = known.as_ref().and_then(|shape| shape.last().copied());
            if let Some(check) = &before
                && self.at_defaults
                && !known.is_some_and(|shape| check.printed.fits(&shape))
            {
                flow.x = self.stand_in(&check.printed, channels, &flow.shape);
            }
        }
        let Some(x) = flow.x else {
            let position = flow.position.clone();
            flow.prev = self.record(&plan, None, &position);
            flow.before = None;
            flow.x = self.recovered(&plan, after.as_ref(), &flow.shape);
            return;
        };
        let mismatch = before.as_ref().filter(|check| !check.printed.fits(self.shape(x)));
        if let Some(check) = mismatch {
            self.report_mismatch(check, x, flow.before.as_ref(), "has");
        }
        let at_start = flow.position.clone();
        let next_check = match &after {
            Some(_) => None,
            None => next.and_then(|row| {
                self.check_of(columns, row, &[Role::Input, Role::Resolution], false)
            }),
        };
        let expected = after.as_ref().or(next_check.as_ref());
        let start = mismatch.map(|_| self.snapshot());
        let mut result = self.run_row(&plan, x, &mut flow.position, &[]).ok();
        if let (Some(wrong), Some(expected), Some(start)) = (mismatch, expected, start) {
            // Either the printed cell is wrong or a row above is. What the next cell prints decides.
            let agreement = |this: &Self, id: Option<NodeId>| {
                id.map_or(0, |id| expected.printed.agreement(this.shape(id)))
            };
            let own = agreement(self, result);
            let fits = result.is_some_and(|id| expected.printed.fits(self.shape(id)));
            let channels = self.shape(x).last().copied();
            if !fits && let Some(shape) = wrong.printed.shape(self.batch, channels, &flow.shape) {
                self.restore(start);
                let start = self.snapshot();
                let mut position = at_start.clone();
                let other = self.input("printed", shape, wrong.span).ok();
                let other = other.and_then(|x| self.run_row(&plan, x, &mut position, &[]).ok());
                if agreement(self, other) > own {
                    result = other;
                } else {
                    self.restore(start);
                    position = at_start.clone();
                    result = self.run_row(&plan, x, &mut position, &[]).ok();
                }
                flow.position = position;
            }
        }
        if let (Some(check), Some(id), None) = (&after, result, mismatch)
            && !check.printed.fits(self.shape(id))
        {
            self.report_mismatch(check, id, Some(&(plan, x, at_start.clone())), "makes");
            let made = self.shape(id).to_vec();
            flow.x = self.stand_in(&check.printed, made.last().copied(), &made).or(Some(id));
            // The row is gone into the trial above; it is read again for the next one.
            if let Ok(plan) = self.plan(columns, row, flow) {
                flow.prev = self.record(&plan, Some(x), &at_start);
                flow.before = Some((plan, x, at_start));
            }
            return;
        }
        for part in &plan.parts {
            if let (Some(label), Some(id)) = (&part.label, self.named_row(part.label.as_deref())) {
                self.graph.features.push((label.clone(), id));
            }
        }
        flow.prev = self.record(&plan, Some(x), &at_start);
        flow.x = match result {
            Some(id) => Some(id),
            None => self.recovered(&plan, after.as_ref(), &flow.shape),
        };
        flow.before = result.is_some().then_some((plan, x, at_start));
    }

    fn named_row(&self, label: Option<&str>) -> Option<NodeId> {
        self.named.get(label?).copied()
    }

    /// Reads a row: its length, its operators, its labels.
    fn plan(
        &mut self,
        columns: &Rc<Vec<Column>>,
        row: &'a Row,
        flow: &mut Flow<'a>,
    ) -> Eval<Plan<'a>> {
        if row.cells.len() != columns.len() {
            let message =
                format!("the row has {} cells, the header has {}", row.cells.len(), columns.len());
            return Err(Diagnostic::error(codes::ROW_LENGTH, row.span, message)
                .help("an absent cell is written `-`")
                .into());
        }
        let operator = columns.iter().position(|column| column.role == Role::Operator);
        let Some(cell) = operator.and_then(|at| row.cells.get(at)) else {
            return Err(Fault::Known);
        };
        let number = match self.row_number(row) {
            Some(number) => number,
            None => flow.rows,
        };
        flow.rows = flow.rows.max(number + 1);
        let place = RowPlace { number, span: cell.span };
        if is_absent(cell) && columns.iter().any(is_of_other_variant) {
            // One mistake, whichever variants are looked at.
            let message = "the row has no operator in any variant";
            return Err(Diagnostic::error(codes::OPERATOR_CELL, row.span, message).into());
        }
        let parts = self.operator_parts(cell)?;
        for part in &parts {
            let Some(label) = &part.label else { continue };
            match flow.labels.get(label) {
                Some(first) if *first != part.label_span => {
                    let message = format!("another row is labelled `{label}` already");
                    let error = Diagnostic::error(codes::ROW_LABEL, part.label_span, message)
                        .related(*first, "the first")
                        .help("labels name the parameters, so each is used once");
                    self.report(error);
                }
                Some(_) => {}
                None => {
                    flow.labels.insert(label.clone(), part.label_span);
                }
            }
        }
        Ok(Plan { row, columns: columns.clone(), parts, place, prev: flow.prev.clone() })
    }

    /// A row's number is where it stands in the text.
    fn row_number(&self, row: &Row) -> Option<usize> {
        Some(row.span.start as usize)
    }

    /// After a row that cannot be read: what it prints, or nothing.
    fn skip_row(&mut self, columns: &Rc<Vec<Column>>, row: &'a Row, flow: &mut Flow<'a>) {
        let after = self.check_of(columns, row, &[Role::Output], false);
        let channels = flow.x.and_then(|x| self.shape(x).last().copied());
        flow.x = match after {
            Some(check) if self.at_defaults => self.stand_in(&check.printed, channels, &flow.shape),
            _ => None,
        };
        flow.before = None;
        let plan = Plan {
            row,
            columns: columns.clone(),
            parts: Vec::new(),
            place: RowPlace { number: row.span.start as usize, span: row.span },
            prev: flow.prev.clone(),
        };
        if row.cells.len() == columns.len() {
            let position = flow.position.clone();
            flow.prev = self.record(&plan, None, &position);
        }
    }

    /// What a broken row hands on: the shape that it prints.
    fn recovered(
        &mut self,
        plan: &Plan<'a>,
        after: Option<&Check<'_>>,
        last: &[usize],
    ) -> Option<NodeId> {
        let check = after?;
        if !self.at_defaults {
            return None;
        }
        let own = plan.columns.iter().zip(&plan.row.cells).find_map(|(column, cell)| {
            let named = matches!(column.name.as_str(), "c" | "out" | "out_channels");
            match (&cell.value, named) {
                (Ok(Some(expr)), true) => match expr.kind {
                    netwright_grammar::ast::ExprKind::Number(c) if c >= 1.0 => Some(c as usize),
                    _ => None,
                },
                _ => None,
            }
        });
        self.stand_in(&check.printed, own, last)
    }

    /// An input of the printed shape.
    fn stand_in(
        &mut self,
        printed: &Printed,
        channels: Option<usize>,
        last: &[usize],
    ) -> Option<NodeId> {
        let shape = printed.shape(self.batch, channels, last)?;
        self.input("printed", shape, Span::default()).ok()
    }

    /// The printed shape of a row in one of these columns, if it is to be checked.
    fn check_of<'c>(
        &mut self,
        columns: &'c Rc<Vec<Column>>,
        row: &'a Row,
        roles: &[Role],
        report: bool,
    ) -> Option<Check<'c>>
    where
        'a: 'c,
    {
        if !self.at_defaults {
            return None;
        }
        // `input` says more than `resolution`, where a table has both.
        let at = roles.iter().find_map(|role| {
            let at = columns.iter().position(|column| column.role == *role)?;
            row.cells.get(at).filter(|cell| !matches!(cell.value, Ok(None)))?;
            Some(at)
        })?;
        let (column, cell) = (&columns[at], &row.cells[at]);
        let mut scope = self.network_scope();
        let value = self.printed(cell, &mut scope);
        let printed = value.and_then(|value| {
            Ok(match value {
                Value::Absent => None,
                value => Some(Printed::read(&value, column.role, cell.span)?),
            })
        });
        match printed {
            Ok(printed) => printed.map(|printed| Check {
                printed,
                span: cell.span,
                text: &cell.text,
                column: &column.heading.text,
            }),
            Err(fault) => {
                if report {
                    self.report_fault(fault);
                }
                None
            }
        }
    }
}
