//! What to measure, and what follows from the times.
//!
//! A question about layers in a row ([`Question`]) is about the first of them: whether it is computed by itself, or
//! together with those behind it. What is best for it depends on what is then best for the rest. So not answers are
//! timed but kernels, each as it runs in the whole network, and the fastest way through the layers is looked for.

use netwright_codegen::program::{Kernel, Program, Step};
use netwright_compiler::plan::{Answer, Choices, Measured, Plan, PlanError, Question};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Times of kernels in seconds.
pub(super) type Costs = HashMap<Kernel, f64>;

/// What another answer than the estimated one has to gain at least: below, two measurements of the same differ.
const MARGIN: f64 = 1.02;
/// Most variants of a network that are compared.
const MAX_VARIANTS: usize = 32;

/// Sets of choices such that each kernel in question runs in one of them. The first is what the planner would choose.
pub(super) fn variants(
    questions: &[Question],
    plan: impl Fn(Choices) -> Result<Plan, PlanError>,
) -> Result<Vec<Choices>, PlanError> {
    let layers = questions.iter().flat_map(|q| q.layers.iter().map(|layer| &layer.kernel));
    let candidates = questions.iter().flat_map(|q| q.candidates.iter().map(|one| &one.kernel));
    let mut missing: HashSet<Kernel> = layers.chain(candidates).cloned().collect();
    let mut variants = Vec::new();
    let mut next = Choices::default();
    loop {
        let found = plan(next.clone())?;
        let before = missing.len();
        for step in &found.program.steps {
            missing.remove(&found.program.kernels[step.kernel].without_ahead());
        }
        // What is missing still cannot be had: it would begin in the middle of something else.
        if missing.len() == before && !variants.is_empty() {
            break;
        }
        variants.push(next);
        if missing.is_empty() || variants.len() == MAX_VARIANTS {
            break;
        }
        next = missing_first(questions, &missing);
    }
    Ok(variants)
}

/// Choices that bring up kernels that are missing.
fn missing_first(questions: &[Question], missing: &HashSet<Kernel>) -> Choices {
    let mut choices = Choices::default();
    let mut behind = 0;
    for question in questions {
        let fixed = choices.get(&question.key).map(|one: &Measured| one.answer);
        let wanted = question.candidates.iter().find(|one| missing.contains(&one.kernel));
        let answer = match (fixed, wanted) {
            (Some(answer), _) => answer,
            (None, _) if is_chain(question) && question.step < behind => continue,
            (None, Some(candidate)) => candidate.answer,
            (None, None) if is_chain(question) => Answer::Alone,
            (None, None) => question.model,
        };
        if is_chain(question) && question.step >= behind {
            behind = question.step + layers(answer);
        }
        choices.insert(question.key.clone(), unmeasured(answer, question));
    }
    choices
}

fn is_chain(question: &Question) -> bool {
    matches!(question.model, Answer::Alone | Answer::DepthFirst { .. })
}

/// Layers that an answer is about.
fn layers(answer: Answer) -> usize {
    match answer {
        Answer::DepthFirst { stages, .. } => stages,
        _ => 1,
    }
}

fn unmeasured(answer: Answer, question: &Question) -> Measured {
    Measured { answer, seconds: 0.0, model: question.model, model_seconds: 0.0 }
}

/// The fastest answers by the times of kernels, to the questions that come up with them. Questions about kernels that
/// were not measured have none.
pub(super) fn fastest(questions: &[Question], costs: &Costs) -> Choices {
    let mut choices = Choices::default();
    for question in questions.iter().filter(|question| !is_chain(question)) {
        let timed = question.candidates.iter().filter_map(|candidate| {
            let cost = costs.get(&candidate.kernel)?;
            Some((cost * factor(candidate.answer, question), candidate.answer))
        });
        let timed: Vec<(f64, Answer)> = timed.collect();
        let best = timed.iter().min_by(|x, y| x.0.total_cmp(&y.0));
        if let Some((_, answer)) = best.filter(|_| timed.len() > 1) {
            choices.insert(question.key.clone(), unmeasured(*answer, question));
        }
    }
    let chains: Vec<&Question> = questions.iter().filter(|question| is_chain(question)).collect();
    let answers = shortest(&chains, costs);
    let mut behind = 0;
    for question in chains.into_iter() {
        if question.step < behind {
            continue;
        }
        // Equal layers have one answer.
        let known = choices.get(&question.key).map(|one| one.answer);
        let Some(answer) = known.or_else(|| answers.get(&question.step).copied()) else { continue };
        behind = question.step + layers(answer);
        choices.insert(question.key.clone(), unmeasured(answer, question));
    }
    choices
}

fn factor(answer: Answer, question: &Question) -> f64 {
    if answer == question.model { 1.0 } else { MARGIN }
}

/// The best answer to each question, by its step: from the last to the first, each with the best way from there on.
fn shortest(questions: &[&Question], costs: &Costs) -> HashMap<usize, Answer> {
    let mut alone: BTreeMap<usize, f64> = BTreeMap::new();
    let mut asked: HashMap<usize, &Question> = HashMap::new();
    for question in questions {
        asked.insert(question.step, question);
        for (i, layer) in question.layers.iter().enumerate() {
            let cost = costs.get(&layer.kernel).copied().unwrap_or(f64::INFINITY);
            alone.insert(question.step + i, cost);
        }
    }
    // Seconds from a step on, to the end of the layers that are in question.
    let mut from: HashMap<usize, f64> = HashMap::new();
    let mut answers = HashMap::new();
    for (step, cost) in alone.into_iter().rev() {
        let rest = |step: usize| from.get(&step).copied().unwrap_or(0.0);
        let mut best = cost + rest(step + 1);
        if let Some(question) = asked.get(&step) {
            let ways = question.candidates.iter().filter_map(|candidate| {
                let cost = costs.get(&candidate.kernel)? * factor(candidate.answer, question);
                Some((cost + rest(step + candidate.layers), candidate.answer))
            });
            let way = ways.min_by(|x, y| x.0.total_cmp(&y.0));
            if let Some((seconds, answer)) = way.filter(|way| way.0.is_finite()) {
                best = seconds;
                answers.insert(step, answer);
            }
        }
        from.insert(step, best);
    }
    answers
}

/// Layers whose choices belong together, because one depends on another or they are equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Cluster {
    /// The keys of the questions, in the order of the network.
    pub keys: Vec<String>,
    /// Names of the layers, in the order of the network.
    pub nodes: Vec<String>,
    /// How often its first question comes up.
    pub times: usize,
    /// The steps that compute its layers in each of two programs.
    pub steps: [Vec<usize>; 2],
}

impl Cluster {
    /// Whether the two programs compute it differently.
    pub fn differs(&self, programs: [&Program; 2]) -> bool {
        let kernels = |side: usize| {
            let steps = self.steps[side].iter().map(|step| &programs[side].steps[*step]);
            // What they fetch for later steps depends on layers elsewhere.
            let kernels = steps.map(|step| programs[side].kernels[step.kernel].without_ahead());
            kernels.collect::<Vec<_>>()
        };
        kernels(0) != kernels(1)
    }
}

/// The clusters of questions that have answers, with the steps of two programs that they are about.
pub(super) fn clusters(
    questions: &[Question],
    choices: &Choices,
    programs: [&Program; 2],
) -> Vec<Cluster> {
    let mut sets = Sets::default();
    let asked: Vec<&Question> =
        questions.iter().filter(|question| choices.get(&question.key).is_some()).collect();
    for question in &asked {
        let key = format!("key {}", question.key);
        question.layers.iter().for_each(|layer| sets.join(&key, &layer.node));
    }
    let known: HashSet<&str> =
        asked.iter().flat_map(|q| q.layers.iter().map(|layer| layer.node.as_str())).collect();
    let ours = |step: &Step| step.nodes().any(|node| known.contains(node));
    for step in programs.iter().flat_map(|program| &program.steps).filter(|step| ours(step)) {
        let nodes: Vec<&str> = step.nodes().collect();
        nodes.windows(2).for_each(|pair| sets.join(pair[0], pair[1]));
    }
    let mut clusters: Vec<Cluster> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for question in &asked {
        let root = sets.root(&question.layers[0].node);
        let next = clusters.len();
        let number = *numbers.entry(root).or_insert(next);
        if number == next {
            clusters.push(Cluster::default());
        }
        let cluster = &mut clusters[number];
        if !cluster.keys.contains(&question.key) {
            cluster.keys.push(question.key.clone());
        }
        cluster.times += usize::from(cluster.keys[0] == question.key);
        for layer in &question.layers {
            if !cluster.nodes.contains(&layer.node) {
                cluster.nodes.push(layer.node.clone());
            }
        }
    }
    for (side, program) in programs.iter().enumerate() {
        for (number, step) in program.steps.iter().enumerate().filter(|(_, step)| ours(step)) {
            let Some(node) = step.nodes().next() else { continue };
            if let Some(cluster) = numbers.get(&sets.root(node)) {
                clusters[*cluster].steps[side].push(number);
            }
        }
    }
    clusters
}

/// The questions that come up where each has that answer.
pub(super) fn reached(
    questions: &[Question],
    answer: impl Fn(&Question) -> Answer,
) -> BTreeSet<&str> {
    let mut behind = 0;
    let mut keys = BTreeSet::new();
    for question in questions {
        if is_chain(question) {
            if question.step < behind {
                continue;
            }
            behind = question.step + layers(answer(question));
        }
        keys.insert(question.key.as_str());
    }
    keys
}

/// Disjoint sets of names.
#[derive(Default)]
struct Sets {
    parents: HashMap<String, String>,
}

impl Sets {
    fn root(&self, name: &str) -> String {
        let mut name = name;
        while let Some(parent) = self.parents.get(name) {
            name = parent;
        }
        name.to_string()
    }

    fn join(&mut self, x: &str, y: &str) {
        let (x, y) = (self.root(x), self.root(y));
        if x != y {
            self.parents.insert(x, y);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use netwright_codegen::program::ConvKernel;
    use netwright_compiler::plan::{Candidate, Layer};

    /// A kernel that stands for any other.
    fn kernel(number: usize) -> Kernel {
        Kernel::Softmax { outer: 1, len: number, inner: 1 }
    }

    /// Three layers 1, 2, 3 in a row, of which the first two (12), the last two (23) or all (123) can be computed
    /// together.
    fn row() -> Vec<Question> {
        let layer = |n: usize| Layer { node: format!("n{n}"), kernel: kernel(n) };
        let candidate = |stages: usize, number: usize| Candidate {
            answer: match stages {
                1 => Answer::Alone,
                stages => Answer::DepthFirst { stages, rows: 1 },
            },
            kernel: kernel(number),
            layers: stages,
        };
        let model = Answer::DepthFirst { stages: 3, rows: 1 };
        vec![
            Question {
                key: "abc".into(),
                step: 5,
                layers: vec![layer(1), layer(2), layer(3)],
                candidates: vec![candidate(1, 1), candidate(2, 12), candidate(3, 123)],
                model,
            },
            Question {
                key: "bc".into(),
                step: 6,
                layers: vec![layer(2), layer(3)],
                candidates: vec![candidate(1, 2), candidate(2, 23)],
                model: Answer::Alone,
            },
        ]
    }

    #[test]
    fn what_a_kernel_fetches_for_others_is_no_difference() {
        let program = |inputs: usize, ahead: usize| {
            let conv = ConvKernel { ahead, ..ConvKernel::linear(49, inputs, 320) };
            let step = Step { name: "n1".into(), kernel: 0, args: vec![] };
            Program { kernels: vec![Kernel::Conv(conv)], steps: vec![step], ..Program::default() }
        };
        let cluster = Cluster { steps: [vec![0], vec![0]], ..Cluster::default() };
        assert!(!cluster.differs([&program(960, 0), &program(960, 64_000)]));
        assert!(cluster.differs([&program(960, 0), &program(480, 0)]));
    }

    fn answers(costs: &[(usize, f64)]) -> Vec<(String, String)> {
        let costs = costs.iter().map(|(number, cost)| (kernel(*number), *cost)).collect();
        let choices = fastest(&row(), &costs);
        choices.iter().map(|(key, one)| (key.to_string(), one.answer.to_string())).collect()
    }

    fn pair(key: &str, answer: &str) -> (String, String) {
        (key.into(), answer.into())
    }

    #[test]
    fn the_fastest_way_through_a_row() {
        let single = [(1, 1.0), (2, 1.0), (3, 1.0)];
        let with = |more: [(usize, f64); 3]| answers(&[&single[..], &more].concat());
        let all = with([(12, 1.5), (23, 1.5), (123, 2.0)]);
        assert_eq!(all, [pair("abc", "depth first 3 by 1")]);
        let last = with([(12, 1.5), (23, 1.0), (123, 2.5)]);
        assert_eq!(last, [pair("abc", "alone"), pair("bc", "depth first 2 by 1")]);
        let first = with([(12, 1.0), (23, 1.5), (123, 2.5)]);
        assert_eq!(first, [pair("abc", "depth first 2 by 1")]);
        let none = with([(12, 2.5), (23, 2.5), (123, 3.5)]);
        assert_eq!(none, [pair("abc", "alone"), pair("bc", "alone")]);
    }

    #[test]
    fn a_tie_is_the_estimate() {
        let costs = [(1, 1.0), (2, 1.0), (3, 1.0), (12, 2.0), (23, 2.0), (123, 3.01)];
        assert_eq!(answers(&costs), [pair("abc", "depth first 3 by 1")]);
    }

    #[test]
    fn what_was_not_measured_is_not_chosen() {
        assert_eq!(
            answers(&[(1, 1.0), (2, 1.0), (3, 1.0)]),
            [pair("abc", "alone"), pair("bc", "alone")]
        );
        assert!(answers(&[]).is_empty());
    }

    #[test]
    fn questions_that_come_up() {
        let questions = row();
        let model = reached(&questions, |question| question.model);
        assert_eq!(model.into_iter().collect::<Vec<_>>(), ["abc"]);
        let alone = reached(&questions, |_| Answer::Alone);
        assert_eq!(alone.into_iter().collect::<Vec<_>>(), ["abc", "bc"]);
    }
}
