//! Networks: their declarations and sections.

use crate::ast::{ColumnRule, Expect, File, Heading, Name, Network, Output};
use crate::build::Builder;
use crate::diagnostic::Diagnostic;
use crate::outline::{Item, ItemKind};
use crate::parse::Reader;
use crate::piece::Rule;

impl Reader<'_> {
    pub(crate) fn network(&mut self, item: &Item, tree: &mut File) -> Network {
        let span = self.item_span(item);
        let (name, params) = self.section_head(Rule::network_head, item).unwrap_or_else(|| {
            (Name { text: String::new(), span: self.head_span(item) }, Vec::new())
        });
        let mut network = Network { params, span, ..empty_network(name) };
        for inner in &item.body {
            self.network_item(inner, &mut network, tree);
        }
        network
    }

    /// A line or section of a network; a block in it has been complained about and is kept.
    pub(crate) fn network_item(&mut self, item: &Item, network: &mut Network, tree: &mut File) {
        match item.kind {
            ItemKind::Variants => {
                let table = self.table(item);
                if let Some(first) = &network.variants {
                    let problem = Diagnostic::error(
                        "E0010",
                        self.head_span(item),
                        "a network has one table of variants",
                    )
                    .label("this is the second")
                    .related(first.span, "the first");
                    self.problem(problem);
                } else {
                    network.variants = Some(table);
                }
            }
            ItemKind::Table => {
                let table = self.table(item);
                network.tables.push(table);
            }
            ItemKind::Heading => network.headings.extend(self.headings(item)),
            ItemKind::Carried => network.carried.extend(self.carried(item)),
            ItemKind::Operator => network.operators.extend(self.operators(item)),
            ItemKind::Column => network.columns.extend(self.columns(item)),
            ItemKind::Setting => network.settings.extend(self.setting(item)),
            ItemKind::Expect => network.expects.extend(self.expect(item)),
            ItemKind::Output => network.outputs.extend(self.output(item)),
            ItemKind::Weights => {
                let weights = self.weights(item);
                network.weights.extend(weights);
            }
            ItemKind::Statement => network.body.extend(self.statement(item)),
            ItemKind::Block => tree.blocks.extend(self.block(item)),
            ItemKind::Network => {
                let inner = self.network(item, tree);
                tree.networks.push(inner);
            }
            ItemKind::Use => tree.uses.extend(self.use_line(item)),
            _ => {}
        }
    }

    fn headings(&mut self, item: &Item) -> Vec<Heading> {
        let piece = self.head(item);
        let Some(pair) = self.read(Rule::heading_line, piece) else {
            let words = self.words(item);
            return match (words.first(), words.last()) {
                (Some(text), Some(means)) if words.len() == 2 => {
                    vec![Heading { text: text.clone(), means: means.clone() }]
                }
                _ => Vec::new(),
            };
        };
        let builder = Builder::new(piece);
        let mut headings = Vec::new();
        for part in pair.into_inner().filter(|p| p.as_rule() == Rule::heading) {
            let mut text = None;
            let mut means = None;
            for word in part.into_inner() {
                match word.as_rule() {
                    Rule::string => text = Some(builder.name(&word)),
                    Rule::name => means = Some(builder.name(&word)),
                    _ => {}
                }
            }
            headings.extend(text.zip(means).map(|(text, means)| Heading { text, means }));
        }
        headings
    }

    fn carried(&mut self, item: &Item) -> Vec<Name> {
        let piece = self.head(item);
        let Some(pair) = self.read(Rule::carried_line, piece) else { return self.words(item) };
        let builder = Builder::new(piece);
        pair.into_inner()
            .filter(|p| p.as_rule() == Rule::column_name)
            .filter_map(|p| p.into_inner().next())
            .map(|p| builder.name(&p))
            .collect()
    }

    fn columns(&mut self, item: &Item) -> Vec<ColumnRule> {
        let piece = self.head(item);
        let Some(pair) = self.read(Rule::column_line, piece) else {
            return self
                .declared(item)
                .into_iter()
                .map(|(name, _)| ColumnRule { name, value: self.lost(item) })
                .collect();
        };
        let builder = Builder::new(piece);
        let mut columns = Vec::new();
        for part in pair.into_inner().filter(|p| p.as_rule() == Rule::column) {
            if let (Some(name), Some(value)) = self.name_and_value(&builder, part) {
                columns.push(ColumnRule { name, value });
            }
        }
        columns
    }

    fn expect(&mut self, item: &Item) -> Option<Expect> {
        let piece = self.head(item);
        let pair = self.read(Rule::expect_line, piece)?;
        let builder = Builder::new(piece);
        let what = pair.clone().into_inner().find(|p| p.as_rule() == Rule::name)?;
        let what = builder.name(&what);
        let mut parts = self.exprs_of(&builder, pair).into_iter();
        Some(Expect { what, value: parts.next()?, when: parts.next() })
    }

    fn output(&mut self, item: &Item) -> Option<Output> {
        let piece = self.head(item);
        let pair = self.read(Rule::output_line, piece)?;
        let (name, path) = self.name_and_value(&Builder::new(piece), pair);
        Some(Output { name: name?, path: path? })
    }
}

/// A network of which only the name is known.
pub(crate) fn empty_network(name: Name) -> Network {
    Network {
        span: name.span,
        name,
        params: Vec::new(),
        variants: None,
        headings: Vec::new(),
        carried: Vec::new(),
        operators: Vec::new(),
        columns: Vec::new(),
        settings: Vec::new(),
        expects: Vec::new(),
        tables: Vec::new(),
        body: Vec::new(),
        outputs: Vec::new(),
        weights: Vec::new(),
    }
}
