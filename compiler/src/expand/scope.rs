//! What a name means, innermost first: labels and parameters; the network's parameters (in tables,
//! columns, variants, weights); settings; blocks; operators; primitives.

use super::codes;
use super::expander::{Eval, Expander, Fault, Lazy};
use super::primitives;
use super::signature::{Signature, function};
use crate::names::near_miss;
use crate::value::{Callable, Target, Value};
use netwright_grammar::ast::Operator;
use netwright_grammar::{Diagnostic, Span};
use std::rc::Rc;

/// Words that stand for themselves where nothing else has their name.
pub(crate) const WORDS: [&str; 14] = [
    "symmetric",
    "same",
    "same_even",
    "valid",
    "zero",
    "reflect",
    "replicate",
    "nearest",
    "bilinear",
    "bicubic",
    "geometric",
    "rgb",
    "bgr",
    "area",
];

/// Printed cells of a row, by role name: what `row.` and `prev.` read.
pub(crate) type Record = Vec<(String, Value)>;

/// The names that are visible at one place.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    /// The file whose blocks are seen.
    pub file: usize,
    /// Whether the network's parameters are seen.
    pub network: bool,
    pub locals: Vec<(String, Value)>,
    /// `row` and `prev`, in tables.
    pub records: Vec<(&'static str, Rc<Record>)>,
}

impl Scope {
    pub fn block(file: usize) -> Scope {
        Scope { file, network: false, locals: Vec::new(), records: Vec::new() }
    }

    pub fn network(file: usize) -> Scope {
        Scope { file, network: true, locals: Vec::new(), records: Vec::new() }
    }

    pub fn set(&mut self, name: &str, value: Value) {
        self.locals.push((name.to_string(), value));
    }

    pub fn local(&self, name: &str) -> Option<&Value> {
        self.locals.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

fn callable(target: Target) -> Value {
    Value::Callable(Rc::new(Callable { target, given: Vec::new() }))
}

impl<'a> Expander<'a> {
    /// What a name means, if anything.
    ///
    /// Labels, parameters of a block, then those of the network, then what is global.
    pub fn lookup(&mut self, name: &str, scope: &Scope) -> Eval<Option<Value>> {
        if let Some(value) = scope.local(name) {
            return Ok(Some(value.clone()));
        }
        if scope.network
            && let Some((_, value)) = self.parameters.iter().find(|(known, _)| known == name)
        {
            return Ok(Some(value.clone()));
        }
        let place = (scope.file, scope.network);
        if let Some(known) = self.globals.get(&place).and_then(|names| names.get(name)) {
            return Ok(known.clone());
        }
        let found = self.global(name, scope)?;
        self.globals.entry(place).or_default().insert(name.to_string(), found.clone());
        Ok(found)
    }

    /// What a name means where it is called. A label or a number of that name does not hide the
    /// operator: `mean = x -> mean("t")` leaves `mean(...)` what it is.
    pub fn lookup_callee(&mut self, name: &str, scope: &Scope) -> Eval<Option<Value>> {
        let found = self.lookup(name, scope)?;
        if matches!(found, None | Some(Value::Callable(_) | Value::Absent)) {
            return Ok(found);
        }
        let beyond = self.global(name, scope)?;
        let callable = beyond.filter(|value| matches!(value, Value::Callable(_)));
        Ok(callable.or(found))
    }

    /// What a name means beyond labels and parameters. It does not change while a variant is
    /// expanded, so [`Expander::lookup`] remembers it.
    fn global(&mut self, name: &str, scope: &Scope) -> Eval<Option<Value>> {
        if let Some(value) = self.setting(name)? {
            return Ok(Some(value));
        }
        // In a table the network's own operators are nearer than the blocks of other files.
        if scope.network
            && let Some(value) = self.operator_named(usize::MAX, name)?
        {
            return Ok(Some(value));
        }
        if let Some(block) = self.spec.find_block(scope.file, name) {
            let key = self.spec.block_key(block).to_string();
            return Ok(Some(callable(Target::Block(key))));
        }
        for &file in self.spec.seen_files(scope.file) {
            if let Some(value) = self.operator_named(file, name)? {
                return Ok(Some(value));
            }
        }
        if primitives::find(name).is_some() || function(name).is_some() {
            return Ok(Some(callable(Target::Primitive(name.to_string()))));
        }
        if WORDS.contains(&name) {
            return Ok(Some(Value::text(name)));
        }
        Ok(None)
    }

    /// The error about a name that means nothing.
    pub fn unknown_name(&self, name: &str, span: Span, scope: &Scope, more: &[&str]) -> Diagnostic {
        let error = Diagnostic::error("E0201", span, format!("`{name}` is not known here"));
        let mut known: Vec<&str> = more.to_vec();
        known.extend(scope.locals.iter().map(|(known, _)| known.as_str()));
        known.extend(scope.records.iter().map(|(known, _)| *known));
        if scope.network {
            known.extend(self.parameters.iter().map(|(known, _)| known.as_str()));
            known.extend(plain_operators(&self.network.operators));
        }
        known.extend(self.setting_names());
        known.extend(self.spec.visible_blocks(scope.file));
        for &file in self.spec.seen_files(scope.file) {
            known.extend(plain_operators(&self.spec.files[file].operators));
        }
        primitives::names().for_each(|name| known.push(name));
        known.extend(crate::pure::FUNCTIONS);
        known.extend(WORDS);
        if let Some(near) = near_miss(name, known) {
            return error.help(format!("did you mean `{near}`?"));
        }
        if self.misses_a_file() {
            return crate::value::silent(span);
        }
        let of_network = !scope.network && self.parameters.iter().any(|(known, _)| known == name);
        if of_network {
            error.help("a block does not see the network's parameters: give it as an argument")
        } else {
            error
        }
    }

    /// Whether a `use` could not be followed: what is unknown may be in that file.
    pub fn misses_a_file(&self) -> bool {
        self.spec.diagnostics.iter().any(|known| known.code == codes::USE)
    }

    fn setting_names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let network: &'a netwright_grammar::ast::Network = self.network;
        let spec: &'a crate::spec::Spec = self.spec;
        let of_files = spec.files.iter().flat_map(|file| &file.settings);
        network.settings.iter().chain(of_files).map(|setting| setting.name.text.as_str())
    }

    /// Whether a setting is declared.
    pub fn has_setting(&self, name: &str) -> bool {
        self.setting_names().any(|known| known == name)
    }

    /// The declared setting that is most like `name`.
    pub fn near_setting(&self, name: &str) -> Option<&'a str> {
        near_miss(name, self.setting_names())
    }

    /// The value of a setting: the dialect's, else the network's, else that of the nearest file.
    pub fn setting(&mut self, name: &str) -> Eval<Option<Value>> {
        if let Some(value) = self.dialect_settings.get(name) {
            return Ok(Some(value.clone()));
        }
        let network: &'a netwright_grammar::ast::Network = self.network;
        let spec: &'a crate::spec::Spec = self.spec;
        let files = spec.seen_files(0).iter().flat_map(|&file| &spec.files[file].settings);
        let found = network.settings.iter().chain(files).find(|setting| setting.name.text == name);
        let Some(setting) = found else { return Ok(None) };
        match self.settings.get(name) {
            Some(Lazy::Done(value)) => return Ok(Some(value.clone())),
            Some(Lazy::Running) => {
                let message = format!("setting `{name}` needs its own value");
                return Err(Diagnostic::error(codes::RECURSION, setting.name.span, message).into());
            }
            None => {}
        }
        self.settings.insert(name.to_string(), Lazy::Running);
        let mut scope = Scope::network(setting.name.span.file as usize);
        let result = self.eval(&setting.value, &mut scope);
        let value = self.settle(result);
        self.settings.insert(name.to_string(), Lazy::Done(value.clone()));
        Ok(Some(value))
    }

    fn operators_of(&self, file: usize) -> &'a [Operator] {
        if file == usize::MAX {
            &self.network.operators
        } else {
            let spec: &'a crate::spec::Spec = self.spec;
            &spec.files[file].operators
        }
    }

    fn operator_named(&mut self, file: usize, name: &str) -> Eval<Option<Value>> {
        let operators = self.operators_of(file);
        match operators.iter().position(|op| !op.quoted && op.pattern.text == name) {
            Some(index) => self.operator(file, index).map(Some),
            None => Ok(None),
        }
    }

    /// The callee of an operator, evaluated once. File `usize::MAX` is the network itself.
    pub fn operator(&mut self, file: usize, index: usize) -> Eval<Value> {
        let operator = &self.operators_of(file)[index];
        match self.operators.get(&(file, index)) {
            Some(Lazy::Done(value)) => return Ok(value.clone()),
            Some(Lazy::Running) => {
                let message = format!("operator `{}` needs itself", operator.pattern.text);
                let span = operator.pattern.span;
                return Err(Diagnostic::error(codes::RECURSION, span, message).into());
            }
            None => {}
        }
        self.operators.insert((file, index), Lazy::Running);
        let mut scope = Scope::network(operator.pattern.span.file as usize);
        // What goes wrong here is the operator's fault, not that of the row that happens to be first.
        let (row, calls) = (self.row.take(), std::mem::take(&mut self.calls));
        let result = self.eval(&operator.callee, &mut scope);
        let value = self.settle(result);
        let value = match value {
            Value::Callable(_) | Value::Poison => value,
            other => {
                let message = format!("an operator stands for a block, this is {}", other.kind());
                let span = operator.callee.span;
                self.report(Diagnostic::error(codes::NOT_CALLABLE, span, message));
                Value::Poison
            }
        };
        (self.row, self.calls) = (row, calls);
        self.operators.insert((file, index), Lazy::Done(value.clone()));
        Ok(value)
    }

    /// All operators that a table sees, nearest first: place, pattern, and whether it is quoted.
    pub fn table_operators(&self) -> Vec<(usize, usize, &'a Operator)> {
        let files = self.spec.seen_files(0).iter().copied();
        std::iter::once(usize::MAX)
            .chain(files)
            .flat_map(|file| {
                let operators = self.operators_of(file);
                operators.iter().enumerate().map(move |(index, op)| (file, index, op))
            })
            .collect()
    }

    /// What a callable takes.
    pub fn signature(&self, callable: &Callable) -> Eval<Signature<'a>> {
        let spec: &'a crate::spec::Spec = self.spec;
        match &callable.target {
            Target::Block(key) => {
                let id = spec.block_of_key(key).ok_or(Fault::Known)?;
                Ok(Signature::Block(spec.block(id).1))
            }
            Target::Primitive(name) => match (primitives::find(name), function(name)) {
                (Some(primitive), _) => Ok(Signature::Primitive(primitive)),
                (None, Some(name)) => Ok(Signature::Function(name)),
                (None, None) => Err(Fault::Known),
            },
        }
    }
}

fn plain_operators(operators: &[Operator]) -> impl Iterator<Item = &str> + use<'_> {
    operators.iter().filter(|op| !op.quoted).map(|op| op.pattern.text.as_str())
}
