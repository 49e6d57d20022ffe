//! What a block, primitive or number function takes: one form for binding, messages and documentation.

use super::bind::Args;
use super::expander::{Eval, Expander};
use crate::pure;
use crate::value::Value;
use netwright_grammar::ast::{Block, ExprKind};

/// What stands for an argument that is not given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Default {
    /// It must be given.
    Required,
    /// A number.
    Number(f64),
    /// Yes or no.
    Bool(bool),
    /// A word or text.
    Text(&'static str),
    /// Nothing.
    Absent,
    /// The value of a setting.
    Setting(&'static str),
    /// The value of another argument.
    Like(&'static str),
}

/// A parameter of a primitive.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: &'static str,
    /// What it is where it is not given.
    pub default: Default,
    /// The words that it knows, where it is a word.
    pub words: &'static [&'static str],
}

impl Parameter {
    /// The parameter with the words that it knows.
    pub(crate) const fn of(self, words: &'static [&'static str]) -> Parameter {
        Parameter { words, ..self }
    }
}

/// What a primitive does with arguments beyond its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They are mistakes.
    None,
    /// Positional ones after the first are a list of any length; parameters are given by name.
    Positional,
    /// Named ones are handed on as pairs of name and value (the letters of `view`).
    Named,
}

/// An operator that is not written in the language. The first parameter is the tensor that flows.
pub struct Primitive {
    /// Its name.
    pub name: &'static str,
    /// Its parameters.
    pub params: &'static [Parameter],
    /// Arguments beyond the parameters.
    pub rest: Rest,
    /// One sentence: what it does, with the shape of its result.
    pub about: &'static str,
    pub(crate) run: fn(&mut Expander<'_>, &Args) -> Eval<Value>,
}

impl Primitive {
    /// As it is called: `conv(x, c, k = 1, ...)`.
    pub fn usage(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        for (at, parameter) in self.params.iter().enumerate() {
            parts.push(match parameter.default {
                Default::Required => parameter.name.to_string(),
                Default::Number(n) => format!("{} = {}", parameter.name, crate::value::plain(n)),
                Default::Bool(b) => format!("{} = {}", parameter.name, Value::Bool(b)),
                Default::Text(t) | Default::Setting(t) | Default::Like(t) => {
                    format!("{} = {t}", parameter.name)
                }
                Default::Absent => format!("{} = none", parameter.name),
            });
            if at == 0 && self.rest == Rest::Positional {
                parts.push("...".into());
            }
        }
        if self.rest == Rest::Named {
            parts.push("letter = length ...".into());
        }
        format!("{}({})", self.name, parts.join(", "))
    }
}

/// What can be called.
#[derive(Clone, Copy)]
pub(crate) enum Signature<'a> {
    Block(&'a Block),
    Primitive(&'static Primitive),
    /// A number function of [`crate::pure`], which binds its own arguments.
    Function(&'static str),
}

impl<'a> Signature<'a> {
    pub fn name(&self) -> &'a str {
        match self {
            Signature::Block(block) => &block.name.text,
            Signature::Primitive(primitive) => primitive.name,
            Signature::Function(name) => name,
        }
    }

    pub fn len(&self) -> usize {
        match self {
            Signature::Block(block) => block.params.len(),
            Signature::Primitive(primitive) => primitive.params.len(),
            Signature::Function(_) => 0,
        }
    }

    pub fn param(&self, at: usize) -> &'a str {
        match self {
            Signature::Block(block) => &block.params[at].name.text,
            Signature::Primitive(primitive) => primitive.params[at].name,
            Signature::Function(_) => "",
        }
    }

    /// The words that an argument knows, where it is a word.
    pub fn words(&self, at: usize) -> &'static [&'static str] {
        match self {
            Signature::Primitive(primitive) => {
                primitive.params.get(at).map_or(&[], |parameter| parameter.words)
            }
            Signature::Block(_) | Signature::Function(_) => &[],
        }
    }

    pub fn find(&self, name: &str) -> Option<usize> {
        (0..self.len()).find(|&at| self.param(at) == name)
    }

    pub fn required(&self, at: usize) -> bool {
        match self {
            Signature::Block(block) => block.params[at].default.is_none(),
            Signature::Primitive(primitive) => {
                matches!(primitive.params[at].default, Default::Required)
            }
            Signature::Function(_) => false,
        }
    }

    /// Whether a parameter is a flag: its default is `yes` or `no`.
    pub fn is_flag(&self, at: usize) -> bool {
        match self {
            Signature::Block(block) => {
                let default = block.params[at].default.as_ref();
                default.is_some_and(|expr| matches!(expr.kind, ExprKind::Bool(_)))
            }
            Signature::Primitive(primitive) => {
                matches!(primitive.params[at].default, Default::Bool(_))
            }
            Signature::Function(_) => false,
        }
    }

    pub fn rest(&self) -> Rest {
        match self {
            Signature::Block(_) => Rest::None,
            Signature::Primitive(primitive) => primitive.rest,
            Signature::Function(_) => Rest::Positional,
        }
    }

    /// "`mbconv` takes x, c, e, k, s", without the tensor that flows.
    pub fn takes(&self) -> String {
        let names: Vec<&str> = (1..self.len()).map(|at| self.param(at)).collect();
        if names.is_empty() {
            format!("`{}` takes no arguments", self.name())
        } else {
            format!("`{}` takes {}", self.name(), names.join(", "))
        }
    }
}

/// The number function of that name.
pub(crate) fn function(name: &str) -> Option<&'static str> {
    pure::FUNCTIONS.into_iter().find(|known| *known == name)
}
