//! Shape inference and the verifier: what they accept, and what they say of the rest.

use netwright_ir::*;
use std::sync::Arc;

fn conv(kernel: usize, groups: usize) -> Op {
    Op::Conv(Conv {
        kernel: [kernel; 2],
        stride: [1, 1],
        padding: Padding::Explicit { top: 0, bottom: 0, left: 0, right: 0 },
        dilation: [1, 1],
        groups,
    })
}

#[test]
fn shapes_follow() {
    let gather = Op::Gather { axis: 0, indices: Arc::new(vec![0; 6]), shape: vec![2, 3] };
    let matmul = Op::MatMul { transpose_a: false, transpose_b: true };
    let resize = Op::Resize {
        size: [3, 4],
        mode: Interpolation::Bilinear,
        align_corners: true,
        antialias: true,
    };
    let reduce = |keep| Op::Reduce { kind: Reduce::Mean, axes: vec![1, 2], keep };
    type Case<'a> = (Op, Vec<&'a [usize]>, &'a [usize]);
    let cases: Vec<Case> = vec![
        (conv(3, 1), vec![&[2, 5, 6, 3], &[8, 3, 3, 3], &[8]], &[2, 3, 4, 8]),
        (conv(1, 4), vec![&[1, 5, 6, 8], &[12, 2, 1, 1]], &[1, 5, 6, 12]),
        (Op::Linear, vec![&[2, 7, 3], &[5, 3]], &[2, 7, 5]),
        (Op::Linear, vec![&[3], &[5, 3]], &[5]),
        (matmul, vec![&[2, 1, 4, 3], &[6, 5, 3]], &[2, 6, 4, 5]),
        (Op::Binary(Binary::Add), vec![&[2, 1, 3], &[4, 1]], &[2, 4, 3]),
        (reduce(true), vec![&[2, 5, 6, 3]], &[2, 1, 1, 3]),
        (reduce(false), vec![&[2, 5, 6, 3]], &[2, 3]),
        (gather, vec![&[9, 4]], &[2, 3, 4]),
        (Op::Gather { axis: 1, indices: Arc::new(vec![3]), shape: vec![] }, vec![&[9, 4]], &[9]),
        (Op::Concat { axis: 1 }, vec![&[1, 2, 3], &[1, 5, 3], &[1, 1, 3]], &[1, 8, 3]),
        (Op::Transpose { perm: vec![2, 0, 1] }, vec![&[4, 5, 6]], &[6, 4, 5]),
        (Op::Expand { shape: vec![2, 3, 4] }, vec![&[3, 1]], &[2, 3, 4]),
        (resize, vec![&[1, 9, 9, 2]], &[1, 3, 4, 2]),
    ];
    for (op, operands, expected) in cases {
        assert_eq!(infer(&op, &operands, &[]).as_deref(), Ok(expected), "{op:?}");
    }
}

#[test]
fn misfits_are_explained() {
    let reduce = |axes: &[usize]| Op::Reduce { kind: Reduce::Sum, axes: axes.to_vec(), keep: true };
    let resize = |size, mode| Op::Resize { size, mode, align_corners: true, antialias: false };
    let pad = |amounts: &[(usize, usize)], mode| Op::Pad { amounts: amounts.to_vec(), mode };
    let zero = PadMode::Constant(0);
    let huge = 1usize << 40;
    let cases: Vec<(Op, Vec<&[usize]>)> = vec![
        (conv(7, 1), vec![&[1, 5, 5, 3], &[8, 3, 7, 7]]),
        (conv(3, 1), vec![&[1, 5, 3], &[8, 3, 3, 3]]),
        (conv(3, 1), vec![&[1, 5, 5, 4], &[8, 3, 3, 3]]),
        (conv(3, 3), vec![&[1, 5, 5, 4], &[8, 3, 3, 3]]),
        (conv(3, 2), vec![&[1, 5, 5, 4], &[7, 2, 3, 3]]),
        (conv(3, 0), vec![&[1, 5, 5, 4], &[7, 2, 3, 3]]),
        (conv(3, 1), vec![&[1, 5, 5, 3], &[8, 3, 3, 3], &[7]]),
        (conv(3, 1), vec![&[1, 5, 5, 3]]),
        (Op::Linear, vec![&[1, 4], &[8, 3]]),
        (Op::Linear, vec![&[], &[8, 3]]),
        (Op::BatchNorm { eps: 1e-5 }, vec![&[1, 4], &[4], &[4], &[3], &[4]]),
        (Op::LayerNorm { eps: -1.0 }, vec![&[1, 4]]),
        (Op::LayerNorm { eps: 0.0 }, vec![&[1, 4], &[4]]),
        (Op::MatMul { transpose_a: false, transpose_b: false }, vec![&[2, 3], &[4, 5]]),
        (Op::MatMul { transpose_a: false, transpose_b: false }, vec![&[3], &[3, 5]]),
        (Op::Binary(Binary::Add), vec![&[2, 3], &[2]]),
        (Op::Binary(Binary::Add), vec![&[2, 3]]),
        (Op::Clamp { low: 1.0, high: 0.0 }, vec![&[1]]),
        (Op::Affine { mul: f64::NAN, add: 0.0 }, vec![&[1]]),
        (reduce(&[]), vec![&[1]]),
        (reduce(&[1, 0]), vec![&[1, 2]]),
        (reduce(&[2]), vec![&[1, 2]]),
        (Op::Concat { axis: 0 }, vec![]),
        (Op::Concat { axis: 0 }, vec![&[1, 2], &[1, 3]]),
        (Op::Slice { axis: 0, start: 2, len: 2, step: 2 }, vec![&[4]]),
        (Op::Slice { axis: 0, start: 2, len: usize::MAX, step: 2 }, vec![&[4]]),
        (Op::Slice { axis: 0, start: 2, len: 0, step: 2 }, vec![&[4]]),
        (pad(&[(0, 0)], zero), vec![&[1, 4]]),
        (pad(&[(4, 0)], PadMode::Reflect), vec![&[4]]),
        (pad(&[(usize::MAX, 9)], zero), vec![&[4]]),
        (Op::Gather { axis: 0, indices: Arc::new(vec![4]), shape: vec![1] }, vec![&[4]]),
        (Op::Gather { axis: 0, indices: Arc::new(vec![3]), shape: vec![2] }, vec![&[4]]),
        (Op::Reshape { shape: vec![2, 3] }, vec![&[7]]),
        (Op::Reshape { shape: vec![0, usize::MAX] }, vec![&[7]]),
        (Op::Transpose { perm: vec![0, 0] }, vec![&[4, 4]]),
        (Op::Expand { shape: vec![3] }, vec![&[2, 3]]),
        (Op::Expand { shape: vec![huge, 2] }, vec![&[2]]),
        (Op::Expand { shape: vec![1; 17] }, vec![&[1]]),
        (resize([0, 4], Interpolation::Bilinear), vec![&[1, 4, 4, 1]]),
        (resize([4, 4], Interpolation::Nearest), vec![&[1, 4, 4, 1]]),
        (Op::Param(0), vec![]),
        (Op::Input, vec![]),
        (Op::Unary(Unary::Exp), vec![&[usize::MAX, usize::MAX]]),
    ];
    let messages: Vec<String> = cases
        .iter()
        .map(|(op, operands)| {
            let error = infer(op, operands, &[]).unwrap_err();
            format!("{} of {operands:?}\n  {error}", op.mnemonic())
        })
        .collect();
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn the_verifier_reports_everything() {
    let mut g = Graph { name: "broken".into(), ..Graph::default() };
    let x = g.input("image", vec![1, 4, 4, 2]).unwrap();
    let source = Source::Tensor { name: "w".into(), shape: vec![2, 3] };
    let param = Param { path: "w".into(), shape: vec![3, 2], trained: true, source };
    g.param(param.clone());
    g.param(Param { path: "w".into(), source: Source::Zeros { shape: vec![3, 2] }, ..param });
    let relu = Op::Unary(Unary::Act(Act::Relu));
    let a = g.push("a", relu.clone(), vec![x]).unwrap();
    g.nodes[a.index()].shape = vec![1, 4, 4, 3];
    let b = g.push("b", relu.clone(), vec![x]).unwrap();
    g.nodes[b.index()].inputs = vec![NodeId(7)];
    let c = g.push("c", relu, vec![x]).unwrap();
    g.nodes[c.index()].post = vec![
        PostOp::Unary(Unary::Exp),
        PostOp::Binary { op: Binary::Add, operand: NodeId(1) },
        PostOp::Binary { op: Binary::Add, operand: c },
        PostOp::Clamp { low: 2.0, high: 1.0 },
    ];
    g.nodes[x.index()].shape = vec![1, 0, 4, 2];
    g.outputs = vec![("y".into(), NodeId(70)), ("y".into(), a)];
    g.features = vec![(String::new(), a)];
    let violations = verify(&g).unwrap_err();
    let list: Vec<String> = violations.iter().map(Violation::to_string).collect();
    insta::assert_snapshot!(list.join("\n"));
    assert_eq!(verify(&Graph::default()).unwrap_err().len(), 1);
}

#[test]
fn sources_have_shapes() {
    let table = Source::Tensor { name: "pos".into(), shape: vec![1, 197, 8] };
    let resample = |of: &Source, prefix| Source::Resample {
        of: Box::new(of.clone()),
        prefix,
        grid: [3, 5],
        way: Resampling::Geometric,
    };
    assert_eq!(resample(&table, 1).shape(), Ok(vec![1, 16, 8]));
    assert!(resample(&table, 197).shape().is_err());
    let rows = Source::Rows { of: Box::new(table), start: 0, len: 1 };
    assert_eq!(rows.shape(), Ok(vec![1, 197, 8]));
    let zeros = Source::Zeros { shape: vec![2, 8] };
    assert!(Source::Rows { of: Box::new(zeros.clone()), start: 1, len: 2 }.shape().is_err());
    let parts = vec![zeros.clone(), zeros.clone()];
    assert_eq!(Source::Concat { axis: 0, parts }.shape(), Ok(vec![4, 8]));
    assert!(Source::Concat { axis: 2, parts: vec![zeros] }.shape().is_err());
    assert!(Source::Concat { axis: 0, parts: vec![] }.shape().is_err());
}

#[test]
fn uses_and_needs() {
    let mut g = Graph::default();
    let x = g.input("x", vec![1, 4]).unwrap();
    let c = g.constant("c", Tensor::zeros([4])).unwrap();
    let exp = g.push("exp", Op::Unary(Unary::Exp), vec![c]).unwrap();
    let y = g.push("y", Op::Binary(Binary::Mul), vec![x, x]).unwrap();
    let dead = g.push("dead", Op::Unary(Unary::Exp), vec![y]).unwrap();
    g.nodes[y.index()].post.push(PostOp::Binary { op: Binary::Add, operand: exp });
    g.outputs.push(("y".into(), y));
    g.features.push(("c".into(), c));
    assert_eq!(g.users(), [vec![y, y], vec![exp], vec![y], vec![dead], vec![]]);
    assert_eq!(g.use_counts(false), [2, 1, 1, 2, 0]);
    assert_eq!(g.use_counts(true), [2, 2, 1, 2, 0]);
    assert_eq!(g.weight_expressions(), [false, true, true, false, false]);
    assert_eq!(g.needed([y]), [true, true, true, true, false]);
    assert_eq!(g.needed([exp]), [false, true, true, false, false]);
}
