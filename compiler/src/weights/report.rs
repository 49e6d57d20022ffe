//! What fits between a network's parameters and a file's tensors, and what does not, in both
//! directions.

use super::file::Dtype;
use super::shown::shown;
use crate::pure::near_miss;
use std::fmt;

/// Most lines of each list that are shown.
const SHOWN: usize = 20;

/// Most names that are searched for near misses, since each costs a comparison with each.
const SEARCHED: usize = 5000;

/// A tensor that the network needs and the file has not.
#[derive(Clone, Debug, PartialEq)]
pub struct Missing {
    /// Its name in the dialect.
    pub name: String,
    /// Shape that the network needs.
    pub shape: Vec<usize>,
    /// The parameter's path in the network.
    pub path: String,
}

/// A tensor of the file that nothing takes.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOver {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its type.
    pub dtype: Dtype,
}

/// A tensor whose shape is not the network's.
#[derive(Clone, Debug, PartialEq)]
pub struct WrongShape {
    /// Its name.
    pub name: String,
    /// Shape that the network needs.
    pub wanted: Vec<usize>,
    /// Shape in the file.
    pub found: Vec<usize>,
    /// The parameter's path in the network.
    pub path: String,
}

/// How a file's tensors and a network's parameters fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The file, for people.
    pub source: String,
    /// Prefix of all names that is seen through (`module.`).
    pub prefix: String,
    /// Number of the file's tensors that the network takes.
    pub used: usize,
    /// Number of tensors that are dropped by name.
    pub dropped: usize,
    /// Number of tensors outside the prefix.
    pub outside: usize,
    /// Tables of positions that are resampled, each with its grids.
    pub resampled: Vec<String>,
    /// Needed and not there.
    pub missing: Vec<Missing>,
    /// There and not needed.
    pub left_over: Vec<LeftOver>,
    /// There in another shape.
    pub wrong_shape: Vec<WrongShape>,
    /// There and needed, but of no use, with the reason.
    pub unusable: Vec<(String, String)>,
}

impl Comparison {
    /// Whether everything fits.
    pub fn fits(&self) -> bool {
        self.missing.is_empty()
            && self.left_over.is_empty()
            && self.wrong_shape.is_empty()
            && self.unusable.is_empty()
    }

    fn help(&self) -> Option<String> {
        if self.used == 0 && self.wrong_shape.is_empty() {
            return Some("not one name fits: is this the right network, and dialect? for a library that the spec does \
                 not know, write a `weights` section (`netwright dump SPEC --stage graph` lists the labels)"
                    .into());
        }
        // All in the first axis, and all with the same two lengths: another number of classes.
        let first = self.wrong_shape.first()?;
        let lengths = (*first.wanted.first()?, *first.found.first()?);
        let same = self.wrong_shape.iter().all(|wrong| {
            wrong.wanted.first() == Some(&lengths.0)
                && wrong.found.first() == Some(&lengths.1)
                && squeezed(&wrong.wanted[1..]) == squeezed(&wrong.found[1..])
        });
        (same && lengths.0 != lengths.1 && self.wrong_shape.len() <= 4).then(|| {
            format!(
                "the file has {} rows where the network has {}; if these are its classes: \
                 `--set classes={}`",
                lengths.1, lengths.0, lengths.1
            )
        })
    }
}

/// A shape without its axes of length 1, which do not matter: a linear layer and a 1x1 convolution
/// hold the same tensor.
pub fn squeezed(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&side| side != 1).collect()
}

fn more(f: &mut fmt::Formatter<'_>, count: usize) -> fmt::Result {
    if count > SHOWN { write!(f, "\n  and {} more", count - SHOWN) } else { Ok(()) }
}

fn tensors(count: usize) -> String {
    format!("{count} tensor{}", if count == 1 { "" } else { "s" })
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Comparison { source, missing, left_over, wrong_shape, unusable, .. } = self;
        if self.fits() {
            write!(f, "{source}: {} of the file used", tensors(self.used))?;
            if self.dropped > 0 {
                write!(f, ", {} dropped by name", self.dropped)?;
            }
            if self.outside > 0 {
                write!(f, ", {} outside `{}` ignored", self.outside, self.prefix)?;
            }
            for one in self.resampled.iter().take(SHOWN) {
                write!(f, "\nresampled: {one}")?;
            }
            more(f, self.resampled.len())?;
            return Ok(());
        }
        let counts = [
            (missing.len(), "missing"),
            (left_over.len(), "left over"),
            (wrong_shape.len(), "of another shape"),
            (unusable.len(), "of no use"),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", tensors(*count)))
            .collect();
        write!(f, "{source} does not fit the network: {}", counts.join(", "))?;
        if !self.prefix.is_empty() {
            write!(f, " (names without their prefix `{}`)", self.prefix)?;
        }
        if !missing.is_empty() {
            write!(f, "\nmissing: the network needs, the file has not")?;
            let others: Vec<&str> =
                left_over.iter().take(SEARCHED).map(|other| other.name.as_str()).collect();
            for one in missing.iter().take(SHOWN) {
                write!(f, "\n  {} {:?} for {}", one.name, one.shape, one.path)?;
                if let Some(near) = near_miss(&one.name, others.iter().copied()) {
                    write!(f, "; is it {}?", shown(near))?;
                }
            }
            more(f, missing.len())?;
        }
        if !left_over.is_empty() {
            write!(f, "\nleft over: the file has, the network does not need")?;
            for one in left_over.iter().take(SHOWN) {
                write!(f, "\n  {} {:?} {}", shown(&one.name), one.shape, one.dtype)?;
            }
            more(f, left_over.len())?;
        }
        if !wrong_shape.is_empty() {
            write!(f, "\nof another shape:")?;
            for one in wrong_shape.iter().take(SHOWN) {
                let WrongShape { name, wanted, found, path } = one;
                write!(f, "\n  {name} network {wanted:?}, file {found:?} for {path}")?;
            }
            more(f, wrong_shape.len())?;
        }
        if !unusable.is_empty() {
            write!(f, "\nof no use:")?;
            for (name, reason) in unusable.iter().take(SHOWN) {
                write!(f, "\n  {name}: {reason}")?;
            }
            more(f, unusable.len())?;
        }
        match self.help() {
            Some(help) => write!(f, "\n  = help: {help}"),
            None => Ok(()),
        }
    }
}
