//! Names of the parameter tensors: from the tree of instances and a dialect's rules to the recipe
//! of each parameter.
//!
//! A *thing* is a labelled node of the tree (row, line, layer, free parameter, tensor). Its rule is
//! searched among the nested rules of the enclosing thing's rule, then in the `block NAME` rules of
//! the block it stands in, then likewise in the dialect named by `like`; without a rule its label
//! is its name. A node that only wraps one thing (a block that is all of its line, the only line of
//! a block) adds nothing to a default name, and rules reach through it.
//!
//! One target is the prefix of the whole thing, or the full name of the only layer inside; several
//! targets name the layers inside one by one. What rules leave open follows from the text of the
//! spec alone: no file is looked into.
//!
//! | code | meaning |
//! |---|---|
//! | E0501 | a rule for a label that exists nowhere |
//! | E0502 | more or fewer names than the thing has layers |
//! | E0503 | two tensors of the same name |
//! | E0504 | an unknown hole |
//! | E0505 | `like` names no dialect, or goes round in a circle |
//! | E0506 | a tensor that does not divide into the parts of `cat` or `rows` |
//! | E0507 | a hole whose value is no whole number or text |
//! | E0508 | rules for a block that does not exist |
//! | E0509 | an empty name, or one that only parts of tensors can have |

mod labels;
mod pattern;
mod scope;
#[cfg(test)]
mod tests;
mod walk;

pub use crate::pure::near_miss;
pub use labels::Known;

use crate::instance::Instance;
use crate::pure::Lookup;
use netwright_grammar::Diagnostic;
use netwright_grammar::ast::Weights;
use netwright_ir::{Param, Source};

/// What names are made from.
pub struct Request<'a> {
    /// The network's instances.
    pub tree: &'a Instance,
    /// Its parameters; a [`Source::Resample`] around a parameter's source stays around its new one.
    pub params: &'a [Param],
    /// The dialect; `None`: the labels are the names.
    pub dialect: Option<&'a Weights>,
    /// All dialects of the network, for `like`.
    pub all: &'a [Weights],
    /// Labels that exist in some variant, so that a misspelt rule is found.
    pub known: &'a Known,
    /// The network's parameters, `variant` and settings.
    pub lookup: &'a dyn Lookup,
}

/// The recipe of each parameter, in the order of [`Request::params`].
///
/// # Errors
/// All mistakes of the dialect, each once: see the table of codes above.
pub fn resolve(request: &Request) -> Result<Vec<Source>, Vec<Diagnostic>> {
    let mut errors = Vec::new();
    let chain = dialects(request.dialect, request.all, &mut errors);
    for dialect in &chain {
        labels::check(dialect, request, &mut errors);
    }
    let sources = walk::walk(request, &chain, &mut errors);
    if errors.is_empty() { Ok(sources) } else { Err(errors) }
}

/// The mistakes of a dialect that show in the text alone, where other mistakes leave no network: labels,
/// blocks and dialects that exist nowhere.
pub fn check_text(dialect: &Weights, all: &[Weights], known: &Known) -> Vec<Diagnostic> {
    let mut errors = Vec::new();
    for dialect in dialects(Some(dialect), all, &mut errors) {
        labels::check_known(dialect, known, &mut errors);
    }
    errors
}

/// The dialect and those it is like, nearest first.
fn dialects<'a>(
    dialect: Option<&'a Weights>,
    all: &'a [Weights],
    errors: &mut Vec<Diagnostic>,
) -> Vec<&'a Weights> {
    let mut chain: Vec<&Weights> = dialect.into_iter().collect();
    while let Some(like) = chain.last().and_then(|dialect| dialect.like.as_ref()) {
        let Some(next) = all.iter().find(|weights| weights.name.text == like.text) else {
            let message = format!("there is no dialect `{}`", like.text);
            let error = Diagnostic::error("E0505", like.span, message);
            let names = all.iter().map(|weights| weights.name.text.as_str());
            errors.push(match near_miss(&like.text, names) {
                Some(near) => error.help(format!("did you mean `{near}`?")),
                None => error,
            });
            break;
        };
        if chain.iter().any(|seen| seen.name.text == next.name.text) {
            let message = format!("`{}` is like itself, by way of others", next.name.text);
            errors.push(Diagnostic::error("E0505", like.span, message));
            break;
        }
        chain.push(next);
    }
    chain
}
