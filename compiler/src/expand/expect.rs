//! `expect params = ...`, `expect macs = ...`, and the same in the table of variants.

use super::codes;
use super::expander::{Eval, Expander, Fault};
use super::parameters::Variant;
use super::scope::Scope;
use crate::value::Value;
use netwright_grammar::ast::{Expr, ExprKind};
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::count;

/// What is expected of a number.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Expected {
    value: f64,
    /// Largest difference.
    tolerance: f64,
}

impl<'a> Expander<'a> {
    /// Checks all expectations that apply. The graph must be whole.
    pub fn check_expectations(&mut self, variant: Option<&Variant<'a>>) {
        let counts = count(&self.graph);
        let macs = counts.macs / (self.batch as u64).max(1);
        let network = self.network;
        for expect in &network.expects {
            let mut scope = Scope::network(0);
            let applies = match &expect.when {
                Some(when) => self.condition(when, &mut scope),
                None => Ok(true),
            };
            match applies {
                Ok(true) => self.check_one(&expect.what.text, &expect.value, counts.params, macs),
                Ok(false) => {}
                Err(fault) => self.report_fault(fault),
            }
        }
        if let Some(variant) = variant {
            for what in ["params", "macs"] {
                let Some(cell) = variant.cell(what) else { continue };
                match &cell.value {
                    Ok(Some(expr)) => self.check_one(what, expr, counts.params, macs),
                    Ok(None) => {}
                    Err(diagnostic) => self.report_fault(Fault::New(diagnostic.clone())),
                }
            }
        }
    }

    fn check_one(&mut self, what: &str, expr: &Expr, params: u64, macs: u64) {
        let (code, noun, actual) = match what {
            "params" => (codes::EXPECT_PARAMS, "parameters", params),
            "macs" => (codes::EXPECT_MACS, "multiply-accumulates", macs),
            // Reported by the check of the text.
            _ => return,
        };
        let expected = match self.expected(expr) {
            Ok(expected) => expected,
            Err(fault) => {
                self.report_fault(fault);
                return;
            }
        };
        let difference = actual as f64 - expected.value;
        if difference.abs() <= expected.tolerance {
            return;
        }
        let text = self.text(expr.span);
        let message = format!("the network has {} {noun}, not {text}", grouped(actual));
        let percent = 100.0 * difference / expected.value;
        let label = if expected.value > 0.0 && percent.abs() < 1000.0 {
            format!("{percent:+.2}%")
        } else {
            String::new()
        };
        self.report(Diagnostic::error(code, expr.span, message).label(label));
    }

    fn expected(&mut self, expr: &Expr) -> Eval<Expected> {
        let mut scope = Scope::network(0);
        let mut number = |this: &mut Self, expr: &Expr| -> Eval<f64> {
            let value = this.eval(expr, &mut scope)?;
            Ok(value.as_number("an expectation", expr.span)?)
        };
        match &expr.kind {
            ExprKind::PlusMinus(value, tolerance) => {
                let value = number(self, value)?;
                let tolerance = match &tolerance.kind {
                    ExprKind::Percent(percent) => value * number(self, percent)? / 100.0,
                    _ => number(self, tolerance)?,
                };
                Ok(Expected { value, tolerance })
            }
            _ => Ok(Expected { value: number(self, expr)?, tolerance: 0.0 }),
        }
    }

    /// What is expected must be `params` or `macs`, and the names in the values must be known.
    pub fn check_expect_names(&mut self) {
        let network = self.network;
        for expect in &network.expects {
            if !matches!(expect.what.text.as_str(), "params" | "macs") {
                let message = format!("`{}` cannot be expected", expect.what.text);
                let error = Diagnostic::error(codes::EXPECT, expect.what.span, message);
                self.report(error.help("`params` and `macs` can"));
            }
            let mut scope = Scope::network(0);
            self.lint_expr(&expect.value, &mut scope);
            expect.when.iter().for_each(|when| self.lint_expr(when, &mut scope));
        }
    }

    /// Looks an option of the network up, for names of tensors and `preprocess`.
    pub fn option(&mut self, expr: &Expr, span: Span) -> Eval<Value> {
        let mut scope = Scope::network(span.file as usize);
        self.eval(expr, &mut scope)
    }
}

/// `3_504_872`
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('_');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_are_grouped() {
        assert_eq!(super::grouped(3_504_872), "3_504_872");
        assert_eq!(super::grouped(12), "12");
        assert_eq!(super::grouped(1000), "1_000");
    }
}
