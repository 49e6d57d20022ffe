//! The text form: snapshots, round trips, errors with line numbers.

use netwright_ir::*;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use std::sync::Arc;

/// A graph with every operator, fused step and kind of source.
fn every_operator() -> Graph {
    let mut g = Graph { name: "every \"operator\"".into(), ..Graph::default() };
    let tensor =
        |name: &str, shape: &[usize]| Source::Tensor { name: name.into(), shape: shape.to_vec() };
    let param = |g: &mut Graph, path: &str, shape: &[usize], trained, source| {
        g.param(Param { path: path.into(), shape: shape.to_vec(), trained, source })
    };
    let image = g.input("image", vec![1, 8, 8, 4]).unwrap();
    let weight =
        param(&mut g, "dw.weight", &[4, 1, 3, 3], true, tensor("conv.weight", &[4, 1, 3, 3]));
    let vector = param(&mut g, "bn.gamma", &[4], true, tensor("bn.weight", &[1, 4]));
    let mean = param(&mut g, "bn.mean", &[4], false, Source::Zeros { shape: vec![4] });
    let qkv = param(
        &mut g,
        "qkv",
        &[3, 4],
        true,
        Source::Concat {
            axis: 0,
            parts: vec![
                Source::Rows { of: Box::new(tensor("q \\ v", &[9, 4])), start: 2, len: 1 },
                Source::Zeros { shape: vec![1, 4] },
                tensor("k", &[1, 4]),
            ],
        },
    );
    let bicubic = |align_corners, antialias| Resampling::Interpolated {
        mode: Interpolation::Bicubic,
        align_corners,
        antialias,
    };
    for (path, way) in [
        ("smooth", bicubic(false, true)),
        ("corners", bicubic(true, false)),
        ("distances", Resampling::Geometric),
    ] {
        let of = Box::new(tensor("pos_embed", &[1, 197, 4]));
        let source = Source::Resample { of, prefix: 1, grid: [2, 3], way };
        param(&mut g, path, &[7, 4], true, source);
    }
    let conv = |kernel, stride, padding, dilation, groups| {
        Op::Conv(Conv { kernel, stride, padding, dilation, groups })
    };
    let pad = Padding::Explicit { top: 0, bottom: 1, left: 2, right: 3 };
    let push = |g: &mut Graph, op, inputs: &[NodeId]| {
        let name = format!("n{}", g.nodes.len());
        g.push(name, op, inputs.to_vec()).unwrap()
    };
    let x = push(&mut g, conv([3, 3], [2, 1], pad, [1, 2], 4), &[image, weight, vector]);
    g.nodes[x.index()].post = vec![
        PostOp::Unary(Unary::Act(Act::HardSwish)),
        PostOp::Clamp { low: -1.5, high: f64::INFINITY },
        PostOp::Affine { mul: 0.1, add: 1e-20 },
        PostOp::Binary { op: Binary::Pow, operand: vector },
    ];
    let x = push(&mut g, conv([3, 3], [1, 1], Padding::Same, [1, 1], 4), &[image, weight]);
    let x = push(&mut g, Op::BatchNorm { eps: 1e-5 }, &[x, vector, mean, mean, vector]);
    push(&mut g, Op::LayerNorm { eps: 1e-6 }, &[x, vector, vector]);
    push(&mut g, Op::LayerNorm { eps: 0.0 }, &[x]);
    let rows = push(&mut g, Op::Linear, &[x, qkv]);
    push(&mut g, Op::MatMul { transpose_a: true, transpose_b: false }, &[rows, x]);
    push(&mut g, Op::MatMul { transpose_a: false, transpose_b: true }, &[rows, rows]);
    push(&mut g, Op::Unary(Unary::Rsqrt), &[x]);
    push(&mut g, Op::Unary(Unary::Act(Act::GeluTanh)), &[x]);
    push(&mut g, Op::Clamp { low: 0.0, high: 4.605170185988092 }, &[x]);
    push(&mut g, Op::Affine { mul: -0.125, add: 3.0 }, &[x]);
    push(&mut g, Op::Binary(Binary::Min), &[x, vector]);
    for (kind, ceil_mode) in [(PoolKind::Max, true), (PoolKind::Avg, false)] {
        let pool = Pool {
            kind,
            kernel: [3, 2],
            stride: [2, 2],
            padding: Padding::Explicit { top: 1, bottom: 1, left: 0, right: 0 },
            ceil_mode,
            count_include_pad: !ceil_mode,
        };
        push(&mut g, Op::Pool(pool), &[x]);
    }
    push(&mut g, Op::Reduce { kind: Reduce::L2, axes: vec![1, 2], keep: true }, &[x]);
    push(&mut g, Op::Reduce { kind: Reduce::Mean, axes: vec![3], keep: false }, &[x]);
    push(&mut g, Op::Softmax { axis: 3 }, &[x]);
    push(&mut g, Op::Concat { axis: 2 }, &[x, image, x]);
    push(&mut g, Op::Slice { axis: 1, start: 1, len: 3, step: 2 }, &[x]);
    push(&mut g, Op::Slice { axis: 3, start: 0, len: 2, step: 1 }, &[x]);
    let amounts = vec![(0, 0), (1, 2), (3, 0), (0, 0)];
    for mode in [PadMode::Constant((-0.5f32).to_bits()), PadMode::Reflect, PadMode::Replicate] {
        push(&mut g, Op::Pad { amounts: amounts.clone(), mode }, &[x]);
    }
    push(&mut g, Op::Roll { axis: 1, shift: -3 }, &[x]);
    let indices = Arc::new(vec![7, 7, 7, 0, 1, 1]);
    push(&mut g, Op::Gather { axis: 1, indices, shape: vec![2, 3] }, &[x]);
    push(&mut g, Op::Reshape { shape: vec![1, 64, 4] }, &[x]);
    push(&mut g, Op::Transpose { perm: vec![0, 3, 1, 2] }, &[x]);
    push(&mut g, Op::Expand { shape: vec![2, 8, 8, 4] }, &[x]);
    for (mode, align_corners, antialias) in [
        (Interpolation::Nearest, false, false),
        (Interpolation::Bilinear, true, false),
        (Interpolation::Bicubic, false, true),
    ] {
        push(&mut g, Op::Resize { size: [5, 6], mode, align_corners, antialias }, &[x]);
    }
    let odd =
        [0.1, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, f32::INFINITY, -100.0, 0.0, 16777217.0];
    g.constant("", Tensor::new([3, 3], odd.to_vec())).unwrap();
    g.constant(" odd\nname", Tensor::new([2, 50], vec![-100.0; 100])).unwrap();
    g.constant("\"quoted\"", Tensor::new([], vec![2.5])).unwrap();
    let ramp = (0..30).map(|v| v as f32).collect();
    g.constant("a; b # c", Tensor::new([30], ramp)).unwrap();
    g.outputs = vec![("y".into(), x), ("the \\ other".into(), rows)];
    g.features = vec![("stage1".into(), x)];
    g
}

#[test]
fn every_operator_prints() {
    let graph = every_operator();
    assert_eq!(verify(&graph), Ok(()));
    insta::assert_snapshot!(graph.to_text());
}

#[test]
fn every_operator_reads_back() {
    let graph = every_operator();
    let back = parse(&graph.to_text()).unwrap();
    assert_eq!(back, graph);
    // Equality of numbers does not tell 0 from -0.
    assert_eq!(back.to_text(), graph.to_text());
}

#[test]
fn not_a_number_keeps_its_bits() {
    let mut graph = Graph::default();
    let bits = [0x7fc0_0001, 0xffc0_0000, 0x7f80_0001];
    let id = graph.constant("c", Tensor::new([3], bits.map(f32::from_bits).to_vec())).unwrap();
    let back = parse(&graph.to_text()).unwrap();
    let Op::Const(tensor) = &back.node(id).op else { panic!("a constant") };
    assert_eq!(tensor.data.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), bits);
}

#[test]
fn brief_text_cuts_long_constants() {
    let graph = every_operator();
    let last = graph.ids().next_back().unwrap();
    insta::assert_snapshot!(
        graph.node_text(last),
        @"%43 = const {0, 1, 2, 3, 4, 5, 6, 7, ... 30 in all} : [30]  ; a; b # c"
    );
    assert!(graph.to_brief_text().contains("const {-100*100} : [2, 50]"));
}

#[test]
fn errors_name_the_line() {
    let errors: Vec<String> = [
        "",
        "grph \"x\"",
        "graph x",
        "graph \"x",
        "graph \"x\"\n\n%1 = input : [1]",
        "graph \"x\"\n%0 = inputs : [1]",
        "graph \"x\"\n%0 = input : [1, ]",
        "graph \"x\"\n%0 = input : [1] x",
        "graph \"x\"\n%0 = input size=3x3 : [1]",
        "graph \"x\"\n%0 = conv(%0, %1) kernel=3 stride=1x1 pad=same : [1]",
        "graph \"x\"\n%0 = conv(%0, %1) kernel=3x3 stride=1x1 pad=1,1 : [1]",
        "graph \"x\"\n%0 = conv(%0 %1) kernel=3x3 : [1]",
        "graph \"x\"\n%0 = pad(%0) before=[1] after=[1, 2] mode=reflect : [1]",
        "graph \"x\"\n%0 = softmax(%0) axis=1 axis=2 : [1]",
        "graph \"x\"\n%0 = softmax(%0) axis=-1 : [1]",
        "graph \"x\"\n%0 = softmax(%0) : [1]",
        "graph \"x\"\n%0 = relu(%0) | conv : [1]",
        "graph \"x\"\n%0 = const {1, 2} : [3]",
        "graph \"x\"\n%0 = const {1*99999999999} : [99999999999]",
        "graph \"x\"\n%0 = const {one} : [1]",
        "graph \"x\"\n%0 = input {1} : [1]",
        "graph \"x\"\n%99999999999 = input : [1]",
        "graph \"x\"\n#0 \"w\" : [1] = file \"w\" [1]",
        "graph \"x\"\n#0 \"w\" : [1] = zeros [1] ; w",
        "graph \"x\"\ninput \"x\" = %0",
        "graph \"x\"\noutput \"a\\q\" = %0",
    ]
    .iter()
    .map(|text| format!("{text:?}\n  {}", parse(text).unwrap_err()))
    .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn deep_sources_are_an_error() {
    let open = "rows start=0 len=1 (".repeat(100_000);
    let text = format!("graph \"x\"\n#0 \"w\" : [1] = {open}");
    assert_eq!(
        parse(&text).unwrap_err().to_string(),
        "line 2: a source is nested more than 32 deep"
    );
}

/// One random step of growing a graph; those that do not apply leave it as it is.
fn grow(graph: &mut Graph, [kind, a, b, c]: [usize; 4]) {
    let pick = |n: usize| NodeId((n % graph.nodes.len()) as u32);
    let (x, y) = (pick(a), pick(b));
    let shape = graph.shape(x).to_vec();
    let axis = b % (shape.len() + 1);
    let name = ["", "block.1", " spaced ", "a;b", "\"", "tab\t", "ü \u{2028}"][c % 7];
    let padding = if c.is_multiple_of(2) {
        Padding::Same
    } else {
        Padding::Explicit { top: c % 2, bottom: c % 3, left: b % 2, right: a % 3 }
    };
    let unaries = [Unary::Exp, Unary::Act(Act::Gelu), Unary::Act(Act::Relu6), Unary::Log];
    let binaries = [Binary::Add, Binary::Div, Binary::Max, Binary::Pow];
    let reductions = [Reduce::Sum, Reduce::Mean, Reduce::Max, Reduce::L2];
    let modes = [Interpolation::Nearest, Interpolation::Bilinear, Interpolation::Bicubic];
    let number = f32::from_bits((a as u32).wrapping_mul(2_654_435_761) & 0xbfff_ffff);
    let (op, inputs) = match kind % 20 {
        0 => (Op::Unary(unaries[c % 4]), vec![x]),
        1 => (Op::Binary(binaries[c % 4]), vec![x, y]),
        2 => (Op::Concat { axis }, vec![x, y]),
        3 => (Op::Softmax { axis }, vec![x]),
        4 => (Op::Reduce { kind: reductions[c % 4], axes: vec![axis], keep: a % 2 == 0 }, vec![x]),
        5 => (Op::Slice { axis, start: a % 3, len: 1 + c % 3, step: 1 + b % 2 }, vec![x]),
        6 => (Op::Roll { axis, shift: a as i64 - 500 }, vec![x]),
        7 => {
            let mode = [PadMode::Constant(number.to_bits()), PadMode::Reflect][c % 2];
            (Op::Pad { amounts: shape.iter().map(|n| (n % 2, c % 2)).collect(), mode }, vec![x])
        }
        8 => {
            let indices: Vec<u32> = (0..4).map(|i| ((a + i / 2) % 3) as u32).collect();
            (Op::Gather { axis, indices: Arc::new(indices), shape: vec![2, 2] }, vec![x])
        }
        9 => (Op::Reshape { shape: vec![shape.iter().product()] }, vec![x]),
        10 => (Op::Transpose { perm: (0..shape.len()).rev().collect() }, vec![x]),
        11 => (Op::Expand { shape: [&[2], &shape[..]].concat() }, vec![x]),
        12 => {
            let (mode, size) = (modes[c % 3], [1 + a % 5, 1 + b % 5]);
            let antialias = c % 2 == 1 && c % 3 != 0;
            (Op::Resize { size, mode, align_corners: false, antialias }, vec![x])
        }
        13 => {
            let pool = Pool {
                kind: [PoolKind::Max, PoolKind::Avg][a % 2],
                kernel: [1 + a % 3, 1 + b % 3],
                stride: [1 + b % 2, 1 + c % 2],
                padding,
                ceil_mode: a % 2 == 0,
                count_include_pad: c % 2 == 0,
            };
            (Op::Pool(pool), vec![x])
        }
        14 => (Op::LayerNorm { eps: number.abs() as f64 * 0.1 }, vec![x]),
        15 => (Op::Affine { mul: number as f64 / 3.0, add: a as f64 }, vec![x]),
        16 => (Op::Clamp { low: -(a as f64) / 7.0, high: f64::INFINITY }, vec![x]),
        17 => (Op::MatMul { transpose_a: a % 2 == 0, transpose_b: b % 2 == 0 }, vec![x, y]),
        18 => {
            let data = vec![number, number, 0.0, b as f32 / 3.0];
            (Op::Const(Arc::new(Tensor::new([4], data))), vec![])
        }
        _ => {
            let post = match c % 4 {
                0 => PostOp::Unary(unaries[a % 4]),
                1 => PostOp::Affine { mul: number as f64, add: 0.5 },
                2 => PostOp::Clamp { low: -1.0, high: b as f64 },
                _ => PostOp::Binary { op: binaries[b % 4], operand: y },
            };
            let fits = infer_post(&shape, &post, graph.shape(y)).is_ok() && (c % 4 < 3 || y < x);
            if fits {
                graph.nodes[x.index()].post.push(post);
            }
            return;
        }
    };
    // An operator that does not apply is an error, and the graph stays as it is.
    let _ = graph.push(name, op, inputs);
}

fn graphs() -> impl Strategy<Value = Graph> {
    let steps = prop::collection::vec(prop::array::uniform4(0usize..1000), 1..40);
    (steps, "\\PC*").prop_map(|(steps, name)| {
        let mut graph = Graph { name: name.clone(), ..Graph::default() };
        graph.input("image", vec![2, 5, 4, 3]).unwrap();
        for step in steps {
            grow(&mut graph, step);
        }
        let last = NodeId(graph.nodes.len() as u32 - 1);
        graph.outputs.push((format!("y{name}"), last));
        graph
    })
}

/// The random graphs are worth their name: every kind of step applies now and then.
#[test]
fn random_graphs_hold_every_kind() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        let graph = graphs().new_tree(&mut runner).unwrap().current();
        for node in &graph.nodes {
            seen.insert(node.op.mnemonic());
            seen.extend(node.post.iter().map(|_| "fused"));
        }
    }
    for kind in [
        "exp",
        "add",
        "concat",
        "softmax",
        "reduce_sum",
        "slice",
        "roll",
        "pad",
        "gather",
        "reshape",
        "transpose",
        "expand",
        "resize",
        "max_pool",
        "avg_pool",
        "layer_norm",
        "affine",
        "clamp",
        "matmul",
        "const",
        "fused",
    ] {
        assert!(seen.contains(kind), "no {kind} among {seen:?}");
    }
}

proptest! {
    #[test]
    fn random_graphs_are_valid_and_read_back(graph in graphs()) {
        prop_assert_eq!(verify(&graph), Ok(()));
        let text = graph.to_text();
        let back = parse(&text).unwrap();
        prop_assert_eq!(&back, &graph);
        prop_assert_eq!(back.to_text(), text);
    }

    /// Every graph that verifies runs, and what it makes has the shapes that it says.
    #[test]
    fn random_graphs_run(graph in graphs()) {
        let no_params = |_| unreachable!("these graphs have no parameters");
        let data = (0..120).map(|v| v as f32 / 60.0 - 1.0).collect();
        let image = Arc::new(Tensor::new([2, 5, 4, 3], data));
        let all: Vec<NodeId> = graph.ids().collect();
        let interpreter = Interpreter::new(&graph, &no_params).unwrap();
        let kept = interpreter.run_keeping(&[image], &all).unwrap();
        for (id, value) in all.iter().zip(&kept.nodes) {
            prop_assert_eq!(&value.shape, graph.shape(*id));
            prop_assert_eq!(value.data.len(), value.shape.iter().product::<usize>());
        }
    }

    /// Damaged text gives a graph or an error, nothing else; so does its verification.
    #[test]
    fn damaged_text_never_panics(
        edits in prop::collection::vec((0usize..100_000, prop::sample::select(
            "0123456789-.,:;|=*#%()[]{}\"\\x \nabe\u{e9}".chars().collect::<Vec<_>>()
        ), 0u8..3), 1..6),
    ) {
        let mut text: Vec<char> = every_operator().to_text().chars().collect();
        for (at, c, how) in edits {
            let at = at % text.len();
            match how {
                0 => text[at] = c,
                1 => text.insert(at, c),
                _ => {
                    text.remove(at);
                }
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(graph) = parse(&text) {
            let _ = verify(&graph);
            let _ = count(&graph);
            let _ = graph.weight_expressions();
            let _ = graph.use_counts(true);
        }
    }

    #[test]
    fn arbitrary_text_never_panics(text in "(?s).{0,80}") {
        let _ = parse(&text);
        let _ = parse(&format!("graph \"x\"\n{text}"));
    }
}
