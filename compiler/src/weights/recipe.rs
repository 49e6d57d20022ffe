//! How a parameter's values are made, once all names are looked up and all shapes checked.

use super::file::WeightFile;
use super::generate::Generator;
use super::resample::resample;
use netwright_ir::Resampling;
use std::borrow::Cow;

/// A recipe whose parts all exist.
#[derive(Clone, Debug)]
pub enum Recipe {
    /// The tensor of that index in the file.
    File(usize),
    /// A tensor of the generator.
    Generated {
        /// Its name.
        name: String,
        /// Its shape.
        shape: Vec<usize>,
    },
    /// Parts side by side, `outer` times.
    Concat {
        /// Number of cells of the axes before the joined one.
        outer: usize,
        /// Each part with the number of its elements in a cell.
        parts: Vec<(Recipe, usize)>,
    },
    /// Some of another's elements.
    Range {
        /// The other.
        of: Box<Recipe>,
        /// First element.
        start: usize,
        /// Number of elements.
        len: usize,
    },
    /// So many zeros.
    Zeros(usize),
    /// A table of positions on another grid.
    Resample {
        /// The table.
        of: Box<Recipe>,
        /// Rows before the grid.
        prefix: usize,
        /// Length of a row.
        channels: usize,
        /// Its grid.
        from: [usize; 2],
        /// The wanted grid.
        to: [usize; 2],
        /// The arithmetic.
        way: Resampling,
    },
}

impl Recipe {
    /// The values. Whoever made the recipe has seen that file or generator have what it names.
    pub fn value<'a>(
        &self,
        file: Option<&'a WeightFile>,
        generator: Option<&Generator>,
    ) -> Cow<'a, [f32]> {
        match self {
            Recipe::File(at) => file
                .and_then(|file| file.values(*at))
                .expect("binding saw a tensor of a type that can be read there"),
            Recipe::Generated { name, shape } => generator
                .and_then(|generator| generator.tensor(name, shape))
                .expect("binding saw that the generator knows the name")
                .into(),
            Recipe::Zeros(count) => vec![0.0; *count].into(),
            Recipe::Range { of, start, len } => match of.value(file, generator) {
                Cow::Borrowed(values) => Cow::Borrowed(&values[*start..start + len]),
                Cow::Owned(values) => values[*start..start + len].to_vec().into(),
            },
            Recipe::Concat { outer, parts } => {
                let values: Vec<Cow<'a, [f32]>> =
                    parts.iter().map(|(part, _)| part.value(file, generator)).collect();
                let mut joined = Vec::with_capacity(values.iter().map(|part| part.len()).sum());
                for cell in 0..*outer {
                    for (value, (_, len)) in values.iter().zip(parts) {
                        joined.extend_from_slice(&value[cell * len..(cell + 1) * len]);
                    }
                }
                joined.into()
            }
            Recipe::Resample { of, prefix, channels, from, to, way } => {
                let table = of.value(file, generator);
                resample(&table, *prefix, *channels, *from, *to, *way).into()
            }
        }
    }
}
