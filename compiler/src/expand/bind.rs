//! Arguments onto parameters: named ones first, then positional ones onto what is left, in order.

use super::codes;
use super::primitives;
use super::signature::{Rest, Signature};
use crate::names::near_miss;
use crate::value::{Value, wrong_kind};
use netwright_grammar::{Diagnostic, Span};
use std::rc::Rc;

/// A value and where it was given.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub value: Value,
    pub span: Span,
}

/// An argument before it is bound.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub name: Option<(String, Span)>,
    pub value: Value,
    pub span: Span,
}

/// Parameters of a callee that fill up.
#[derive(Clone)]
pub(crate) struct Binder<'a> {
    pub signature: Signature<'a>,
    pub slots: Vec<Option<Bound>>,
    pub rest: Vec<Bound>,
}

impl<'a> Binder<'a> {
    pub fn new(signature: Signature<'a>) -> Self {
        Binder { signature, slots: vec![None; signature.len()], rest: Vec::new() }
    }

    pub fn is_bound(&self, name: &str) -> bool {
        self.signature.find(name).is_some_and(|at| self.slots[at].is_some())
    }

    /// Binds by name.
    pub fn named(&mut self, name: &str, at: Span, bound: Bound) -> Result<(), Diagnostic> {
        let Some(slot) = self.signature.find(name) else {
            if self.signature.rest() == Rest::Named {
                let pair = Value::list(vec![Value::text(name), bound.value]);
                self.rest.push(Bound { value: pair, span: bound.span });
                return Ok(());
            }
            return Err(self.unknown(name, at));
        };
        if let Some(first) = &self.slots[slot] {
            let message = format!("`{name}` of `{}` is given twice", self.signature.name());
            let error = Diagnostic::error(codes::GIVEN_TWICE, at, message);
            let related = first.span;
            return Err(if related == at || related == Span::default() {
                error
            } else {
                error.related(related, "given here already")
            });
        }
        self.slots[slot] = Some(bound);
        Ok(())
    }

    /// Binds to the first parameter that is not bound yet.
    pub fn positional(&mut self, bound: Bound) -> Result<(), Diagnostic> {
        let many = self.signature.rest() == Rest::Positional;
        let limit = if many { 1 } else { self.slots.len() };
        let free = self.slots.iter().take(limit).position(Option::is_none);
        match free {
            Some(slot) => self.slots[slot] = Some(bound),
            None if many => self.rest.push(bound),
            None => {
                let message = format!("`{}` has no use for this argument", self.signature.name());
                return Err(Diagnostic::error(codes::TOO_MANY, bound.span, message)
                    .help(self.signature.takes()));
            }
        }
        Ok(())
    }

    /// Binds a whole list: named ones first. All mistakes are returned.
    pub fn all(&mut self, given: Vec<Given>) -> Vec<Diagnostic> {
        let mut wrong = Vec::new();
        let (named, positional): (Vec<_>, Vec<_>) =
            given.into_iter().partition(|given| given.name.is_some());
        for Given { name, value, span } in named {
            if let Some((name, at)) = name {
                wrong.extend(self.named(&name, at, Bound { value, span }).err());
            }
        }
        for Given { value, span, .. } in positional {
            wrong.extend(self.positional(Bound { value, span }).err());
        }
        wrong
    }

    /// The required parameters that are not bound.
    pub fn missing(&self) -> Vec<&'a str> {
        (0..self.slots.len())
            .filter(|&at| self.slots[at].is_none() && self.signature.required(at))
            .map(|at| self.signature.param(at))
            .collect()
    }

    /// The error about what is missing.
    pub fn missing_error(&self, call: Span) -> Option<Diagnostic> {
        let missing = self.missing();
        if missing.is_empty() {
            return None;
        }
        let names: Vec<String> = missing.iter().map(|name| format!("`{name}`")).collect();
        let message = format!("`{}` lacks {}", self.signature.name(), names.join(", "));
        Some(Diagnostic::error(codes::MISSING, call, message).help(self.signature.takes()))
    }

    fn unknown(&self, name: &str, at: Span) -> Diagnostic {
        let message = format!("`{}` has no argument `{name}`", self.signature.name());
        let error = Diagnostic::error(codes::ARGUMENT, at, message);
        let known = (1..self.signature.len()).map(|at| self.signature.param(at));
        match near_miss(name, known) {
            Some(near) => error.help(format!("did you mean `{near}`?")),
            None => error.help(self.signature.takes()),
        }
    }
}

/// The bound arguments of a primitive; every parameter has a value.
pub(crate) struct Args {
    /// The primitive's name.
    pub name: &'static str,
    /// The call.
    pub call: Span,
    pub slots: Vec<(&'static str, Bound)>,
    pub rest: Vec<Bound>,
}

impl Args {
    /// An argument, by its name in the signature.
    pub fn get(&self, name: &str) -> &Bound {
        let slot = self.slots.iter().find(|(known, _)| *known == name);
        // A name that is not in the signature is a mistake of this crate, which its tests would meet.
        &slot.unwrap_or_else(|| panic!("`{}` has no parameter `{name}`", self.name)).1
    }

    fn what(&self, name: &str) -> String {
        format!("`{name}` of `{}`", self.name)
    }

    pub fn is_absent(&self, name: &str) -> bool {
        self.get(name).value.is_absent()
    }

    pub fn number(&self, name: &str) -> Result<f64, Diagnostic> {
        let Bound { value, span } = self.get(name);
        value.as_number(&self.what(name), *span)
    }

    pub fn count(&self, name: &str) -> Result<usize, Diagnostic> {
        let Bound { value, span } = self.get(name);
        value.as_count(&self.what(name), *span)
    }

    pub fn index(&self, name: &str) -> Result<usize, Diagnostic> {
        let Bound { value, span } = self.get(name);
        value.as_index(&self.what(name), *span)
    }

    pub fn whole(&self, name: &str, low: i64, high: i64) -> Result<i64, Diagnostic> {
        let Bound { value, span } = self.get(name);
        value.as_whole(&self.what(name), low, high, *span)
    }

    pub fn size(&self, name: &str, low: i64) -> Result<[usize; 2], Diagnostic> {
        let Bound { value, span } = self.get(name);
        value.as_size2(&self.what(name), low, *span)
    }

    /// A flag: `yes` or `no`, or 1, 0 and `-` of a table. Another number is an argument gone astray.
    pub fn flag(&self, name: &str) -> Result<bool, Diagnostic> {
        let Bound { value, span } = self.get(name);
        match value {
            Value::Number(number) if *number != 0.0 && *number != 1.0 => {}
            Value::Bool(_) | Value::Number(_) | Value::Absent | Value::Poison => {
                return value.truth(*span);
            }
            _ => {}
        }
        let help = "arguments without a name fill the parameters that are left, in order";
        Err(wrong_kind(&self.what(name), "`yes` or `no`", value, *span).help(help))
    }

    /// One of the words that the primitive's parameter knows.
    pub fn word(&self, name: &str) -> Result<&'static str, Diagnostic> {
        let Bound { value, span } = self.get(name);
        let parameters = primitives::find(self.name).map_or(&[][..], |primitive| primitive.params);
        let parameter = parameters.iter().find(|parameter| parameter.name == name);
        let known = parameter.map_or(&[][..], |parameter| parameter.words);
        let text: Rc<str> = value.as_text(&self.what(name), *span)?;
        known.iter().find(|known| **known == &*text).copied().ok_or_else(|| {
            let message = format!("{} is `{text}`, which it does not know", self.what(name));
            let error = Diagnostic::error(codes::OPTION, *span, message);
            match near_miss(&text, known.iter().copied()) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error.help(format!("it is one of {}", known.join(", "))),
            }
        })
    }
}
