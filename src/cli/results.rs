//! Arrays in, guesses out.

use super::failure::Failure;
use super::table::shape;
use crate::labels::{Guess, Labels, most_likely};
use crate::npy::Array;
use crate::session::{Session, classes};
use netwright_compiler::expand::Expanded;
use serde_json::{Value, json};
use std::path::Path;

/// Most images of one array: a network is compiled for its batch.
const MAX_BATCH: usize = 4096;

/// The batch of an array `[N, C, H, W]`.
pub fn batch_of(array: &[usize]) -> Result<usize, Failure> {
    match *array {
        [0, ..] if array.len() == 4 => Err(Failure::Input("the input array has no images".into())),
        [n, _, _, _] if n <= MAX_BATCH => Ok(n),
        [n, _, _, _] => Err(Failure::Input(format!(
            "the input array has {n} images; at most {MAX_BATCH} can be computed together: split it"
        ))),
        _ => Err(Failure::Input(format!(
            "the input array has the shape {array:?}; a network takes [N, C, H, W]{}",
            if array.len() == 3 { ": add the batch axis, x[None]" } else { "" }
        ))),
    }
}

/// Checks that an array is the network's input, and says what to change if it is not.
pub fn check_input(array: &Array, expanded: &Expanded) -> Result<(), Failure> {
    let [n, h, w, c] = expanded.input;
    let wanted = [n, c, h, w];
    if array.shape != wanted {
        let [_, channels, rows, columns] = array.shape[..] else {
            return batch_of(&array.shape).map(drop);
        };
        let mut cures = Vec::new();
        if [rows, columns] != [h, w] {
            cures.push(match rows == columns {
                true => format!("--set resolution={rows}"),
                false => format!("--set resolution={rows}x{columns}"),
            });
        }
        if channels != c {
            cures.push(format!("--set channels={channels}"));
        }
        let cure = match columns == c && channels != c {
            true => {
                "it looks like [N, H, W, C]: x.transpose(0, 3, 1, 2) puts the channels first".into()
            }
            false => format!("pass another array, or {}", cures.join(" ")),
        };
        let (found, wanted) = (shape(&array.shape), shape(&wanted));
        return Err(Failure::Input(format!(
            "the input array is {found}, the network takes {wanted}: {cure}"
        )));
    }
    let Some(at) = array.data.iter().position(|value| !value.is_finite()) else { return Ok(()) };
    let (plane, value) = (h * w, array.data[at]);
    let place = [at / (c * plane), at / plane % c, at / w % h, at % w];
    Err(Failure::Input(format!("the input array holds {value} at {place:?}; it must be finite")))
}

/// How guesses are made and named.
pub struct Naming {
    labels: Option<Labels>,
    classes: Option<usize>,
    top: usize,
}

impl Naming {
    /// Labels from a file, or ImageNet's where they are the network's.
    pub fn new(expanded: &Expanded, file: Option<&Path>, top: u32) -> Result<Naming, Failure> {
        let classes = classes(expanded);
        let labels = match file {
            Some(path) => {
                let labels =
                    Labels::read(path).map_err(|error| Failure::about(path.display(), error))?;
                if let Some(classes) = classes
                    && labels.len() != classes
                {
                    return Err(Failure::about(
                        path.display(),
                        format!("{} labels, the network has {classes} classes", labels.len()),
                    ));
                }
                Some(labels)
            }
            None => {
                let imagenet = expanded.preprocess.labels.as_deref() == Some("imagenet");
                let own = imagenet.then(Labels::imagenet);
                own.filter(|labels| Some(labels.len()) == classes)
            }
        };
        Ok(Naming { labels, classes, top: top as usize })
    }

    /// Whether the network's output is one number for each class.
    pub fn has_classes(&self) -> bool {
        self.classes.is_some()
    }

    /// The guesses of each image of a batch. Of a network without classes there are none.
    pub fn guesses(&self, output: &[f32]) -> Result<Vec<Vec<Guess>>, Failure> {
        let Some(classes) = self.classes else { return Ok(Vec::new()) };
        let guesses = output.chunks_exact(classes.max(1)).map(|row| most_likely(row, self.top));
        guesses.collect::<Option<_>>().ok_or_else(|| {
            Failure::Input(
                "the network's output is not finite: are these the weights of this network?".into(),
            )
        })
    }

    fn name(&self, class: usize) -> Option<&str> {
        self.labels.as_ref()?.get(class)
    }

    /// An image's guesses as lines.
    pub fn text(&self, file: &str, guesses: &[Guess]) -> String {
        let mut text = format!("{file}\n");
        for guess in guesses {
            let percent = guess.probability * 100.0;
            let class = guess.class;
            let line = match self.name(class) {
                Some(name) => format!("  {percent:5.1}%  {name} ({class})\n"),
                None => format!("  {percent:5.1}%  class {class}\n"),
            };
            text.push_str(&line);
        }
        text
    }

    /// An image's guesses for programs.
    pub fn json(&self, file: &str, guesses: &[Guess]) -> Value {
        let top: Vec<Value> = guesses
            .iter()
            .map(|guess| {
                json!({
                    "class": guess.class,
                    "label": self.name(guess.class),
                    "probability": guess.probability,
                })
            })
            .collect();
        json!({ "file": file, "top": top })
    }
}

/// What a session's outputs are for people: `logits 1×1000`.
pub fn outputs(session: &Session) -> String {
    let ports =
        session.outputs().iter().map(|port| format!("{} {}", port.name, shape(&port.shape)));
    ports.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches() {
        assert_eq!(batch_of(&[2, 3, 8, 8]).unwrap(), 2);
        for wrong in [&[0, 3, 8, 8][..], &[3, 8, 8], &[5000, 3, 8, 8], &[]] {
            assert!(batch_of(wrong).is_err(), "{wrong:?}");
        }
        assert!(batch_of(&[3, 8, 8]).unwrap_err().to_string().contains("x[None]"));
    }
}
