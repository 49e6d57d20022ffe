//! The network's parameters for one variant: `--set`, else the variant's cell, else the default.

use super::codes;
use super::expander::{Eval, Expander};
use super::scope::Scope;
use crate::names::near_miss;
use crate::spec::IMPLICIT;
use crate::value::Value;
use netwright_grammar::ast::{Cell, ExprKind, Row, Table};
use netwright_grammar::{Diagnostic, Span};

/// Largest side of an input.
const MAX_SIDE: i64 = 1 << 16;

/// What a column of the table of variants means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum VariantColumn {
    Name,
    Expectation,
    Carried,
    Parameter,
    Unknown,
}

/// A variant's row.
#[derive(Clone)]
pub(crate) struct Variant<'a> {
    pub name: String,
    pub row: &'a Row,
    pub table: &'a Table,
}

impl<'a> Variant<'a> {
    /// The cell below a heading.
    pub fn cell(&self, heading: &str) -> Option<&'a Cell> {
        let at = self.table.header.iter().position(|name| name.text == heading)?;
        self.row.cells.get(at)
    }
}

impl<'a> Expander<'a> {
    fn variant_column(&self, heading: &str) -> VariantColumn {
        let network = self.network;
        if heading == "name" {
            VariantColumn::Name
        } else if heading == "params" || heading == "macs" {
            VariantColumn::Expectation
        } else if network.carried.iter().any(|carried| carried.text == heading) {
            VariantColumn::Carried
        } else if network.params.iter().any(|parameter| parameter.name.text == heading)
            || IMPLICIT.iter().any(|(name, _)| *name == heading)
        {
            VariantColumn::Parameter
        } else {
            VariantColumn::Unknown
        }
    }

    /// The row of the requested variant. The table of variants is checked on the way.
    pub fn variant(&mut self, wanted: Option<&str>) -> Eval<Option<Variant<'a>>> {
        let network = self.network;
        let span = network.name.span;
        let Some(table) = &network.variants else {
            return match wanted {
                None => Ok(None),
                Some(name) => {
                    let message = format!("the network has no variants, so no `{name}`");
                    Err(Diagnostic::error(codes::VARIANT, span, message)
                        .help(format!("name it without: `{}`", self.spec.name))
                        .into())
                }
            };
        };
        self.check_variants(table);
        let names = self.spec.variants();
        let list = names.join(", ");
        let Some(wanted) = wanted else {
            let message = format!("`{}` has variants, and none is named", self.spec.name);
            let first = names.first().map_or("NAME", String::as_str);
            return Err(Diagnostic::error(codes::VARIANT, span, message)
                .help(format!("write `{}:{first}`; the variants are {list}", self.spec.name))
                .into());
        };
        let name_column = table.header.iter().position(|heading| heading.text == "name");
        let row = name_column.and_then(|at| {
            table
                .rows
                .iter()
                .find(|row| row.cells.get(at).is_some_and(|cell| cell_text(cell) == wanted))
        });
        match row {
            Some(row) => Ok(Some(Variant { name: wanted.to_string(), row, table })),
            None => {
                let message = format!("there is no variant `{wanted}`");
                let error = Diagnostic::error(codes::VARIANT, table.span, message);
                Err(match near_miss(wanted, names.iter().map(String::as_str)) {
                    Some(near) => {
                        error.help(format!("did you mean `{near}`? The variants are {list}"))
                    }
                    None => error.help(format!("the variants are {list}")),
                }
                .into())
            }
        }
    }

    fn check_variants(&mut self, table: &Table) {
        let mut error = |span: Span, message: String, help: &str| {
            self.report(Diagnostic::error(codes::VARIANTS, span, message).help(help));
        };
        let Some(column) = table.header.iter().position(|heading| heading.text == "name") else {
            error(
                table.span,
                "the table of variants has no column `name`".into(),
                "it is the first",
            );
            return;
        };
        let mut names: Vec<(String, Span)> = Vec::new();
        for row in &table.rows {
            if row.cells.len() != table.header.len() {
                let (cells, header) = (row.cells.len(), table.header.len());
                let message = format!("the row has {cells} cells, the header has {header}");
                self.report(
                    Diagnostic::error(codes::ROW_LENGTH, row.span, message)
                        .help("an absent cell is written `-`"),
                );
                continue;
            }
            let cell = &row.cells[column];
            let name = cell_text(cell);
            if name.is_empty() {
                let message = "a variant needs a name".to_string();
                self.report(Diagnostic::error(codes::VARIANTS, cell.span, message));
            } else if let Some((_, first)) = names.iter().find(|(known, _)| *known == name) {
                let message = format!("variant `{name}` is there twice");
                let error = Diagnostic::error(codes::VARIANTS, cell.span, message);
                self.report(error.related(*first, "the first"));
            } else {
                names.push((name, cell.span));
            }
        }
        for heading in &table.header {
            if self.variant_column(&heading.text) != VariantColumn::Unknown {
                continue;
            }
            let text = &heading.text;
            let message = format!("the network has no parameter `{text}`");
            let network = self.network;
            let known = network.params.iter().map(|parameter| parameter.name.text.as_str());
            let known = known.chain(network.carried.iter().map(|name| name.text.as_str())).chain([
                "name",
                "params",
                "macs",
                "resolution",
                "classes",
                "channels",
            ]);
            let error = Diagnostic::error(codes::VARIANTS, heading.span, message);
            let error = match near_miss(text, known) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!(
                    "add it to the parameters of the network, or declare it: `carried {text}`"
                )),
            };
            self.report(error);
        }
    }

    /// Evaluates all parameters. A parameter without a good value is poison.
    pub fn parameters(&mut self, variant: Option<&Variant<'a>>, sets: &[(String, String)]) {
        let network = self.network;
        let variant_name = variant.map_or(Value::Absent, |variant| Value::text(&variant.name));
        self.parameters.push(("variant".into(), variant_name));
        let declared = |name: &str| network.params.iter().any(|p| p.name.text == name);
        let implicit: Vec<(&str, f64)> =
            IMPLICIT.into_iter().filter(|(name, _)| !declared(name)).collect();
        let mut known: Vec<&str> = network.params.iter().map(|p| p.name.text.as_str()).collect();
        known.extend(implicit.iter().map(|(name, _)| *name));
        for (name, _) in sets {
            if !known.contains(&name.as_str()) {
                let error = self.unknown_set(name, &known);
                self.report(error);
            }
        }
        for (name, default) in implicit {
            let span = network.name.span;
            let default = Some(Value::Number(default));
            self.parameter_value(name, span, default, variant, sets);
        }
        for parameter in &network.params {
            let name = parameter.name.text.as_str();
            let set = sets.iter().any(|(known, _)| known == name);
            let given = set
                || variant
                    .and_then(|variant| variant.cell(name))
                    .is_some_and(|cell| !matches!(cell.value, Ok(None)));
            let default = match &parameter.default {
                // A default that is not used is still checked, if it can be.
                Some(default) => {
                    let mut scope = Scope::network(0);
                    let value = self.eval(default, &mut scope);
                    Some(self.settle(value))
                }
                None if given => None,
                None => None,
            };
            self.parameter_value(name, parameter.name.span, default, variant, sets);
        }
        self.check_implicit();
    }

    fn parameter_value(
        &mut self,
        name: &str,
        span: Span,
        default: Option<Value>,
        variant: Option<&Variant<'a>>,
        sets: &[(String, String)],
    ) {
        let cell = variant
            .filter(|_| self.variant_column(name) == VariantColumn::Parameter)
            .and_then(|variant| variant.cell(name));
        let of_variant = cell.map(|cell| {
            let mut scope = Scope::network(0);
            let value = self.printed(cell, &mut scope);
            self.settle(value)
        });
        let printed = of_variant.filter(|value| !value.is_absent()).or(default);
        let set = sets.iter().rev().find(|(known, _)| known == name);
        let value = match (set, printed) {
            (Some((_, text)), printed) => {
                let value = self.set_value(name, text, printed.as_ref(), span);
                self.settle(value)
            }
            (None, Some(value)) => value,
            (None, None) => {
                let message = format!("parameter `{name}` has no value");
                let error = Diagnostic::error(codes::NO_VALUE, span, message);
                let help = if self.network.variants.is_some() {
                    format!("give it a default, a column in `variants`, or --set {name}=...")
                } else {
                    format!("give it a default, or --set {name}=...")
                };
                self.report(error.help(help));
                Value::Poison
            }
        };
        self.parameters.push((name.to_string(), value));
    }

    /// Resolution, classes and channels must be sizes and counts.
    fn check_implicit(&mut self) {
        let mut bad = Vec::new();
        for (at, (name, value)) in self.parameters.iter().enumerate() {
            let span = self
                .network
                .params
                .iter()
                .find(|parameter| parameter.name.text == *name)
                .map_or(self.network.name.span, |parameter| parameter.name.span);
            let what = format!("`{name}`");
            let result = match name.as_str() {
                "resolution" => value.as_size2(&what, 1, span).and_then(|sides| {
                    for side in sides {
                        Value::from(side).as_whole(&what, 1, MAX_SIDE, span)?;
                    }
                    Ok(())
                }),
                "classes" => value.as_index(&what, span).map(drop),
                "channels" => value.as_count(&what, span).map(drop),
                _ => Ok(()),
            };
            if let Err(diagnostic) = result {
                bad.push((at, diagnostic));
            }
        }
        for (at, diagnostic) in bad {
            self.parameters[at].1 = Value::Poison;
            self.report_fault(diagnostic.into());
        }
    }

    /// A parameter's value.
    pub fn parameter_named(&self, name: &str) -> Value {
        let found = self.parameters.iter().find(|(known, _)| known == name);
        found.map_or(Value::Poison, |(_, value)| value.clone())
    }

    /// Whether a table's printed shapes are those of the parameters in force.
    pub fn table_is_at_defaults(
        &self,
        table: &Table,
        variant: Option<&Variant<'a>>,
        sets: &[(String, String)],
    ) -> bool {
        if !sets.is_empty() {
            return false;
        }
        let Some(variant) = variant else { return true };
        let network = self.network;
        let sets_parameters = variant
            .table
            .header
            .iter()
            .any(|heading| self.variant_column(&heading.text) == VariantColumn::Parameter);
        if !sets_parameters {
            return true;
        }
        let all_have_defaults = network.params.iter().all(|p| p.default.is_some());
        if all_have_defaults {
            return variant.table.header.iter().all(|heading| {
                let name = heading.text.as_str();
                if self.variant_column(name) != VariantColumn::Parameter {
                    return true;
                }
                let default = network.params.iter().find(|p| p.name.text == name);
                let default = match default.and_then(|p| p.default.as_ref()).map(|expr| &expr.kind)
                {
                    Some(ExprKind::Number(number)) => Some(*number),
                    Some(_) => None,
                    None => IMPLICIT.iter().find(|(known, _)| *known == name).map(|(_, n)| *n),
                };
                match (default, self.parameter_named(name)) {
                    (Some(default), value) => value.same(&Value::Number(default)),
                    (None, _) => {
                        variant.cell(name).is_some_and(|cell| matches!(cell.value, Ok(None)))
                    }
                }
            });
        }
        let names = self.spec.variants();
        let first = names.iter().find(|name| {
            table.variants.is_empty() || table.variants.iter().any(|known| known.text == **name)
        });
        first.is_some_and(|first| *first == variant.name)
    }
}

/// A cell as text: without quotes.
pub(crate) fn cell_text(cell: &Cell) -> String {
    match &cell.value {
        Ok(Some(expr)) => match &expr.kind {
            ExprKind::Text(text) => text.clone(),
            _ => cell.text.clone(),
        },
        _ => cell.text.clone(),
    }
}
