//! How a parameter's values are made, once all names are looked up and all shapes checked.

use super::file::WeightFile;
use super::generate::Generator;
use super::resample::resample;
use netwright_ir::{ParamValues, Resampling, read_joined};
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
    /// The values for whoever reads them once, in any pieces: those that can be are made as they are read.
    pub fn values<'a>(
        &'a self,
        file: Option<&'a WeightFile>,
        generator: Option<&'a Generator>,
    ) -> ParamValues<'a> {
        match self {
            Recipe::File(at) => {
                let file = file.expect("binding saw the file");
                match file.slice(*at) {
                    Some(values) => ParamValues::Slice(values),
                    None => ParamValues::Made {
                        len: file.len(*at).expect("binding saw a type that can be read"),
                        fill: Box::new(move |start, out| file.read(*at, start, out)),
                    },
                }
            }
            Recipe::Generated { name, shape } => {
                let value = generator
                    .and_then(|generator| generator.values(name, shape))
                    .expect("binding saw that the generator knows the name");
                let fill = move |start: usize, out: &mut [f32]| {
                    (start as u64..).zip(out).for_each(|(index, out)| *out = value(index));
                };
                ParamValues::Made { len: shape.iter().product(), fill: Box::new(fill) }
            }
            Recipe::Range { of, start, len } => match of.values(file, generator) {
                ParamValues::Slice(values) => ParamValues::Slice(&values[*start..start + len]),
                values => ParamValues::Made {
                    len: *len,
                    fill: Box::new(move |at, out| values.read(start + at, out)),
                },
            },
            Recipe::Concat { outer: 1, parts } => {
                let parts: Vec<ParamValues<'a>> =
                    parts.iter().map(|(part, _)| part.values(file, generator)).collect();
                ParamValues::Made {
                    len: parts.iter().map(ParamValues::len).sum(),
                    fill: Box::new(move |start, out| {
                        read_joined(&parts, ParamValues::len, ParamValues::read, start, out);
                    }),
                }
            }
            Recipe::Zeros(_) | Recipe::Concat { .. } | Recipe::Resample { .. } => {
                ParamValues::Owned(self.value(file, generator).into_owned())
            }
        }
    }

    /// Calls `f` with the index of each tensor of the file that is read.
    pub fn each_file_tensor(&self, f: &mut dyn FnMut(usize)) {
        match self {
            Recipe::File(at) => f(*at),
            Recipe::Range { of, .. } | Recipe::Resample { of, .. } => of.each_file_tensor(f),
            Recipe::Concat { parts, .. } => {
                parts.iter().for_each(|(part, _)| part.each_file_tensor(f));
            }
            Recipe::Generated { .. } | Recipe::Zeros(_) => {}
        }
    }

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
