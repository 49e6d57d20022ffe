//! The walk down the tree that gives every tensor its name.

use super::Request;
use super::pattern::{Pattern, Unfit};
use super::scope::{HOLES, RowNumbers, Scope, has_params, units};
use crate::instance::{Instance, Kind};
use crate::pure;
use crate::value::{Value, is_silent, plain};
use netwright_grammar::ast::{Expr, ExprKind, NamePart, Rule, Target, TargetKind, Weights};
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::Source;
use std::collections::HashMap;

/// Rules to search, in order, each list with the dialect (index in the chain) that it is from.
type Lists<'a> = Vec<(usize, &'a [Rule])>;

/// Where the walk is.
#[derive(Clone)]
struct Place<'a> {
    prefix: Pattern,
    lists: Lists<'a>,
    /// Prefix and rules of the block around the line, for the free parameters in it.
    around: Option<(Pattern, Lists<'a>)>,
    blocks: Vec<&'a Instance>,
    line: Option<&'a Instance>,
    row: Option<RowNumbers>,
    round: Option<usize>,
    /// Labels on the way, for messages.
    path: Vec<&'a str>,
    /// The rule that gave the prefix.
    rule: Option<Span>,
}

struct Named {
    source: Source,
    path: String,
    rule: Option<Span>,
}

struct Walk<'a, 'b> {
    request: &'b Request<'a>,
    chain: &'b [&'a Weights],
    rows: usize,
    named: Vec<Option<Named>>,
    errors: &'b mut Vec<Diagnostic>,
}

/// The sources of all parameters; what goes wrong is added to `errors`.
pub fn walk<'a>(
    request: &Request<'a>,
    chain: &[&'a Weights],
    errors: &mut Vec<Diagnostic>,
) -> Vec<Source> {
    let tree = request.tree;
    let unlabelled = |row: &&Instance| {
        matches!(row.kind, Kind::Row { .. }) && row.label.is_empty() && has_params(row)
    };
    let rows = tree.children.iter().filter(unlabelled).count();
    let named = request.params.iter().map(|_| None).collect();
    let mut walk = Walk { request, chain, rows, named, errors };
    let place = Place {
        prefix: Pattern::Name(String::new()),
        lists: chain.iter().enumerate().map(|(at, dialect)| (at, &dialect.rules[..])).collect(),
        around: None,
        blocks: vec![tree],
        line: None,
        row: None,
        round: None,
        path: Vec::new(),
        rule: None,
    };
    walk.children(tree, &place);
    walk.finish()
}

impl<'a> Walk<'a, '_> {
    fn children(&mut self, node: &'a Instance, place: &Place<'a>) {
        // What is repeated under one label is numbered, in the name and as `{r}`.
        let mut totals: HashMap<&str, (usize, usize)> = HashMap::new();
        for child in node.children.iter().filter(|child| matches!(child.kind, Kind::Row { .. })) {
            totals.entry(&child.label).or_default().1 += 1;
        }
        let only = is_only(node);
        for child in &node.children {
            let mut place = place.clone();
            let mut segment = child.label.clone();
            if let Kind::Row { stage, index, flat, all } = child.kind {
                place.row = Some(RowNumbers { stage, index, flat, all });
                let count = totals.entry(&child.label).or_default();
                if child.label.is_empty() {
                    segment = format!("blocks.{stage}.{index}");
                } else if count.1 > 1 {
                    place.round = Some(count.0);
                    segment = format!("{}.{}", child.label, count.0);
                }
                count.0 += 1;
            }
            if matches!(child.kind, Kind::Row { .. } | Kind::Line) {
                place.line = Some(child);
            }
            self.visit(child, node, only, segment, place);
        }
    }

    /// Names one node; `segment` is its default name, `only` whether nothing beside it in `parent` has
    /// parameters.
    fn visit(
        &mut self,
        node: &'a Instance,
        parent: &Instance,
        only: bool,
        segment: String,
        place: Place<'a>,
    ) {
        if !has_params(node) {
            return;
        }
        let (label, transparent) = match &node.kind {
            Kind::Row { .. } if node.label.is_empty() => ("blocks", false),
            Kind::Line => {
                let single =
                    matches!(&parent.kind, Kind::Block { labels, .. } if labels.len() == 1);
                (node.label.as_str(), single)
            }
            Kind::Block { .. } => (node.label.as_str(), only),
            Kind::Repeat { index } => {
                let mut place = place;
                place.round = Some(*index);
                place.around = None;
                place.prefix = place.prefix.child(&segment);
                place.path.push(&node.label);
                return self.inside(node, place);
            }
            _ => (node.label.as_str(), false),
        };
        let mut place = place;
        if matches!(node.kind, Kind::Tensor { .. })
            && matches!(parent.kind, Kind::Line)
            && matching(&place.lists, label).is_empty()
            && let Some((prefix, lists)) = place.around.take()
            && !matching(&lists, label).is_empty()
        {
            // `x * param gamma[c]`: the block names it as if it had a line of its own.
            (place.prefix, place.lists) = (prefix, lists);
        }
        let rules = matching(&place.lists, label);
        let inner: Lists<'a> = rules.iter().map(|(at, rule)| (*at, &rule.rules[..])).collect();
        let naming = rules.iter().map(|(_, rule)| *rule).find(|rule| !rule.targets.is_empty());

        let mut below = place.clone();
        if matches!(node.kind, Kind::Line) {
            below.around = Some((place.prefix.clone(), place.lists.clone()));
        }
        if !transparent {
            below.path.push(label);
        }
        if !rules.is_empty() {
            below.lists = inner;
        } else if !transparent && !matches!(node.kind, Kind::Block { .. }) {
            below.lists = Vec::new();
        }
        match naming {
            Some(rule) => self.apply(rule, node, &segment, &place, below),
            None => {
                if !transparent {
                    below.prefix = place.prefix.child(&segment);
                    below.rule = place.rule;
                }
                self.inside(node, below);
            }
        }
    }

    /// Goes on inside a node whose name is the place's prefix.
    fn inside(&mut self, node: &'a Instance, mut place: Place<'a>) {
        match &node.kind {
            Kind::Tensor { param } => self.tensor(*param, place),
            Kind::Block { name, .. } => {
                place.lists = self.with_block_rules(&place.lists, name);
                place.around = None;
                place.blocks.push(node);
                self.children(node, &place);
            }
            _ => self.children(node, &place),
        }
    }

    /// The lists with each dialect's rules for a block after its other rules.
    fn with_block_rules(&self, lists: &Lists<'a>, block: &str) -> Lists<'a> {
        let mut all = Lists::new();
        for (at, dialect) in self.chain.iter().enumerate() {
            all.extend(lists.iter().filter(|(from, _)| *from == at));
            let own = dialect.blocks.iter().filter(|(name, _)| name.text == block);
            all.extend(own.map(|(_, rules)| (at, &rules[..])));
        }
        all
    }

    fn apply(
        &mut self,
        rule: &'a Rule,
        node: &'a Instance,
        segment: &str,
        place: &Place<'a>,
        mut below: Place<'a>,
    ) {
        below.rule = Some(rule.span);
        // A rule that counts rounds is for each round, not for the line around them.
        let rounds = |child: &Instance| matches!(child.kind, Kind::Repeat { .. });
        if node.children.iter().any(rounds) && rule.targets.iter().any(mentions_round) {
            let only = is_only(node);
            for child in &node.children {
                let mut place = place.clone();
                let mut below = below.clone();
                if let Kind::Repeat { index } = child.kind {
                    place.round = Some(index);
                    below.round = Some(index);
                    below.path.push(&child.label);
                    self.apply_once(rule, child, &child.label, &place, below);
                } else {
                    below.prefix = place.prefix.child(segment);
                    self.visit(child, node, only, child.label.clone(), below);
                }
            }
            return;
        }
        self.apply_once(rule, node, segment, place, below);
    }

    fn apply_once(
        &mut self,
        rule: &'a Rule,
        node: &'a Instance,
        segment: &str,
        place: &Place<'a>,
        mut below: Place<'a>,
    ) {
        let mut inside = Vec::new();
        units(node, &mut inside);
        let first = inside.first().copied();
        let mut live: Vec<&Target> = Vec::new();
        for target in &rule.targets {
            match self.choose(target, &self.scope(place, node, first, false)) {
                Ok(Some(target)) => live.push(target),
                Ok(None) => {}
                Err(error) => return self.error(error),
            }
        }
        if rule.targets.len() == 1 || live.is_empty() {
            let Some(target) = live.first() else {
                below.prefix = place.prefix.child(segment);
                return self.inside(node, below);
            };
            let scope = self.scope(place, node, first, true);
            let pattern = match self.pattern(target, &scope) {
                Ok(pattern) => pattern,
                Err(error) => return self.error(error),
            };
            below.prefix = place.prefix.join(&pattern);
            return match inside[..] {
                [unit] if !self.named_inside(node, &below.lists) => {
                    self.unit(unit, &pattern, below);
                }
                _ => self.inside(node, below),
            };
        }
        if live.len() != inside.len() {
            let labels: Vec<&str> = inside.iter().map(|unit| unit.label.as_str()).collect();
            let message = format!(
                "the rule names {} layers, `{}` has {}: {}",
                live.len(),
                below.path.join("."),
                inside.len(),
                labels.join(", ")
            );
            let help = "give one name as the prefix of all, or one for each layer in order";
            return self.error(Diagnostic::error("E0502", rule.span, message).help(help));
        }
        for (target, unit) in live.into_iter().zip(inside) {
            let pattern = match self.pattern(target, &self.scope(place, node, Some(unit), true)) {
                Ok(pattern) => pattern,
                Err(error) => return self.error(error),
            };
            let mut below = below.clone();
            below.prefix = place.prefix.join(&pattern);
            below.path.push(&unit.label);
            self.unit(unit, &pattern, below);
        }
    }

    /// Names a layer's tensors, or a free parameter, whose full name is the place's prefix; where the
    /// rule adds nothing to it, a free parameter keeps its own name.
    fn unit(&mut self, unit: &'a Instance, target: &Pattern, mut place: Place<'a>) {
        if matches!(unit.kind, Kind::Tensor { .. }) && target.is_empty() {
            place.prefix = place.prefix.child(&unit.label);
        }
        self.inside(unit, place);
    }

    /// Whether a rule names something between a node and its only layer, so that the layer's name
    /// is made step by step.
    fn named_inside(&self, node: &'a Instance, lists: &Lists<'a>) -> bool {
        match &node.kind {
            Kind::Layer { .. } | Kind::Tensor { .. } => return false,
            _ => {}
        }
        let lists = match &node.kind {
            Kind::Block { name, .. } => self.with_block_rules(lists, name),
            _ => lists.clone(),
        };
        node.children.iter().filter(|child| has_params(child)).any(|child| {
            !matching(&lists, &child.label).is_empty() || self.named_inside(child, &lists)
        })
    }

    fn tensor(&mut self, param: usize, place: Place<'a>) {
        let path = place.path.join(".");
        let span = place.rule.unwrap_or(self.request.tree.span);
        let (Some(slot), Some(known)) = (self.named.get_mut(param), self.request.params.get(param))
        else {
            return;
        };
        let resample = match &known.source {
            Source::Resample { prefix, grid, way, .. } => Some((*prefix, *grid, *way)),
            _ => None,
        };
        match place.prefix.source(&known.shape) {
            Ok(source) => {
                let source = match resample {
                    Some((prefix, grid, way)) => {
                        Source::Resample { of: Box::new(source), prefix, grid, way }
                    }
                    None => source,
                };
                *slot = Some(Named { source, path, rule: place.rule });
            }
            Err(unfit) => {
                let (code, message) = match unfit {
                    Unfit::Parts(parts) => (
                        "E0506",
                        format!(
                            "`{path}` of shape {:?} does not divide into {parts} equal parts",
                            known.shape
                        ),
                    ),
                    Unfit::Empty => ("E0509", format!("`{path}` gets an empty name")),
                    Unfit::OnlyZeros => ("E0509", format!("`{path}` is made of zeros alone")),
                };
                self.error(Diagnostic::error(code, span, message));
            }
        }
    }

    fn scope<'s>(
        &'s self,
        place: &'s Place<'a>,
        node: &'a Instance,
        unit: Option<&'a Instance>,
        hole: bool,
    ) -> Scope<'a, 's> {
        let block = |child: &&Instance| matches!(child.kind, Kind::Block { .. });
        let is_row = matches!(node.kind, Kind::Row { .. });
        Scope {
            row: place.row,
            rows: self.rows,
            round: place.round,
            blocks: &place.blocks,
            own: if is_row { node.children.iter().find(block) } else { None },
            line: place.line,
            unit,
            hole,
            outside: self.request.lookup,
        }
    }

    /// The target that conditions leave, if any.
    fn choose<'t>(
        &self,
        target: &'t Target,
        scope: &Scope,
    ) -> Result<Option<&'t Target>, Diagnostic> {
        let mut target = target;
        loop {
            match &target.when {
                Some(when) if !pure::condition(when, scope)? => match &target.otherwise {
                    Some(otherwise) => target = otherwise,
                    None => return Ok(None),
                },
                _ => return Ok(Some(target)),
            }
        }
    }

    fn pattern(&self, target: &Target, scope: &Scope) -> Result<Pattern, Diagnostic> {
        Ok(match &target.kind {
            TargetKind::Name(parts) => {
                let mut name = String::new();
                for part in parts {
                    match part {
                        NamePart::Text(text) => name.push_str(text),
                        NamePart::Hole(expr) => name.push_str(&hole(expr, scope)?),
                    }
                }
                Pattern::Name(name)
            }
            TargetKind::Here => Pattern::Name(String::new()),
            TargetKind::Zero => Pattern::Zero,
            TargetKind::Concat(targets) => {
                let conditions = Scope { hole: false, ..*scope };
                let mut parts = Vec::new();
                for target in targets {
                    if let Some(target) = self.choose(target, &conditions)? {
                        parts.push(self.pattern(target, scope)?);
                    }
                }
                Pattern::Concat(parts)
            }
            TargetKind::Rows(of, at, parts) => {
                let whole = |expr: &Expr, what, low, high| {
                    pure::evaluate(expr, scope)?.as_whole(what, low, high, expr.span)
                };
                let parts = whole(parts, "the number of parts", 1, 100_000)?;
                let at = whole(at, "the part's number", 0, parts - 1)?;
                let of = Box::new(self.pattern(of, scope)?);
                Pattern::Rows { of, at: at as usize, parts: parts as usize }
            }
        })
    }

    fn error(&mut self, error: Diagnostic) {
        // One mistake in a rule shows in every block that it names: the first stands for all.
        let seen = |other: &Diagnostic| other.code == error.code && other.span == error.span;
        if !is_silent(&error) && !self.errors.iter().any(seen) {
            self.errors.push(error);
        }
    }

    /// Checks that no name is given twice.
    fn finish(mut self) -> Vec<Source> {
        let named = std::mem::take(&mut self.named);
        let mut takers: HashMap<String, usize> = HashMap::new();
        for (at, one) in named.iter().enumerate() {
            let Some(one) = one else { continue };
            let mut parts = Vec::new();
            claims(&one.source, None, &mut parts);
            for (key, name) in parts {
                let Some(&earlier) = takers.get(&key) else {
                    takers.insert(key, at);
                    continue;
                };
                let Some(other) = &named[earlier] else { continue };
                let message =
                    format!("`{}` and `{}` are both named `{name}`", other.path, one.path);
                let span = one.rule.or(other.rule).unwrap_or(self.request.tree.span);
                let mut error = Diagnostic::error("E0503", span, message);
                if let Some(rule) = other.rule.filter(|rule| *rule != span) {
                    error = error.related(rule, format!("this names `{}`", other.path));
                }
                error = error.help(
                    "tell them apart by a hole: {s}, {i}, {n} number the rows, {#} the lines of a \
                     block, {r} the rounds of `repeat`",
                );
                self.error(error);
            }
        }
        // A parameter that the walk left unnamed has an error, or is in no instance: it keeps its
        // path as name.
        named
            .into_iter()
            .zip(self.request.params)
            .map(|(named, param)| match named {
                Some(named) => named.source,
                None => Source::Tensor { name: param.path.clone(), shape: param.shape.clone() },
            })
            .collect()
    }
}

/// The tensors, or equal parts of tensors, that a source takes: a key that only it may have, and
/// the name.
fn claims(source: &Source, part: Option<(usize, usize)>, found: &mut Vec<(String, String)>) {
    match source {
        Source::Tensor { name, .. } => {
            let key = match part {
                Some((start, len)) => format!("{name} {start} {len}"),
                None => name.clone(),
            };
            found.push((key, name.clone()));
        }
        Source::Concat { parts, .. } => parts.iter().for_each(|of| claims(of, part, found)),
        Source::Rows { of, start, len } => claims(of, Some((*start, *len)), found),
        Source::Resample { of, .. } => claims(of, part, found),
        Source::Zeros { .. } => {}
    }
}

/// The rules for a label, nearest first.
fn matching<'a>(lists: &Lists<'a>, label: &str) -> Vec<(usize, &'a Rule)> {
    let has = |rule: &&Rule| rule.labels.iter().any(|name| name.text == label);
    lists.iter().filter_map(|(at, rules)| rules.iter().find(has).map(|rule| (*at, rule))).collect()
}

fn hole(expr: &Expr, scope: &Scope) -> Result<String, Diagnostic> {
    let value = pure::evaluate(expr, scope).map_err(|error| match (error.code, &expr.kind) {
        ("E0201", ExprKind::Name(name)) => {
            let message = format!("there is no `{{{name}}}` here");
            Diagnostic::error("E0504", error.span, message).help(format!("holes are {HOLES}"))
        }
        ("E0201", _) => Diagnostic { code: "E0504", ..error },
        _ => error,
    })?;
    match value {
        Value::Number(number) if number.fract() == 0.0 && number >= 0.0 => Ok(plain(number)),
        Value::Text(text) => Ok(text.to_string()),
        Value::Poison => Err(crate::value::silent(expr.span)),
        other => {
            let message = format!("a hole is filled by a whole number or text, this is {other}");
            Err(Diagnostic::error("E0507", expr.span, message))
        }
    }
}

/// Whether a target counts rounds of `repeat`.
fn mentions_round(target: &Target) -> bool {
    let inside = match &target.kind {
        TargetKind::Name(parts) => parts.iter().any(|part| match part {
            NamePart::Text(_) => false,
            NamePart::Hole(expr) => names_round(expr),
        }),
        TargetKind::Concat(targets) => targets.iter().any(mentions_round),
        TargetKind::Rows(of, a, b) => mentions_round(of) || names_round(a) || names_round(b),
        TargetKind::Here | TargetKind::Zero => false,
    };
    inside || target.otherwise.as_deref().is_some_and(mentions_round)
}

fn names_round(expr: &Expr) -> bool {
    match &expr.kind {
        ExprKind::Name(name) => name == "r",
        ExprKind::Unary(_, a) | ExprKind::Field(a, _) => names_round(a),
        ExprKind::Binary(_, a, b) | ExprKind::Index(a, b) => names_round(a) || names_round(b),
        ExprKind::If(a, b, c) => names_round(a) || names_round(b) || names_round(c),
        ExprKind::List(items) => items.iter().any(names_round),
        ExprKind::Call(_, list) => list.iter().any(|argument| names_round(&argument.value)),
        ExprKind::Pipe(first, steps) => names_round(first) || steps.iter().any(names_round),
        _ => false,
    }
}

/// Whether exactly one of a node's children has parameters.
fn is_only(node: &Instance) -> bool {
    node.children.iter().filter(|child| has_params(child)).take(2).count() == 1
}
