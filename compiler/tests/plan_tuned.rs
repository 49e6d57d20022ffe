//! Measured choices: the planner does what they say where it can, and nothing wrong where it can't.

mod plan_common;

use netwright_compiler::driver::{InterpretedNetwork, Network, Options, compile};
use netwright_compiler::passes;
use netwright_compiler::plan::{self, Answer, Choices, Measured, Question};
use netwright_ir::{Act, Binary, Graph, Op};
use plan_common::*;
use std::sync::Arc;

/// A 3x3 convolution, and an inverted residual behind it.
fn network() -> Graph {
    let (mut net, x) = Net::new(&[2, 21, 26, 12]);
    let x = net.conv(x, 20, window(3, 1, 1, 1), true);
    let x = net.op(act(Act::Relu), &[x]);
    let y = net.conv(x, 60, window(1, 1, 0, 1), true);
    let y = net.op(act(Act::Silu), &[y]);
    let y = net.conv(y, 60, window(3, 1, 1, 60), true);
    let y = net.op(act(Act::Relu), &[y]);
    let y = net.conv(y, 20, window(1, 1, 0, 1), true);
    let y = net.op(Op::Binary(Binary::Add), &[y, x]);
    net.output("y", y);
    net.graph
}

/// That one, and gates that are estimated to go over weights and over a map.
fn networks() -> [Graph; 3] {
    [network(), gated(&[1, 8, 9, 20], 40).0.graph, gated(&[1, 5, 5, 20], 40).0.graph]
}

fn questions(graph: &Graph) -> Vec<Question> {
    let fused = passes::optimize(graph, &passes::Options::default()).unwrap();
    plan::questions(&fused.graph, &plan::Options::default()).unwrap()
}

fn choices(answers: &[(&str, Answer)]) -> Arc<Choices> {
    let measured =
        |answer| Measured { answer, seconds: 1.25e-3, model: Answer::Plain, model_seconds: 1.5e-3 };
    Arc::new(answers.iter().map(|(key, answer)| (key.to_string(), measured(*answer))).collect())
}

/// The plan's text and the result, with choices.
fn run(graph: &Graph, tuned: &Arc<Choices>) -> (plan::Plan, Vec<f32>) {
    let options = Options { tuned: Arc::clone(tuned), ..Options::default() };
    let code = Arc::new(compile(graph, &options).unwrap());
    let weights = Arc::new(code.pack(&|index| param_tensor(graph, index)).unwrap());
    let mut bits: Option<Vec<f32>> = None;
    for threads in [1, 3] {
        let mut network = code.network(Arc::clone(&weights), threads).unwrap();
        let x = image(&network.inputs()[0].shape, 3);
        let y = network.run_to_vec(&[&x]).unwrap().swap_remove(0);
        assert_eq!(bits.get_or_insert_with(|| y.clone()), &y, "{threads} threads");
    }
    (code.plan().clone(), bits.unwrap())
}

#[test]
fn what_can_be_asked() {
    let mut text = String::new();
    for question in networks().iter().flat_map(questions) {
        let nodes: Vec<&str> = question.layers.iter().map(|layer| layer.node.as_str()).collect();
        let answers: Vec<String> =
            question.candidates.iter().map(|candidate| candidate.answer.to_string()).collect();
        text += &format!(
            "{}\n  of {} at step {}\n  {}\n  estimated: {}\n",
            question.key,
            nodes.join(", "),
            question.step,
            answers.join(" | "),
            question.model
        );
    }
    insta::assert_snapshot!(text);
}

#[test]
fn every_answer_computes_the_same() {
    networks().iter().for_each(answers_agree);
}

fn answers_agree(graph: &Graph) {
    let params = |index| param_tensor(graph, index);
    let mut judge = InterpretedNetwork::new(graph, &params, false, 1).unwrap();
    let x = image(&judge.inputs()[0].shape, 3);
    let expected = judge.run_to_vec(&[&x]).unwrap().swap_remove(0);
    let (estimated, bits) = run(graph, &Arc::default());
    assert!(estimated.tuned.is_empty());
    let gates = [Answer::GateOnMap, Answer::GateOnWeights];
    for question in questions(graph) {
        for candidate in &question.candidates {
            let (plan, result) = run(graph, &choices(&[(&question.key, candidate.answer)]));
            let answer = candidate.answer;
            assert!(distance(&expected, &result) < 1e-5, "{} {answer}", question.key);
            if !answer.changes_bits() || answer == question.model {
                assert!(bits == result, "{} {answer} changes bits", question.key);
            }
            let used: Vec<Answer> = plan.tuned.iter().map(|used| used.answer).collect();
            // A question inside of a chain does not come up.
            if question.step <= 2 || gates.contains(&answer) {
                assert_eq!(used, [answer], "{}", question.key);
                let kernels = &plan.program.kernels;
                let steps = &plan.program.steps;
                assert!(steps.iter().any(|step| kernels[step.kernel] == candidate.kernel));
                let told = |choice: &plan::Choice| choice.reason.starts_with("tuned: 1.250 ms");
                assert!(plan.choices.iter().any(told), "{:?}", plan.choices);
            }
        }
    }
}

#[test]
fn impossible_answers_are_passed_over() {
    networks().iter().for_each(only_answers_are_used);
}

fn only_answers_are_used(graph: &Graph) {
    let (estimated, _) = run(graph, &Arc::default());
    let wrong = [
        Answer::Winograd(3),
        Answer::Winograd(usize::MAX),
        Answer::DepthFirst { stages: 0, rows: 1 },
        Answer::DepthFirst { stages: 1, rows: 1 },
        Answer::DepthFirst { stages: 4, rows: 1 },
        Answer::DepthFirst { stages: 2, rows: 0 },
        Answer::DepthFirst { stages: 3, rows: 22 },
        Answer::DepthFirst { stages: usize::MAX, rows: usize::MAX },
    ];
    for question in questions(graph) {
        let other = match question.model {
            Answer::Plain | Answer::Winograd(_) => Answer::Alone,
            _ => Answer::Plain,
        };
        for answer in wrong.into_iter().chain([other]) {
            let (plan, _) = run(graph, &choices(&[(&question.key, answer)]));
            assert!(plan == estimated, "{} {answer}: {plan}", question.key);
        }
    }
    let (plan, _) = run(graph, &choices(&[("another layer", Answer::Plain)]));
    assert!(plan == estimated);
}

#[test]
fn what_the_user_forbids_is_not_chosen() {
    let graph = network();
    let all: Vec<(String, Answer)> = questions(&graph)
        .into_iter()
        .map(|question| (question.key.clone(), question.candidates.last().unwrap().answer))
        .collect();
    let all: Vec<(&str, Answer)> =
        all.iter().map(|(key, answer)| (key.as_str(), *answer)).collect();
    let tuned = choices(&all);
    let options = Options { winograd: false, depth_first: false, tuned, ..Options::default() };
    let code = compile(&graph, &options).unwrap();
    assert!(code.plan().tuned.is_empty());
    let text = code.plan().to_string();
    assert!(!text.contains("winograd") && !text.contains("chain"), "{text}");
}
