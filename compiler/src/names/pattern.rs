//! Names with structure: joined or cut tensors, and how prefixes extend them.

use netwright_ir::Source;

/// What a target gives, and the name of a thing while the walk goes down.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// A name; empty: the root of the file. A leading `/` makes it absolute when it is joined.
    Name(String),
    /// Joined along axis 0, equal parts.
    Concat(Vec<Pattern>),
    /// Part `at` of `parts` equal parts along axis 0.
    Rows { of: Box<Pattern>, at: usize, parts: usize },
    /// A part of zeros.
    Zero,
}

/// Why a pattern gives no recipe.
#[derive(Clone, Debug, PartialEq)]
pub enum Unfit {
    /// Axis 0 of the shape does not divide into so many parts.
    Parts(usize),
    /// The name is empty.
    Empty,
    /// Zeros outside `cat`.
    OnlyZeros,
}

impl Pattern {
    /// The pattern `inner` inside this one: every name of `inner` gets every name of this as prefix.
    pub fn join(&self, inner: &Pattern) -> Pattern {
        match self {
            Pattern::Name(prefix) => inner.under(prefix),
            _ => self.map(&|outer| match outer {
                Pattern::Name(prefix) => inner.under(prefix),
                other => other.clone(),
            }),
        }
    }

    /// This pattern extended by a plain name.
    pub fn child(&self, name: &str) -> Pattern {
        self.join(&Pattern::Name(name.to_string()))
    }

    fn under(&self, prefix: &str) -> Pattern {
        self.map(&|leaf| match leaf {
            Pattern::Name(name) => Pattern::Name(match name.strip_prefix('/') {
                Some(absolute) => absolute.to_string(),
                None if prefix.is_empty() => name.clone(),
                None if name.is_empty() => prefix.to_string(),
                None => format!("{prefix}.{name}"),
            }),
            other => other.clone(),
        })
    }

    /// The pattern with `f` applied to its leaves.
    fn map(&self, f: &dyn Fn(&Pattern) -> Pattern) -> Pattern {
        match self {
            Pattern::Concat(parts) => {
                Pattern::Concat(parts.iter().map(|part| part.map(f)).collect())
            }
            Pattern::Rows { of, at, parts } => {
                Pattern::Rows { of: Box::new(of.map(f)), at: *at, parts: *parts }
            }
            leaf => f(leaf),
        }
    }

    /// Whether it is one name and empty.
    pub fn is_empty(&self) -> bool {
        matches!(self, Pattern::Name(name) if name.is_empty())
    }

    /// The recipe of a tensor of `shape`.
    pub fn source(&self, shape: &[usize]) -> Result<Source, Unfit> {
        let rows = |count: usize| -> Vec<usize> {
            let mut shape = shape.to_vec();
            if let Some(first) = shape.first_mut() {
                *first = count;
            }
            shape
        };
        match self {
            Pattern::Name(name) if name.is_empty() => Err(Unfit::Empty),
            Pattern::Name(name) => Ok(Source::Tensor { name: name.clone(), shape: shape.to_vec() }),
            Pattern::Zero => Ok(Source::Zeros { shape: shape.to_vec() }),
            Pattern::Concat(parts) => {
                if parts.iter().all(|part| *part == Pattern::Zero) {
                    return Err(Unfit::OnlyZeros);
                }
                let whole = shape.first().copied().unwrap_or(0);
                if whole == 0 || whole % parts.len() != 0 {
                    return Err(Unfit::Parts(parts.len()));
                }
                let part = rows(whole / parts.len());
                let parts: Result<Vec<Source>, Unfit> =
                    parts.iter().map(|pattern| pattern.source(&part)).collect();
                Ok(Source::Concat { axis: 0, parts: parts? })
            }
            Pattern::Rows { of, at, parts } => {
                let len = shape.first().copied().unwrap_or(0);
                let whole = len.checked_mul(*parts).filter(|whole| *whole > 0);
                let whole = rows(whole.ok_or(Unfit::Parts(*parts))?);
                Ok(Source::Rows { of: Box::new(of.source(&whole)?), start: at * len, len })
            }
        }
    }
}
