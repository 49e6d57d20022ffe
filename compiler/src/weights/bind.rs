//! Binding: the values of each parameter, by its recipe, from a file or the generator.
//!
//! Every tensor of a file is used exactly once or dropped by name. Values are made when they are
//! asked for: [`BoundWeights::value`] borrows from the file what it can.

use super::WeightsError;
use super::file::{Dtype, WeightFile};
use super::generate::Generator;
use super::recipe::Recipe;
use super::report::{Comparison, LeftOver, Missing, WrongShape, squeezed};
use super::resample::grid_of;
use super::shown::shown;
use netwright_ir::{Param, ParamSource, ParamValues, Resampling, Source, Tensor};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// Where tensors come from.
#[derive(Clone, Debug)]
pub enum Supply {
    /// A file, whose relevant names all begin with `prefix`.
    File {
        /// The file.
        file: Arc<WeightFile>,
        /// See [`super::Choice::prefix`].
        prefix: String,
    },
    /// The deterministic generator.
    Generated {
        /// Seed.
        seed: u64,
        /// Factor of matrices and filters.
        gain: f64,
    },
}

/// A parameter's recipe with its shape and the names that it is made from.
#[derive(Debug)]
struct Bound {
    recipe: Recipe,
    shape: Vec<usize>,
    names: Vec<String>,
}

/// The values of a network's parameters.
#[derive(Debug)]
pub struct BoundWeights {
    file: Option<Arc<WeightFile>>,
    generator: Option<Generator>,
    params: Vec<Bound>,
    comparison: Comparison,
    untold: Vec<String>,
}

impl BoundWeights {
    /// Number of parameters.
    pub fn len(&self) -> usize {
        self.params.len()
    }

    /// Whether the network has no parameters.
    pub fn is_empty(&self) -> bool {
        self.params.is_empty()
    }

    /// The values of a parameter, row-major, as many as its shape says. Borrowed from the file
    /// where it holds them as aligned `f32`; made anew at every call otherwise.
    ///
    /// # Panics
    /// For an index that is not below [`BoundWeights::len`].
    pub fn value(&self, param: usize) -> Cow<'_, [f32]> {
        self.params[param].recipe.value(self.file.as_deref(), self.generator.as_ref())
    }

    /// The values of a parameter with its shape.
    ///
    /// # Panics
    /// For an index that is not below [`BoundWeights::len`].
    pub fn tensor(&self, param: usize) -> Arc<Tensor> {
        let value = self.value(param).into_owned();
        Arc::new(Tensor::new(self.params[param].shape.clone(), value))
    }

    /// How many values of a parameter are NaN or infinite.
    fn count_non_finite(&self, param: usize) -> usize {
        const EXPONENT: u32 = f32::INFINITY.to_bits();
        // Counted in the width of the values, in pieces that cannot overflow: the compiler uses vectors.
        let count = |values: &[f32]| -> usize {
            let one = |value: &f32| u32::from(value.to_bits() & EXPONENT == EXPONENT);
            values.chunks(1 << 16).map(|piece| piece.iter().map(one).sum::<u32>() as usize).sum()
        };
        let values = self.values(param);
        if let Some(values) = values.slice() {
            return count(values);
        }
        let mut piece = [0.0; 1 << 10];
        let pieces = (0..values.len()).step_by(piece.len());
        let counts = pieces.map(|start| {
            let piece = &mut piece[..(1 << 10).min(values.len() - start)];
            values.read(start, piece);
            count(piece)
        });
        counts.sum()
    }

    /// How the file fitted.
    pub fn comparison(&self) -> &Comparison {
        &self.comparison
    }

    /// What to say of generated tensors whose names do not tell what they are for; `None` if all do.
    pub fn untold(&self) -> Option<String> {
        (!self.untold.is_empty()).then(|| untold(self.untold.clone()))
    }

    /// A hash of all values (the same for f16 weights and for the same numbers in f32), for headers
    /// of files that are made from them. FNV-1a over shapes and the bits of the values.
    pub fn hash(&self) -> u64 {
        let step = |hash: u64, word: u64| (hash ^ word).wrapping_mul(0x100_0000_01B3);
        let mut hash = 0xCBF2_9CE4_8422_2325;
        for (at, bound) in self.params.iter().enumerate() {
            hash = bound.shape.iter().fold(hash, |hash, &side| step(hash, side as u64));
            hash = self.value(at).iter().fold(hash, |hash, v| step(hash, u64::from(v.to_bits())));
        }
        hash
    }

    /// A warning for every parameter that holds NaN or infinity. Reads all values.
    pub fn non_finite(&self) -> Vec<String> {
        (0..self.len())
            .filter_map(|at| {
                let count = self.count_non_finite(at);
                (count > 0).then(|| {
                    format!(
                        "`{}` holds {count} values that are NaN or infinite: results will be, too",
                        self.params[at].names.join("`, `")
                    )
                })
            })
            .collect()
    }
}

impl ParamSource for BoundWeights {
    fn values(&self, param: usize) -> ParamValues<'_> {
        self.params[param].recipe.values(self.file.as_deref(), self.generator.as_ref())
    }

    fn release(&self, param: usize) {
        if let Some(file) = &self.file {
            self.params[param].recipe.each_file_tensor(&mut |tensor| file.release(tensor));
        }
    }
}

/// Binds parameters to their tensors. `drops` are the dialect's patterns of names that are left out.
///
/// # Errors
/// [`WeightsError::Mismatch`] with everything that does not fit.
pub fn bind(
    params: &[Param],
    supply: &Supply,
    drops: &[String],
) -> Result<BoundWeights, WeightsError> {
    let mut binder = Binder::new(params, supply);
    let recipes: Vec<Option<Recipe>> = params.iter().map(|param| binder.param(param)).collect();
    binder.finish(drops);
    let complete: Option<Vec<Recipe>> = recipes.into_iter().collect();
    let (Some(recipes), true) = (complete, binder.comparison.fits()) else {
        return Err(WeightsError::Mismatch(Box::new(binder.comparison)));
    };
    let params = recipes.into_iter().zip(params).map(|(recipe, param)| {
        let names = leaves(&param.source).into_iter().map(|(name, _)| name.to_string()).collect();
        Bound { recipe, shape: param.shape.clone(), names }
    });
    let params = params.collect();
    let file = match supply {
        Supply::File { file, .. } => Some(file.clone()),
        Supply::Generated { .. } => None,
    };
    let untold = binder.untold;
    let (generator, comparison) = (binder.generator, binder.comparison);
    Ok(BoundWeights { file, generator, params, comparison, untold })
}

/// How a supply fits the parameters, without binding them.
pub fn compare(params: &[Param], supply: &Supply, drops: &[String]) -> Comparison {
    let mut binder = Binder::new(params, supply);
    for param in params {
        binder.param(param);
    }
    binder.finish(drops);
    binder.comparison
}

fn untold(mut names: Vec<String>) -> String {
    names.sort_unstable();
    names.dedup();
    let shown = names[..names.len().min(5)].join("`, `");
    let more =
        if names.len() > 5 { format!(" and {} more", names.len() - 5) } else { String::new() };
    format!(
        "nothing in their names says what `{shown}`{more} are for: generated, they are small numbers \
         around 0"
    )
}

/// The tensors of a source, each with its shape.
pub fn leaves(source: &Source) -> Vec<(&str, &[usize])> {
    match source {
        Source::Tensor { name, shape } => vec![(name, shape)],
        Source::Concat { parts, .. } => parts.iter().flat_map(leaves).collect(),
        Source::Rows { of, .. } | Source::Resample { of, .. } => leaves(of),
        Source::Zeros { .. } => Vec::new(),
    }
}

/// A recipe and the shape that it makes.
type Made = (Recipe, Vec<usize>);

struct Binder<'a> {
    file: Option<(&'a WeightFile, &'a str)>,
    generator: Option<Generator>,
    /// Size of the images that the file was made for, where that is known.
    image: Option<[usize; 2]>,
    comparison: Comparison,
    /// Rows taken of each tensor of the file, and whether all at once.
    taken: HashMap<usize, (usize, bool)>,
    untold: Vec<String>,
}

impl<'a> Binder<'a> {
    fn new(params: &[Param], supply: &'a Supply) -> Binder<'a> {
        let mut comparison = Comparison::default();
        let (file, generator) = match supply {
            Supply::File { file, prefix } => {
                comparison.source = file.path().display().to_string();
                comparison.prefix = prefix.clone();
                (Some((&**file, prefix.as_str())), None)
            }
            Supply::Generated { seed, gain } => {
                comparison.source = format!("generated:{seed}:{gain}");
                let tensors = params.iter().flat_map(|param| leaves(&param.source));
                let names = tensors.map(|(name, shape)| (name.to_string(), shape.len()));
                (None, Some(Generator::new(*seed, *gain, names)))
            }
        };
        let image = file.and_then(|(file, _)| file.image_size());
        Binder { file, generator, image, comparison, taken: HashMap::new(), untold: Vec::new() }
    }

    /// The recipe of a parameter; `None` if something about it is in the comparison now.
    fn param(&mut self, param: &Param) -> Option<Recipe> {
        let (recipe, shape) = self.source(&param.source, param, None, None)?;
        if squeezed(&shape) == squeezed(&param.shape) {
            return Some(recipe);
        }
        let reason = format!("its tensors make {shape:?}, the network needs {:?}", param.shape);
        self.comparison.unusable.push((param.path.clone(), reason));
        None
    }

    fn useless(&mut self, param: &Param, reason: String) -> Option<Made> {
        self.comparison.unusable.push((param.path.clone(), reason));
        None
    }

    /// `rows`: only so many of a tensor's rows are taken here. `table`: its rows may differ, all but
    /// so many of them being a grid.
    fn source(
        &mut self,
        source: &Source,
        param: &Param,
        rows: Option<usize>,
        table: Option<usize>,
    ) -> Option<Made> {
        match source {
            Source::Tensor { name, shape } => self.tensor(name, shape, param, rows, table),
            Source::Zeros { shape } => Some((Recipe::Zeros(shape.iter().product()), shape.clone())),
            Source::Concat { axis, parts } => {
                // All parts are looked up, so that all that are missing are listed.
                let made: Vec<Option<Made>> =
                    parts.iter().map(|part| self.source(part, param, rows, None)).collect();
                let made = made.into_iter().collect::<Option<Vec<Made>>>()?;
                let fits = made.first().is_some_and(|(_, first)| {
                    *axis < first.len()
                        && made.iter().all(|(_, shape)| {
                            shape.len() == first.len()
                                && shape[..*axis] == first[..*axis]
                                && shape[axis + 1..] == first[axis + 1..]
                        })
                });
                if !fits {
                    return self.useless(param, "its parts cannot be joined".into());
                }
                let mut shape = made[0].1.clone();
                shape[*axis] = made.iter().map(|(_, shape)| shape[*axis]).sum();
                let outer = shape[..*axis].iter().product();
                let parts = made
                    .into_iter()
                    .map(|(recipe, shape)| (recipe, shape[*axis..].iter().product()));
                let parts = parts.collect();
                Some((Recipe::Concat { outer, parts }, shape))
            }
            Source::Rows { of, start, len } => {
                let (recipe, mut shape) = self.source(of, param, Some(*len), None)?;
                let end = start.checked_add(*len);
                if shape.is_empty() || end.is_none_or(|end| end > shape[0]) {
                    let reason = format!("rows {start}.. of {shape:?} do not exist");
                    return self.useless(param, reason);
                }
                let row: usize = shape[1..].iter().product();
                shape[0] = *len;
                let of = Box::new(recipe);
                Some((Recipe::Range { of, start: start * row, len: len * row }, shape))
            }
            Source::Resample { of, prefix, grid, way } => {
                let (recipe, shape) = self.source(of, param, rows, Some(*prefix))?;
                let (lead, [rows, channels]) = match shape[..] {
                    [1, rows, channels] => (true, [rows, channels]),
                    [rows, channels] => (false, [rows, channels]),
                    _ => return self.useless(param, format!("{shape:?} is no table of positions")),
                };
                let wanted = prefix + grid[0] * grid[1];
                let mut made = vec![wanted, channels];
                if lead {
                    made.insert(0, 1);
                }
                // A table of distances is as square as its window, whatever the images were; what the
                // generator makes has the wanted size.
                let square = matches!(way, Resampling::Geometric);
                let image = if square { None } else { self.image };
                let from = grid_of(rows, *prefix, image);
                let same = from.is_none_or(|from| from == *grid) || self.generator.is_some();
                if rows == wanted && same {
                    return Some((recipe, made));
                }
                let Some(from) = from else {
                    let reason = format!(
                        "the table has {rows} rows, {prefix} of them before the grid: the others make \
                         no square, so it cannot be resampled (a `config.json` beside the file, or its \
                         metadata, can say `image_size`)"
                    );
                    return self.useless(param, reason);
                };
                let [[a, b], [c, d]] = [from, *grid];
                let note = format!("`{}` from {a}x{b} to {c}x{d}", param.path);
                self.comparison.resampled.push(note);
                let of = Box::new(recipe);
                let (prefix, to, way) = (*prefix, *grid, *way);
                Some((Recipe::Resample { of, prefix, channels, from, to, way }, made))
            }
        }
    }

    fn tensor(
        &mut self,
        name: &str,
        wanted: &[usize],
        param: &Param,
        rows: Option<usize>,
        table: Option<usize>,
    ) -> Option<Made> {
        let Some((file, prefix)) = self.file else {
            let known = self.generator.as_ref().is_some_and(|generator| generator.knows(name));
            if !known {
                self.untold.push(name.to_string());
            }
            let shape = wanted.to_vec();
            return Some((Recipe::Generated { name: name.into(), shape: shape.clone() }, shape));
        };
        let path = param.path.clone();
        let Some(at) = file.find(&format!("{prefix}{name}")) else {
            let missing = Missing { name: name.into(), shape: wanted.to_vec(), path };
            if !self.comparison.missing.iter().any(|other| other.name == name) {
                self.comparison.missing.push(missing);
            }
            return None;
        };
        let tensor = &file.tensors()[at];
        let taken = self.taken.entry(at).or_insert((0, false));
        let twice = taken.1 || (rows.is_none() && taken.0 > 0);
        taken.0 += rows.unwrap_or(0);
        taken.1 |= rows.is_none();
        if twice {
            return self.useless(param, format!("`{name}` is used already by another parameter"));
        }
        if let Dtype::Other(dtype) = &tensor.dtype {
            let reason = format!(
                "`{name}` has elements of type {}; f32, f16 and bf16 can be read",
                shown(dtype)
            );
            return self.useless(param, reason);
        }
        let free_rows = |shape: &[usize]| -> Vec<usize> {
            let mut shape = shape.to_vec();
            if table.is_some() && shape.len() >= 2 {
                let at = shape.len() - 2;
                shape[at] = 0;
            }
            squeezed(&shape)
        };
        if free_rows(&tensor.shape) != free_rows(wanted) {
            self.comparison.wrong_shape.push(WrongShape {
                name: name.into(),
                wanted: wanted.to_vec(),
                found: tensor.shape.clone(),
                path,
            });
            return None;
        }
        let mut shape = wanted.to_vec();
        if table.is_some() && shape.len() >= 2 && tensor.shape.len() >= 2 {
            let at = shape.len() - 2;
            shape[at] = tensor.shape[tensor.shape.len() - 2];
        }
        Some((Recipe::File(at), shape))
    }

    /// Finds what is left over, and tensors of which parts are taken by none.
    fn finish(&mut self, drops: &[String]) {
        let Some((file, prefix)) = self.file else { return };
        for (at, tensor) in file.tensors().iter().enumerate() {
            let Some(name) = tensor.name.strip_prefix(prefix) else {
                self.comparison.outside += 1;
                continue;
            };
            match self.taken.get(&at) {
                Some((rows, whole)) => {
                    self.comparison.used += 1;
                    let all = tensor.shape.first().copied().unwrap_or(1);
                    if !whole && *rows != all && !dropped(name, drops) {
                        let reason = format!("{rows} of its {all} rows are used");
                        self.comparison.unusable.push((name.to_string(), reason));
                    }
                }
                None if dropped(name, drops) => self.comparison.dropped += 1,
                None => self.comparison.left_over.push(LeftOver {
                    name: name.to_string(),
                    shape: tensor.shape.clone(),
                    dtype: tensor.dtype.clone(),
                }),
            }
        }
    }
}

/// Whether a name is left out: by a pattern, or because it counts training steps.
pub fn dropped(name: &str, drops: &[String]) -> bool {
    name.rsplit('.').next() == Some("num_batches_tracked")
        || drops.iter().any(|pattern| matches(pattern, name))
}

/// Whether a name is as a pattern says, in which `*` stands for any characters.
fn matches(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let Some(mut rest) = pieces.next().and_then(|first| name.strip_prefix(first)) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        match rest.find(piece) {
            Some(at) => rest = &rest[at + piece.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        assert!(matches("*.relative_position_index", "layers.0.attn.relative_position_index"));
        assert!(matches("a*b*c", "a.b.b.c"));
        assert!(matches("head.*", "head.weight"));
        assert!(matches("x", "x"));
        assert!(!matches("x", "xy"));
        assert!(!matches("a*a", "a"));
        assert!(!matches("*.weight", "weight"));
    }
}
