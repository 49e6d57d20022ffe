//! Blocks, calls and primitives.

use super::{codes, expanded, lines, output, rendered};
use netwright_ir::{Op, PadMode, Padding};

#[test]
fn when_stands_for_the_first_operand() {
    let net = expanded(&lines(
        "  a = x -> conv(4)\n  b = a -> conv(8) when no\n  c = cat(b, a) -> relu when no\n  \
         d = c -> bn when no else a * 2\n",
    ));
    assert_eq!(output(&net), [1, 8, 8, 4]);
    // One convolution's weight; the lines that are not there have no parameters.
    assert_eq!(net.graph.params.len(), 1);
}

#[test]
fn flags_and_callables() {
    let text = "block act_conv(x, c, act = relu, bias = no) {\n  y = x -> conv(c, bias = bias) -> act\n}\n";
    let net = expanded(
        &(text.to_string()
            + &lines(
                "  a = x -> act_conv(4, bias)\n  b = a -> act_conv(4, act = none)\n  \
                 c = b -> act_conv(4, silu)\n  d = c -> repeat(2, act_conv(4 + i))",
            )),
    );
    let biases = net.graph.params.iter().filter(|param| param.path.ends_with("bias")).count();
    assert_eq!(biases, 1);
    assert_eq!(output(&net), [1, 8, 8, 5]);
    let paths: Vec<&str> = net.graph.params.iter().map(|param| param.path.as_str()).collect();
    assert!(paths.iter().any(|path| path.starts_with("d.0.")), "{paths:?}");
    assert!(paths.iter().any(|path| path.starts_with("d.1.")), "{paths:?}");
}

/// `ceil` and `floor` are names of functions too; as a flag of what is called they are flags.
#[test]
fn a_flag_may_have_the_name_of_a_function() {
    let text =
        "block pool(x, floor = no) {\n  y = x -> avgpool(2x2, ceil = !floor, count_pad = no)\n}\n";
    let net = |call: &str| expanded(&(text.to_string() + &lines(call)));
    assert_eq!(output(&net("  a = x -> avgpool(3x3, ceil)\n")), [1, 3, 3, 3]);
    assert_eq!(output(&net("  a = x -> avgpool(3x3)\n")), [1, 2, 2, 3]);
    // A map of one cell comes out as a vector.
    assert_eq!(output(&net("  a = x -> maxpool(3x3) -> pool(floor)\n")), [1, 3]);
}

/// A label may have an operator's name, and the operator still be called, with its flags.
#[test]
fn a_label_does_not_hide_an_operator() {
    let text = "block norm(x) {\n  mean = x -> mean(\"1 2\", keep)\n  off = x - mean\n  \
                var = off -> square -> mean(\"h w\", keep)\n  y = off * (var + 1e-5 -> rsqrt)\n}\n";
    let net = expanded(&(text.to_string() + &lines("  norm = x -> norm\n  out = norm -> norm\n")));
    assert_eq!(output(&net), [1, 8, 8, 3]);
}

#[test]
fn an_unknown_function_in_a_grid_is_one_error() {
    let text = rendered(&lines("  a = x + grid(i < 8, j < 8, c < 3 : sinus(i) + cos(j))\n"));
    assert_eq!(text.matches("error[").count(), 1, "{text}");
    assert!(text.contains("`sinus` is not known here"), "{text}");
}

#[test]
fn splits_and_arithmetic() {
    let net = expanded(&lines(
        "  q, k, v = x -> conv(12) -> split(3)\n  s = 1 - q / 2 + k ^ 2 * v\n  \
         m = maximum(s, 0) -> clamp(0, 1) -> mean(\"h w\")\n",
    ));
    assert_eq!(output(&net), [1, 4]);
    assert_eq!(codes(&lines("  a, b = x -> conv(12) -> split(3)")), ["E0208"]);
    assert_eq!(codes(&lines("  a = x -> split(2)")), ["E0301"]);
}

#[test]
fn views() {
    let net = expanded(&lines(
        "  p = x -> conv(6)\n  t = p -> view(\"(h a) (w b) c -> (a b) (h w) c\", a = 2, b = 2)\n  \
         n = t -> layer_norm\n  y = n -> view(\"(a b) (h w) c -> (h a) (w b) c\", like = p)\n",
    ));
    assert_eq!(output(&net), [1, 8, 8, 6]);
    let shuffle = expanded(&lines("  y = x -> conv(6) -> view(\"h w (g c) -> h w (c g)\", g = 3)"));
    let kinds: Vec<&str> = shuffle
        .graph
        .nodes
        .iter()
        .filter_map(|node| match node.op {
            Op::Reshape { .. } => Some("reshape"),
            Op::Transpose { .. } => Some("transpose"),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, ["reshape", "transpose", "reshape"]);
    // Only axes joined: one reshape.
    let flat = expanded(&lines("  y = x -> view(\"h w c -> (h w) c\")"));
    assert_eq!(flat.graph.nodes.len(), 2);
    assert_eq!(output(&flat), [1, 64, 3]);
    assert_eq!(codes(&lines("  y = x -> view(\"(h a) w c -> h w (a c)\")")), ["E0304"]);
    assert_eq!(codes(&lines("  y = x -> view(\"t c -> c t\")")), ["E0304"]);
    assert_eq!(codes(&lines("  y = x -> view(\"h w c -> h w c\", d = 2)")), ["E0202"]);
}

#[test]
fn padding() {
    let net = expanded(&lines(
        "  a = x -> conv(4, 3x3, stride = 2, pad = same)\n  b = a -> conv(4, 5x3, pad = 2x1)\n  \
         c = b -> conv(4, 3x3, pad = (0, 1, 0, 1)) -> pad(1, 0, 1, 0, mode = reflect)\n",
    ));
    let convs: Vec<Padding> = net
        .graph
        .nodes
        .iter()
        .filter_map(|node| match &node.op {
            Op::Conv(conv) => Some(conv.padding),
            _ => None,
        })
        .collect();
    assert_eq!(convs[0], Padding::Same);
    assert_eq!(convs[1], Padding::Explicit { top: 2, bottom: 2, left: 1, right: 1 });
    assert_eq!(convs[2], Padding::Explicit { top: 0, bottom: 1, left: 0, right: 1 });
    let reflect = net
        .graph
        .nodes
        .iter()
        .any(|node| matches!(&node.op, Op::Pad { mode: PadMode::Reflect, .. }));
    assert!(reflect);
    assert_eq!(codes(&lines("  a = x -> conv(4, 3x3, pad = symetric)")), ["E0201"]);
    assert_eq!(codes(&lines("  a = x -> conv(4, 3x3, pad = bilinear)")), ["E0306"]);
}

#[test]
fn grids_are_constants() {
    let net = expanded(&lines(
        "  w = [1, 2, 1]\n  y = x -> dwconv(3x3, pad = 0, weight = grid(o < x.c, u < 1, i < 3, j < 3 : \
         w[i] * w[j] / (if i == 1 && j == 1 then 4 else 16)))\n  \
         t = grid(i < 4 : (i * 3) % 4) \n  z = param table[4, 5] -> gather(t)\n  \
         v = y -> mean -> linear(5)\n  out = v + (z -> sum(0))\n",
    ));
    let constant = net
        .graph
        .nodes
        .iter()
        .find_map(|node| match &node.op {
            Op::Const(tensor) if tensor.shape == [3, 1, 3, 3] => Some(tensor.data.clone()),
            _ => None,
        })
        .unwrap();
    assert_eq!(
        &constant[..9],
        [1.0, 2.0, 1.0, 2.0, 16.0, 2.0, 1.0, 2.0, 1.0].map(|v: f32| v / 16.0)
    );
    let indices = net.graph.nodes.iter().find_map(|node| match &node.op {
        Op::Gather { indices, .. } => Some(indices.to_vec()),
        _ => None,
    });
    assert_eq!(indices, Some(vec![0, 3, 2, 1]));
    assert_eq!(codes(&lines("  y = x + grid(i < 3 : 1 / i)")), ["E0211"]);
}

#[test]
fn a_class_token_is_there_for_each_image() {
    let text = lines(
        "  t = x -> conv(4, 4x4, stride = 4) -> view(\"h w c -> (h w) c\")\n  \
         y = cat(param token[1, 1, 4], t, axis = 1) + (param pos[1, 5, 4] -> positions([2, 2], prefix = 1))\n  \
         z = y -> slice(1, 0, 1) -> flatten\n",
    );
    let request = super::Request { batch: 3, ..Default::default() };
    let net = super::expanded_with(&text, &request);
    assert_eq!(output(&net), [3, 4]);
    let position = net.graph.params.iter().find(|param| param.path.ends_with("pos")).unwrap();
    assert!(matches!(
        position.source,
        netwright_ir::Source::Resample { prefix: 1, grid: [2, 2], .. }
    ));
}

#[test]
fn a_wrong_operand_says_what_to_do() {
    let found = rendered(&lines(
        "  a = x -> flatten\n  b = a -> conv(8)\n  c = conv(8) + x\n  d = x -> 3\n  e = x.q\n  f = x -> conv(2.5)",
    ));
    insta::assert_snapshot!(found);
}

#[test]
fn labels_do_not_hide_operators() {
    let net = expanded(&lines(
        "  mean = x -> mean(\"h w\", keep)\n  var = x - mean -> square -> mean(\"1 2\", keep)\n  \
         y = x * var",
    ));
    assert_eq!(output(&net), [1, 8, 8, 3]);
    // What is no operator stays what the label says.
    assert_eq!(codes(&lines("  own = x -> relu\n  y = x -> own(3)")), ["E0207"]);
    // A broken line is reported once, and its label hides nothing either.
    let broken = "  mean = x -> conv(wide)\n  y = x -> mean(\"h w\", keep)";
    assert_eq!(codes(&lines(broken)), ["E0201"]);
}

/// A branch that is not there is left out of `cat`, so that one line serves any number of branches.
#[test]
fn cat_leaves_out_what_is_absent() {
    let text =
        lines("  a = x -> conv(2)\n  b = x -> conv(3) when no else none\n  y = cat(a, b, x)");
    let net = expanded(&text);
    assert_eq!(output(&net), [1, 8, 8, 5]);
    assert_eq!(codes(&lines("  a = none\n  y = x * 2 + cat(a, a)")), ["E0228"]);
}

#[test]
fn indices_are_written_in_one_grid() {
    let text =
        rendered(&lines("  i = grid(i < 8 : 7 - i)\n  y = x -> gather(i * 1, axis = \"h\")"));
    assert!(text.contains("write the whole index in one `grid(i < n : ...)`"), "{text}");
}
