//! Calls: arguments are evaluated, bound and handed to a block, a primitive or a number function.

use super::bind::{Args, Binder, Bound, Given};
use super::codes;
use super::expander::{Eval, Expander, Fault};
use super::limits::MAX_REPEATS;
use super::primitives;
use super::scope::Scope;
use super::signature::{Default, Primitive, Signature, function};
use crate::instance::{Instance, Kind};
use crate::pure;
use crate::value::{Callable, Target, Value};
use netwright_grammar::ast::{Argument, Expr, ExprKind};
use netwright_grammar::{Diagnostic, Span};
use std::rc::Rc;

/// Whether a bare argument stands for `name = yes`, if there is such a parameter, rather than for what
/// is `known` by its name: it is not known, or known as an operator where a flag can stand.
pub(crate) fn may_be_flag(known: &Option<Value>, flag: &str, signature: Signature<'_>) -> bool {
    let is_flag = || signature.find(flag).is_some_and(|at| at > 0 && signature.is_flag(at));
    match known {
        None => true,
        Some(Value::Callable(named)) => matches!(named.target, Target::Primitive(_)) && is_flag(),
        _ => false,
    }
}

impl<'a> Expander<'a> {
    /// `value -> step`.
    pub fn eval_step(
        &mut self,
        step: &Expr,
        value: Value,
        from: Span,
        scope: &mut Scope,
    ) -> Eval<Value> {
        let flow = Some(Bound { value, span: from });
        match &step.kind {
            ExprKind::Call(callee, arguments) => {
                self.eval_call(callee, arguments, flow, step.span, scope)
            }
            _ => self.eval_call(step, &[], flow, step.span, scope),
        }
    }

    /// `callee(arguments)`, with what flows in.
    pub fn eval_call(
        &mut self,
        callee: &Expr,
        arguments: &[Argument],
        flow: Option<Bound>,
        span: Span,
        scope: &mut Scope,
    ) -> Eval<Value> {
        if let ExprKind::Name(name) = &callee.kind
            && name == "repeat"
            && self.lookup(name, scope)?.is_none()
        {
            return self.repeat(arguments, flow, span, scope);
        }
        let target = match (self.eval(callee, scope), &callee.kind) {
            (Ok(target @ (Value::Callable(_) | Value::Absent)), _) => target,
            (Ok(_) | Err(Fault::Known), ExprKind::Name(name)) => {
                match self.lookup_callee(name, scope)? {
                    None | Some(Value::Poison) => return Err(Fault::Known),
                    Some(target) => target,
                }
            }
            (target, _) => target?,
        };
        let callable = match (&target, &flow) {
            (Value::Callable(callable), _) => callable.clone(),
            // `act = none`: a step that is absent changes nothing.
            (Value::Absent, Some(flow)) if arguments.is_empty() => return Ok(flow.value.clone()),
            (other, _) => {
                let text = self.text(callee.span);
                let message = format!("`{text}` is {}, which cannot be called", other.kind());
                let error = Diagnostic::error(codes::NOT_CALLABLE, callee.span, message);
                return Err(if flow.is_some() {
                    error.help("a step after `->` is a block or an operator").into()
                } else {
                    error.into()
                });
            }
        };
        let signature = self.signature(&callable)?;
        let given = self.eval_arguments(arguments, signature, scope);
        self.apply(&callable, given, flow, span)
    }

    /// The arguments of a call. A bare name that means nothing here but is a parameter of the
    /// callee stands for `name = yes`; so does a flag of the callee whose name is also an
    /// operator's or a function's (`ceil` of `avgpool`).
    pub fn eval_arguments(
        &mut self,
        arguments: &[Argument],
        signature: Signature<'a>,
        scope: &mut Scope,
    ) -> Vec<Argued> {
        arguments
            .iter()
            .map(|argument| {
                let name = argument.name.as_ref().map(|name| (name.text.clone(), name.span));
                if let (None, ExprKind::Name(flag)) = (&name, &argument.value.kind) {
                    let known = self.lookup(flag, scope);
                    if known.as_ref().is_ok_and(|known| may_be_flag(known, flag, signature)) {
                        let span = argument.value.span;
                        let parameter = signature.find(flag).filter(|at| *at > 0);
                        let (name, value) = if parameter.is_some() {
                            (Some((flag.clone(), span)), Value::Bool(true))
                        } else {
                            let own: Vec<&str> =
                                (1..signature.len()).map(|at| signature.param(at)).collect();
                            let fault = self.no_name(flag, span, scope, &own);
                            self.report_fault(fault);
                            (None, Value::Poison)
                        };
                        let given = Given { name, value, span };
                        return Argued { given, source: argument.clone() };
                    }
                }
                let value = self.eval(&argument.value, scope);
                let value = self.settle(value);
                let given = Given { name, value, span: argument.value.span };
                Argued { given, source: argument.clone() }
            })
            .collect()
    }

    /// Applies a callable, or adds arguments to it where no tensor flows in yet.
    pub fn apply(
        &mut self,
        callable: &Rc<Callable>,
        arguments: Vec<Argued>,
        flow: Option<Bound>,
        span: Span,
    ) -> Eval<Value> {
        let earlier = earlier(callable);
        if let Target::Primitive(name) = &callable.target
            && let Some(name) = function(name)
        {
            let mut all: Vec<Given> = Vec::new();
            if let Some(Bound { value, span }) = &flow {
                all.push(Given { name: None, value: value.clone(), span: *span });
            }
            all.extend(earlier.iter().cloned());
            all.extend(arguments.iter().map(|argued| argued.given.clone()));
            let args: Vec<pure::Arg> = all
                .into_iter()
                .map(|given| pure::Arg {
                    name: given.name.map(|(name, _)| name),
                    value: given.value,
                    span: given.span,
                })
                .collect();
            if let Some(result) = pure::function(name, &args, span) {
                return Ok(result?);
            }
            if primitives::find(name).is_none() {
                let message = format!("`{name}` is a function of numbers, not of tensors");
                return Err(Diagnostic::error(codes::NO_TENSOR, span, message).into());
            }
        }
        let signature = self.signature(callable)?;
        let mut binder = Binder::new(signature);
        let first = arguments.iter().map(|argued| &argued.given).chain(&earlier);
        let flows_in = match &flow {
            Some(_) => true,
            None => {
                let first = first.clone().find(|given| match (&given.name, signature.len()) {
                    (None, _) => true,
                    (Some((name, _)), 1..) => name == signature.param(0),
                    _ => false,
                });
                first.is_some_and(|given| {
                    given.name.is_some() || given.value.has_tensor() || given.value.is_poison()
                })
            }
        };
        let piped = flow.is_some();
        if let Some(flow) = flow {
            if signature.len() == 0 {
                let message = format!("`{}` takes no tensor", signature.name());
                return Err(Diagnostic::error(codes::TOO_MANY, span, message).into());
            }
            binder.slots[0] = Some(flow);
        } else if !flows_in {
            // Held free for the tensor that will flow in.
            if let Some(slot) = binder.slots.first_mut() {
                *slot = Some(Bound { value: Value::Absent, span });
            }
        }
        let mut given = earlier;
        given.extend(arguments.iter().map(|argued| argued.given.clone()));
        let wrong = binder.all(given);
        let broken = !wrong.is_empty();
        for diagnostic in wrong {
            self.report(diagnostic);
        }
        if broken {
            return Err(Fault::Known);
        }
        if !flows_in || (!piped && !binder.missing().is_empty()) {
            let mut given = callable.given.clone();
            given.extend(arguments.into_iter().map(|argued| {
                (argued.given.name.map(|(name, _)| name), argued.given.value, argued.source)
            }));
            return Ok(Value::Callable(Rc::new(Callable {
                target: callable.target.clone(),
                given,
            })));
        }
        self.run(&callable.target, binder, span)
    }

    /// Runs what is bound.
    pub fn run(&mut self, target: &Target, binder: Binder<'a>, span: Span) -> Eval<Value> {
        if let Some(error) = binder.missing_error(span) {
            return Err(error.into());
        }
        let poisoned = binder.slots.iter().flatten().chain(&binder.rest);
        if poisoned.clone().any(|bound| bound.value.is_poison()) {
            return Err(Fault::Known);
        }
        match binder.signature {
            Signature::Block(_) => {
                let Target::Block(key) = target else { return Err(Fault::Known) };
                let id = self.spec.block_of_key(key).ok_or(Fault::Known)?;
                self.run_block(id, binder.slots, span)
            }
            Signature::Primitive(primitive) => {
                let args = self.complete(primitive, binder.slots, binder.rest, span)?;
                (primitive.run)(self, &args)
            }
            Signature::Function(name) => {
                let message = format!("`{name}` is a function of numbers, not an operator");
                Err(Diagnostic::error(codes::NOT_CALLABLE, span, message).into())
            }
        }
    }

    /// A primitive's arguments with its defaults.
    fn complete(
        &mut self,
        primitive: &'static Primitive,
        slots: Vec<Option<Bound>>,
        rest: Vec<Bound>,
        call: Span,
    ) -> Eval<Args> {
        let mut done: Vec<(&'static str, Bound)> = Vec::with_capacity(slots.len());
        let mut later: Vec<(usize, &str)> = Vec::new();
        for (at, (slot, parameter)) in slots.into_iter().zip(primitive.params).enumerate() {
            let value = match (slot, parameter.default) {
                (Some(bound), _) => {
                    done.push((parameter.name, bound));
                    continue;
                }
                (None, Default::Number(number)) => Value::Number(number),
                (None, Default::Bool(yes)) => Value::Bool(yes),
                (None, Default::Text(text)) => Value::text(text),
                (None, Default::Absent | Default::Required) => Value::Absent,
                (None, Default::Setting(name)) => self.setting(name)?.ok_or_else(|| {
                    let message = format!("`{}` needs the setting `{name}`", primitive.name);
                    Diagnostic::error(codes::SET, call, message)
                })?,
                (None, Default::Like(name)) => {
                    later.push((at, name));
                    Value::Absent
                }
            };
            done.push((parameter.name, Bound { value, span: call }));
        }
        for (at, name) in later {
            if let Some((_, bound)) = done.iter().find(|(known, _)| *known == name) {
                done[at].1 = bound.clone();
            }
        }
        Ok(Args { name: primitive.name, call, slots: done, rest })
    }

    /// `x -> repeat(n, f(args))`: `f` n times, each with arguments of its own.
    fn repeat(
        &mut self,
        arguments: &[Argument],
        flow: Option<Bound>,
        span: Span,
        scope: &mut Scope,
    ) -> Eval<Value> {
        let find = |name: &str, at: usize| {
            let named = arguments
                .iter()
                .find(|argument| argument.name.as_ref().is_some_and(|known| known.text == name));
            let mut positional = arguments.iter().filter(|argument| argument.name.is_none());
            named.or_else(|| positional.nth(at)).map(|argument| &argument.value)
        };
        let (Some(flow), Some(count), Some(body), 2) =
            (flow, find("n", 0), find("f", 1), arguments.len())
        else {
            let message = "`repeat` takes a tensor, a count and what is repeated";
            return Err(Diagnostic::error(codes::MISSING, span, message)
                .help("write `x -> repeat(n, block(arguments))`")
                .into());
        };
        let rounds = self.eval(count, scope)?.as_index("the count of `repeat`", count.span)?;
        if rounds > MAX_REPEATS {
            let message = format!("{rounds} rounds are more than {MAX_REPEATS}");
            return Err(Diagnostic::error(codes::TOO_MANY_REPEATS, count.span, message).into());
        }
        // A second `repeat` in the same line has labels of its own.
        let first = |other: &&Instance| matches!(other.kind, Kind::Repeat { index: 0 });
        let earlier =
            self.open.last().map_or(0, |container| container.iter().filter(first).count());
        let mut value = flow.value;
        for index in 0..rounds {
            scope.set("i", Value::from(index));
            let label = match earlier {
                0 => index.to_string(),
                _ => format!("{index}_{}", earlier + 1),
            };
            let from = flow.span;
            let (result, children) = self.inside(|this| {
                this.labelled(&label, |this| this.eval_step(body, value, from, scope))
            });
            scope.locals.pop();
            self.attach(Instance {
                label,
                kind: Kind::Repeat { index },
                children,
                span: body.span,
            });
            value = result?;
        }
        Ok(value)
    }

    /// The error about a callable where its result was meant.
    pub fn not_applied(&self, callable: &Callable, what: &str, span: Span) -> Diagnostic {
        let Ok(signature) = self.signature(callable) else {
            return crate::value::silent(span);
        };
        let mut binder = Binder::new(signature);
        let given = earlier(callable);
        let tensor = given.iter().any(|given| given.name.is_none() && given.value.has_tensor());
        if !tensor && let Some(slot) = binder.slots.first_mut() {
            *slot = Some(Bound { value: Value::Absent, span });
        }
        let _ = binder.all(given);
        if tensor && let Some(error) = binder.missing_error(span) {
            return error;
        }
        let message =
            format!("{what} must be a tensor, but nothing flows into `{}`", signature.name());
        Diagnostic::error(codes::NO_TENSOR, span, message)
            .help(format!("write `x -> {}`", self.text(span)))
    }
}

/// An argument, evaluated, with its source.
#[derive(Clone, Debug)]
pub(crate) struct Argued {
    pub given: Given,
    pub source: Argument,
}

/// The arguments that a callable has already.
pub(crate) fn earlier(callable: &Callable) -> Vec<Given> {
    callable
        .given
        .iter()
        .map(|(name, value, source)| Given {
            name: name.clone().map(|name| {
                let span = source.name.as_ref().map_or(source.value.span, |name| name.span);
                (name, span)
            }),
            value: value.clone(),
            span: source.value.span,
        })
        .collect()
}
