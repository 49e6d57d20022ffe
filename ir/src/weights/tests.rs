use super::*;
use crate::evaluate_weight_expressions;
use crate::parse;

/// Odd numbers that are not short in binary.
fn values(param: usize, len: usize) -> Vec<f32> {
    let value = |i: usize| ((i * 37 + param * 11) % 101) as f32 * 0.173 - 6.3;
    (0..len).map(value).collect()
}

/// Parameters in every way in which values are given.
struct Params<'a>(&'a Graph, Vec<Vec<f32>>);

impl<'a> Params<'a> {
    fn new(graph: &'a Graph) -> Self {
        let len = |i: usize| graph.params[i].shape.iter().product();
        Params(graph, (0..graph.params.len()).map(|i| values(i, len(i))).collect())
    }

    fn tensor(&self, param: usize) -> Arc<Tensor> {
        Arc::new(Tensor::new(self.0.params[param].shape.clone(), self.1[param].clone()))
    }
}

impl ParamSource for Params<'_> {
    fn values(&self, param: usize) -> ParamValues<'_> {
        let values = &self.1[param];
        match param % 4 {
            0 => ParamValues::Slice(values),
            1 => ParamValues::Owned(values.clone()),
            2 => ParamValues::Tensor(self.tensor(param)),
            _ => ParamValues::Made {
                len: values.len(),
                fill: Box::new(|start, out| out.copy_from_slice(&values[start..start + out.len()])),
            },
        }
    }
}

const GRAPH: &str = r#"graph "weights"

#0 "w" : [5, 3, 2, 2] = tensor "w" [5, 3, 2, 2]
#1 "scale" : [5] = tensor "scale" [5]
#2 "shift" : [5] = tensor "shift" [5]
#3 "mean" : [5] = tensor "mean" [5]
#4 "matrix" : [19, 12] = tensor "matrix" [19, 12]
#5 "gamma" : [12] = tensor "gamma" [12]
#6 "bias" : [19] = tensor "bias" [19]
#7 "table" : [2, 3, 4] = tensor "table" [2, 3, 4]

%0 = input : [1, 2, 2, 5]  ; image
%1 = param #0 : [5, 3, 2, 2]  ; w
%2 = param #1 : [5]  ; scale
%3 = param #2 : [5]  ; shift
%4 = param #3 : [5]  ; mean
%5 = square(%4) : [5]  ; variance
%6 = batch_norm(%3, %2, %3, %4, %5) eps=1e-5 : [5]  ; norm
%7 = reshape(%6) : [5, 1, 1, 1]  ; column
%8 = mul(%1, %7) : [5, 3, 2, 2]  ; scaled
%9 = div(%7, %1) | relu | affine(0.7, 0.1) | add %7 : [5, 3, 2, 2]  ; divided
%10 = param #4 : [19, 12]  ; matrix
%11 = param #5 : [12]  ; gamma
%12 = param #6 : [19]  ; bias
%13 = linear(%11, %10, %12) | abs : [19]  ; product
%14 = mul(%10, %11) | clamp(-9, 9) : [19, 12]  ; columns
%15 = slice(%14) axis=0 start=2 len=9 step=1 : [9, 12]  ; rows
%16 = concat(%15, %10, %14) axis=0 : [47, 12]  ; joined
%17 = transpose(%16) perm=[1, 0] : [12, 47]  ; turned
%18 = pow(%17, %17) : [12, 47]  ; odd
%19 = param #7 : [2, 3, 4]  ; table
%20 = reshape(%11) : [1, 3, 4]  ; middle
%21 = reshape(%11) : [3, 1, 4]  ; outer
%22 = slice(%19) axis=1 start=1 len=1 step=1 : [2, 1, 4]  ; apart
%23 = sub(%19, %20) : [2, 3, 4]  ; repeated
%24 = max(%22, %23) : [2, 3, 4]  ; two blocks
%25 = linear(%10, %10) : [19, 19]  ; square
%26 = reshape(%18) : [4, 3, 47]  ; reshaped
%27 = transpose(%26) perm=[2, 0, 1] : [47, 4, 3]  ; turned again
%28 = mul(%0, %2) : [1, 2, 2, 5]  ; result
output "result" = %28
"#;

fn graph() -> Graph {
    parse(GRAPH).unwrap()
}

fn ids(ids: impl IntoIterator<Item = u32>) -> Vec<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

#[test]
fn streams_are_the_interpreters_values() {
    let graph = graph();
    let params = Params::new(&graph);
    let wanted = ids(1..28);
    let expected =
        evaluate_weight_expressions(&graph, &|param| params.tensor(param), &wanted).unwrap();
    // Some nodes by themselves, some together.
    let items: Vec<Vec<NodeId>> = wanted.iter().map(|id| vec![*id, NodeId(24)]).collect();
    let expressions = WeightExpressions::new(&graph, &params, items).unwrap();
    let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
    for (item, expected) in expected.iter().enumerate() {
        let streams = expressions.open(item).unwrap();
        let stream = &streams[0];
        assert_eq!(bits(&stream.to_vec()), bits(&expected.data), "{}", wanted[item]);
        // Any range.
        let mut scratch = Vec::new();
        for start in 0..expected.data.len() {
            for len in [1, 7, 12, 30] {
                let len = len.min(expected.data.len() - start);
                let some = stream.get(start, len, &mut scratch);
                assert_eq!(bits(some), bits(&expected.data[start..start + len]));
            }
        }
        expressions.close(item);
    }
}

#[test]
fn what_is_kept_goes_with_its_last_item() {
    let graph = graph();
    let params = Params::new(&graph);
    let items = vec![ids([17]), ids([18]), ids([8])];
    let expressions = WeightExpressions::new(&graph, &params, items).unwrap();
    let kept = || {
        let value = |held: &Held| held.value.lock().unwrap().is_some();
        expressions.held.iter().flatten().filter(|held| value(held)).count()
    };
    for (item, [open, closed]) in [[1, 1], [1, 0], [0, 0]].into_iter().enumerate() {
        expressions.open(item).unwrap();
        assert_eq!(kept(), open);
        expressions.close(item);
        assert_eq!(kept(), closed);
    }
}

#[test]
fn long_expressions_are_cut() {
    // Each node reads the one before twice: as a tree it would have 2^200 nodes.
    let mut graph = Graph { name: "long".into(), ..Graph::default() };
    let mut node = graph.push("c", Op::Const(Arc::new(Tensor::new([2], vec![0.5, -1.5]))), vec![]);
    for i in 0..200 {
        let last = node.unwrap();
        let name = format!("n{i}");
        node = graph.push(name, Op::Binary(crate::Binary::Add), vec![last, last]);
        let half =
            graph.push(format!("h{i}"), Op::Affine { mul: 0.5, add: 0.25 }, vec![node.unwrap()]);
        node = half;
    }
    let last = node.unwrap();
    graph.outputs.push(("y".into(), last));
    let none = |_: usize| -> Arc<Tensor> { unreachable!("there are no parameters") };
    let expressions = WeightExpressions::new(&graph, &none, vec![vec![last]]).unwrap();
    let values = expressions.open(0).unwrap()[0].to_vec();
    let expected = evaluate_weight_expressions(&graph, &none, &[last]).unwrap();
    assert_eq!(values, expected[0].data);
}

#[test]
fn errors() {
    let graph = graph();
    let params = Params::new(&graph);
    let error = |id: u32| WeightExpressions::new(&graph, &params, vec![ids([id])]).err().unwrap();
    assert_eq!(error(99), RunError::NoSuchNode(NodeId(99)));
    assert!(matches!(error(28), RunError::NotAWeight { .. }));
    let wrong = |_: usize| Arc::new(Tensor::zeros([1]));
    let expressions = WeightExpressions::new(&graph, &wrong, vec![ids([8])]).unwrap();
    let error = expressions.open(0).err().unwrap();
    assert!(matches!(error, RunError::ParamShape { .. }), "{error}");
}
