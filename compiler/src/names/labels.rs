//! Which labels exist at all, so that a rule with a misspelt one is an error, while a rule for
//! something that only another variant has is not.

use super::Request;
use crate::instance::{Instance, Kind};
use crate::pure::near_miss;
use netwright_grammar::Diagnostic;
use netwright_grammar::ast::{
    Argument, Block, Expr, ExprKind, Name, Network, Rule, Statement, Weights,
};
use std::collections::BTreeSet;

/// Names that layers and their tensors can have without a label of their own.
const BUILT_IN: [&str; 14] = [
    "blocks",
    "conv",
    "dwconv",
    "linear",
    "bn",
    "layer_norm",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "gamma",
    "beta",
    "repeat",
];

/// The labels and blocks of a spec, in all of its variants.
#[derive(Clone, Debug, Default)]
pub struct Known {
    labels: BTreeSet<String>,
    blocks: BTreeSet<String>,
}

impl Known {
    /// Those of a network and of all blocks that it can use.
    pub fn of<'a>(network: &Network, blocks: impl IntoIterator<Item = &'a Block>) -> Known {
        let mut known = Known::default();
        known.statements(&network.body);
        for table in &network.tables {
            for cell in table.rows.iter().flat_map(|row| &row.cells) {
                known.labels.extend(cell_labels(&cell.text));
            }
        }
        for operator in &network.operators {
            known.expr(&operator.callee);
        }
        for block in blocks {
            known.blocks.insert(block.name.text.clone());
            known.statements(&block.body);
        }
        known
    }

    fn statements(&mut self, statements: &[Statement]) {
        for statement in statements {
            match statement {
                Statement::Let { labels, value, otherwise, .. } => {
                    self.labels.extend(labels.iter().map(|label| label.text.clone()));
                    self.expr(value);
                    otherwise.iter().for_each(|other| self.expr(other));
                }
                Statement::Param { name, .. } => {
                    self.labels.insert(name.text.clone());
                }
                Statement::Require { .. } => {}
            }
        }
    }

    /// Free parameters inside expressions.
    fn expr(&mut self, expr: &Expr) {
        let arguments = |known: &mut Known, list: &[Argument]| {
            list.iter().for_each(|argument| known.expr(&argument.value));
        };
        match &expr.kind {
            ExprKind::Param(name, _) => {
                self.labels.insert(name.text.clone());
            }
            ExprKind::Call(callee, list) => {
                self.expr(callee);
                arguments(self, list);
            }
            ExprKind::Pipe(first, steps) => {
                self.expr(first);
                steps.iter().for_each(|step| self.expr(step));
            }
            ExprKind::Binary(_, a, b) | ExprKind::Index(a, b) => {
                self.expr(a);
                self.expr(b);
            }
            ExprKind::Unary(_, a) | ExprKind::Field(a, _) => self.expr(a),
            ExprKind::List(items) => items.iter().for_each(|item| self.expr(item)),
            ExprKind::If(_, a, b) => {
                self.expr(a);
                self.expr(b);
            }
            _ => {}
        }
    }

    /// With every word of the text outside `weights` sections: for a spec of which parts cannot be read.
    pub fn with_words(mut self, text: &str, network: &Network) -> Known {
        let hidden = |at: usize| {
            let spans = network.weights.iter().map(|weights| weights.span);
            spans.into_iter().any(|span| (span.start as usize..span.end as usize).contains(&at))
        };
        let mut at = 0;
        for word in text.split(|c: char| !(c.is_alphanumeric() || c == '_')) {
            if !hidden(at) && !word.is_empty() {
                self.labels.insert(word.to_string());
            }
            at += word.len() + text[at + word.len()..].chars().next().map_or(0, char::len_utf8);
        }
        self
    }

    fn tree(&mut self, node: &Instance) {
        self.labels.insert(node.label.clone());
        if let Kind::Block { name, labels, .. } = &node.kind {
            self.blocks.insert(name.clone());
            self.labels.extend(labels.iter().map(|(label, _)| label.clone()));
        }
        node.children.iter().for_each(|child| self.tree(child));
    }

    fn has(&self, label: &str) -> bool {
        // Layers of one kind in a line are numbered: `conv_2`.
        let plain = match label.rsplit_once('_') {
            Some((stem, number)) if number.parse::<u32>().is_ok() => stem,
            _ => label,
        };
        [label, plain].iter().any(|name| {
            self.labels.contains(*name) || self.blocks.contains(*name) || BUILT_IN.contains(name)
        })
    }
}

/// The labels in a table's cell: names before a colon.
fn cell_labels(text: &str) -> impl Iterator<Item = String> + '_ {
    text.match_indices(':').filter_map(|(at, _)| {
        let before = text[..at].trim_end();
        let start = before
            .rfind(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        (start < before.len()).then(|| before[start..].to_string())
    })
}

/// Reports rules whose labels, and `block` sections whose blocks, exist nowhere.
pub fn check(dialect: &Weights, request: &Request, errors: &mut Vec<Diagnostic>) {
    let mut known = request.known.clone();
    known.tree(request.tree);
    check_known(dialect, &known, errors);
}

/// As [`check`], of what is known without a tree of instances.
pub fn check_known(dialect: &Weights, known: &Known, errors: &mut Vec<Diagnostic>) {
    rules(&dialect.rules, known, errors);
    for (name, inner) in &dialect.blocks {
        if !known.blocks.contains(&name.text) {
            let message = format!("there is no block `{}`", name.text);
            let near = near_miss(&name.text, known.blocks.iter().map(String::as_str));
            report("E0508", name, message, near, errors);
        }
        rules(inner, known, errors);
    }
}

fn rules(list: &[Rule], known: &Known, errors: &mut Vec<Diagnostic>) {
    for rule in list {
        for label in &rule.labels {
            if !known.has(&label.text) {
                let message = format!("nothing in this network has the label `{}`", label.text);
                let labels = known.labels.iter().map(String::as_str).chain(["blocks"]);
                let near = near_miss(&label.text, labels);
                report("E0501", label, message, near, errors);
            }
        }
        rules(&rule.rules, known, errors);
    }
}

fn report(
    code: &'static str,
    name: &Name,
    message: String,
    near: Option<&str>,
    errors: &mut Vec<Diagnostic>,
) {
    let error = Diagnostic::error(code, name.span, message);
    let error = match near {
        Some(near) => error.help(format!("did you mean `{near}`?")),
        None => error,
    };
    if !errors.contains(&error) {
        errors.push(error);
    }
}

#[cfg(test)]
mod tests {
    use super::cell_labels;

    #[test]
    fn labels_of_cells() {
        let labels = |text: &str| cell_labels(text).collect::<Vec<_>>();
        assert_eq!(labels("stem: conv2d 3x3"), ["stem"]);
        assert_eq!(labels("a: conv & b : pool"), ["a", "b"]);
        assert_eq!(labels("112²:x"), Vec::<String>::new());
    }
}
