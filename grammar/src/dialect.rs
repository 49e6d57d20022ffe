//! `weights` sections: rules that name tensors, and preprocessing.

use pest::iterators::Pair;

use crate::ast::{
    Expr, Name, NamePart, PreprocessItem, Rule as NameRule, Setting, Target, TargetKind, Weights,
};
use crate::build::{Builder, is_expr};
use crate::diagnostic::Diagnostic;
use crate::outline::{Item, ItemKind};
use crate::parse::Reader;
use crate::piece::Rule;

impl<'a> Reader<'a> {
    /// A dialect; without a name it is read for its errors and dropped.
    pub(crate) fn weights(&mut self, item: &Item) -> Option<Weights> {
        let piece = self.head(item);
        let (name, like) = match self.read(Rule::weights_head, piece) {
            Some(pair) => {
                let builder = Builder::new(piece);
                let mut names = pair
                    .into_inner()
                    .filter(|p| p.as_rule() == Rule::name)
                    .map(|p| builder.name(&p));
                (names.next(), names.next())
            }
            None => (self.words(item).into_iter().next(), None),
        };
        let span = self.item_span(item);
        let name_known = name.is_some();
        let mut weights = Weights {
            name: name.unwrap_or(Name { text: String::new(), span }),
            like,
            sets: Vec::new(),
            rules: Vec::new(),
            blocks: Vec::new(),
            drops: Vec::new(),
            preprocess: Vec::new(),
            span,
        };
        for line in &item.body {
            match line.kind {
                ItemKind::Set => weights.sets.extend(self.set(line)),
                ItemKind::Drop => weights.drops.extend(self.drops(line)),
                ItemKind::BlockRules => weights.blocks.extend(self.block_rules(line)),
                ItemKind::Preprocess => {
                    let piece = self.head(line);
                    self.read(Rule::preprocess_head, piece);
                    for inner in line.body.iter().filter(|i| i.kind == ItemKind::PreprocessItem) {
                        weights.preprocess.extend(self.preprocess(inner));
                    }
                }
                ItemKind::Rule => weights.rules.extend(self.rule(line)),
                _ => {}
            }
        }
        name_known.then_some(weights)
    }

    fn set(&mut self, item: &Item) -> Option<Setting> {
        let piece = self.head(item);
        let pair = self.read(Rule::set_line, piece)?;
        let (name, value) = self.name_and_value(&Builder::new(piece), pair);
        Some(Setting { name: name?, value: value? })
    }

    fn drops(&mut self, item: &Item) -> Vec<Name> {
        let piece = self.head(item);
        let builder = Builder::new(piece);
        match self.read(Rule::drop_line, piece) {
            Some(pair) => pair
                .into_inner()
                .filter(|p| p.as_rule() == Rule::drop_pattern)
                .map(|p| builder.name(&p))
                .collect(),
            None => Vec::new(),
        }
    }

    fn block_rules(&mut self, item: &Item) -> Option<(Name, Vec<NameRule>)> {
        let piece = self.head(item);
        let pair = self.read(Rule::rules_head, piece);
        let rules = self.rules(&item.body);
        let name = pair?.into_inner().find(|p| p.as_rule() == Rule::name)?;
        Some((Builder::new(piece).name(&name), rules))
    }

    fn rules(&mut self, items: &[Item]) -> Vec<NameRule> {
        let mut rules = Vec::new();
        for item in items {
            if item.kind == ItemKind::Rule {
                rules.extend(self.rule(item));
                continue;
            }
            let word = match item.kind {
                ItemKind::Set => "set",
                ItemKind::Drop => "drop",
                ItemKind::Preprocess => "preprocess",
                ItemKind::BlockRules => "block",
                _ => continue,
            };
            let problem = Diagnostic::error(
                "E0010",
                self.head_span(item),
                format!("`{word}` belongs directly in a `weights` section"),
            )
            .label("inside the rules of something")
            .help("move it out of these braces; is a `}` missing above?");
            self.problem(problem);
        }
        rules
    }

    fn rule(&mut self, item: &Item) -> Option<NameRule> {
        let piece = self.head(item);
        let pair = self.read(Rule::naming, piece);
        let rules = self.rules(&item.body);
        let builder = Builder::new(piece);
        let mut labels = Vec::new();
        let mut targets = Vec::new();
        for part in pair?.into_inner() {
            match part.as_rule() {
                Rule::labels => {
                    let names = part.into_inner().filter(|p| p.as_rule() == Rule::label);
                    labels.extend(names.map(|p| builder.name(&p)));
                }
                Rule::target => targets.extend(self.target(&builder, part, false)),
                _ => {}
            }
        }
        Some(NameRule { labels, targets, rules, span: self.item_span(item) })
    }

    /// A target; `0` is zeros inside `cat` only.
    fn target(&mut self, builder: &Builder, pair: Pair<Rule>, in_cat: bool) -> Option<Target> {
        let span = builder.span(&pair);
        let mut kind = None;
        let mut when = None;
        let mut otherwise = None;
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::target => otherwise = self.target(builder, part, in_cat).map(Box::new),
                rule if is_expr(rule) => when = Some(self.expr(builder, part)),
                Rule::kw_when | Rule::kw_else => {}
                _ => kind = Some(self.target_kind(builder, part, in_cat)?),
            }
        }
        Some(Target { kind: kind?, when, otherwise, span })
    }

    fn target_kind(
        &mut self,
        builder: &Builder,
        pair: Pair<Rule>,
        in_cat: bool,
    ) -> Option<TargetKind> {
        Some(match pair.as_rule() {
            Rule::target_cat => {
                let parts = pair.into_inner().filter(|p| p.as_rule() == Rule::target);
                TargetKind::Concat(parts.filter_map(|p| self.target(builder, p, true)).collect())
            }
            Rule::target_rows => {
                let mut target = None;
                let mut numbers: Vec<Expr> = Vec::new();
                for part in pair.into_inner() {
                    match part.as_rule() {
                        Rule::target => target = self.target(builder, part, false),
                        rule if is_expr(rule) => numbers.push(self.expr(builder, part)),
                        _ => {}
                    }
                }
                let parts = numbers.pop()?;
                TargetKind::Rows(Box::new(target?), Box::new(numbers.pop()?), Box::new(parts))
            }
            Rule::target_quoted => {
                let text = pair.into_inner().next().map(|p| builder.name(&p).text)?;
                TargetKind::Name(vec![NamePart::Text(text)])
            }
            _ if pair.as_str() == "." => TargetKind::Here,
            _ if pair.as_str() == "0" && in_cat => TargetKind::Zero,
            _ => TargetKind::Name(self.name_parts(builder, pair)),
        })
    }

    fn name_parts(&mut self, builder: &Builder, pair: Pair<Rule>) -> Vec<NamePart> {
        let mut parts = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name_text => parts.push(NamePart::Text(part.as_str().to_string())),
                Rule::hole => {
                    if let Some(inner) = part.into_inner().find(|p| is_expr(p.as_rule())) {
                        parts.push(NamePart::Hole(self.expr(builder, inner)));
                    }
                }
                _ => {}
            }
        }
        parts
    }

    fn preprocess(&mut self, item: &Item) -> Option<PreprocessItem> {
        let piece = self.head(item);
        let pair = self.read(Rule::preprocess_item, piece)?;
        let builder = Builder::new(piece);
        let mut key = None;
        let mut values = Vec::new();
        for part in pair.into_inner() {
            match part.as_rule() {
                Rule::name => key = Some(builder.name(&part)),
                Rule::preprocess_value => values.push(self.expr(&builder, part)),
                _ => {}
            }
        }
        Some(PreprocessItem { key: key?, values })
    }
}
