//! Which operators an example uses, and which of their parameters it sets.

use netwright_compiler::expand::{ArgumentDefault, primitives};
use netwright_grammar::ast::{Argument, Expr, ExprKind, Row, Statement};
use netwright_grammar::{Sources, parse_file};
use std::collections::HashSet;

/// Operators and parameters that occurred.
#[derive(Default)]
pub struct Uses {
    operators: HashSet<String>,
    parameters: HashSet<(String, String)>,
}

impl Uses {
    pub fn of(&self, operator: &str) -> bool {
        self.operators.contains(operator)
    }

    pub fn of_parameter(&self, operator: &str, parameter: &str) -> bool {
        self.parameters.contains(&(operator.to_string(), parameter.to_string()))
    }

    /// Takes in a spec.
    pub fn read(&mut self, text: &str) {
        let mut sources = Sources::default();
        let (file, found) = parse_file(&mut sources, "example.arch", text);
        assert!(found.is_empty(), "{found:?}");
        file.operators.iter().for_each(|operator| self.step(&operator.callee, 0));
        for block in &file.blocks {
            block.params.iter().filter_map(|p| p.default.as_ref()).for_each(|e| self.step(e, 0));
            block.body.iter().for_each(|line| self.line(line));
        }
        for network in &file.networks {
            network.operators.iter().for_each(|operator| self.step(&operator.callee, 0));
            network.columns.iter().for_each(|rule| self.expr(&rule.value));
            network.body.iter().for_each(|line| self.line(line));
            network.tables.iter().flat_map(|table| &table.rows).for_each(|row| self.row(row));
        }
    }

    fn row(&mut self, row: &Row) {
        for cell in &row.cells {
            match &cell.value {
                Ok(Some(value)) => self.step(value, 1),
                // A label, a pattern, several operators in a row: the first words of the parts.
                _ => self.operators.extend(
                    cell.text
                        .split('&')
                        .filter_map(|part| part.rsplit(": ").next())
                        .filter_map(|part| part.trim().split([' ', '(']).next())
                        .map(str::to_string),
                ),
            }
        }
    }

    fn line(&mut self, line: &Statement) {
        match line {
            Statement::Let { value, when, otherwise, .. } => {
                self.expr(value);
                [when, otherwise].into_iter().flatten().for_each(|expr| self.expr(expr));
            }
            Statement::Param { dims, .. } => dims.iter().for_each(|dim| self.expr(dim)),
            Statement::Require { condition, .. } => self.expr(condition),
        }
    }

    fn expr(&mut self, expr: &Expr) {
        match &expr.kind {
            ExprKind::Field(of, _) | ExprKind::Unary(_, of) | ExprKind::Percent(of) => {
                self.expr(of)
            }
            ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) | ExprKind::PlusMinus(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::If(a, b, c) => [a, b, c].into_iter().for_each(|part| self.expr(part)),
            ExprKind::List(parts) | ExprKind::Param(_, parts) => {
                parts.iter().for_each(|part| self.expr(part))
            }
            ExprKind::Grid(axes, body) => {
                self.operators.insert("grid".into());
                axes.iter().for_each(|(_, length)| self.expr(length));
                self.expr(body);
            }
            ExprKind::Pipe(first, steps) => {
                self.expr(first);
                steps.iter().for_each(|step| self.step(step, 1));
            }
            ExprKind::Call(..) => self.step(expr, 0),
            _ => {}
        }
    }

    /// A step, or a call; `flows` arguments come from the left.
    fn step(&mut self, step: &Expr, flows: usize) {
        let (callee, arguments) = match &step.kind {
            ExprKind::Name(_) => (step, &[][..]),
            ExprKind::Call(callee, arguments) => (&**callee, &arguments[..]),
            _ => return self.expr(step),
        };
        let ExprKind::Name(name) = &callee.kind else { return };
        self.operators.insert(name.clone());
        arguments.iter().for_each(|argument| self.step(&argument.value, 1));
        self.bind(name, arguments, flows);
    }

    /// Named arguments and flags first, the others fill what is left.
    fn bind(&mut self, name: &str, arguments: &[Argument], flows: usize) {
        let Some(primitive) = primitives::find(name) else { return };
        let mut left: Vec<&str> = primitive.params.iter().skip(flows).map(|p| p.name).collect();
        let is_flag = |text: &str| {
            let of = primitive.params.iter().find(|parameter| parameter.name == text);
            of.is_some_and(|parameter| matches!(parameter.default, ArgumentDefault::Bool(_)))
        };
        let mut others = 0;
        for argument in arguments {
            let named = match (&argument.name, &argument.value.kind) {
                (Some(name), _) => Some(&name.text),
                (None, ExprKind::Name(flag)) if is_flag(flag) => Some(flag),
                _ => None,
            };
            match named {
                Some(parameter) => {
                    left.retain(|other| other != parameter);
                    self.parameters.insert((name.to_string(), parameter.clone()));
                }
                None => others += 1,
            }
        }
        let set = left.into_iter().take(others).map(|other| (name.to_string(), other.to_string()));
        self.parameters.extend(set);
    }
}
