use super::{Known, Request, resolve};
use crate::instance::{Instance, Kind};
use crate::value::Value;
use netwright_grammar::ast::Network;
use netwright_grammar::{Diagnostic, Span, parse_source};
use netwright_ir::{Param, Source};

/// Builds a tree by hand, numbering its tensors.
#[derive(Default)]
struct Tree {
    params: Vec<Param>,
}

fn node(label: &str, kind: Kind, children: Vec<Instance>) -> Instance {
    Instance { label: label.into(), kind, children, span: Span::default() }
}

impl Tree {
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Instance {
        let param = self.params.len();
        let source = Source::Tensor { name: name.into(), shape: shape.to_vec() };
        self.params.push(Param { path: name.into(), shape: shape.to_vec(), trained: true, source });
        node(name, Kind::Tensor { param }, vec![])
    }

    fn conv(&mut self) -> Instance {
        let weight = self.tensor("weight", &[8, 8, 1, 1]);
        node("conv", Kind::Layer { primitive: "conv" }, vec![weight])
    }

    fn linear(&mut self, out: usize) -> Instance {
        let tensors = vec![self.tensor("weight", &[out, 4]), self.tensor("bias", &[out])];
        node("linear", Kind::Layer { primitive: "linear" }, tensors)
    }

    fn bn(&mut self) -> Instance {
        let weight = self.tensor("weight", &[8]);
        node("bn", Kind::Layer { primitive: "bn" }, vec![weight])
    }

    fn conv_bn(&mut self, label: &str) -> Instance {
        let layers = vec![self.conv(), self.bn()];
        line(label, layers)
    }

    /// `bottleneck` of MobileNetV2, with or without its expansion.
    fn bottleneck(&mut self, expand: bool) -> Instance {
        let mut lines = Vec::new();
        for label in ["expand", "dw", "project"] {
            if label != "expand" || expand {
                lines.push(self.conv_bn(label));
            }
        }
        let labels = [("expand", expand), ("dw", true), ("project", true), ("out", false)];
        block("bottleneck", &labels, lines)
    }
}

fn line(label: &str, children: Vec<Instance>) -> Instance {
    node(label, Kind::Line, children)
}

fn block(name: &str, labels: &[(&str, bool)], children: Vec<Instance>) -> Instance {
    let labels = labels.iter().map(|(label, present)| (label.to_string(), *present)).collect();
    let args = vec![("s".to_string(), Value::Number(2.0))];
    node(name, Kind::Block { name: name.into(), args, labels }, children)
}

fn row(label: &str, at: [usize; 4], child: Instance) -> Instance {
    let [stage, index, flat, all] = at;
    node(label, Kind::Row { stage, index, flat, all }, vec![child])
}

fn network(rows: Vec<Instance>) -> Instance {
    node("", Kind::Network, rows)
}

fn mobilenet_v2() -> (Tree, Instance) {
    let mut tree = Tree::default();
    let stem = tree.conv_bn("conv");
    let stem = row("stem", [0, 0, 0, 0], block("conv_bn", &[("conv", true)], vec![stem]));
    let first = row("", [0, 0, 0, 1], tree.bottleneck(false));
    let second = row("", [1, 0, 1, 2], tree.bottleneck(true));
    let last = tree.conv_bn("conv");
    let last = row("last", [0, 0, 0, 3], block("conv_bn", &[("conv", true)], vec![last]));
    let head = line("out", vec![tree.linear(10)]);
    let head = row("classifier", [0, 0, 0, 4], block("classify", &[("out", true)], vec![head]));
    (tree, network(vec![stem, first, second, last, head]))
}

fn parsed(sections: &str) -> Network {
    let text = format!("network test() {{\n x = x -> relu\n{sections}\n}}\n");
    let (file, errors) = parse_source(&text, 0);
    assert!(errors.is_empty(), "{errors:?}");
    file.networks.into_iter().next().expect("the text has a network")
}

fn run(tree: &Tree, root: &Instance, text: &str) -> Result<Vec<Source>, Vec<Diagnostic>> {
    let network = parsed(text);
    let lookup = |name: &str| (name == "variant").then(|| Value::text("large"));
    resolve(&Request {
        tree: root,
        params: &tree.params,
        dialect: network.weights.first(),
        all: &network.weights,
        known: &Known::default(),
        lookup: &lookup,
    })
}

fn shown(source: &Source) -> String {
    match source {
        Source::Tensor { name, shape } => format!("{name} {shape:?}"),
        Source::Concat { parts, .. } => {
            format!("cat({})", parts.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        Source::Rows { of, start, len } => format!("{}[{start}..{}]", shown(of), start + len),
        Source::Zeros { shape } => format!("0 {shape:?}"),
        Source::Resample { of, grid, .. } => format!("{} to {grid:?}", shown(of)),
    }
}

fn names(tree: &Tree, root: &Instance, text: &str) -> Vec<String> {
    let sources = run(tree, root, text).expect("the dialect is right");
    sources.iter().map(|source| shown(source).split(" [").next().unwrap_or("").into()).collect()
}

fn code(tree: &Tree, root: &Instance, text: &str) -> (&'static str, String) {
    let errors = run(tree, root, text).expect_err("the dialect is wrong");
    assert_eq!(errors.len(), 1, "{errors:?}");
    (
        errors[0].code,
        format!("{} / {}", errors[0].message, errors[0].help.clone().unwrap_or_default()),
    )
}

const TIMM: &str = "weights timm {
  stem: conv_stem, bn1
  last: conv_head, bn2
  classifier: classifier
  blocks: blocks.{s}.{i} {
    expand: conv_pw, bn{#bn}
    dw: conv_dw, bn{#bn}
    project: conv_pwl when expand else conv_pw, bn{#bn}
  }
}
";

#[test]
fn mobilenet_in_timm() {
    let (tree, root) = mobilenet_v2();
    let expected = [
        "conv_stem.weight",
        "bn1.weight",
        "blocks.0.0.conv_dw.weight",
        "blocks.0.0.bn1.weight",
        "blocks.0.0.conv_pw.weight",
        "blocks.0.0.bn2.weight",
        "blocks.1.0.conv_pw.weight",
        "blocks.1.0.bn1.weight",
        "blocks.1.0.conv_dw.weight",
        "blocks.1.0.bn2.weight",
        "blocks.1.0.conv_pwl.weight",
        "blocks.1.0.bn3.weight",
        "conv_head.weight",
        "bn2.weight",
        "classifier.weight",
        "classifier.bias",
    ];
    assert_eq!(names(&tree, &root, TIMM), expected);
    // A dialect without rules of its own takes those of the one it is like.
    let like = format!("weights timm_tf like timm {{\n last: head, bn2\n}}\n{TIMM}");
    let names = names(&tree, &root, &like);
    assert_eq!(names[12], "head.weight");
    assert_eq!(names[..12], expected[..12]);
}

#[test]
fn mobilenet_in_torchvision() {
    let (tree, root) = mobilenet_v2();
    let text = "weights torchvision {
      stem: features.0.0, features.0.1
      last: features.{N+1}.0, features.{N+1}.1
      classifier: classifier.1
      blocks: features.{n+1}.conv {
        expand, dw: {#-1}.0, {#-1}.1
        project: {#-1}, {#}
      }
    }";
    assert_eq!(
        names(&tree, &root, text),
        [
            "features.0.0.weight",
            "features.0.1.weight",
            "features.1.conv.0.0.weight",
            "features.1.conv.0.1.weight",
            "features.1.conv.1.weight",
            "features.1.conv.2.weight",
            "features.2.conv.0.0.weight",
            "features.2.conv.0.1.weight",
            "features.2.conv.1.0.weight",
            "features.2.conv.1.1.weight",
            "features.2.conv.2.weight",
            "features.2.conv.3.weight",
            "features.3.0.weight",
            "features.3.1.weight",
            "classifier.1.weight",
            "classifier.1.bias",
        ]
    );
}

#[test]
fn labels_are_the_default() {
    let (tree, root) = mobilenet_v2();
    let names = names(&tree, &root, "");
    assert_eq!(names[0], "stem.conv.weight");
    assert_eq!(names[9], "blocks.1.0.dw.bn.weight");
    assert_eq!(names[15], "classifier.linear.bias");
}

/// `encode = x -> repeat(2, transformer)` with a packed projection and a free parameter.
fn transformers() -> (Tree, Instance) {
    let mut tree = Tree::default();
    let rounds = (0..2).map(|index| {
        let qkv = line("qkv", vec![tree.linear(12)]);
        let mut mlp = vec![tree.linear(8), tree.linear(4)];
        mlp[1].label = "linear_2".into();
        let mlp = line("mlp", mlp);
        let scale = line("out", vec![tree.tensor("gamma", &[4])]);
        let labels = [("qkv", true), ("mlp", true), ("out", true)];
        let body = block("transformer", &labels, vec![qkv, mlp, scale]);
        node(&index.to_string(), Kind::Repeat { index }, vec![body])
    });
    let rounds = rounds.collect();
    let encode = line("encode", rounds);
    let head = line("head", vec![tree.linear(2)]);
    (tree, network(vec![encode, head]))
}

#[test]
fn joined_and_cut_tensors_in_rounds() {
    let (tree, root) = transformers();
    let text = "weights hf {
      encode: encoder.layer.{r+1}
      head: /head
      block transformer {
        qkv: attention { weight: cat(query.weight, key.weight, value.weight)
                         bias: cat(q_bias, 0, v_bias) }
        mlp: fc1, fc2
        out: .
      }
    }";
    let sources = run(&tree, &root, text).expect("the dialect is right");
    let shown: Vec<String> = sources.iter().map(shown).collect();
    assert_eq!(
        shown[0],
        "cat(encoder.layer.1.attention.query.weight [4, 4], encoder.layer.1.attention.key.weight \
         [4, 4], encoder.layer.1.attention.value.weight [4, 4])"
    );
    assert_eq!(
        shown[1],
        "cat(encoder.layer.1.attention.q_bias [4], 0 [4], encoder.layer.1.attention.v_bias [4])"
    );
    assert_eq!(shown[2], "encoder.layer.1.fc1.weight [8, 4]");
    assert_eq!(shown[6], "encoder.layer.1.gamma [4]");
    assert_eq!(shown[13], "encoder.layer.2.gamma [4]");
    assert_eq!(shown[14], "head.weight [2, 4]");

    let text = "weights cut {
      encode: layers { qkv: rows(packed{r}, 1, 3) { weight: w  bias: b }
                       mlp: a, b   out: ls { gamma: scale } }
    }";
    let sources = run(&tree, &root, text).expect("the dialect is right");
    assert_eq!(self::shown(&sources[0]), "layers.0.packed0.w [36, 4][12..24]");
    assert_eq!(self::shown(&sources[6]), "layers.0.ls.scale [4]");
}

#[test]
fn a_layer_of_the_default_kind_in_a_line() {
    let (tree, root) = transformers();
    let names = names(
        &tree,
        &root,
        "weights plain {\n encode: {variant} when variant == \"large\" else no\n}",
    );
    assert_eq!(names[0], "large.0.qkv.linear.weight");
    assert_eq!(names[6], "large.0.out.gamma");
}

/// `out = x * param gamma[c]`: the block's rules name the parameter as if it had a line of its own.
#[test]
fn a_parameter_in_place_is_named_by_its_block() {
    let mut tree = Tree::default();
    let (gamma, beta) = (tree.tensor("gamma", &[8]), tree.tensor("beta", &[8]));
    let lines = vec![node("scaled", Kind::Line, vec![gamma]), node("out", Kind::Line, vec![beta])];
    let labels = vec![("scaled".into(), true), ("out".into(), true)];
    let block = node("scale", Kind::Block { name: "scale".into(), labels, args: vec![] }, lines);
    let row = node("s", Kind::Row { stage: 0, index: 0, flat: 0, all: 0 }, vec![block]);
    let root = node("", Kind::Network, vec![row]);
    let rules = "weights t {\n s: a { gamma: ls.gamma  out: shift { beta: b } }\n}";
    assert_eq!(names(&tree, &root, rules), ["a.ls.gamma", "a.shift.b"]);
}

#[test]
fn mistakes() {
    let (tree, root) = mobilenet_v2();
    let in_blocks = |rules: &str| format!("weights t {{\n blocks: b.{{n}} {{ {rules} }}\n}}");
    let (found, said) = code(&tree, &root, &in_blocks("exapnd: a, b"));
    assert_eq!(found, "E0501");
    assert!(said.ends_with("did you mean `expand`?"), "{said}");
    let (found, said) = code(&tree, &root, &in_blocks("project: a, b, c"));
    assert_eq!(found, "E0502");
    assert!(said.contains("names 3 layers, `blocks.project` has 2: conv, bn"), "{said}");
    assert_eq!(code(&tree, &root, &in_blocks("expand: a{k}, b")).0, "E0504");
    assert_eq!(code(&tree, &root, &in_blocks("expand: a{s/3}, b")).0, "E0507");
    assert_eq!(code(&tree, &root, &in_blocks("dw: x{#foo}, b")).0, "E0504");
    let (found, said) = code(&tree, &root, &in_blocks("expand, project: a, b"));
    assert_eq!(found, "E0503");
    assert!(said.contains("`b.1.a.weight`"), "{said}");
    assert_eq!(code(&tree, &root, &in_blocks("project: cat(a, b, c), d")).0, "E0506");
    assert_eq!(code(&tree, &root, "weights t like u {\n stem: a, b\n}").0, "E0505");
    assert_eq!(code(&tree, &root, "weights t like t {\n stem: a, b\n}").0, "E0505");
    let wrong_block = "weights t {\n block bottelneck { dw: a, b }\n}";
    assert_eq!(code(&tree, &root, wrong_block).0, "E0508");
}

#[test]
fn what_only_another_variant_has_is_no_mistake() {
    let (tree, root) = mobilenet_v2();
    let network = parsed(
        "table { | operator | c |\n | stem2: conv 3x3 | 3 |\n }\nweights t {\n stem2: a, b\n}",
    );
    let nothing = |_: &str| None;
    let request = Request {
        tree: &root,
        params: &tree.params,
        dialect: network.weights.first(),
        all: &network.weights,
        known: &Known::of(&network, []),
        lookup: &nothing,
    };
    assert!(resolve(&request).is_ok());
    assert!(resolve(&Request { known: &Known::default(), ..request }).is_err());
}
