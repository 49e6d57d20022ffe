//! Epilogues: what is applied to each value before it is stored.

use super::functions;
use crate::program::{Arithmetic, Function, Operand, Post};
use crate::vir::{BinOp, Builder, G, GOp, V};
use std::collections::HashMap;

/// Constants shared by the values of one straight piece of code.
#[derive(Default)]
pub struct Constants(HashMap<u32, V>);

impl Constants {
    /// The register that holds `value`.
    fn get(&mut self, b: &mut Builder, bits: u32) -> V {
        *self.0.entry(bits).or_insert_with(|| b.splat_bits(bits))
    }
}

/// Applies `posts` to `value` (of which `n` lanes count). `operand` loads the operand of the binary
/// step with that number among the binary steps.
pub fn apply(
    b: &mut Builder,
    posts: &[Post],
    value: V,
    constants: &mut Constants,
    operand: impl FnMut(&mut Builder, usize, Operand) -> V,
) -> V {
    steps(b, posts, value, constants, None, operand)
}

/// As [`apply`], to the value that `load` appends the load of. The value may be loaded twice, so
/// nothing may be stored over it before.
pub fn apply_to_loaded(
    b: &mut Builder,
    posts: &[Post],
    mut load: impl FnMut(&mut Builder) -> V,
    operand: impl FnMut(&mut Builder, usize, Operand) -> V,
) -> V {
    let value = load(b);
    steps(b, posts, value, &mut Constants::default(), Some(&mut load), operand)
}

fn steps(
    b: &mut Builder,
    posts: &[Post],
    mut value: V,
    constants: &mut Constants,
    mut again: Option<&mut dyn FnMut(&mut Builder) -> V>,
    mut operand: impl FnMut(&mut Builder, usize, Operand) -> V,
) -> V {
    let mut index = 0;
    for post in posts {
        // Only the first step's argument is in memory.
        let again = again.take();
        value = match *post {
            Post::Unary(Function::Relu) => {
                let zero = constants.get(b, 0);
                b.bin(BinOp::Max, zero, value)
            }
            Post::Unary(Function::Clamp { low, high }) => {
                let low = constants.get(b, low);
                let bounded = b.bin(BinOp::Max, low, value);
                let high = constants.get(b, high);
                b.bin(BinOp::Min, high, bounded)
            }
            Post::Unary(function) => match again {
                Some(load) => functions::unary_of_loaded(b, function, value, load),
                None => functions::unary(b, function, value),
            },
            // Kernels that can do it do it after the last step.
            Post::RowSums => value,
            Post::Binary(op, kind) => {
                let other = operand(b, index, kind);
                index += 1;
                functions::binary(b, op, value, other)
            }
        };
    }
    value
}

/// The operand kinds of the binary steps, in order.
pub fn operand_kinds(posts: &[Post]) -> impl Iterator<Item = Operand> {
    posts.iter().filter_map(|post| match post {
        Post::Binary(_, operand) => Some(*operand),
        Post::Unary(_) | Post::RowSums => None,
    })
}

/// Whether the steps take more operations than are worth repeating for every register of a tile.
pub fn is_heavy(posts: &[Post]) -> bool {
    posts.iter().any(|post| match post {
        Post::Unary(function) => functions::is_heavy(*function),
        Post::Binary(op, _) => *op == Arithmetic::Pow,
        Post::RowSums => false,
    })
}

/// Approximate time of the steps on one value, in picoseconds with vectors of 4.
pub fn cost(posts: &[Post]) -> u64 {
    posts.iter().map(|p| if is_heavy(&[*p]) { 1000 } else { 100 }).sum()
}

/// Where the current values stand, as byte offsets from the starts of the operands.
#[derive(Clone, Copy)]
pub struct Position {
    /// Within tensors of the output's shape.
    pub full: G,
    /// Within the channels.
    pub channel: G,
    /// Start of the image's channels in an operand by image and channel; absent where no operand
    /// is of that kind.
    pub image: Option<G>,
}

/// Pointers to the epilogue's operands at one position.
pub struct Operands {
    pointers: Vec<(Operand, G)>,
}

impl Operands {
    /// Loads the operands' addresses from the argument list, whose epilogue operands start at
    /// index `first`, and moves them to `position`.
    pub fn at(b: &mut Builder, posts: &[Post], args: G, first: usize, position: Position) -> Self {
        let pointers = operand_kinds(posts)
            .enumerate()
            .map(|(i, kind)| {
                let base = b.g_load(args, ((first + i) * 8) as i32);
                let pointer = match kind {
                    Operand::Full => b.g_bin(GOp::Add, base, position.full),
                    Operand::Channel => b.g_bin(GOp::Add, base, position.channel),
                    Operand::ImageChannel => {
                        let at = b.g_bin(GOp::Add, base, position.channel);
                        match position.image {
                            Some(image) => b.g_bin(GOp::Add, at, image),
                            None => at,
                        }
                    }
                    Operand::Scalar => base,
                };
                (kind, pointer)
            })
            .collect();
        Operands { pointers }
    }

    /// Loads `n` lanes of the operand with that index, `full` bytes further in tensors of the
    /// output's shape and `channel` bytes further in the channels.
    pub fn load(&self, b: &mut Builder, index: usize, full: i32, channel: i32, n: usize) -> V {
        let (kind, pointer) = self.pointers[index];
        match kind {
            Operand::Full => b.load_n(pointer, full, n),
            Operand::Channel | Operand::ImageChannel => b.load_n(pointer, channel, n),
            Operand::Scalar => b.broadcast(pointer, 0),
        }
    }

    /// Moves to the next row: `bytes` further in tensors of the output's shape.
    pub fn advance_full(&self, b: &mut Builder, bytes: i64) {
        for (kind, pointer) in &self.pointers {
            if *kind == Operand::Full {
                b.g_advance(*pointer, bytes);
            }
        }
    }

    /// Moves along the channels by `bytes`.
    pub fn advance_channels(&self, b: &mut Builder, bytes: i64) {
        for (kind, pointer) in &self.pointers {
            if *kind != Operand::Scalar {
                b.g_advance(*pointer, bytes);
            }
        }
    }
}
