//! Operators on values of which one may be a tensor.

use super::codes;
use super::expander::{Eval, Expander, Fault};
use crate::pure;
use crate::value::Value;
use netwright_grammar::ast::{BinaryOp, UnaryOp};
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::{Binary, NodeId, Op, Tensor, Unary};
use std::sync::Arc;

impl Expander<'_> {
    pub fn unary(&mut self, op: UnaryOp, operand: &Value, span: Span) -> Eval<Value> {
        match (op, operand) {
            (UnaryOp::Neg, Value::Tensor(id)) => {
                self.push(Op::Unary(Unary::Neg), vec![*id], span).map(Value::Tensor)
            }
            _ => Ok(pure::unary(op, operand, span)?),
        }
    }

    /// `a op b`; `places` are where the operands stand.
    pub fn binary(
        &mut self,
        op: BinaryOp,
        a: &Value,
        b: &Value,
        span: Span,
        places: (Span, Span),
    ) -> Eval<Value> {
        let id = match (a, b) {
            (Value::Tensor(a), Value::Tensor(b)) => self.two_tensors(op, *a, *b, span)?,
            (Value::Tensor(a), Value::Number(b)) => self.tensor_number(op, *a, *b, span)?,
            (Value::Number(a), Value::Tensor(b)) => self.number_tensor(op, *a, *b, span)?,
            (Value::Tensor(_), other) if !comparison(op) => {
                return Err(self.no_operand(op, other, places.1));
            }
            (other, Value::Tensor(_)) if !comparison(op) => {
                return Err(self.no_operand(op, other, places.0));
            }
            _ => return Ok(pure::binary(op, a, b, span)?),
        };
        Ok(Value::Tensor(id))
    }

    fn no_operand(&self, op: BinaryOp, value: &Value, span: Span) -> Fault {
        let symbol = op.symbol();
        if let Value::Callable(callable) = value {
            return self.not_applied(callable, &format!("an operand of `{symbol}`"), span).into();
        }
        let message =
            format!("`{symbol}` of a tensor and {}: it takes a tensor or a number", value.kind());
        Diagnostic::error(codes::NO_TENSOR, span, message).into()
    }

    fn not_comparable(&self, op: BinaryOp, span: Span) -> Fault {
        let symbol = op.symbol();
        if op == BinaryOp::Rem {
            let message = "`%` is for numbers, not for tensors";
            return Diagnostic::error(codes::NO_TENSOR, span, message).into();
        }
        let message = format!("`{symbol}` does not compare tensors");
        Diagnostic::error(codes::NO_TENSOR, span, message)
            .help("compare shapes, as in `x.c == 64`")
            .into()
    }

    fn two_tensors(&mut self, op: BinaryOp, a: NodeId, b: NodeId, span: Span) -> Eval<NodeId> {
        let op = match op {
            BinaryOp::Add => Binary::Add,
            BinaryOp::Sub => Binary::Sub,
            BinaryOp::Mul => Binary::Mul,
            BinaryOp::Div => Binary::Div,
            BinaryOp::Pow => Binary::Pow,
            _ => return Err(self.not_comparable(op, span)),
        };
        self.push(Op::Binary(op), vec![a, b], span)
    }

    fn tensor_number(&mut self, op: BinaryOp, a: NodeId, b: f64, span: Span) -> Eval<NodeId> {
        let affine = |mul, add| Op::Affine { mul, add };
        let op = match op {
            BinaryOp::Add => affine(1.0, b),
            BinaryOp::Sub => affine(1.0, -b),
            BinaryOp::Mul => affine(b, 0.0),
            BinaryOp::Div if b != 0.0 => affine(1.0 / b, 0.0),
            BinaryOp::Div => {
                return Err(Diagnostic::error("E0211", span, "division by zero").into());
            }
            BinaryOp::Pow if b == 1.0 => return Ok(a),
            BinaryOp::Pow if b == 2.0 => Op::Unary(Unary::Square),
            BinaryOp::Pow if b == 0.5 => Op::Unary(Unary::Sqrt),
            BinaryOp::Pow if b == -0.5 => Op::Unary(Unary::Rsqrt),
            BinaryOp::Pow if b == -1.0 => Op::Unary(Unary::Recip),
            BinaryOp::Pow => {
                let b = self.number(b, span)?;
                return self.push(Op::Binary(Binary::Pow), vec![a, b], span);
            }
            _ => return Err(self.not_comparable(op, span)),
        };
        self.push(op, vec![a], span)
    }

    fn number_tensor(&mut self, op: BinaryOp, a: f64, b: NodeId, span: Span) -> Eval<NodeId> {
        match op {
            BinaryOp::Add | BinaryOp::Mul => self.tensor_number(op, b, a, span),
            BinaryOp::Sub => self.push(Op::Affine { mul: -1.0, add: a }, vec![b], span),
            BinaryOp::Div => {
                let inverse = self.push(Op::Unary(Unary::Recip), vec![b], span)?;
                if a == 1.0 {
                    return Ok(inverse);
                }
                self.push(Op::Affine { mul: a, add: 0.0 }, vec![inverse], span)
            }
            BinaryOp::Pow => {
                let a = self.number(a, span)?;
                self.push(Op::Binary(Binary::Pow), vec![a, b], span)
            }
            _ => Err(self.not_comparable(op, span)),
        }
    }

    /// A number as a constant of one element.
    fn number(&mut self, number: f64, span: Span) -> Eval<NodeId> {
        self.constant(Tensor::new([1], vec![number as f32]), span)
    }

    /// A constant tensor.
    pub fn constant(&mut self, tensor: Tensor, span: Span) -> Eval<NodeId> {
        self.push(Op::Const(Arc::new(tensor)), Vec::new(), span)
    }
}

fn comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Eq | BinaryOp::Ne | BinaryOp::And | BinaryOp::Or)
}
