//! What can be found without expanding: names that mean nothing, arguments that a callee does not
//! have, names defined twice, blocks that need themselves, in blocks that nothing uses as well.

use super::bind::{Binder, Bound, Given};
use super::call::earlier;
use super::call::may_be_flag;
use super::codes;
use super::expander::Expander;
use super::scope::Scope;
use super::signature::Signature;
use super::table::roles::is_identifier;
use crate::spec::{BlockId, duplicates};
use crate::value::{Callable, Target, Value, is_silent};
use netwright_grammar::ast::{Argument, Expr, ExprKind, Name, Statement};
use netwright_grammar::{Diagnostic, Severity, Span};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

impl<'a> Expander<'a> {
    /// Whether a name that is not known may stand in a piece of text that could not be read.
    pub fn may_be_lost(&self, name: &str) -> bool {
        self.spec.diagnostics.iter().any(|diagnostic| {
            if diagnostic.severity != Severity::Error || !diagnostic.code.starts_with("E00") {
                return false;
            }
            // The line of the mistake and the one after it.
            let text = self.spec.sources.text(diagnostic.span.file);
            let start = (diagnostic.span.start as usize).min(text.len());
            let Some(before) = text.get(..start) else { return true };
            let begin = before.rfind('\n').map_or(0, |at| at + 1);
            let line = text[begin..].lines().next().unwrap_or_default();
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
            words.into_iter().any(|word| word == name)
        })
    }

    /// Checks all blocks that are not of `std.arch`, and what stands around the tables.
    pub fn lint(&mut self) {
        self.find_recursion();
        let spec: &'a crate::spec::Spec = self.spec;
        for id in spec.block_ids() {
            let (file, block) = spec.block(id);
            self.calls.push(id);
            let mut scope = Scope::block(file);
            let mut names: Vec<&Name> = Vec::new();
            for parameter in &block.params {
                if let Some(default) = &parameter.default {
                    self.lint_expr(default, &mut scope);
                }
                scope.set(&parameter.name.text, Value::Poison);
                names.push(&parameter.name);
            }
            self.lint_lines(&block.body, &mut scope, &mut names);
            if !block.body.iter().any(|line| matches!(line, Statement::Let { .. }))
                && !self.broken(block.span)
            {
                let message = format!("block `{}` has no line, so no result", block.name.text);
                self.report(Diagnostic::error(codes::RESULTS, block.name.span, message));
            }
            self.calls.pop();
        }
        self.lint_network();
    }

    /// Whether the parser found something within a span.
    fn broken(&self, span: Span) -> bool {
        self.spec.diagnostics.iter().any(|diagnostic| {
            let at = diagnostic.span;
            at.file == span.file && at.start >= span.start && at.end <= span.end
        })
    }

    fn lint_lines(&mut self, body: &'a [Statement], scope: &mut Scope, names: &mut Vec<&'a Name>) {
        for statement in body {
            match statement {
                Statement::Let { labels, value, when, otherwise, .. } => {
                    when.iter().for_each(|expr| self.lint_expr(expr, scope));
                    self.lint_expr(value, scope);
                    otherwise.iter().for_each(|expr| self.lint_expr(expr, scope));
                    for label in labels {
                        scope.set(&label.text, Value::Poison);
                        names.push(label);
                    }
                }
                Statement::Param { name, dims, .. } => {
                    dims.iter().for_each(|expr| self.lint_expr(expr, scope));
                    scope.set(&name.text, Value::Poison);
                    names.push(name);
                }
                Statement::Require { condition, message, .. } => {
                    self.lint_expr(condition, scope);
                    message.iter().for_each(|expr| self.lint_expr(expr, scope));
                }
            }
        }
        let mut found = Vec::new();
        duplicates(names.iter().copied(), "label", &mut found);
        found.into_iter().for_each(|diagnostic| self.report(diagnostic));
    }

    fn lint_name(&mut self, name: &str, span: Span, scope: &Scope) {
        match self.lookup(name, scope) {
            Ok(Some(_)) => {}
            Ok(None) => {
                let fault = self.no_name(name, span, scope, &[]);
                self.report_fault(fault);
            }
            Err(fault) => self.report_fault(fault),
        }
    }

    /// Names and arguments of an expression, whatever its values are.
    pub fn lint_expr(&mut self, expr: &Expr, scope: &mut Scope) {
        if self.depth >= super::limits::MAX_DEPTH {
            return;
        }
        self.depth += 1;
        match &expr.kind {
            ExprKind::Name(name) => self.lint_name(name, expr.span, scope),
            ExprKind::Field(base, _) => self.lint_expr(base, scope),
            ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) | ExprKind::PlusMinus(a, b) => {
                self.lint_expr(a, scope);
                self.lint_expr(b, scope);
            }
            ExprKind::List(items) | ExprKind::Param(_, items) => {
                items.iter().for_each(|item| self.lint_expr(item, scope));
            }
            ExprKind::Unary(_, operand) | ExprKind::Percent(operand) => {
                self.lint_expr(operand, scope);
            }
            ExprKind::Call(callee, arguments) => {
                self.lint_call(callee, arguments, None, expr.span, scope);
            }
            ExprKind::Pipe(first, steps) => {
                self.lint_expr(first, scope);
                steps.iter().for_each(|step| self.lint_step(step, scope));
            }
            ExprKind::If(a, b, c) => {
                [a, b, c].into_iter().for_each(|expr| self.lint_expr(expr, scope));
            }
            ExprKind::Grid(axes, body) => {
                axes.iter().for_each(|(_, length)| self.lint_expr(length, scope));
                let depth = scope.locals.len();
                axes.iter().for_each(|(name, _)| scope.set(&name.text, Value::Poison));
                self.lint_expr(body, scope);
                scope.locals.truncate(depth);
            }
            ExprKind::Number(_)
            | ExprKind::Text(_)
            | ExprKind::Bool(_)
            | ExprKind::Absent
            | ExprKind::Size(_)
            | ExprKind::Error => {}
        }
        self.depth -= 1;
    }

    fn lint_step(&mut self, step: &Expr, scope: &mut Scope) {
        match &step.kind {
            ExprKind::Call(callee, arguments) => {
                self.lint_call(callee, arguments, Some(()), step.span, scope);
            }
            _ => self.lint_call(step, &[], Some(()), step.span, scope),
        }
    }

    fn lint_call(
        &mut self,
        callee: &Expr,
        arguments: &[Argument],
        flow: Option<()>,
        span: Span,
        scope: &mut Scope,
    ) {
        let found = match &callee.kind {
            ExprKind::Name(name) => match self.lookup_callee(name, scope) {
                Ok(None) if name == "repeat" => {
                    self.lint_repeat(arguments, scope);
                    return;
                }
                Ok(None) => {
                    self.lint_name(name, callee.span, scope);
                    None
                }
                Ok(found) => found,
                Err(fault) => {
                    self.report_fault(fault);
                    None
                }
            },
            _ => {
                self.lint_expr(callee, scope);
                None
            }
        };
        let callable = match found {
            Some(Value::Callable(callable)) => Some(callable),
            _ => None,
        };
        let signature = callable.as_ref().and_then(|callable| self.signature(callable).ok());
        let given: Vec<Given> = arguments
            .iter()
            .enumerate()
            .map(|(at, argument)| {
                let at = at + usize::from(flow.is_some());
                self.lint_argument(argument, at, signature, scope)
            })
            .collect();
        let (Some(callable), Some(signature)) = (callable, signature) else { return };
        let function =
            matches!(&callable.target, Target::Primitive(name) if crate::pure::is_function(name));
        if function || signature.len() == 0 {
            return;
        }
        self.lint_binding(&callable, signature, given, flow, span);
    }

    /// A name where a word out of a few is meant: an unknown one gets their list.
    fn lint_word(&mut self, word: &str, words: &[&str], span: Span, scope: &Scope) {
        if matches!(self.lookup(word, scope), Ok(None)) && !self.may_be_lost(word) {
            let error = self.unknown_name(word, span, scope, words);
            let error = match error.help {
                None if !is_silent(&error) => {
                    error.help(format!("it is one of {}", words.join(", ")))
                }
                _ => error,
            };
            self.report(error);
        } else {
            self.lint_name(word, span, scope);
        }
    }

    fn lint_binding(
        &mut self,
        callable: &Rc<Callable>,
        signature: Signature<'a>,
        given: Vec<Given>,
        flow: Option<()>,
        span: Span,
    ) {
        let mut binder = Binder::new(signature);
        let mut all = earlier(callable);
        all.extend(given);
        if flow.is_some() {
            binder.slots[0] = Some(Bound { value: Value::Poison, span });
        }
        let wrong = binder.all(all);
        let missing =
            if flow.is_some() && wrong.is_empty() { binder.missing_error(span) } else { None };
        for diagnostic in wrong.into_iter().chain(missing) {
            self.report(diagnostic);
        }
    }

    fn lint_argument(
        &mut self,
        argument: &Argument,
        at: usize,
        signature: Option<Signature<'a>>,
        scope: &mut Scope,
    ) -> Given {
        let span = argument.value.span;
        let mut name = argument.name.as_ref().map(|name| (name.text.clone(), name.span));
        let at = name.as_ref().map_or(Some(at), |(name, _)| signature?.find(name));
        let words = signature.zip(at).map_or(&[][..], |(signature, at)| signature.words(at));
        if let (None, ExprKind::Name(flag)) = (&name, &argument.value.kind)
            && self.lookup(flag, scope).is_ok_and(|known| match signature {
                Some(signature) => may_be_flag(&known, flag, signature),
                None => known.is_none(),
            })
        {
            let known = signature.and_then(|signature| signature.find(flag));
            if !words.is_empty() && known.is_none() {
                self.lint_word(flag, words, span, scope);
            // What cannot be told yet, an activation that is a parameter, may have such a flag.
            } else if signature.is_none() || known.is_some_and(|at| at > 0) {
                name = Some((flag.clone(), span));
            } else if let Some(signature) = signature {
                let own: Vec<&str> = (1..signature.len()).map(|at| signature.param(at)).collect();
                let fault = self.no_name(flag, span, scope, &own);
                self.report_fault(fault);
            }
        } else if let (ExprKind::Name(word), false) = (&argument.value.kind, words.is_empty()) {
            self.lint_word(word, words, span, scope);
        } else {
            self.lint_expr(&argument.value, scope);
        }
        Given { name, value: Value::Poison, span }
    }

    fn lint_repeat(&mut self, arguments: &[Argument], scope: &mut Scope) {
        for (at, argument) in arguments.iter().enumerate() {
            let body = match &argument.name {
                Some(name) => name.text == "f",
                None => at == 1,
            };
            if body {
                scope.set("i", Value::Poison);
                self.lint_step(&argument.value, scope);
                scope.locals.pop();
            } else {
                self.lint_expr(&argument.value, scope);
            }
        }
    }

    /// Blocks that call themselves, by way of others or not.
    fn find_recursion(&mut self) {
        let spec: &'a crate::spec::Spec = self.spec;
        let mut calls: BTreeMap<BlockId, Vec<(BlockId, Span)>> = BTreeMap::new();
        for id in spec.block_ids() {
            let (file, block) = spec.block(id);
            let mut names = Vec::new();
            block.body.iter().for_each(|line| names_in_line(line, &mut names));
            let hidden = |name: &str| block.params.iter().any(|p| p.name.text == name);
            let called = names
                .into_iter()
                .filter(|(name, _)| !hidden(name))
                .filter_map(|(name, span)| Some((spec.find_block(file, name)?, span)))
                .collect();
            calls.insert(id, called);
        }
        for id in spec.block_ids() {
            let mut seen = BTreeSet::new();
            let mut open: Vec<BlockId> = vec![id];
            while let Some(next) = open.pop() {
                for (called, _) in calls.get(&next).into_iter().flatten() {
                    if seen.insert(*called) {
                        open.push(*called);
                    }
                }
            }
            if !seen.contains(&id) {
                continue;
            }
            let circle = self.recursive.iter().any(|known| seen.contains(known));
            self.recursive.insert(id);
            if circle {
                // Another block of the same circle has been reported.
                continue;
            }
            let name = &spec.block(id).1.name.text;
            let inner = calls.get(&id).into_iter().flatten();
            let place =
                inner.clone().find(|(called, _)| *called == id).or_else(|| inner.clone().next());
            let span = place.map_or(spec.block(id).1.name.span, |(_, span)| *span);
            let message = format!("block `{name}` is used inside itself");
            let error = Diagnostic::error(codes::RECURSION, span, message)
                .help("blocks cannot be recursive; `repeat` does a thing several times");
            self.report(error);
        }
    }

    fn lint_network(&mut self) {
        let network = self.network;
        let mut found = Vec::new();
        duplicates(network.params.iter().map(|p| &p.name), "parameter", &mut found);
        duplicates(network.operators.iter().map(|op| &op.pattern), "operator", &mut found);
        duplicates(network.columns.iter().map(|rule| &rule.name), "column rule for", &mut found);
        duplicates(network.settings.iter().map(|setting| &setting.name), "setting", &mut found);
        duplicates(network.headings.iter().map(|heading| &heading.text), "heading", &mut found);
        duplicates(network.outputs.iter().map(|output| &output.name), "output", &mut found);
        duplicates(network.weights.iter().map(|weights| &weights.name), "dialect", &mut found);
        found.into_iter().for_each(|diagnostic| self.report(diagnostic));
        let variants = self.spec.variants();
        for table in &network.tables {
            for name in &table.variants {
                if !variants.contains(&name.text) {
                    let message = format!("there is no variant `{}`", name.text);
                    let error = Diagnostic::error(codes::VARIANTS, name.span, message);
                    let known = variants.iter().map(String::as_str).collect();
                    let fault = self.with_near(error, &name.text, known, "the variants are");
                    self.report_fault(fault);
                }
            }
        }
        self.lint_headings(&variants);
        self.check_expect_names();
        let mut scope = Scope::network(0);
        scope.set("x", Value::Poison);
        let mut names = Vec::new();
        self.lint_lines(&network.body, &mut scope, &mut names);
        if !network.body.is_empty() && !network.tables.is_empty() {
            let message = "a network has either tables or lines";
            let error = Diagnostic::error(codes::TABLE, network.name.span, message);
            self.report(error.help("put the lines into a block and give it a row"));
        }
    }

    fn lint_headings(&mut self, variants: &[String]) {
        let network = self.network;
        let headers = || {
            let tables = network.tables.iter().chain(&network.variants);
            tables.flat_map(|table| &table.header).map(|name| name.text.trim())
        };
        if network.tables.is_empty() {
            return;
        }
        for heading in &network.headings {
            let text = heading.text.text.as_str();
            let used = headers().any(|header| {
                header == text
                    || variants.iter().any(|variant| text.replace("{variant}", variant) == header)
            });
            if !used {
                let message = format!("no table has a column `{text}`");
                let error = Diagnostic::error(codes::HEADING, heading.text.span, message);
                let fault = self.with_near(error, text, headers().collect(), "the columns are");
                self.report_fault(fault);
            }
        }
        for carried in &network.carried {
            if !headers().any(|header| header == carried.text) {
                let message = format!("no table has a column `{}`", carried.text);
                let error = Diagnostic::error(codes::HEADING, carried.span, message);
                let fault =
                    self.with_near(error, &carried.text, headers().collect(), "the columns are");
                self.report_fault(fault);
            }
        }
        self.lint_column_rules();
    }

    /// A rule is for a column of some table, or for a parameter that some block has.
    fn lint_column_rules(&mut self) {
        let network = self.network;
        let mut known: Vec<String> = Vec::new();
        for table in &network.tables {
            let mark = self.findings.mark();
            let columns = self.columns(table, None);
            self.findings.forget(mark);
            known.extend(columns.into_iter().flat_map(|column| {
                // Its own name first; the role's other names only help to find it.
                std::iter::once(column.name).chain(column.names)
            }));
        }
        let spec: &'a crate::spec::Spec = self.spec;
        // Of the blocks of other files only those that the network names: all of them have so many
        // parameters that a misspelt column would often be one.
        let mut called = Vec::new();
        network.operators.iter().for_each(|operator| names_in(&operator.callee, &mut called));
        let called: Vec<&str> = called.into_iter().map(|(name, _)| name).collect();
        for rule in &network.columns {
            let name = rule.name.text.as_str();
            let mut scope = Scope::network(0);
            for local in ["x", "i", "last", "stage", "n", "row", "prev", name] {
                scope.set(local, Value::Poison);
            }
            self.lint_expr(&rule.value, &mut scope);
            let of_block = spec
                .block_ids()
                .map(|id| spec.block(id))
                .filter(|(file, block)| *file == 0 || called.contains(&block.name.text.as_str()))
                .flat_map(|(_, block)| block.params.iter().skip(1))
                .any(|parameter| parameter.name.text == name);
            if known.iter().any(|column| column == name) || of_block {
                continue;
            }
            let message = format!("no table has a column `{name}`");
            let error = Diagnostic::error(codes::COLUMN_RULE, rule.name.span, message);
            let mut plain: Vec<&str> = Vec::new();
            for name in known.iter().map(String::as_str).filter(|name| is_identifier(name)) {
                if !plain.contains(&name) {
                    plain.push(name);
                }
            }
            let fault = self.with_near(error, name, plain, "the columns are");
            self.report_fault(fault);
        }
    }
}

fn names_in_line<'e>(line: &'e Statement, names: &mut Vec<(&'e str, Span)>) {
    match line {
        Statement::Let { value, when, otherwise, .. } => {
            names_in(value, names);
            when.iter().chain(otherwise).for_each(|expr| names_in(expr, names));
        }
        Statement::Param { dims, .. } => dims.iter().for_each(|expr| names_in(expr, names)),
        Statement::Require { condition, .. } => names_in(condition, names),
    }
}

fn names_in<'e>(expr: &'e Expr, names: &mut Vec<(&'e str, Span)>) {
    let mut open = vec![expr];
    while let Some(expr) = open.pop() {
        match &expr.kind {
            ExprKind::Name(name) => names.push((name, expr.span)),
            ExprKind::Field(base, _) => open.push(base),
            ExprKind::Index(a, b) | ExprKind::Binary(_, a, b) | ExprKind::PlusMinus(a, b) => {
                open.extend([&**a, &**b]);
            }
            ExprKind::List(items) | ExprKind::Param(_, items) => open.extend(items),
            ExprKind::Unary(_, operand) | ExprKind::Percent(operand) => open.push(operand),
            ExprKind::Call(callee, arguments) => {
                open.push(callee);
                open.extend(arguments.iter().map(|argument| &argument.value));
            }
            ExprKind::Pipe(first, steps) => {
                open.push(first);
                open.extend(steps);
            }
            ExprKind::If(a, b, c) => open.extend([&**a, &**b, &**c]),
            ExprKind::Grid(axes, body) => {
                open.push(body);
                open.extend(axes.iter().map(|(_, length)| length));
            }
            _ => {}
        }
    }
}
