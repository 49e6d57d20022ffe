//! Names of classes, and the classes that a network thinks most likely.

use std::io::Read;
use std::path::Path;
use thiserror::Error;

/// Largest file of labels in bytes.
const MAX_FILE: u64 = 16 << 20;

/// Names of a network's classes, in the order of its outputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labels(Vec<String>);

/// Labels could not be read.
#[derive(Debug, Error)]
pub enum LabelsError {
    /// The file cannot be opened or read.
    #[error("{0}")]
    Read(#[from] std::io::Error),
    /// It is no text.
    #[error("{0}; labels are UTF-8 text, one class a line")]
    Format(String),
}

impl Labels {
    /// ImageNet's thousand classes.
    pub fn imagenet() -> Labels {
        Labels::from_text(include_str!("../assets/imagenet_labels.txt"))
    }

    /// One class a line; empty lines at the end do not count.
    pub fn from_text(text: &str) -> Labels {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        Labels(text.trim_end().lines().map(|line| line.trim().to_string()).collect())
    }

    /// Reads a file with one class a line.
    ///
    /// # Errors
    /// A file that cannot be read, is larger than 16 MiB, is not UTF-8, or is empty.
    pub fn read(path: &Path) -> Result<Labels, LabelsError> {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(LabelsError::Format(format!("larger than {} MiB", MAX_FILE >> 20)));
        }
        let text = String::from_utf8(bytes)
            .map_err(|error| LabelsError::Format(format!("not UTF-8 ({})", error.utf8_error())))?;
        if text.trim().is_empty() {
            return Err(LabelsError::Format("an empty file".into()));
        }
        Ok(Labels::from_text(&text))
    }

    /// Number of classes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A class's name.
    pub fn get(&self, class: usize) -> Option<&str> {
        self.0.get(class).map(String::as_str)
    }
}

/// A class and how likely it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Guess {
    /// The class's number.
    pub class: usize,
    /// By the softmax over all classes.
    pub probability: f64,
}

/// The `count` most likely classes, the most likely first, equal ones by number; `None` when a logit
/// is not finite.
pub fn most_likely(logits: &[f32], count: usize) -> Option<Vec<Guess>> {
    if !logits.iter().all(|logit| logit.is_finite()) {
        return None;
    }
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exp = |logit: f32| f64::from(logit - largest).exp();
    let sum: f64 = logits.iter().copied().map(exp).sum();
    let mut order: Vec<usize> = (0..logits.len()).collect();
    order.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]).then(a.cmp(&b)));
    order.truncate(count);
    let guess = |class: usize| Guess { class, probability: exp(logits[class]) / sum };
    Some(order.into_iter().map(guess).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imagenet_is_complete() {
        let labels = Labels::imagenet();
        assert_eq!(labels.len(), 1000);
        assert_eq!(labels.get(0), Some("tench"));
        assert_eq!(labels.get(285), Some("Egyptian cat"));
        assert_eq!(labels.get(999), Some("toilet tissue"));
        assert_eq!(labels.get(1000), None);
    }

    #[test]
    fn text_of_other_systems() {
        let labels = Labels::from_text("\u{feff}cat\r\n\r\ndog \r\n\r\n");
        assert_eq!(labels, Labels(vec!["cat".into(), "".into(), "dog".into()]));
    }

    #[test]
    fn guesses_are_in_order() {
        let guesses = most_likely(&[0.0, 2.0, 2.0, -1e30], 3).unwrap();
        let classes: Vec<usize> = guesses.iter().map(|guess| guess.class).collect();
        assert_eq!(classes, [1, 2, 0]);
        let expected = 1.0 / (2.0 + (-2.0f64).exp());
        assert!((guesses[0].probability - expected).abs() < 1e-12);
        assert_eq!(most_likely(&[1.0], 5).unwrap()[0].probability, 1.0);
        assert_eq!(most_likely(&[1.0, f32::NAN], 1), None);
        assert_eq!(most_likely(&[], 1), Some(vec![]));
    }
}
