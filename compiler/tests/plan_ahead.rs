//! Weights that are asked for before the step that reads them.

use netwright_codegen::operands::{Role, operands};
use netwright_codegen::program::{Kernel, Place, Step};
use netwright_compiler::expand::{Request, expand};
use netwright_compiler::passes::{self, optimize};
use netwright_compiler::plan::{self, Plan, Way};
use netwright_compiler::spec::Spec;
use std::ops::Range;

fn planned(spec: &str, batch: usize) -> Plan {
    let spec = Spec::load(spec).unwrap();
    let request = Request { batch, ..Request::default() };
    let graph = expand(&spec, &request).unwrap().graph;
    let fused = optimize(&graph, &passes::Options::default()).unwrap().graph;
    plan::plan(&fused, &plan::Options::default()).unwrap()
}

/// The packed weights that a step has as an operand of a role.
fn weights(plan: &Plan, step: &Step, role: Role) -> Option<Range<usize>> {
    let infos = operands(&plan.program.kernels[step.kernel]).unwrap();
    let (place, info) = step.args.iter().zip(infos).find(|(_, info)| info.role == role)?;
    match place {
        Place::Weights(offset) => Some(*offset..offset + info.bytes),
        _ => None,
    }
}

/// What each step fetches.
fn fetched(plan: &Plan) -> Vec<(usize, Range<usize>)> {
    let steps = plan.program.steps.iter().enumerate();
    steps.filter_map(|(at, step)| Some((at, weights(plan, step, Role::Ahead)?))).collect()
}

#[test]
fn only_what_later_steps_wait_for_is_fetched_and_once() {
    for spec in ["mobilenet_v2", "mobilenet_v3:large", "efficientnet:b0", "mobilevit:xxs"] {
        let plan = planned(spec, 1);
        let all = fetched(&plan);
        assert!(!all.is_empty(), "{spec}");
        for (i, (step, range)) in all.iter().enumerate() {
            assert_eq!(range.start % 64, 0, "{spec}");
            let twice = all[..i].iter().any(|(_, r)| r.start < range.end && range.start < r.end);
            assert!(!twice, "{spec}: {range:?}");
            // What remains of the range without the weights of the steps that wait: their borders.
            let waits = plan.program.steps[step + 1..].iter().filter(|later| {
                match &plan.program.kernels[later.kernel] {
                    Kernel::Conv(c) => c.is_depthwise() || c.batch * c.out_h * c.out_w == 1,
                    kernel => matches!(kernel, Kernel::Scale(_)),
                }
            });
            let read = waits.filter_map(|later| weights(&plan, later, Role::Weights));
            let read: usize =
                read.map(|r| r.end.min(range.end).saturating_sub(r.start.max(range.start))).sum();
            assert!(range.len() - read.min(range.len()) < 1024, "{spec}: {range:?}, {read} read");
        }
        let said = plan.choices.iter().filter(|choice| choice.way == Way::FetchesAhead);
        assert_eq!(said.count(), all.len(), "{spec}");
    }
}

/// Bytes of a range that a program fetches.
fn fetched_of(plan: &Plan, range: &Range<usize>) -> usize {
    let parts = fetched(plan).into_iter();
    parts.map(|(_, r)| r.end.min(range.end).saturating_sub(r.start.max(range.start))).sum()
}

#[test]
fn the_classifier_is_fetched() {
    for (spec, least) in
        [("mobilenet_v2", 1.0), ("efficientnet:b0", 1.0), ("mobilenet_v3:large", 0.4)]
    {
        let plan = planned(spec, 1);
        let classifier = weights(&plan, plan.program.steps.last().unwrap(), Role::Weights).unwrap();
        let fetched = fetched_of(&plan, &classifier);
        assert!(fetched as f64 >= least * classifier.len() as f64, "{spec}: {fetched}");
    }
}

/// What comes to the cache between the fetch and the read has to fit it as well.
#[test]
fn nothing_is_fetched_long_before_it_is_read() {
    for spec in ["resnet:18", "resnet:50", "vgg:11", "mobilenet_v3:large", "efficientnet:b0"] {
        let plan = planned(spec, 1);
        let steps = &plan.program.steps;
        for (at, range) in fetched(&plan) {
            let reads = |step: &Step| weights(&plan, step, Role::Weights);
            let reader = (at + 1..steps.len()).find(|later| {
                reads(&steps[*later]).is_some_and(|r| r.start < range.end && range.start < r.end)
            });
            let between = &steps[at + 1..reader.unwrap()];
            let bytes: usize = between.iter().filter_map(reads).map(|r| r.len()).sum();
            assert!(bytes + range.len() <= 16 << 20, "{spec}: {range:?}, {bytes} between");
        }
    }
}

/// The stem's windows are written out, without a loop to fetch in.
#[test]
fn what_has_no_loop_fetches_nothing() {
    for spec in ["vgg:11", "mobilenet_v3:small"] {
        assert!(fetched(&planned(spec, 1)).iter().all(|(step, _)| *step > 0), "{spec}");
    }
}

#[test]
fn many_rows_hide_the_time_of_their_weights() {
    let plan = planned("mobilenet_v2", 16);
    let classifier = weights(&plan, plan.program.steps.last().unwrap(), Role::Weights).unwrap();
    assert!(fetched(&plan).iter().all(|(_, range)| range.end <= classifier.start));
}
