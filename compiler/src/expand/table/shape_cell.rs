//! Cells of checked columns: `224²×3`, `14x14x96`, `112²`, `197x768`, `1000`.

use super::roles::Role;
use crate::expand::codes;
use crate::value::{Value, plain};
use netwright_grammar::{Diagnostic, Span};

/// A printed shape, without the batch.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Printed {
    /// Rows and columns of a map.
    Size([usize; 2]),
    /// Rows, columns and channels of a map.
    Map([usize; 3]),
    /// Channels of a vector, or of a map of one cell.
    Vector(usize),
}

impl Printed {
    /// Reads a cell's value.
    pub fn read(value: &Value, role: Role, span: Span) -> Result<Printed, Diagnostic> {
        let wrong = || {
            let message = format!("`{value}` is not a shape");
            Diagnostic::error(codes::SHAPE_TEXT, span, message)
                .help("write `224²×3`, `224x224x3`, `224²`, `197x768` or `1000`")
        };
        let whole = |number: &Value| match number {
            Value::Number(n) if n.fract() == 0.0 && (1.0..1e9).contains(n) => Ok(*n as usize),
            Value::Poison => Err(crate::value::silent(span)),
            _ => Err(wrong()),
        };
        match value {
            Value::Number(_) if role == Role::Resolution => {
                whole(value).map(|side| Printed::Size([side, side]))
            }
            Value::Number(_) => whole(value).map(Printed::Vector),
            Value::List(items) => match items.as_slice() {
                [h, w] => Ok(Printed::Size([whole(h)?, whole(w)?])),
                [h, w, c] => Ok(Printed::Map([whole(h)?, whole(w)?, whole(c)?])),
                _ => Err(wrong()),
            },
            Value::Poison => Err(crate::value::silent(span)),
            _ => Err(wrong()),
        }
    }

    /// Whether a tensor has that shape.
    pub fn fits(&self, shape: &[usize]) -> bool {
        match (self, shape) {
            (Printed::Size([h, w]), [_, rows, columns, _]) => [h, w] == [rows, columns],
            (Printed::Size([t, c]), [_, tokens, channels]) => [t, c] == [tokens, channels],
            (Printed::Size([1, 1]), [_, _]) => true,
            (Printed::Map([h, w, c]), [_, rows, columns, channels]) => {
                [h, w, c] == [rows, columns, channels]
            }
            (Printed::Map([1, 1, c]), [_, channels]) => c == channels,
            (Printed::Vector(c), [_, channels] | [_, 1, 1, channels]) => c == channels,
            _ => false,
        }
    }

    /// How many of the printed numbers a tensor's shape has.
    pub fn agreement(&self, shape: &[usize]) -> usize {
        let own: &[usize] = match self {
            Printed::Size(size) => size,
            Printed::Map(map) => map,
            Printed::Vector(c) => std::slice::from_ref(c),
        };
        let of = match (self, shape) {
            (Printed::Size(_), [_, h, w, _]) => vec![*h, *w],
            (_, [_, rest @ ..]) => rest.to_vec(),
            _ => Vec::new(),
        };
        if of.len() != own.len() {
            return usize::from(self.fits(shape)) * own.len();
        }
        own.iter().zip(&of).filter(|(a, b)| a == b).count()
    }

    /// A tensor's shape that fits; `channels` are used where only rows and columns are printed. Two
    /// numbers are tokens and channels where the last shape that is known is one of tokens and a number
    /// of theirs is there again, or where they differ.
    pub fn shape(
        &self,
        batch: usize,
        channels: Option<usize>,
        last: &[usize],
    ) -> Option<Vec<usize>> {
        match (self, last) {
            (Printed::Size([t, c]), [_, tokens, own]) if t == tokens || c == own || t != c => {
                Some(vec![batch, *t, *c])
            }
            _ => self.map_shape(batch, channels),
        }
    }

    fn map_shape(&self, batch: usize, channels: Option<usize>) -> Option<Vec<usize>> {
        match self {
            Printed::Size([h, w]) => Some(vec![batch, *h, *w, channels?]),
            Printed::Map([h, w, c]) => Some(vec![batch, *h, *w, *c]),
            Printed::Vector(c) => Some(vec![batch, *c]),
        }
    }

    /// Printed channels, if any.
    pub fn channels(&self) -> Option<usize> {
        match self {
            Printed::Size(_) => None,
            Printed::Map([_, _, c]) | Printed::Vector(c) => Some(*c),
        }
    }

    /// A tensor's shape in the form that this cell has.
    pub fn show(&self, shape: &[usize]) -> String {
        let n = |number: usize| plain(number as f64);
        let size = |h: usize, w: usize| if h == w { format!("{h}²") } else { format!("{h}×{w}") };
        match (self, shape) {
            (Printed::Size(_), [_, h, w, _]) => size(*h, *w),
            (_, [_, h, w, c]) => format!("{}×{}", size(*h, *w), n(*c)),
            (_, [_, t, c]) => format!("{t}×{c} (tokens)"),
            (_, [_, c]) => n(*c),
            _ => format!("{shape:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(numbers: &[f64], role: Role) -> Printed {
        let value = match numbers {
            [one] => Value::Number(*one),
            many => Value::numbers(many.iter().copied()),
        };
        Printed::read(&value, role, Span::default()).unwrap()
    }

    #[test]
    fn shapes_fit_and_are_shown_alike() {
        let map = read(&[14.0, 14.0, 96.0], Role::Input);
        assert!(
            map.fits(&[2, 14, 14, 96]) && !map.fits(&[2, 14, 14, 64]) && !map.fits(&[2, 196, 96])
        );
        assert_eq!(map.show(&[1, 28, 28, 64]), "28²×64");
        assert_eq!(map.show(&[1, 28, 20, 64]), "28×20×64");
        let tokens = read(&[197.0, 768.0], Role::Output);
        assert!(tokens.fits(&[1, 197, 768]));
        let size = read(&[56.0], Role::Resolution);
        assert!(size.fits(&[1, 56, 56, 3]) && !size.fits(&[1, 56, 48, 3]));
        let shape = |last: &[usize]| tokens.shape(1, Some(3), last);
        assert_eq!(shape(&[1, 197, 768]), Some(vec![1, 197, 768]));
        assert_eq!(shape(&[1, 7, 7, 9]), Some(vec![1, 197, 768, 3]));
        let map = read(&[7.0, 7.0], Role::Output);
        assert_eq!(map.shape(1, Some(3), &[1, 49, 64]), Some(vec![1, 7, 7, 3]));
        assert_eq!(map.shape(1, Some(3), &[1, 49, 7]), Some(vec![1, 7, 7]));
        let vector = read(&[1000.0], Role::Output);
        assert!(
            vector.fits(&[1, 1000])
                && vector.fits(&[1, 1, 1, 1000])
                && !vector.fits(&[1, 7, 7, 1000])
        );
        assert!(Printed::read(&Value::text("x"), Role::Input, Span::default()).is_err());
        assert!(Printed::read(&Value::Number(1.5), Role::Input, Span::default()).is_err());
    }
}
