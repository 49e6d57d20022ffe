//! `grid(i < n, j < m : body)`: a constant tensor from an expression of its indices.
//!
//! The body is made into a small program first: names are looked up and parts without indices are
//! evaluated once, so that a table of a million cells takes milliseconds.

use super::codes;
use super::expander::{Eval, Expander, Fault};
use super::limits::{MAX_GRID, MAX_GRID_STEPS};
use super::scope::Scope;
use crate::pure;
use crate::value::Value;
use netwright_grammar::ast::{BinaryOp, Expr, ExprKind, Name, UnaryOp};
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::Tensor;

/// A step of the program. Yes and no are 1 and 0.
enum Cell {
    Constant(f64),
    Index(usize),
    Negate(Box<Cell>),
    Not(Box<Cell>),
    Binary(BinaryOp, Box<Cell>, Box<Cell>, Span),
    If(Box<Cell>, Box<Cell>, Box<Cell>),
    /// A part of a list, one index a level.
    Part(Value, Vec<Cell>, Span),
    Function(String, Vec<Cell>, Span),
}

impl Expander<'_> {
    /// Evaluates a grid and appends the constant.
    pub fn grid(
        &mut self,
        axes: &[(Name, Expr)],
        body: &Expr,
        span: Span,
        scope: &mut Scope,
    ) -> Eval<Value> {
        let mut shape = Vec::with_capacity(axes.len());
        for (name, length) in axes {
            let what = format!("the length of `{}`", name.text);
            shape.push(self.eval(length, scope)?.as_count(&what, length.span)?);
        }
        let total = shape.iter().try_fold(1usize, |product, &length| product.checked_mul(length));
        let Some(total) = total.filter(|total| *total <= MAX_GRID) else {
            let message = format!("a grid of {shape:?} has more than {MAX_GRID} elements");
            return Err(Diagnostic::error(codes::TOO_LARGE, span, message).into());
        };
        let names: Vec<&str> = axes.iter().map(|(name, _)| name.text.as_str()).collect();
        let mut size = 0;
        let program = self.compile(body, &names, scope, &mut size)?;
        self.grid_steps = self.grid_steps.saturating_add((total as u64).saturating_mul(size));
        if self.grid_steps > MAX_GRID_STEPS {
            let message = "the network's grids together take too many steps";
            return Err(Diagnostic::error(codes::TOO_LONG, span, message).into());
        }
        let mut data = Vec::with_capacity(total);
        let mut at = vec![0usize; shape.len()];
        for _ in 0..total {
            let value = run(&program, &at)?;
            if !value.is_finite() {
                let place: Vec<String> =
                    names.iter().zip(&at).map(|(name, at)| format!("{name} = {at}")).collect();
                let message = format!("the element at {} is not a finite number", place.join(", "));
                return Err(Diagnostic::error("E0212", body.span, message).into());
            }
            data.push(value as f32);
            for axis in (0..at.len()).rev() {
                at[axis] += 1;
                if at[axis] < shape[axis] {
                    break;
                }
                at[axis] = 0;
            }
        }
        self.constant(Tensor::new(shape, data), span).map(Value::Tensor)
    }

    fn compile(
        &mut self,
        expr: &Expr,
        names: &[&str],
        scope: &mut Scope,
        size: &mut u64,
    ) -> Eval<Cell> {
        *size += 1;
        if !mentions(expr, names) {
            let value = self.eval(expr, scope)?;
            return match value {
                Value::Number(number) => Ok(Cell::Constant(number)),
                Value::Bool(yes) => Ok(Cell::Constant(f64::from(u8::from(yes)))),
                other => {
                    let message = format!("an element is a number, this is {}", other.kind());
                    Err(Diagnostic::error("E0210", expr.span, message).into())
                }
            };
        }
        if let ExprKind::Call(callee, _) = &expr.kind
            && let ExprKind::Name(name) = &callee.kind
            && self.lookup(name, scope)?.is_none()
        {
            return Err(self.no_name(name, callee.span, scope, &[]));
        }
        let mut cell =
            |this: &mut Self, expr: &Expr| this.compile(expr, names, scope, size).map(Box::new);
        Ok(match &expr.kind {
            ExprKind::Name(name) => {
                let at = names.iter().rposition(|known| known == name).unwrap_or(0);
                Cell::Index(at)
            }
            ExprKind::Unary(UnaryOp::Neg, operand) => Cell::Negate(cell(self, operand)?),
            ExprKind::Unary(UnaryOp::Not, operand) => Cell::Not(cell(self, operand)?),
            ExprKind::Binary(op, a, b) => {
                Cell::Binary(*op, cell(self, a)?, cell(self, b)?, expr.span)
            }
            ExprKind::If(a, b, c) => Cell::If(cell(self, a)?, cell(self, b)?, cell(self, c)?),
            ExprKind::Index(..) => {
                let mut indices = Vec::new();
                let mut base = expr;
                while let ExprKind::Index(inner, at) = &base.kind {
                    indices.push(*cell(self, at)?);
                    base = inner;
                }
                indices.reverse();
                Cell::Part(self.eval(base, scope)?, indices, expr.span)
            }
            ExprKind::Call(callee, arguments) => {
                let ExprKind::Name(name) = &callee.kind else {
                    return Err(no_cell(callee.span));
                };
                if !pure::is_function(name) || arguments.iter().any(|arg| arg.name.is_some()) {
                    return Err(no_cell(callee.span));
                }
                let mut cells = Vec::new();
                for argument in arguments {
                    cells.push(*cell(self, &argument.value)?);
                }
                Cell::Function(name.clone(), cells, expr.span)
            }
            ExprKind::Error => return Err(Fault::Known),
            _ => return Err(no_cell(expr.span)),
        })
    }
}

fn no_cell(span: Span) -> Fault {
    Diagnostic::error("E0214", span, "an element of a grid is a number made from its indices")
        .help("operators, `if`, parts of lists and number functions can be used")
        .into()
}

fn mentions(expr: &Expr, names: &[&str]) -> bool {
    let any = |exprs: &[Expr]| exprs.iter().any(|expr| mentions(expr, names));
    match &expr.kind {
        ExprKind::Name(name) => names.contains(&name.as_str()),
        ExprKind::Field(base, _) => mentions(base, names),
        ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) | ExprKind::PlusMinus(a, b) => {
            mentions(a, names) || mentions(b, names)
        }
        ExprKind::List(items) | ExprKind::Param(_, items) => any(items),
        ExprKind::Unary(_, operand) | ExprKind::Percent(operand) => mentions(operand, names),
        ExprKind::Call(callee, arguments) => {
            mentions(callee, names) || arguments.iter().any(|arg| mentions(&arg.value, names))
        }
        ExprKind::Pipe(first, steps) => mentions(first, names) || any(steps),
        ExprKind::If(a, b, c) => [a, b, c].into_iter().any(|expr| mentions(expr, names)),
        ExprKind::Grid(axes, body) => {
            axes.iter().any(|(_, length)| mentions(length, names)) || mentions(body, names)
        }
        _ => false,
    }
}

fn run(cell: &Cell, at: &[usize]) -> Result<f64, Diagnostic> {
    let truth = |yes: bool| f64::from(u8::from(yes));
    Ok(match cell {
        Cell::Constant(number) => *number,
        Cell::Index(axis) => at[*axis] as f64,
        Cell::Negate(operand) => -run(operand, at)?,
        Cell::Not(operand) => truth(run(operand, at)? == 0.0),
        Cell::If(condition, then, otherwise) => {
            run(if run(condition, at)? != 0.0 { then } else { otherwise }, at)?
        }
        Cell::Binary(BinaryOp::And, a, b, _) => truth(run(a, at)? != 0.0 && run(b, at)? != 0.0),
        Cell::Binary(BinaryOp::Or, a, b, _) => truth(run(a, at)? != 0.0 || run(b, at)? != 0.0),
        Cell::Binary(op, a, b, span) => {
            let (a, b) = (run(a, at)?, run(b, at)?);
            match op {
                BinaryOp::Add => a + b,
                BinaryOp::Sub => a - b,
                BinaryOp::Mul => a * b,
                BinaryOp::Eq => truth(a == b),
                BinaryOp::Ne => truth(a != b),
                BinaryOp::Lt => truth(a < b),
                BinaryOp::Le => truth(a <= b),
                BinaryOp::Gt => truth(a > b),
                BinaryOp::Ge => truth(a >= b),
                _ => {
                    let (a, b) = (Value::Number(a), Value::Number(b));
                    pure::binary(*op, &a, &b, *span)?.as_number("an element", *span)?
                }
            }
        }
        Cell::Part(list, indices, span) => {
            let mut value = list.clone();
            for index in indices {
                value = pure::index(&value, &Value::Number(run(index, at)?), *span)?;
            }
            value.as_number("an element", *span)?
        }
        Cell::Function(name, cells, span) => {
            match (name.as_str(), cells.as_slice()) {
                ("floor", [cell]) => return Ok(run(cell, at)?.floor()),
                ("ceil", [cell]) => return Ok(run(cell, at)?.ceil()),
                ("abs", [cell]) => return Ok(run(cell, at)?.abs()),
                ("min", [a, b]) => return Ok(run(a, at)?.min(run(b, at)?)),
                ("max", [a, b]) => return Ok(run(a, at)?.max(run(b, at)?)),
                _ => {}
            }
            let mut args = Vec::with_capacity(cells.len());
            for cell in cells {
                let value = Value::Number(run(cell, at)?);
                args.push(pure::Arg { name: None, value, span: *span });
            }
            match pure::function(name, &args, *span) {
                Some(result) => result?.as_number("an element", *span)?,
                None => return Err(crate::value::silent(*span)),
            }
        }
    })
}
