//! What a spec offers, without expanding it: for `netwright specs` and for messages.

use super::{Spec, builtin_names};
use netwright_grammar::ast::{Expr, ExprKind, Network};

/// One line of the list of specs.
#[derive(Clone, Debug, PartialEq)]
pub struct Catalog {
    /// The name to load it by.
    pub name: String,
    /// Its variants.
    pub variants: Vec<String>,
    /// Its parameters, `resolution`, `classes` and `channels` included.
    pub parameters: Vec<CatalogParameter>,
    /// Its dialects.
    pub dialects: Vec<String>,
}

/// A parameter of a network.
#[derive(Clone, Debug, PartialEq)]
pub struct CatalogParameter {
    /// Its name.
    pub name: String,
    /// Its default as the spec writes it; `None`: the variant says.
    pub default: Option<String>,
}

/// Parameters that every network has, with the defaults that hold where it does not declare them.
pub(crate) const IMPLICIT: [(&str, f64); 3] =
    [("resolution", 224.0), ("classes", 1000.0), ("channels", 3.0)];

/// The built-in specs, in alphabetical order.
pub fn catalog() -> Vec<Catalog> {
    builtin_names().into_iter().filter_map(|name| Spec::load(name).ok()?.catalog()).collect()
}

impl Spec {
    /// What this spec offers; `None` if it has no network.
    pub fn catalog(&self) -> Option<Catalog> {
        let network = self.network()?;
        let text = |expr: &Expr| {
            let span = expr.span;
            let text = &self.sources.files.get(span.file as usize)?.1;
            text.get(span.start as usize..span.end as usize).map(str::to_string)
        };
        let mut parameters: Vec<CatalogParameter> = network
            .params
            .iter()
            .map(|parameter| CatalogParameter {
                name: parameter.name.text.clone(),
                default: parameter.default.as_ref().and_then(text),
            })
            .collect();
        for (name, default) in IMPLICIT {
            if !parameters.iter().any(|parameter| parameter.name == name) {
                let default = Some(crate::value::plain(default));
                parameters.push(CatalogParameter { name: name.into(), default });
            }
        }
        Some(Catalog {
            name: self.name.clone(),
            variants: self.variants(),
            parameters,
            dialects: self.dialects().into_iter().map(str::to_string).collect(),
        })
    }
}

/// The names in a network's table of variants: the cells below `name`, as text.
pub(super) fn variant_names(network: &Network) -> Vec<String> {
    let Some(table) = &network.variants else { return Vec::new() };
    let Some(column) = table.header.iter().position(|heading| heading.text == "name") else {
        return Vec::new();
    };
    let cells = table.rows.iter().filter_map(|row| row.cells.get(column));
    cells
        .filter(|cell| !cell.text.is_empty())
        .map(|cell| match &cell.value {
            Ok(Some(Expr { kind: ExprKind::Text(text), .. })) => text.clone(),
            _ => cell.text.clone(),
        })
        .collect()
}
