//! Expressions.

use super::codes;
use super::expander::{Eval, Expander, Fault};
use super::limits::{MAX_DEPTH, MAX_STEPS};
use super::scope::Scope;
use crate::names::near_miss;
use crate::pure;
use crate::value::Value;
use netwright_grammar::ast::{BinaryOp, Expr, ExprKind, Name};
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::NodeId;

impl Expander<'_> {
    /// Counts an expression that is evaluated.
    fn count_step(&mut self) -> Eval<()> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            let message = format!("the spec takes more than {MAX_STEPS} steps to expand");
            return Err(Diagnostic::error(codes::TOO_LONG, self.network.name.span, message)
                .help("lower the repeat counts")
                .into());
        }
        Ok(())
    }

    /// The value of an expression.
    pub fn eval(&mut self, expr: &Expr, scope: &mut Scope) -> Eval<Value> {
        self.count_step()?;
        if self.depth >= MAX_DEPTH {
            let message = format!("this is nested more than {MAX_DEPTH} deep");
            return Err(Diagnostic::error(codes::TOO_DEEP, expr.span, message)
                .help("give parts of it a line of their own")
                .into());
        }
        self.depth += 1;
        let result = self.eval_kind(expr, scope);
        self.depth -= 1;
        result
    }

    fn eval_kind(&mut self, expr: &Expr, scope: &mut Scope) -> Eval<Value> {
        let span = expr.span;
        match &expr.kind {
            ExprKind::Number(number) if number.is_finite() => Ok(Value::Number(*number)),
            ExprKind::Number(_) => {
                Err(Diagnostic::error("E0212", span, "the number is too large").into())
            }
            ExprKind::Text(text) => Ok(Value::text(text)),
            ExprKind::Bool(yes) => Ok(Value::Bool(*yes)),
            // The parser has said what is wrong.
            ExprKind::Error => Err(Fault::Known),
            ExprKind::Absent => Ok(Value::Absent),
            ExprKind::Size(sides) => Ok(Value::numbers(sides.iter().copied())),
            ExprKind::Name(name) => self.eval_name(name, span, scope),
            ExprKind::Field(base, name) => self.eval_field(base, name, scope),
            ExprKind::Index(base, at) => {
                let (base, at) = self.eval_both(base, at, scope)?;
                Ok(pure::index(&base, &at, span)?)
            }
            ExprKind::List(items) => {
                let items: Vec<Value> = items
                    .iter()
                    .map(|item| {
                        let value = self.eval(item, scope);
                        self.settle(value)
                    })
                    .collect();
                Ok(Value::list(items))
            }
            ExprKind::Unary(op, operand) => {
                let operand = self.eval(operand, scope)?;
                self.unary(*op, &operand, span)
            }
            ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), a, b) => {
                let decided = *op == BinaryOp::Or;
                if self.condition(a, scope)? == decided {
                    return Ok(Value::Bool(decided));
                }
                self.condition(b, scope).map(Value::Bool)
            }
            ExprKind::Binary(op, a, b) => {
                let places = (a.span, b.span);
                let (a, b) = self.eval_both(a, b, scope)?;
                self.binary(*op, &a, &b, span, places)
            }
            ExprKind::Call(callee, arguments) => {
                self.eval_call(callee, arguments, None, span, scope)
            }
            ExprKind::Pipe(first, steps) => {
                let mut value = self.eval(first, scope)?;
                let mut from = first.span;
                for step in steps {
                    value = self.eval_step(step, value, from, scope)?;
                    from = step.span;
                }
                Ok(value)
            }
            ExprKind::If(condition, then, otherwise) => {
                let holds = self.condition(condition, scope)?;
                self.eval(if holds { then } else { otherwise }, scope)
            }
            ExprKind::Param(name, dims) => self.free_parameter(name, dims, scope),
            ExprKind::Grid(axes, body) => self.grid(axes, body, span, scope),
            ExprKind::Percent(number) => {
                let number = self.eval(number, scope)?;
                Ok(pure::binary(BinaryOp::Div, &number, &Value::Number(100.0), span)?)
            }
            ExprKind::PlusMinus(..) => {
                Err(Diagnostic::error("E0214", span, "a tolerance stands only in expectations")
                    .into())
            }
        }
    }

    /// Both operands, so that a mistake in each is found.
    fn eval_both(&mut self, a: &Expr, b: &Expr, scope: &mut Scope) -> Eval<(Value, Value)> {
        let a = self.eval(a, scope);
        let b = self.eval(b, scope);
        let (a, b) = (self.settle(a), self.settle(b));
        if a.is_poison() || b.is_poison() { Err(Fault::Known) } else { Ok((a, b)) }
    }

    /// A condition.
    pub fn condition(&mut self, expr: &Expr, scope: &mut Scope) -> Eval<bool> {
        let value = self.eval(expr, scope)?;
        Ok(value.truth(expr.span)?)
    }

    pub fn eval_name(&mut self, name: &str, span: Span, scope: &Scope) -> Eval<Value> {
        match self.lookup(name, scope)? {
            Some(Value::Poison) => Err(Fault::Known),
            Some(value) => Ok(value),
            None => Err(self.no_name(name, span, scope, &[])),
        }
    }

    /// The fault of a name that means nothing: silent where the text around it is broken, so that
    /// the line that would define it may be missing.
    pub fn no_name(&self, name: &str, span: Span, scope: &Scope, more: &[&str]) -> Fault {
        if self.may_be_lost(name) {
            return Fault::Known;
        }
        self.unknown_name(name, span, scope, more).into()
    }

    fn eval_field(&mut self, base: &Expr, field: &Name, scope: &mut Scope) -> Eval<Value> {
        if let ExprKind::Name(name) = &base.kind
            && scope.local(name).is_none()
            && let Some((_, record)) = scope.records.iter().find(|(known, _)| known == name)
        {
            let found = record.iter().find(|(known, _)| *known == field.text);
            return match found {
                Some((_, Value::Poison)) => Err(Fault::Known),
                Some((_, value)) => Ok(value.clone()),
                None if record.is_empty() => {
                    let message = format!("there is no row for `{name}` here");
                    Err(Diagnostic::error(codes::NO_FIELD, base.span, message)
                        .help("exempt the first row's cell from the rule with `!`")
                        .into())
                }
                None => {
                    let message = format!("the table has no column `{}`", field.text);
                    let known = record.iter().map(|(known, _)| known.as_str());
                    Err(self.with_near(
                        Diagnostic::error(codes::NO_FIELD, field.span, message),
                        &field.text,
                        known.collect(),
                        "its columns are",
                    ))
                }
            };
        }
        let value = self.eval(base, scope)?;
        match value {
            Value::Tensor(id) => self.tensor_field(id, field),
            other => Ok(pure::field(&other, field)?),
        }
    }

    /// An error with a near miss as its help, or the list of what there is.
    pub fn with_near(&self, error: Diagnostic, name: &str, known: Vec<&str>, list: &str) -> Fault {
        match near_miss(name, known.iter().copied()) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None if known.is_empty() => error,
            None => error.help(format!("{list} {}", known.join(", "))),
        }
        .into()
    }

    fn tensor_field(&self, id: NodeId, field: &Name) -> Eval<Value> {
        let shape = self.shape(id);
        let rank = shape.len();
        let length = |axis: Option<usize>| axis.and_then(|axis| shape.get(axis)).copied();
        let found = match field.text.as_str() {
            "c" => length(rank.checked_sub(1)),
            "t" => length(rank.checked_sub(2)),
            "n" => length(Some(0)),
            "h" if rank == 4 => length(Some(1)),
            "w" if rank == 4 => length(Some(2)),
            "rank" => Some(rank),
            "shape" => {
                return Ok(Value::numbers(shape.iter().map(|&length| length as f64)));
            }
            _ => None,
        };
        found.map(Value::from).ok_or_else(|| {
            let shown = show_shape(shape);
            let message = format!("a tensor of shape {shown} has no field `{}`", field.text);
            Diagnostic::error(codes::NO_FIELD, field.span, message)
                .help(
                    "a map [N, H, W, C] has n, h, w, c; tokens [N, T, C] have n, t, c; every \
                     tensor has rank and shape[i]",
                )
                .into()
        })
    }
}

/// A shape as messages show it: `[1, 7, 7, 320]`.
pub(crate) fn show_shape(shape: &[usize]) -> String {
    format!("{shape:?}")
}
