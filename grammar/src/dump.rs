//! The syntax tree as text: `netwright dump --stage ast`. Nothing reads it back.

use std::fmt::Write;

use crate::ast::{
    Block, Cell, Expr, ExprKind, File, Name, NamePart, Network, Operator, Parameter, Rule, Setting,
    Statement, Table, Target, TargetKind, UnaryOp, Weights,
};
use crate::format::canonical_cell;

/// The tree of a file: one line for each declaration, statement, row and rule, indented by two.
/// Expressions are fully parenthesised. Places in the source are left out.
pub fn dump(file: &File) -> String {
    let mut out = Out::default();
    for name in &file.uses {
        out.line(&format!("use {:?}", name.text));
    }
    file.settings.iter().for_each(|s| out.setting("setting", s));
    file.operators.iter().for_each(|o| out.operator(o));
    file.blocks.iter().for_each(|b| out.block(b));
    file.networks.iter().for_each(|n| out.network(n));
    out.text
}

#[derive(Default)]
struct Out {
    text: String,
    indent: usize,
}

impl Out {
    fn line(&mut self, line: &str) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{:1$}{line}", "", self.indent);
    }

    fn inside(&mut self, write: impl FnOnce(&mut Self)) {
        self.indent += 2;
        write(self);
        self.indent -= 2;
    }

    fn setting(&mut self, word: &str, setting: &Setting) {
        self.line(&format!("{word} {} = {}", setting.name.text, expr(&setting.value)));
    }

    fn operator(&mut self, operator: &Operator) {
        let pattern = if operator.quoted {
            format!("{:?}", operator.pattern.text)
        } else {
            operator.pattern.text.clone()
        };
        self.line(&format!("operator {pattern} = {}", expr(&operator.callee)));
    }

    fn block(&mut self, block: &Block) {
        self.line(&format!("block {}({})", block.name.text, parameters(&block.params)));
        self.inside(|out| block.body.iter().for_each(|s| out.statement(s)));
    }

    fn statement(&mut self, statement: &Statement) {
        let line = match statement {
            Statement::Let { labels, value, when, otherwise, .. } => {
                let mut line = format!("{} = {}", names(labels), expr(value));
                if let Some(when) = when {
                    let _ = write!(line, " when {}", expr(when));
                }
                if let Some(otherwise) = otherwise {
                    let _ = write!(line, " else {}", expr(otherwise));
                }
                line
            }
            Statement::Param { name, dims, .. } => {
                format!("param {}[{}]", name.text, exprs(dims))
            }
            Statement::Require { condition, message, .. } => match message {
                Some(message) => format!("require {}, {}", expr(condition), expr(message)),
                None => format!("require {}", expr(condition)),
            },
        };
        self.line(&line);
    }

    fn network(&mut self, network: &Network) {
        self.line(&format!("network {}({})", network.name.text, parameters(&network.params)));
        self.inside(|out| {
            if let Some(variants) = &network.variants {
                out.table("variants", variants);
            }
            for heading in &network.headings {
                out.line(&format!("heading {:?} = {}", heading.text.text, heading.means.text));
            }
            for name in &network.carried {
                out.line(&format!("carried {}", name.text));
            }
            network.operators.iter().for_each(|o| out.operator(o));
            for column in &network.columns {
                out.line(&format!("column {} = {}", column.name.text, expr(&column.value)));
            }
            network.settings.iter().for_each(|s| out.setting("setting", s));
            for expect in &network.expects {
                let when = expect.when.as_ref().map(|w| format!(" when {}", expr(w)));
                out.line(&format!(
                    "expect {} = {}{}",
                    expect.what.text,
                    expr(&expect.value),
                    when.unwrap_or_default()
                ));
            }
            network.tables.iter().for_each(|t| out.table("table", t));
            network.body.iter().for_each(|s| out.statement(s));
            for output in &network.outputs {
                out.line(&format!("output {} = {}", output.name.text, expr(&output.path)));
            }
            network.weights.iter().for_each(|w| out.weights(w));
        });
    }

    fn table(&mut self, word: &str, table: &Table) {
        let variants = names(&table.variants);
        self.line(format!("{word} {variants}").trim_end());
        self.inside(|out| {
            let header: Vec<&str> = table.header.iter().map(|n| n.text.as_str()).collect();
            out.line(&format!("| {} |", header.join(" | ")));
            for row in &table.rows {
                if row.starts_stage {
                    out.line("---");
                }
                let cells: Vec<String> = row.cells.iter().map(cell).collect();
                let when = row.when.as_ref().map(|w| format!(" when {}", expr(w)));
                out.line(&format!("| {} |{}", cells.join(" | "), when.unwrap_or_default()));
            }
        });
    }

    fn weights(&mut self, weights: &Weights) {
        let like = weights.like.as_ref().map(|l| format!(" like {}", l.text));
        self.line(&format!("weights {}{}", weights.name.text, like.unwrap_or_default()));
        self.inside(|out| {
            weights.sets.iter().for_each(|s| out.setting("set", s));
            weights.rules.iter().for_each(|r| out.rule(r));
            for (name, rules) in &weights.blocks {
                out.line(&format!("block {}", name.text));
                out.inside(|out| rules.iter().for_each(|r| out.rule(r)));
            }
            for drop in &weights.drops {
                out.line(&format!("drop {}", drop.text));
            }
            for item in &weights.preprocess {
                let values: Vec<String> = item.values.iter().map(expr).collect();
                out.line(&format!("preprocess {} = {}", item.key.text, values.join(" ")));
            }
        });
    }

    fn rule(&mut self, rule: &Rule) {
        let targets: Vec<String> = rule.targets.iter().map(target).collect();
        self.line(&format!("{}: {}", names(&rule.labels), targets.join(", ")));
        self.inside(|out| rule.rules.iter().for_each(|r| out.rule(r)));
    }
}

fn names(names: &[Name]) -> String {
    let names: Vec<&str> = names.iter().map(|n| n.text.as_str()).collect();
    names.join(", ")
}

fn parameters(parameters: &[Parameter]) -> String {
    let parameters: Vec<String> = parameters
        .iter()
        .map(|p| match &p.default {
            Some(default) => format!("{} = {}", p.name.text, expr(default)),
            None => p.name.text.clone(),
        })
        .collect();
    parameters.join(", ")
}

/// A cell: its value, or its text if it has none.
fn cell(cell: &Cell) -> String {
    let exempt = if cell.exempt { "!" } else { "" };
    match &cell.value {
        Ok(None) => "-".to_string(),
        Ok(Some(value)) => format!("{exempt}{}", expr(value)),
        Err(_) => format!("{:?}", canonical_cell(&cell.text)),
    }
}

fn exprs(values: &[Expr]) -> String {
    let values: Vec<String> = values.iter().map(expr).collect();
    values.join(", ")
}

/// An expression on one line.
pub fn expr(value: &Expr) -> String {
    match &value.kind {
        ExprKind::Number(number) => format!("{number}"),
        ExprKind::Text(text) => format!("{text:?}"),
        ExprKind::Bool(true) => "yes".to_string(),
        ExprKind::Bool(false) => "no".to_string(),
        ExprKind::Absent => "none".to_string(),
        ExprKind::Size(sizes) => {
            let sizes: Vec<String> = sizes.iter().map(|s| format!("{s}")).collect();
            sizes.join("x")
        }
        ExprKind::Name(name) => name.clone(),
        ExprKind::Field(inner, name) => format!("{}.{}", expr(inner), name.text),
        ExprKind::Index(inner, index) => format!("{}[{}]", expr(inner), expr(index)),
        ExprKind::List(values) => format!("[{}]", exprs(values)),
        ExprKind::Unary(UnaryOp::Neg, inner) => format!("(-{})", expr(inner)),
        ExprKind::Unary(UnaryOp::Not, inner) => format!("(!{})", expr(inner)),
        ExprKind::Binary(operator, left, right) => {
            format!("({} {} {})", expr(left), operator.symbol(), expr(right))
        }
        ExprKind::Call(callee, arguments) => {
            let arguments: Vec<String> = arguments
                .iter()
                .map(|a| match &a.name {
                    Some(name) => format!("{} = {}", name.text, expr(&a.value)),
                    None => expr(&a.value),
                })
                .collect();
            format!("{}({})", expr(callee), arguments.join(", "))
        }
        ExprKind::Pipe(first, steps) => {
            let steps: Vec<String> = steps.iter().map(expr).collect();
            format!("({} -> {})", expr(first), steps.join(" -> "))
        }
        ExprKind::If(condition, yes, no) => {
            format!("(if {} then {} else {})", expr(condition), expr(yes), expr(no))
        }
        ExprKind::Param(name, dims) => format!("(param {}[{}])", name.text, exprs(dims)),
        ExprKind::Grid(binders, body) => {
            let binders: Vec<String> =
                binders.iter().map(|(n, b)| format!("{} < {}", n.text, expr(b))).collect();
            format!("grid({} : {})", binders.join(", "), expr(body))
        }
        ExprKind::PlusMinus(value, tolerance) => format!("{} ± {}", expr(value), expr(tolerance)),
        ExprKind::Percent(inner) => format!("{}%", expr(inner)),
        ExprKind::Error => "<error>".to_string(),
    }
}

/// A target on one line.
fn target(target: &Target) -> String {
    let mut text = match &target.kind {
        TargetKind::Name(parts) => parts
            .iter()
            .map(|p| match p {
                NamePart::Text(text) => text.clone(),
                NamePart::Hole(value) => format!("{{{}}}", expr(value)),
            })
            .collect(),
        TargetKind::Here => ".".to_string(),
        TargetKind::Concat(parts) => {
            let parts: Vec<String> = parts.iter().map(self::target).collect();
            format!("cat({})", parts.join(", "))
        }
        TargetKind::Rows(inner, index, parts) => {
            format!("rows({}, {}, {})", self::target(inner), expr(index), expr(parts))
        }
        TargetKind::Zero => "0".to_string(),
    };
    if let Some(when) = &target.when {
        let _ = write!(text, " when {}", expr(when));
    }
    if let Some(otherwise) = &target.otherwise {
        let _ = write!(text, " else {}", self::target(otherwise));
    }
    text
}
