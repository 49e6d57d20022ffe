//! Which convolutions are computed together, band by band.
//!
//! A depthwise convolution has few products for each value, so its time is that of its maps coming from the
//! last cache and going there. Computed together with the pointwise (or dense) convolution before it, and with the
//! pointwise one after it where nothing stands between, the larger maps exist only as a few rows in the
//! second-level cache.
//!
//! Products alone are not chained: the two linear layers of a transformer's block, or a Fused-MBConv's dense and
//! pointwise convolution. Multipliers bound them, and their weights would be read once a band: ConvNeXt's at 56x56,
//! 96 to 384 to 96, take as long together as apart.

use super::Options;
use super::choice::{Choice, Way};
use super::lower::{Lowered, Step};
use super::tuned::{self, Answer, Candidate, Layer, Question, Used};
use super::view::Root;
use netwright_codegen::pack::packed_bytes;
use netwright_codegen::program::{self, ChainKernel, ConvKernel, Kernel, Operand, Post};
use std::collections::HashMap;

/// Bytes of rows between stages, and of the stages' weights, that stay in the second-level cache beside
/// what flows through it.
const HELD: usize = 400 << 10;
/// Bytes of a map that stay there from stage to stage without any bands.
const STAYS: usize = 400 << 10;
/// The same where the only map between two stages is read by windows, so that rows are kept from band to
/// band: of EfficientNet-B0 and B4, 190x190x144 (20 MiB) gains 31% on two threads, 112x112x96 (4.6 MiB) 10%, and
/// 48x48x336 (3 MiB) loses 5%.
const STAYS_FOR_WINDOWS: usize = 4 << 20;
/// Columns of the widest map between stages from which on a row fills the tiles of a product well, and its
/// weights, which come from the second-level cache once a row, do not hold it up: 28x28 gains 4%,
/// 14x14 loses 5% (MobileNetV2 on a core with 512 KiB).
const COLUMNS: usize = 20;
/// Fewest bands, for threads to share.
const BANDS: usize = 4;
/// Most stages.
const STAGES: usize = 3;
/// Most bytes of rows that a measured answer may hold a thread.
const MOST_HELD: usize = 4 << 20;

/// Replaces steps by chains.
pub(super) fn fuse(lowered: &mut Lowered, options: &Options) {
    if !options.depth_first {
        return;
    }
    let uses = uses(lowered);
    let mut steps = Vec::with_capacity(lowered.steps.len());
    let mut kernels: Vec<Kernel> = Vec::new();
    let mut numbers: HashMap<Kernel, usize> = HashMap::new();
    let mut number = |kernel: Kernel| {
        *numbers.entry(kernel).or_insert_with_key(|kernel| {
            kernels.push(kernel.clone());
            kernels.len() - 1
        })
    };
    let mut rest = &lowered.steps[..];
    // Steps from here on that a choice was told of.
    let mut told = 0;
    while let [first, ..] = rest {
        let found = longest(lowered, &uses, rest).and_then(|stages| {
            measured(rest, &stages, options).or_else(|| estimate(rest, &stages))
        });
        let (chain, used) = match found {
            Some(Found { chain, choice, about, used }) => {
                if told == 0 || used.is_some() {
                    told = about;
                    lowered.choices.push(choice);
                }
                (chain, used)
            }
            None => (None, None),
        };
        lowered.tuned.extend(used);
        match chain {
            Some(chain) => {
                let count = chain.stages.len();
                let kernel = number(Kernel::Chain(chain));
                steps.push(together(&rest[..count], kernel));
                rest = &rest[count..];
                told = 0;
            }
            None => {
                let kernel = number(lowered.kernels[first.kernel].clone());
                steps.push(Step { kernel, ..first.clone() });
                rest = &rest[1..];
                told = told.saturating_sub(1);
            }
        }
    }
    lowered.steps = steps;
    lowered.kernels = kernels;
}

/// The questions at each step where a chain could begin.
pub(super) fn questions(lowered: &Lowered) -> Vec<Question> {
    let uses = uses(lowered);
    let mut questions = Vec::new();
    for at in 0..lowered.steps.len() {
        let rest = &lowered.steps[at..];
        let Some(stages) = longest(lowered, &uses, rest) else { continue };
        let layers: Vec<Layer> = rest[..stages.len()]
            .iter()
            .map(|step| Layer {
                node: step.name.clone(),
                kernel: lowered.kernels[step.kernel].clone(),
            })
            .collect();
        let model = match estimate(rest, &stages).and_then(|found| found.chain) {
            Some(chain) => Answer::DepthFirst { stages: chain.stages.len(), rows: chain.rows },
            None => Answer::Alone,
        };
        let kernel = layers[0].kernel.clone();
        let mut candidates = vec![Candidate { answer: Answer::Alone, kernel, layers: 1 }];
        for count in 2..=stages.len() {
            for rows in band_heights(&stages[..count], model) {
                let answer = Answer::DepthFirst { stages: count, rows };
                candidates.extend(possible(&stages, answer).map(|chain| Candidate {
                    answer,
                    layers: count,
                    kernel: Kernel::Chain(chain),
                }));
            }
        }
        if candidates.len() > 1 {
            let key = tuned::key(&stages);
            questions.push(Question { key, step: at, layers, candidates, model });
        }
    }
    questions
}

/// Heights of bands that are worth measuring: powers of two, made even, and what the model chose.
fn band_heights(stages: &[ConvKernel], model: Answer) -> Vec<usize> {
    let height = stages[stages.len() - 1].out_h;
    let own = match model {
        Answer::DepthFirst { stages: count, rows } if count == stages.len() => Some(rows),
        _ => None,
    };
    // As many bands, each as high as the others.
    let even = |rows: usize| height.div_ceil(height.div_ceil(rows));
    let powers = (0..).map(|n| 1 << n).take_while(|rows| 2 * rows <= height).map(even);
    let mut heights: Vec<usize> = powers.chain(own).collect();
    heights.sort_unstable();
    heights.dedup();
    heights
}

/// The chain of an answer, if there can be one.
fn possible(stages: &[ConvKernel], answer: Answer) -> Option<ChainKernel> {
    let Answer::DepthFirst { stages: count @ 2.., rows } = answer else { return None };
    let stages = stages.get(..count)?;
    // A product alone is no reason for a chain, and is not tested as one.
    stages.iter().find(|c| is_depthwise(c))?;
    if !(1..=stages[count - 1].out_h).contains(&rows) {
        return None;
    }
    let chain = ChainKernel { stages: stages.to_vec(), rows };
    (chain.held_bytes() <= MOST_HELD).then_some(chain)
}

/// What was found for the steps from one on.
struct Found {
    /// The chain that they begin with; none: the first is computed by itself.
    chain: Option<ChainKernel>,
    choice: Choice,
    /// Steps that the choice speaks of.
    about: usize,
    /// The measured answer.
    used: Option<Used>,
}

/// By a measured answer.
fn measured(steps: &[Step], stages: &[ConvKernel], options: &Options) -> Option<Found> {
    if options.tuned.is_empty() {
        return None;
    }
    let key = tuned::key(stages);
    let measured = options.tuned.get(&key)?;
    let (chain, way) = match measured.answer {
        Answer::Alone => (None, Way::StageByStage),
        answer @ Answer::DepthFirst { rows, .. } => {
            (Some(possible(stages, answer)?), Way::DepthFirst(rows))
        }
        _ => return None,
    };
    let about = chain.as_ref().map_or(stages.len(), |chain| chain.stages.len());
    let choice = Choice { node: span(&steps[..about]), way, reason: measured.reason() };
    Some(Found { chain, choice, about, used: Some(Used { key, answer: measured.answer }) })
}

/// By the model: the longest chain that it has an opinion about.
fn estimate(steps: &[Step], stages: &[ConvKernel]) -> Option<Found> {
    (2..=stages.len()).rev().find_map(|count| {
        let (chain, choice) = choose(&steps[..count], stages[..count].to_vec())?;
        Some(Found { chain, choice, about: count, used: None })
    })
}

/// How many operands have each root.
fn uses(lowered: &Lowered) -> HashMap<Root, usize> {
    let mut uses: HashMap<Root, usize> = HashMap::new();
    for arg in lowered.steps.iter().flat_map(|step| &step.args) {
        *uses.entry(arg.root).or_default() += 1;
    }
    uses
}

/// The stages of the longest chain that could begin with the first step.
fn longest(
    lowered: &Lowered,
    uses: &HashMap<Root, usize>,
    steps: &[Step],
) -> Option<Vec<ConvKernel>> {
    let counts = (2..=STAGES.min(steps.len())).rev();
    counts.into_iter().find_map(|count| stages(lowered, uses, &steps[..count]))
}

/// The nodes of some steps, for people.
fn span(steps: &[Step]) -> String {
    match steps {
        [] => String::new(),
        [only] => only.name.clone(),
        [first, .., last] => format!("{} .. {}", first.name, last.name),
    }
}

/// The convolutions of steps that could be a chain, over maps instead of rows of pixels.
fn stages(
    lowered: &Lowered,
    uses: &HashMap<Root, usize>,
    steps: &[Step],
) -> Option<Vec<ConvKernel>> {
    let mut stages = Vec::with_capacity(steps.len());
    for step in steps {
        let Kernel::Conv(conv) = &lowered.kernels[step.kernel] else { return None };
        stages.push(conv.clone());
    }
    for pair in steps.windows(2) {
        let [out, x] = [pair[0].args[2], pair[1].args[0]];
        let Root::Buffer(buffer) = out.root else { return None };
        let only = out.root == x.root && uses.get(&out.root) == Some(&2);
        if !only || x.offset != 0 || lowered.buffers[buffer].output.is_some() {
            return None;
        }
    }
    let full = |c: &ConvKernel| {
        c.epilogue.iter().any(|post| matches!(post, Post::Binary(_, Operand::Full)))
    };
    if stages[..stages.len() - 1].iter().any(full) {
        return None;
    }
    let middle = stages.iter().position(is_depthwise).filter(|at| *at <= 1)?;
    let map = stages[middle].clone();
    for (i, c) in stages.iter_mut().enumerate() {
        let sizes = match i.cmp(&middle) {
            std::cmp::Ordering::Less => [map.in_h, map.in_w],
            std::cmp::Ordering::Equal => continue,
            std::cmp::Ordering::Greater => [map.out_h, map.out_w],
        };
        if c.groups != 1 || (i > middle && !is_pointwise(c)) {
            return None;
        }
        if is_pointwise(c) {
            [c.batch, c.in_h, c.in_w] = [map.batch, sizes[0], sizes[1]];
            [c.out_h, c.out_w] = sizes;
        } else if [c.batch, c.out_h, c.out_w] != [map.batch, sizes[0], sizes[1]] {
            return None;
        }
    }
    Some(stages)
}

fn is_depthwise(c: &ConvKernel) -> bool {
    c.groups > 1 && c.groups == c.in_c && c.groups == c.out_c
}

fn is_pointwise(c: &ConvKernel) -> bool {
    c.kernel == [1, 1] && c.stride == [1, 1] && c.pad == [0, 0] && !c.input_nchw
}

/// The chain if it pays, and the choice to tell; nothing if a shorter chain may be better.
///
/// Measured in milliseconds on a core of Zen 3 with 512 KiB, stage by stage and depth first; the third and
/// fourth numbers are for two threads:
///
/// | expansion, 3x3 depthwise, projection | | | | |
/// |---|---|---|---|---|
/// | 112x112, 16 to 96, step 2, to 24 | 0.88 | 0.71 | 0.55 | 0.36 |
/// | 56x56, 24 to 144 to 24 | 0.65 | 0.61 | 0.55 | 0.32 |
/// | 28x28, 32 to 192 to 32 | 0.245 | 0.236 | 0.166 | 0.143 |
/// | 14x14, 96 to 576 to 96 | 0.48 | 0.50 | | |
fn choose(steps: &[Step], stages: Vec<ConvKernel>) -> Option<(Option<ChainKernel>, Choice)> {
    let between = &stages[..stages.len() - 1];
    let largest = between.iter().map(|c| c.batch * c.out_h * c.out_w * c.out_c * 4).max()?;
    let widest = between.iter().map(|c| c.out_w).max()?;
    let node = span(steps);
    let kibibytes = largest >> 10;
    let stay = |reason| {
        let node = node.clone();
        Some((None, Choice { node, way: Way::StageByStage, reason }))
    };
    let pair = stages.len() == 2 && stages[1].kernel != [1, 1];
    if largest < if pair { STAYS_FOR_WINDOWS } else { STAYS } {
        return stay(format!("no map between them has more than {kibibytes} KiB"));
    }
    if widest < COLUMNS {
        return stay(format!("rows of {widest} pixels are short"));
    }
    let weights: usize = stages.iter().map(|c| packed_bytes(&Kernel::Conv(c.clone()))).sum();
    let held = |rows: usize| ChainKernel { stages: stages.clone(), rows }.held_bytes() + weights;
    let height = stages[stages.len() - 1].out_h;
    let Some(most) = (1..=height.div_ceil(BANDS)).rev().find(|rows| held(*rows) <= HELD) else {
        if stages.len() > 2 {
            return None;
        }
        return stay(format!("with their weights they would hold {} KiB", held(1) >> 10));
    };
    let rows = even_bands(height, most);
    let reason = format!(
        "maps of up to {kibibytes} KiB become {} KiB of rows",
        (held(rows) - weights) >> 10
    );
    let choice = Choice { node, way: Way::DepthFirst(rows), reason };
    Some((Some(ChainKernel { stages, rows }), choice))
}

/// Rows of a band, at most `most` and at least half of that, such that two and four threads finish
/// together.
fn even_bands(height: usize, most: usize) -> usize {
    let time =
        |rows: usize, threads: usize| height.div_ceil(rows).div_ceil(threads) * threads * rows;
    let candidates = (most.div_ceil(2)..=most).rev();
    candidates.min_by_key(|rows| time(*rows, 2) + time(*rows, 4)).unwrap_or(1)
}

/// One step that does what all of them do.
fn together(steps: &[Step], kernel: usize) -> Step {
    let names: Vec<&str> = steps.iter().map(|step| step.name.as_str()).collect();
    let mut args = vec![steps[0].args[0]];
    args.extend(steps.iter().map(|step| step.args[1]));
    args.push(steps[steps.len() - 1].args[2]);
    args.extend(steps.iter().flat_map(|step| step.args[3..].iter().copied()));
    Step { name: names.join(program::Step::AND), kernel, args, in_place: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_are_even() {
        assert_eq!(even_bands(28, 7), 7);
        assert_eq!(even_bands(56, 5), 5);
        assert_eq!(even_bands(112, 10), 7);
        assert_eq!(even_bands(3, 1), 1);
        assert_eq!(even_bands(113, 9), 6);
    }
}
