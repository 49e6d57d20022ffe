//! Operator cells: `stem: conv2d 3x3`, `MBConv6, k5x5`, `last: Conv1x1 & Pooling & classifier: FC`.

use super::pattern::Pattern;
use super::roles::is_identifier;
use crate::expand::codes;
use crate::expand::expander::{Eval, Expander, Fault};
use crate::expand::scope::Scope;
use crate::names::near_miss;
use crate::value::{Callable, Value};
use netwright_grammar::ast::{Argument, Cell};
use netwright_grammar::{Diagnostic, Span};
use std::rc::Rc;

/// One operator of a cell.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub label: Option<String>,
    pub label_span: Span,
    /// What it calls.
    pub callee: Rc<Callable>,
    /// The holes of its pattern: name, value, place.
    pub holes: Vec<(String, Value, Span)>,
    /// The arguments after the operator's name.
    pub arguments: Vec<Argument>,
    /// The text without its label.
    pub span: Span,
}

/// Parts of a span by bytes of its text.
fn within(span: Span, start: usize, end: usize) -> Span {
    Span { file: span.file, start: span.start + start as u32, end: span.start + end as u32 }
}

/// Splits at `separator` outside brackets and quotes: byte ranges, trimmed.
fn split(text: &str, separator: char) -> Vec<(usize, usize)> {
    let mut parts = Vec::new();
    let (mut depth, mut quoted, mut start) = (0usize, false, 0);
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' | '[' if !quoted => depth += 1,
            ')' | ']' if !quoted => depth = depth.saturating_sub(1),
            c if c == separator && depth == 0 && !quoted => {
                parts.push((start, at));
                start = at + c.len_utf8();
            }
            _ => {}
        }
    }
    parts.push((start, text.len()));
    parts
        .into_iter()
        .map(|(start, end)| {
            let part = &text[start..end];
            let lead = part.len() - part.trim_start().len();
            (start + lead, (start + part.trim_end().len()).max(start + lead))
        })
        .collect()
}

impl Expander<'_> {
    /// The operators of a cell. Every mistake in it is reported.
    pub fn operator_parts(&mut self, cell: &Cell) -> Eval<Vec<Part>> {
        if cell.text.is_empty() || cell.text == "-" {
            let message = "the row has no operator";
            return Err(Diagnostic::error(codes::OPERATOR_CELL, cell.span, message).into());
        }
        let mut parts = Vec::new();
        let mut broken = false;
        for (start, end) in split(&cell.text, '&') {
            match self.operator_part(&cell.text[start..end], within(cell.span, start, end)) {
                Ok(part) => parts.push(part),
                Err(fault) => {
                    self.report_fault(fault);
                    broken = true;
                }
            }
        }
        if broken { Err(Fault::Known) } else { Ok(parts) }
    }

    fn operator_part(&mut self, text: &str, span: Span) -> Eval<Part> {
        let (label, text, span, label_span) = match text.split_once(':') {
            Some((label, rest)) if is_identifier(label.trim()) => {
                let lead = text.len() - rest.trim_start().len();
                let place = within(span, 0, label.trim_end().len());
                (
                    Some(label.trim().to_string()),
                    &text[lead..],
                    within(span, lead, text.len()),
                    place,
                )
            }
            _ => (None, text, span, span),
        };
        if text.is_empty() {
            let message = "an operator is missing here";
            return Err(Diagnostic::error(codes::OPERATOR_CELL, span, message).into());
        }
        if let Some((callee, holes, end)) = self.matching_pattern(text, span)? {
            let arguments = self.cell_arguments(&text[end..], within(span, end, text.len()))?;
            return Ok(Part { label, label_span, callee, holes, arguments, span });
        }
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let name = &text[..end];
        let place = within(span, 0, end);
        let scope = self.network_scope();
        let found = if is_identifier(name) { self.lookup(name, &scope)? } else { None };
        let callee = match found {
            Some(Value::Callable(callee)) => callee,
            Some(Value::Poison) => return Err(Fault::Known),
            Some(other) => {
                let message = format!("`{name}` is {}, not an operator", other.kind());
                return Err(Diagnostic::error(codes::NOT_CALLABLE, place, message).into());
            }
            None if self.may_be_lost(name) => return Err(Fault::Known),
            None => return Err(self.unknown_operator(text, name, span, place, &scope).into()),
        };
        let arguments = self.cell_arguments(&text[end..], within(span, end, text.len()))?;
        Ok(Part { label, label_span, callee, holes: Vec::new(), arguments, span })
    }

    fn unknown_operator(
        &self,
        text: &str,
        name: &str,
        span: Span,
        place: Span,
        scope: &Scope,
    ) -> Diagnostic {
        let quoted: Vec<&str> = self
            .table_operators()
            .into_iter()
            .filter(|(_, _, op)| op.quoted)
            .map(|(_, _, op)| op.pattern.text.as_str())
            .collect();
        if is_identifier(name) {
            let error = self.unknown_name(name, place, scope, &[]);
            if error.help.is_some() || crate::value::is_silent(&error) {
                return error;
            }
        }
        let message = format!("no operator is called `{text}`");
        let error = Diagnostic::error(codes::OPERATOR_CELL, span, message);
        match near_miss(text, quoted.iter().copied()) {
            Some(near) => error.help(format!("is it meant to be `{near}`?")),
            None if !quoted.is_empty() => {
                let list: Vec<String> = quoted.iter().map(|text| format!("\"{text}\"")).collect();
                error.help(format!("the patterns are {}", list.join(", ")))
            }
            None => error.help(format!("declare it: `operator \"{text}\" = block(..)`")),
        }
    }

    /// The quoted operator that fits with most letters: callee, holes, where its text ends.
    #[allow(clippy::type_complexity)]
    fn matching_pattern(
        &mut self,
        text: &str,
        span: Span,
    ) -> Eval<Option<(Rc<Callable>, Vec<(String, Value, Span)>, usize)>> {
        let mut best: Option<(usize, super::pattern::Match, usize, usize)> = None;
        for (file, index, operator) in self.table_operators() {
            if !operator.quoted {
                continue;
            }
            let Ok(pattern) = Pattern::parse(&operator.pattern.text) else { continue };
            let Some(found) = pattern.find(text) else { continue };
            let better = best.as_ref().is_none_or(|(letters, ..)| pattern.letters > *letters);
            if better {
                best = Some((pattern.letters, found, file, index));
            }
        }
        let Some((_, found, file, index)) = best else { return Ok(None) };
        let callee = match self.operator(file, index)? {
            Value::Callable(callee) => callee,
            _ => return Err(Fault::Known),
        };
        let mut holes: Vec<(String, Value, Span)> = Vec::new();
        for (name, start, end) in found.holes {
            if holes.iter().any(|(known, ..)| *known == name) {
                continue;
            }
            let place = within(span, start, end);
            let expr = netwright_grammar::parse_expression(&text[start..end], place)?;
            let mut scope = self.network_scope();
            let value = self.eval(&expr, &mut scope)?;
            holes.push((name, value, place));
        }
        Ok(Some((callee, holes, found.end)))
    }

    /// What stands after an operator's name: nothing, `a, b`, `, a, b` or `(a, b)`.
    fn cell_arguments(&mut self, text: &str, span: Span) -> Eval<Vec<Argument>> {
        let trimmed = text.trim_end();
        let mut start = text.len() - text.trim_start().len();
        if let Some(rest) = text[start..].strip_prefix(',') {
            start = text.len() - rest.trim_start().len();
        }
        let mut end = trimmed.len().max(start);
        let inner = &text[start..end];
        // Whether the first parenthesis is closed only at the end.
        let whole = inner.starts_with('(') && {
            let mut depth = 0usize;
            let closed = inner.char_indices().find(|(_, c)| {
                match c {
                    '(' => depth += 1,
                    ')' => depth -= 1,
                    _ => {}
                }
                depth == 0
            });
            closed.is_some_and(|(at, _)| at + 1 == inner.len())
        };
        if whole {
            start += 1;
            end -= 1;
        }
        if text[start..end].trim().is_empty() {
            return Ok(Vec::new());
        }
        Ok(netwright_grammar::parse_arguments(&text[start..end], within(span, start, end))?)
    }

    /// Checks the patterns and names of operators by themselves.
    pub fn check_operators(&mut self) {
        for (file, index, operator) in self.table_operators() {
            if operator.quoted
                && let Err(message) = Pattern::parse(&operator.pattern.text)
            {
                self.report(Diagnostic::error(codes::PATTERN, operator.pattern.span, message));
                continue;
            }
            match self.operator(file, index) {
                Ok(Value::Callable(callee)) if operator.quoted => {
                    self.check_holes(&callee, operator);
                }
                Ok(_) => {}
                Err(fault) => self.report_fault(fault),
            }
        }
    }

    /// Every hole but the repeat count and the stride must be a parameter of the callee.
    fn check_holes(&mut self, callee: &Callable, operator: &netwright_grammar::ast::Operator) {
        let Ok(signature) = self.signature(callee) else { return };
        let Ok(pattern) = Pattern::parse(&operator.pattern.text) else { return };
        for hole in pattern.holes() {
            if hole == "n" || hole == "s" || signature.find(hole).is_some_and(|at| at > 0) {
                continue;
            }
            let message = format!("`{}` has no parameter `{hole}` for this hole", signature.name());
            let error = Diagnostic::error(codes::PATTERN, operator.pattern.span, message);
            let known = (1..signature.len()).map(|at| signature.param(at));
            let error = match near_miss(hole, known) {
                Some(near) => error.help(format!("did you mean `{{{near}}}`?")),
                None => error.help(signature.takes()),
            };
            self.report(error);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn operators_are_split_outside_brackets() {
        let text = "last: Conv1x1 & Pooling & f(a & b) & \"&\"";
        let parts: Vec<&str> = split(text, '&').into_iter().map(|(s, e)| &text[s..e]).collect();
        assert_eq!(parts, ["last: Conv1x1", "Pooling", "f(a & b)", "\"&\""]);
    }
}
