//! The error about a printed shape that is not the network's, and its likely cure, found by trying.

use super::row::{Plan, Position};
use super::{Check, Role};
use crate::expand::codes;
use crate::expand::expander::Expander;
use crate::value::{Value, plain};
use netwright_grammar::Diagnostic;
use netwright_ir::NodeId;

impl<'a> Expander<'a> {
    /// Reports a mismatch between a checked cell and the tensor there. `source` is the row that made
    /// the tensor, with what came into it.
    pub(super) fn report_mismatch(
        &mut self,
        check: &Check<'_>,
        id: NodeId,
        source: Option<&(Plan<'a>, NodeId, Position)>,
        verb: &str,
    ) {
        let shape = self.shape(id).to_vec();
        let shown = check.printed.show(&shape);
        let message = match verb {
            "makes" => format!("the table says {}, the row makes {shown}", check.text),
            _ => format!("the table says {}, the network has {shown} here", check.text),
        };
        let mut error = Diagnostic::error(codes::SHAPE_CELL, check.span, message)
            .label(format!("checked column `{}`", check.column));
        let place = if verb == "makes" { "in this row" } else { "in the row above" };
        let cure =
            source.and_then(|(plan, x, position)| self.cure(check, &shape, plan, *x, position));
        if let (Some((plan, ..)), "has") = (source, verb) {
            let made = match &cure {
                Some((_, because)) if !because.is_empty() => because.clone(),
                _ => format!("makes {shown}"),
            };
            error = error.related(plan.place.span, made);
        }
        let help = match (cure, source) {
            (Some((cure, _)), _) => format!("should {cure} {place}?"),
            (None, None) => format!(
                "the network starts with {shown}: is the cell or the default of `resolution` wrong?"
            ),
            (None, Some(_)) => format!("should this cell be {shown}?"),
        };
        self.report(error.help(help));
    }

    /// Tries other strides and channels in the row that made a tensor: what to change, and what the
    /// row does now.
    fn cure(
        &mut self,
        check: &Check<'_>,
        shape: &[usize],
        plan: &Plan<'a>,
        x: NodeId,
        position: &Position,
    ) -> Option<(String, String)> {
        let stride = plan
            .cell(Role::Stride)
            .map(|(column, cell)| {
                (column.name.clone(), column.heading.text.clone(), cell.text.clone())
            })
            .or_else(|| {
                let hole =
                    plan.parts.iter().flat_map(|part| &part.holes).find(|(name, ..)| name == "s");
                hole.map(|(name, value, _)| (name.clone(), name.clone(), value.to_string()))
            });
        if let Some((name, heading, now)) = stride {
            for other in [1.0, 2.0, 4.0] {
                if now == plain(other) {
                    continue;
                }
                let value = Value::Number(other);
                if self.try_row(check, plan, x, position, &[(&name, value)]) {
                    let what = if now == "1" || now == "-" {
                        format!("stride {now} keeps the size")
                    } else {
                        format!("has stride {now}")
                    };
                    return Some((format!("`{heading}` be {}", plain(other)), what));
                }
            }
        }
        let wanted = check.printed.channels()?;
        let got = *shape.last()?;
        let columns = plan.columns.clone();
        for (column, cell) in columns.iter().zip(&plan.row.cells) {
            if column.role != Role::Parameter || wanted == got {
                continue;
            }
            let value = Value::Number(wanted as f64);
            if self.try_row(check, plan, x, position, &[(&column.name, value)]) {
                let what = format!("`{}` is {}", column.heading.text, cell.text);
                return Some((format!("`{}` be {wanted}", column.heading.text), what));
            }
        }
        None
    }

    /// Whether the row makes the printed shape with other values in its cells.
    fn try_row(
        &mut self,
        check: &Check<'_>,
        plan: &Plan<'a>,
        x: NodeId,
        position: &Position,
        overrides: &[(&str, Value)],
    ) -> bool {
        let snapshot = self.snapshot();
        let row = self.row;
        let result = self.run_row(plan, x, &mut position.clone(), overrides);
        let fits = result.is_ok_and(|id| check.printed.fits(self.shape(id)));
        self.restore(snapshot);
        self.row = row;
        fits
    }
}
