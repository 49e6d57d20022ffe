//! A whole network, MobileNetV2 (Sandler et al. 2018, Table 2), made node by node.

mod common;

use common::{MobileNetV2, noise};
use netwright_ir::*;
use std::sync::Arc;

#[test]
fn counts_are_the_papers() {
    let graph = MobileNetV2 { resolution: 224, batch: 1 }.graph();
    let counts = count(&graph);
    assert_eq!(counts.params, 3_504_872);
    assert_eq!(counts.macs, 300_774_272);
    assert_eq!(counts.activations, 6_679_112);
    assert_eq!(counts.macs, counts.node_macs.iter().sum::<u64>());
    assert_eq!(verify(&graph), Ok(()));
    let batch = count(&MobileNetV2 { resolution: 224, batch: 3 }.graph());
    assert_eq!(batch.macs, 3 * counts.macs);
    assert_eq!(batch.params, counts.params);
}

#[test]
fn text_reads_back() {
    let graph = MobileNetV2 { resolution: 224, batch: 1 }.graph();
    assert_eq!(parse(&graph.to_text()), Ok(graph));
}

#[test]
fn threads_and_batches_change_no_bit() {
    let graph = MobileNetV2 { resolution: 64, batch: 1 }.graph();
    let weights: Vec<Arc<Tensor>> = graph
        .params
        .iter()
        .enumerate()
        .map(|(i, param)| Arc::new(common::weight(param, i as u64)))
        .collect();
    let params = |i: usize| Arc::clone(&weights[i]);
    let images = [noise(&[1, 64, 64, 3], 1), noise(&[1, 64, 64, 3], 2)].map(Arc::new);
    let interpreter = Interpreter::new(&graph, &params).unwrap();
    let run = |image: &Arc<Tensor>, threads| {
        interpreter.threads(threads).run(&[Arc::clone(image)]).unwrap().remove(0)
    };
    let alone = images.each_ref().map(|image| run(image, 1));
    assert_eq!(run(&images[0], 3), alone[0]);
    assert_ne!(alone[0], alone[1]);
    assert!(alone[0].data.iter().all(|v| v.is_finite()));

    let both = MobileNetV2 { resolution: 64, batch: 2 }.graph();
    let pair = Tensor::new([2, 64, 64, 3], [&images[0].data[..], &images[1].data].concat());
    let interpreter = Interpreter::new(&both, &params).unwrap();
    let result = interpreter.run(&[Arc::new(pair)]).unwrap().remove(0);
    assert_eq!(result.data, [&alone[0].data[..], &alone[1].data].concat());
}

/// Run with `--release -- --ignored --nocapture` to see how long the oracle takes.
#[test]
#[ignore = "a measurement"]
fn time_at_224() {
    let graph = MobileNetV2 { resolution: 224, batch: 1 }.graph();
    let weights: Vec<Arc<Tensor>> =
        graph.params.iter().map(|param| Arc::new(common::weight(param, 1))).collect();
    let params = |i: usize| Arc::clone(&weights[i]);
    let image = Arc::new(noise(&[1, 224, 224, 3], 1));
    for threads in [1, 2] {
        let interpreter = Interpreter::new(&graph, &params).unwrap().threads(threads);
        let start = std::time::Instant::now();
        interpreter.run(&[Arc::clone(&image)]).unwrap();
        println!("{threads} threads: {:?}", start.elapsed());
    }
}
