//! The network's results: the last row, or what `output` lines name.

use super::codes;
use super::expander::{Eval, Expander, Fault};
use super::scope::Scope;
use crate::names::near_miss;
use netwright_grammar::Diagnostic;
use netwright_grammar::ast::{Expr, ExprKind};
use netwright_ir::{NodeId, Op};

impl Expander<'_> {
    /// Sets the graph's outputs; `last` is the last row's value.
    pub fn results(&mut self, last: Option<NodeId>) {
        let network = self.network;
        if network.outputs.is_empty() {
            if let Some(last) = last {
                self.result("logits", last);
            }
            return;
        }
        for output in &network.outputs {
            match self.tap(&output.path) {
                Ok(id) => self.result(&output.name.text, id),
                Err(fault) => self.report_fault(fault),
            }
        }
    }

    /// A map of one cell is given as a vector.
    fn result(&mut self, name: &str, id: NodeId) {
        let shape = self.shape(id).to_vec();
        let id = match shape.as_slice() {
            [n, 1, 1, c] => {
                let op = Op::Reshape { shape: vec![*n, *c] };
                self.prefix = name.to_string();
                let flat = self.push(op, vec![id], self.network.name.span);
                self.prefix.clear();
                match flat {
                    Ok(flat) => flat,
                    Err(fault) => {
                        self.report_fault(fault);
                        return;
                    }
                }
            }
            _ => id,
        };
        self.graph.outputs.push((name.to_string(), id));
    }

    /// The tensor of a path: `last`, `stem.conv`, `blocks[2][0].expand`, `stage3`.
    fn tap(&mut self, path: &Expr) -> Eval<NodeId> {
        let text = self.dotted(path)?;
        if let Some(id) = self.named.get(&text) {
            return Ok(*id);
        }
        if let Some((_, id)) = self.graph.features.iter().find(|(name, _)| *name == text) {
            return Ok(*id);
        }
        if self.may_exist(&text) {
            return Err(Fault::Known);
        }
        let shown = self.text(path.span);
        let message = format!("nothing is called `{shown}`");
        let error = Diagnostic::error(codes::OUTPUT, path.span, message);
        let known: Vec<String> = self
            .named
            .keys()
            .cloned()
            .chain(self.graph.features.iter().map(|(name, _)| name.clone()))
            .collect();
        let mut rows: Vec<&str> =
            known.iter().map(String::as_str).filter(|name| !name.contains('.')).collect();
        rows.sort_unstable();
        rows.dedup();
        Err(match near_miss(&text, known.iter().map(String::as_str)) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(format!(
                "rows and stages are {}; a line of a row is `row.line`, of an unlabelled row \
                 `blocks[stage][i].line`",
                rows.join(", ")
            )),
        }
        .into())
    }

    /// Whether a row that went wrong would have made the value.
    fn may_exist(&self, path: &str) -> bool {
        let root = path.split('.').next().unwrap_or_default();
        let label = format!("{root}:");
        let mut rows = self.network.tables.iter().flat_map(|table| &table.rows);
        let labelled = rows.any(|row| row.cells.iter().any(|cell| cell.text.contains(&label)));
        let numbered = root == "blocks" || root.starts_with("stage");
        !self.findings.is_empty() && (labelled || numbered || !self.network.body.is_empty())
    }

    fn dotted(&mut self, path: &Expr) -> Eval<String> {
        match &path.kind {
            ExprKind::Name(name) => Ok(name.clone()),
            ExprKind::Field(base, name) => Ok(format!("{}.{}", self.dotted(base)?, name.text)),
            ExprKind::Index(base, at) => {
                let mut scope = Scope::network(0);
                let index = self.eval(at, &mut scope)?.as_index("an index", at.span)?;
                Ok(format!("{}.{index}", self.dotted(base)?))
            }
            _ => {
                let message = "an output is a label, or a label within a row: `last`, `stem.conv`";
                Err(Diagnostic::error(codes::OUTPUT, path.span, message).into())
            }
        }
    }
}
