//! Whether a convolution is computed by Winograd's algorithm: a model of the time of each way.
//!
//! Plain sums are limited by the multipliers alone. Winograd's algorithm has 2.25 (tiles of 2x2) or 4
//! times (of 4x4) fewer products, but it pays for the transforms, for pixels of tiles that hang over
//! the map, and for weights that are 16/9 or 4 times as large and come from memory once a run. The
//! choice does not depend on the instruction set, so that code for several of them shares its
//! weights.
//!
//! Measured in milliseconds on one core with AVX2 at 3.2 GHz, weights coming from memory. Each is
//! the best of 40 runs on a machine with other work, so differences below 10% say nothing:
//!
//! | map, channels | plain | 2x2 | 4x4 |
//! |---|---|---|---|
//! | 192x192, 24 to 24 | 5.3 | 3.4 | 2.6 |
//! | 96x96, 48 to 192 | 16.4 | 10.5 | 6.5 |
//! | 56x56, 64 to 64 | 2.4 | 1.4 | 0.95 |
//! | 28x28, 128 to 128 | 2.4 | 1.3 | 0.91 |
//! | 14x14, 256 to 256 | 2.7 | 1.4 | 1.5 |
//! | 8x8, 320 to 160 | 1.03 | 0.58 | 0.72 |
//! | 7x7, 512 to 512 | 3.9 | 2.6 | 3.7 |
//! | 56x56, 8 to 8 | 0.075 | 0.098 | 0.065 |

use super::Options;
use super::choice::{Choice, Way};
use super::tuned::{self, Answer, Candidate, Layer, Question, Used};
use netwright_codegen::pack::packed_bytes;
use netwright_codegen::program::{ConvKernel, Kernel, WinogradKernel};

/// Products a nanosecond on one core: 92% of the peak of 256-bit vectors at 3.2 GHz.
const PRODUCTS: f64 = 47.0;
/// Rows of a product from which on the multipliers are busy; with fewer they wait for sums.
const BUSY_ROWS: f64 = 5.0;
/// Rows of a product's tile of registers.
const TILE_ROWS: usize = 6;
/// Bytes of weights a nanosecond from memory, and again from the last cache for another block.
const FROM_MEMORY: f64 = 22.0;
const FROM_CACHE: f64 = 60.0;
/// Tiles in a block.
const BLOCK: usize = 48;
/// Nanoseconds to transform the window of a channel, and the sums of a channel.
const TRANSFORM_2: [f64; 2] = [1.6, 1.3];
const TRANSFORM_4: [f64; 2] = [4.8, 3.8];
/// Most bytes of a layer's weights: beyond, memory is worth more than time.
const MOST_WEIGHTS: usize = 32 << 20;
/// Fewest channels: with fewer, most of a vector or of a panel is empty.
const FEWEST_CHANNELS: usize = 8;

/// Chooses for a convolution, by a measured answer where there is one, which is the second of the results; nothing if
/// Winograd's algorithm is not for it.
pub(super) fn choose(
    node: &str,
    conv: &ConvKernel,
    options: &Options,
) -> Option<(Choice, Option<Used>)> {
    if !applies(conv) {
        return None;
    }
    let choice = |way, reason| Some((Choice { node: node.into(), way, reason }, None));
    if !options.winograd {
        return choice(Way::Plain, "asked for".into());
    }
    if !options.tuned.is_empty() {
        let key = tuned::key(std::slice::from_ref(conv));
        if let Some(measured) = options.tuned.get(&key)
            && let Some(way) = possible(conv, measured.answer)
        {
            let choice = Choice { node: node.into(), way, reason: measured.reason() };
            return Some((choice, Some(Used { key, answer: measured.answer })));
        }
    }
    let (way, reason) = estimate(conv);
    choice(way, reason)
}

/// The question about a step, if it is such a convolution and there is more than one answer.
pub(super) fn question(step: usize, node: &str, kernel: &Kernel) -> Option<Question> {
    let conv = match kernel {
        Kernel::Conv(conv) => conv,
        Kernel::Winograd(winograd) => &winograd.conv,
        _ => return None,
    };
    if !applies(conv) {
        return None;
    }
    let answers = [Answer::Plain, Answer::Winograd(2), Answer::Winograd(4)];
    let candidates: Vec<Candidate> = answers
        .into_iter()
        .filter(|answer| possible(conv, *answer).is_some())
        .map(|answer| {
            let kernel = match answer {
                Answer::Winograd(tile) => {
                    Kernel::Winograd(WinogradKernel { conv: conv.clone(), tile })
                }
                _ => Kernel::Conv(conv.clone()),
            };
            Candidate { answer, kernel, layers: 1 }
        })
        .collect();
    let model = match estimate(conv).0 {
        Way::Winograd(tile) => Answer::Winograd(tile),
        _ => Answer::Plain,
    };
    (candidates.len() > 1).then(|| Question {
        key: tuned::key(std::slice::from_ref(conv)),
        step,
        layers: vec![Layer { node: node.into(), kernel: Kernel::Conv(conv.clone()) }],
        candidates,
        model,
    })
}

/// Whether a convolution is one that Winograd's algorithm can compute.
fn applies(c: &ConvKernel) -> bool {
    let ones = [c.stride, c.dilation] == [[1, 1], [1, 1]];
    c.kernel == [3, 3] && ones && c.groups == 1 && !c.input_nchw
}

/// An answer as a way to compute such a convolution, if it is one within the bounds.
fn possible(c: &ConvKernel, answer: Answer) -> Option<Way> {
    match answer {
        Answer::Plain => Some(Way::Plain),
        Answer::Winograd(tile @ (2 | 4)) if c.in_c.min(c.out_c) >= FEWEST_CHANNELS => {
            let kernel = Kernel::Winograd(WinogradKernel { conv: c.clone(), tile });
            let fits = (1..=MOST_WEIGHTS).contains(&packed_bytes(&kernel));
            fits.then_some(Way::Winograd(tile))
        }
        _ => None,
    }
}

/// The fastest way by the model, and why.
fn estimate(c: &ConvKernel) -> (Way, String) {
    if c.in_c.min(c.out_c) < FEWEST_CHANNELS {
        return (Way::Plain, format!("{} to {} channels are few", c.in_c, c.out_c));
    }
    let plain = plain(c);
    let ways = [2, 4].map(|tile| {
        let kernel = WinogradKernel { conv: c.clone(), tile };
        (winograd(&kernel), tile, packed_bytes(&Kernel::Winograd(kernel)))
    });
    let fitting = ways.iter().filter(|(_, _, bytes)| (1..=MOST_WEIGHTS).contains(bytes));
    let Some((time, tile, bytes)) = fitting.min_by(|x, y| x.0.total_cmp(&y.0)) else {
        let bytes = ways[0].2;
        return (Way::Plain, format!("its weights would take {}", mebibytes(bytes)));
    };
    let [text, plain_text] = [*time, plain].map(|ns| format!("{:.3} ms", ns / 1e6));
    if *time < plain {
        let weights = mebibytes(*bytes);
        let reason = format!("about {text} instead of {plain_text}, {weights} of weights");
        (Way::Winograd(*tile), reason)
    } else {
        (Way::Plain, format!("about {plain_text}, with tiles of {tile}x{tile} {text}"))
    }
}

fn mebibytes(bytes: usize) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// Products a nanosecond when there are so many rows.
fn rate(rows: usize) -> f64 {
    let height = rows as f64 / rows.div_ceil(TILE_ROWS) as f64;
    PRODUCTS * (height / BUSY_ROWS).min(1.0)
}

/// Nanoseconds of plain sums.
fn plain(c: &ConvKernel) -> f64 {
    let pixels = (c.batch * c.out_h * c.out_w) as f64;
    let pairs = c.in_c as f64 * c.out_c as f64;
    pixels * 9.0 * pairs / rate(c.out_w) + pairs * 36.0 / FROM_MEMORY
}

/// Nanoseconds of Winograd's algorithm.
fn winograd(w: &WinogradKernel) -> f64 {
    let c = &w.conv;
    let tiles = c.batch * c.out_h.div_ceil(w.tile) * c.out_w.div_ceil(w.tile);
    let points = w.points() as f64;
    let pairs = c.in_c as f64 * c.out_c.next_multiple_of(8) as f64;
    let weights = points * pairs * 4.0;
    let again = (tiles.div_ceil(BLOCK) - 1) as f64;
    let [input, output] = if w.tile == 2 { TRANSFORM_2 } else { TRANSFORM_4 };
    let transforms = c.in_c as f64 * input + c.out_c as f64 * output;
    tiles as f64 * (points * pairs / rate(tiles) + transforms)
        + weights * (1.0 / FROM_MEMORY + again / FROM_CACHE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tile(batch: usize, size: usize, in_c: usize, out_c: usize) -> Option<usize> {
        let conv = ConvKernel {
            batch,
            in_h: size,
            in_w: size,
            in_c,
            out_h: size,
            out_w: size,
            out_c,
            kernel: [3, 3],
            stride: [1, 1],
            pad: [1, 1],
            dilation: [1, 1],
            groups: 1,
            input_nchw: false,
            ahead: 0,
            epilogue: vec![],
        };
        match choose("node", &conv, &Options::default()).unwrap().0.way {
            Way::Winograd(tile) => Some(tile),
            _ => None,
        }
    }

    #[test]
    fn large_maps_take_large_tiles() {
        assert_eq!(tile(1, 56, 64, 64), Some(4));
        assert_eq!(tile(1, 14, 256, 256), Some(4));
        assert_eq!(tile(1, 192, 24, 24), Some(4));
    }

    #[test]
    fn large_weights_take_small_tiles() {
        assert_eq!(tile(1, 7, 512, 512), Some(2));
        assert_eq!(tile(8, 14, 256, 256), Some(4));
    }

    #[test]
    fn plain_sums_remain() {
        assert_eq!(tile(1, 1, 512, 512), None);
        assert_eq!(tile(1, 56, 3, 64), None);
        assert_eq!(tile(1, 56, 64, 1), None);
        assert_eq!(tile(1, 32, 4096, 4096), None);
    }
}
