//! The deterministic generator of weights and inputs, version 1.
//!
//! Every element is a function of a seed, the tensor's name and the element's index, so tensors can
//! be made in any order and on any number of threads with the same bits. A tensor's role (from its
//! name and number of axes) gives the centre and radius of its values. The integers are those of
//! splitmix64 started at a hash of seed and name.

use std::collections::HashMap;
use std::thread;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// Shortest piece of a tensor that is worth a thread.
const PIECE: usize = 1 << 16;

/// Position tables and tokens.
const TABLES: [&str; 8] = [
    "cls_token",
    "class_token",
    "dist_token",
    "pos_embed",
    "pos_embedding",
    "position_embeddings",
    "relative_position_bias_table",
    "attention_biases",
];

/// Endings of layer scale's names that do not begin with `gamma` or `layer_scale`.
const SCALES: [&str; 4] = ["ls1.weight", "ls2.weight", "layer_scale1.scale", "layer_scale2.scale"];

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    })
}

fn key(seed: u64, name: &str) -> u64 {
    mix(fnv(name) ^ mix(seed.wrapping_add(GOLDEN)))
}

/// Number `index` of a key's sequence, in (-1, 1), exact.
fn unit(key: u64, index: u64) -> f32 {
    let z = mix(key.wrapping_add(index.wrapping_add(1).wrapping_mul(GOLDEN)));
    let odd = 2 * (z >> 40) as i64 + 1 - (1 << 24);
    odd as f32 * (1.0 / (1 << 24) as f32)
}

/// Distribution of a tensor's values.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Role {
    /// Centre and radius.
    Affine(f32, f32),
    /// A matrix or filter: the radius follows from its fan-in.
    Weight,
}

/// For a tensor whose name tells nothing (`param mixing[c, c]`): small, around zero.
const UNTOLD: Role = Role::Affine(0.0, 0.2);

/// Values for every tensor of a model, from a seed.
#[derive(Clone, Debug)]
pub struct Generator {
    seed: u64,
    gain: f64,
    /// Number of axes of every tensor of the model.
    axes: HashMap<String, usize>,
}

impl Generator {
    /// A generator for the model whose tensors are `names` with their numbers of axes. The radius of
    /// matrices and filters is `gain * sqrt(3 / fan_in)`: at 1, a layer keeps the variance of an
    /// input of mean zero.
    pub fn new(seed: u64, gain: f64, names: impl IntoIterator<Item = (String, usize)>) -> Self {
        Generator { seed, gain, axes: names.into_iter().collect() }
    }

    /// Whether the model has a tensor of that name whose role the name tells.
    pub fn knows(&self, name: &str) -> bool {
        self.role(name).is_some()
    }

    fn role(&self, name: &str) -> Option<Role> {
        let axes = *self.axes.get(name)?;
        let (prefix, last) = match name.rsplit_once('.') {
            Some((prefix, last)) => (Some(prefix), last),
            None => (None, name),
        };
        Some(match last {
            "running_mean" => Role::Affine(0.0, 0.2),
            "running_var" => Role::Affine(1.0, 0.5),
            _ if last.starts_with("gamma")
                || last.starts_with("layer_scale")
                || SCALES.iter().any(|end| name.ends_with(end)) =>
            {
                Role::Affine(0.5, 0.3)
            }
            "temperature" => Role::Affine(1.0, 0.5),
            "logit_scale" => Role::Affine(2.0, 0.5),
            _ if TABLES.contains(&last) => Role::Affine(0.0, 0.2),
            _ if last.ends_with("weight") && axes >= 2 => Role::Weight,
            "weight" if axes == 1 => Role::Affine(1.0, 0.5),
            "bias" if self.beside_norm(prefix) => Role::Affine(0.0, 0.2),
            _ if last.ends_with("bias") && axes == 1 => Role::Affine(0.0, 0.1),
            _ => return None,
        })
    }

    /// Whether the tensor `weight` of the same prefix is a normalisation's.
    fn beside_norm(&self, prefix: Option<&str>) -> bool {
        let weight = match prefix {
            Some(prefix) => format!("{prefix}.weight"),
            None => "weight".to_string(),
        };
        self.axes.get(&weight) == Some(&1) && !SCALES.iter().any(|end| weight.ends_with(end))
    }

    /// The values of a tensor, row-major. Where the name tells no role they are a table's. `None` where
    /// the model has no such tensor.
    pub fn tensor(&self, name: &str, shape: &[usize]) -> Option<Vec<f32>> {
        let value = self.values(name, shape)?;
        let mut values = vec![0.0f32; shape.iter().product()];
        in_parallel(&mut values, value);
        Some(values)
    }

    /// A tensor's values by their index; as of [`Generator::tensor`].
    pub fn values(&self, name: &str, shape: &[usize]) -> Option<impl Fn(u64) -> f32 + Send + Sync> {
        let (centre, radius) =
            match self.role(name).or_else(|| self.axes.get(name).map(|_| UNTOLD))? {
                Role::Affine(centre, radius) => (centre, radius),
                Role::Weight => {
                    let fan_in: usize = shape.iter().skip(1).product();
                    (0.0, (self.gain * (3.0 / fan_in as f64).sqrt()) as f32)
                }
            };
        let key = key(self.seed, name);
        // Two roundings, as the generator's definition wants; Rust never contracts them.
        Some(move |index| centre + radius * unit(key, index))
    }

    /// What the generator was started with: seed and gain.
    pub fn start(&self) -> (u64, f64) {
        (self.seed, self.gain)
    }
}

/// Sets each element to `f` of its index.
fn in_parallel(values: &mut [f32], f: impl Fn(u64) -> f32 + Sync) {
    let threads = thread::available_parallelism().map_or(1, |count| count.get().min(32));
    let piece = values.len().div_ceil(threads).max(PIECE);
    let fill = |at: usize, piece: &mut [f32]| {
        for (index, value) in (at as u64..).zip(piece) {
            *value = f(index);
        }
    };
    if values.len() <= piece {
        return fill(0, values);
    }
    thread::scope(|scope| {
        for (number, part) in values.chunks_mut(piece).enumerate() {
            let fill = &fill;
            scope.spawn(move || fill(number * piece, part));
        }
    });
}

/// A batch of images `[n, c, h, w]` with values in (-2.5, 2.5): an offset for each plane, blocks of
/// 16x16 and fine noise, so that pooled features depend on the input.
pub fn image(n: usize, c: usize, h: usize, w: usize, seed: u64) -> Vec<f32> {
    let keys = ["input.plane", "input.block", "input.pixel"].map(|name| key(seed, name));
    let (rows, columns) = (h.div_ceil(16) as u64, w.div_ceil(16) as u64);
    let (height, width) = (h as u64, w as u64);
    let mut values = vec![0.0f32; n * c * h * w];
    in_parallel(&mut values, |index| {
        let (plane, y, x) = (index / (height * width), index / width % height, index % width);
        let block = (plane * rows + y / 16) * columns + x / 16;
        unit(keys[0], plane) + unit(keys[1], block) + 0.5 * unit(keys[2], index)
    });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().take(4).map(|value| value.to_bits()).collect()
    }

    fn generator(seed: u64, names: &[(&str, usize)]) -> Generator {
        Generator::new(seed, 1.0, names.iter().map(|(name, axes)| (name.to_string(), *axes)))
    }

    #[test]
    fn check_values_of_the_definition() {
        assert_eq!(fnv("conv.weight"), 0x796f_8df8_8f56_d987);
        assert_eq!(mix(GOLDEN), 0xe220_a839_7b1d_cdaf);
        assert_eq!(key(0, "conv.weight"), 0xf5b4_1726_c9d2_5874);
        let weight = generator(0, &[("conv.weight", 4)]).tensor("conv.weight", &[8, 3, 3, 3]);
        let weight = weight.expect("a filter has a role");
        assert_eq!(bits(&weight), [0xbb2f_41ab, 0xbe8f_86c9, 0xbe48_4d8a, 0xbe72_d89c]);
        let var = generator(1, &[("bn.running_var", 1)]).tensor("bn.running_var", &[8]);
        let var = var.expect("a variance has a role");
        assert_eq!(bits(&var), [0x3f51_1d3c, 0x3f59_21c2, 0x3f91_38ba, 0x3fa3_4dde]);
        let input = image(1, 3, 32, 32, 0);
        assert_eq!(bits(&input), [0x3de8_611c, 0xbe83_4475, 0xbef4_4a7b, 0xbddf_6f3c]);
    }

    #[test]
    fn roles() {
        let names = [
            ("fc.weight", 2),
            ("fc.bias", 1),
            ("norm.weight", 1),
            ("norm.bias", 1),
            ("ls1.weight", 1),
            ("ls1.bias", 1),
            ("weight", 1),
            ("bias", 1),
            ("attn.in_proj_weight", 2),
            ("attn.q_bias", 1),
            ("gamma_1", 1),
            ("pos_embed", 3),
            ("attn.scale", 1),
            ("attn.weight_g", 2),
        ];
        let generator = generator(0, &names);
        let role = |name: &str| generator.role(name);
        assert_eq!(role("fc.weight"), Some(Role::Weight));
        assert_eq!(role("fc.bias"), Some(Role::Affine(0.0, 0.1)));
        assert_eq!(role("norm.weight"), Some(Role::Affine(1.0, 0.5)));
        assert_eq!(role("norm.bias"), Some(Role::Affine(0.0, 0.2)));
        assert_eq!(role("ls1.weight"), Some(Role::Affine(0.5, 0.3)));
        assert_eq!(role("ls1.bias"), Some(Role::Affine(0.0, 0.1)));
        assert_eq!(role("bias"), Some(Role::Affine(0.0, 0.2)));
        assert_eq!(role("attn.in_proj_weight"), Some(Role::Weight));
        assert_eq!(role("attn.q_bias"), Some(Role::Affine(0.0, 0.1)));
        assert_eq!(role("gamma_1"), Some(Role::Affine(0.5, 0.3)));
        assert_eq!(role("pos_embed"), Some(Role::Affine(0.0, 0.2)));
        for unknown in ["attn.scale", "attn.weight_g", "not.there"] {
            assert!(!generator.knows(unknown), "{unknown}");
        }
        let untold = generator.tensor("attn.scale", &[100]).expect("the model has it");
        assert!(untold.iter().all(|v| v.abs() <= 0.2) && untold.iter().any(|v| v.abs() > 0.1));
        assert_eq!(generator.tensor("not.there", &[100]), None);
    }

    #[test]
    fn the_same_on_any_number_of_threads() {
        let generator = generator(7, &[("fc.weight", 2)]);
        let shape = [3, PIECE];
        let whole = generator.tensor("fc.weight", &shape).expect("a matrix has a role");
        let key = key(7, "fc.weight");
        let radius = (3.0 / PIECE as f64).sqrt() as f32;
        for at in [0, 1, PIECE - 1, PIECE, 2 * PIECE + 17, 3 * PIECE - 1] {
            assert_eq!(whole[at], radius * unit(key, at as u64), "element {at}");
        }
    }
}
