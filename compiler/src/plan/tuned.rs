//! Choices that were measured, and the questions that they answer.
//!
//! Where there are several ways to compute the same, the planner estimates which is the fastest. It looks for a
//! measured answer first: [`Choices`], which the caller hands over. What a question is about is its *key*: shapes and
//! epilogues of the layers in question, not their names, so that equal layers of other networks have the
//! same answer.

use netwright_codegen::name;
use netwright_codegen::program::{ConvKernel, Kernel};
use std::collections::BTreeMap;
use std::fmt::{self, Write};
use std::str::FromStr;

/// An answer to a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// A 3x3 convolution by the sums of its definition.
    Plain,
    /// A 3x3 convolution by Winograd's algorithm with tiles of that many rows and columns.
    Winograd(usize),
    /// The first of the layers by itself; what follows is another question.
    Alone,
    /// The first layers depth first.
    DepthFirst {
        /// How many of them.
        stages: usize,
        /// Rows of a band.
        rows: usize,
    },
    /// A gate over the values of a map.
    GateOnMap,
    /// A gate over the weights that read the map.
    GateOnWeights,
}

impl Answer {
    /// Whether another answer to its question gives other bits.
    pub fn changes_bits(self) -> bool {
        match self {
            Answer::Plain | Answer::Winograd(_) | Answer::GateOnMap | Answer::GateOnWeights => true,
            Answer::Alone | Answer::DepthFirst { .. } => false,
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Plain => f.write_str("plain"),
            Answer::Winograd(tile) => write!(f, "winograd {tile}"),
            Answer::Alone => f.write_str("alone"),
            Answer::DepthFirst { stages, rows } => write!(f, "depth first {stages} by {rows}"),
            Answer::GateOnMap => f.write_str("gate on map"),
            Answer::GateOnWeights => f.write_str("gate on weights"),
        }
    }
}

impl FromStr for Answer {
    type Err = ();

    /// The inverse of `Display`.
    fn from_str(text: &str) -> Result<Answer, ()> {
        let number = |text: &str| text.parse().map_err(|_| ());
        match text.split(' ').collect::<Vec<_>>()[..] {
            ["plain"] => Ok(Answer::Plain),
            ["winograd", tile] => Ok(Answer::Winograd(number(tile)?)),
            ["alone"] => Ok(Answer::Alone),
            ["gate", "on", "map"] => Ok(Answer::GateOnMap),
            ["gate", "on", "weights"] => Ok(Answer::GateOnWeights),
            ["depth", "first", stages, "by", rows] => {
                Ok(Answer::DepthFirst { stages: number(stages)?, rows: number(rows)? })
            }
            _ => Err(()),
        }
    }
}

/// An answer that was measured, beside the one of the planner's estimates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// The fastest answer.
    pub answer: Answer,
    /// Its time in seconds.
    pub seconds: f64,
    /// What the planner would choose by itself.
    pub model: Answer,
    /// The time of that.
    pub model_seconds: f64,
}

impl Measured {
    /// Why it was chosen, for people.
    pub(super) fn reason(&self) -> String {
        let ms = |seconds: f64| format!("{:.3} ms", seconds * 1e3);
        if self.answer == self.model {
            return format!("tuned: {}, and nothing else was faster", ms(self.seconds));
        }
        format!("tuned: {} instead of {}", ms(self.seconds), ms(self.model_seconds))
    }
}

/// Measured answers by the keys of their questions. An answer that is not possible (it may come from a
/// file) is passed over, and the planner estimates.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choices {
    answers: BTreeMap<String, Measured>,
}

impl Choices {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.answers.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.answers.len()
    }

    /// The answer to the question with that key.
    pub fn get(&self, key: &str) -> Option<&Measured> {
        self.answers.get(key)
    }

    /// Adds an answer, or replaces it.
    pub fn insert(&mut self, key: String, answer: Measured) {
        self.answers.insert(key, answer);
    }

    /// Takes an answer away.
    pub fn remove(&mut self, key: &str) -> Option<Measured> {
        self.answers.remove(key)
    }

    /// The answers in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Measured)> {
        self.answers.iter().map(|(key, answer)| (key.as_str(), answer))
    }
}

impl FromIterator<(String, Measured)> for Choices {
    fn from_iter<I: IntoIterator<Item = (String, Measured)>>(answers: I) -> Choices {
        Choices { answers: answers.into_iter().collect() }
    }
}

/// A measured answer that a plan uses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Used {
    /// The question's key.
    pub key: String,
    /// The answer.
    pub answer: Answer,
}

/// A question that measuring can answer, with what it takes to compare the answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// What it is about, in the terms of [`Choices`].
    pub key: String,
    /// The number of its first layer among the steps that there are without chains.
    pub step: usize,
    /// Its layers, one a step.
    pub layers: Vec<Layer>,
    /// The possible answers.
    pub candidates: Vec<Candidate>,
    /// What the planner would choose by itself.
    pub model: Answer,
}

/// A layer of a question.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// The node.
    pub node: String,
    /// What computes it where it is computed by itself.
    pub kernel: Kernel,
}

/// A possible answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The answer.
    pub answer: Answer,
    /// The kernel that computes the first layers then.
    pub kernel: Kernel,
    /// How many layers that are.
    pub layers: usize,
}

/// The key of convolutions: the name that kernels have, and what it leaves out.
pub(super) fn key(stages: &[ConvKernel]) -> String {
    let mut key = String::new();
    for (i, c) in stages.iter().enumerate() {
        let then = if i == 0 { "" } else { " then " };
        let _ = write!(key, "{then}{}", name::kernel(&Kernel::Conv(c.clone())));
        if c.pad != [0, 0] {
            let _ = write!(key, " padded {}x{}", c.pad[0], c.pad[1]);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_text() {
        for answer in [
            Answer::Plain,
            Answer::Winograd(4),
            Answer::Alone,
            Answer::DepthFirst { stages: 3, rows: 7 },
            Answer::GateOnMap,
            Answer::GateOnWeights,
        ] {
            assert_eq!(answer.to_string().parse(), Ok(answer));
        }
        for wrong in [
            "",
            "winograd",
            "winograd x",
            "winograd -4",
            "depth first 3 by",
            "plain 2",
            "Alone ",
            "gate on",
        ] {
            assert!(wrong.parse::<Answer>().is_err(), "{wrong}");
        }
    }
}
