//! `view`: one re-arrangement of axes, written as a pattern (einops). It becomes a reshape, a
//! transpose and a reshape, those left out that change nothing.

use super::pattern::{Pattern, Side};
use super::{X, required, tensor};
use crate::expand::bind::{Args, Bound};
use crate::expand::codes;
use crate::expand::eval::show_shape;
use crate::expand::expander::{Eval, Expander};
use crate::expand::signature::{Primitive, Rest};
use crate::value::Value;
use netwright_grammar::{Diagnostic, Span};
use netwright_ir::{NodeId, Op};
use std::collections::BTreeMap;

pub(super) const PRIMITIVES: &[Primitive] = &[Primitive {
    name: "view",
    params: &[X, required("pattern"), super::absent("like")],
    rest: Rest::Named,
    about: "axes taken apart and put together by a pattern; the batch is implicit in front",
    run: view,
}];

/// Lengths of letters.
pub(crate) type Lengths = BTreeMap<String, usize>;

fn view(this: &mut Expander<'_>, args: &Args) -> Eval<Value> {
    let x = this.operand(args, "x")?;
    let bound = args.get("pattern");
    let text = bound.value.as_text("the pattern of `view`", bound.span)?;
    let fail = |message: String| Diagnostic::error(codes::VIEW, bound.span, message);
    let pattern = Pattern::parse(&text).map_err(fail)?;
    let mut lengths = Lengths::new();
    for Bound { value, span } in &args.rest {
        // A letter's length arrives as the pair of its name and its value.
        let Value::List(pair) = value else { continue };
        if let [Value::Text(letter), length] = pair.as_slice() {
            if !pattern.from.letters().any(|known| known == &**letter) {
                let message =
                    format!("`view` has no argument `{letter}`: its pattern has no such letter");
                let known: Vec<&str> = pattern.from.letters().collect();
                let error = Diagnostic::error(codes::ARGUMENT, *span, message);
                return Err(this.with_near(error, letter, known, "its letters are"));
            }
            let length = length.as_count(&format!("`{letter}` of `view`"), *span)?;
            lengths.insert(letter.to_string(), length);
        }
    }
    // Parameters and constants have no batch axis.
    let batch = usize::from(this.live[x.index()]);
    if !args.is_absent("like") {
        let like = this.operand(args, "like")?;
        let shape = this.shape(like).to_vec();
        let batch = usize::from(this.live[like.index()]);
        let mut known = letters_of(&pattern.to, &shape, batch);
        // A view of that tensor by the same pattern has taken it apart already.
        let earlier = this.views.get(&like).into_iter().flatten();
        for (_, lengths) in earlier.filter(|(axes, _)| *axes == pattern.to.axes) {
            known.extend(lengths.clone());
        }
        for (letter, length) in known {
            lengths.entry(letter).or_insert(length);
        }
    }
    let shape = this.shape(x).to_vec();
    let kept = solve(&pattern.from, &shape, batch, &mut lengths, bound.span)?;
    this.views.entry(x).or_default().push((pattern.from.axes.clone(), lengths.clone()));
    tensor(rearrange(this, x, &pattern, &shape[..kept], &lengths, args.call))
}

/// The lengths of a side's letters that stand alone in their axis, read from a tensor's shape.
fn letters_of(side: &Side, shape: &[usize], batch: usize) -> Vec<(String, usize)> {
    let rank = side.axes.len();
    if shape.len() < rank + batch || (shape.len() > rank + batch && !side.leading) {
        return Vec::new();
    }
    let own = &shape[shape.len() - rank..];
    let alone = side.axes.iter().zip(own).filter(|(axis, _)| axis.len() == 1);
    alone.map(|(axis, length)| (axis[0].clone(), *length)).collect()
}

/// Finds the lengths that follow from the shape; gives the number of leading axes that stay.
fn solve(
    from: &Side,
    shape: &[usize],
    batch: usize,
    lengths: &mut Lengths,
    span: Span,
) -> Result<usize, Diagnostic> {
    let fail = |message: String| Diagnostic::error(codes::VIEW, span, message);
    let rank = from.axes.len();
    let fits = match from.leading {
        true => shape.len() >= rank + batch,
        false => shape.len() == rank + batch,
    };
    if !fits {
        let shown = show_shape(&shape[batch.min(shape.len())..]);
        let more = if batch == 1 { " after its batch" } else { "" };
        return Err(fail(format!("the pattern has {rank} axes, the tensor has {shown}{more}")));
    }
    let kept = shape.len() - rank;
    for (axis, &length) in from.axes.iter().zip(&shape[kept..]) {
        let known: usize = axis
            .iter()
            .filter_map(|letter| lengths.get(letter))
            .fold(1, |a, b| a.saturating_mul(*b));
        let unknown: Vec<&String> =
            axis.iter().filter(|letter| !lengths.contains_key(*letter)).collect();
        let shown = if axis.is_empty() { "1".to_string() } else { axis.join(" ") };
        match unknown.as_slice() {
            [] if known == length => {}
            [letter] if length % known == 0 => {
                lengths.insert((*letter).clone(), length / known);
            }
            [] | [_] => {
                let given: Vec<String> = axis
                    .iter()
                    .filter_map(|letter| Some(format!("{letter} = {}", lengths.get(letter)?)))
                    .collect();
                let given = if given.is_empty() {
                    String::new()
                } else {
                    format!(" with {}", given.join(", "))
                };
                return Err(fail(format!(
                    "`({shown})`{given} does not make an axis of length {length}"
                )));
            }
            [first, ..] => {
                return Err(fail(format!(
                    "the lengths of `({shown})` do not follow from {length}"
                ))
                .help(format!("give one of them: `{first} = ...`")));
            }
        }
    }
    Ok(kept)
}

fn rearrange(
    this: &mut Expander<'_>,
    mut x: NodeId,
    pattern: &Pattern,
    kept: &[usize],
    lengths: &Lengths,
    call: Span,
) -> Eval<NodeId> {
    let length = |letter: &str| lengths.get(letter).copied().unwrap_or(1);
    let from: Vec<&str> = pattern.from.letters().collect();
    let to: Vec<&str> = pattern.to.letters().collect();
    let apart: Vec<usize> =
        kept.iter().copied().chain(from.iter().map(|letter| length(letter))).collect();
    let order: Vec<usize> = (0..kept.len())
        .chain(to.iter().filter_map(|letter| {
            from.iter().position(|known| known == letter).map(|at| at + kept.len())
        }))
        .collect();
    let joined =
        pattern.to.axes.iter().map(|axis| axis.iter().map(|letter| length(letter)).product());
    let target: Vec<usize> = kept.iter().copied().chain(joined).collect();
    let moves = order.iter().enumerate().any(|(at, &axis)| at != axis);
    if moves {
        if this.shape(x) != apart {
            x = this.push(Op::Reshape { shape: apart }, vec![x], call)?;
        }
        x = this.push(Op::Transpose { perm: order }, vec![x], call)?;
    }
    if this.shape(x) != target {
        x = this.push(Op::Reshape { shape: target }, vec![x], call)?;
    }
    Ok(x)
}
