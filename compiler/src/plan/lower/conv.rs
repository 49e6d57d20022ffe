//! Convolutions and linear layers.

use super::{Content, Lower, View};
use crate::plan::view::Root;
use crate::plan::winograd;
use crate::plan::{PlanError, Way};
use netwright_codegen::program::{ConvKernel, Kernel, Operand, Post, WinogradKernel};
use netwright_ir::{Conv, NodeId};

/// Most channels for which a convolution reads the caller's `[N, C, H, W]` itself: beyond, gathering
/// a pixel's channels from as many planes costs more than one pass that brings them together.
const MAX_PLANES: usize = 4;

impl Lower<'_> {
    pub(super) fn conv(&mut self, id: NodeId, conv: &Conv) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let x_id = node.inputs[0];
        let (x, y) = (graph.shape(x_id), &node.shape);
        let windows =
            conv.windows([x[1], x[2]]).map_err(|error| self.unsupported(id, &error.to_string()))?;
        let mut kernel = ConvKernel {
            batch: x[0],
            in_h: x[1],
            in_w: x[2],
            in_c: x[3],
            out_h: y[1],
            out_w: y[2],
            out_c: y[3],
            kernel: conv.kernel,
            stride: conv.stride,
            pad: [windows.border.top, windows.border.left],
            dilation: conv.dilation,
            groups: conv.groups,
            input_nchw: false,
            ahead: 0,
            epilogue: Vec::new(),
        };
        let view = self.view(x_id)?;
        let planes = matches!(view.root, Root::Input(_)) && !view.is_dense();
        let border = windows.border;
        if planes && conv.groups == 1 && x[3] <= MAX_PLANES && is_nchw(&view) {
            kernel.input_nchw = true;
            return self.product(id, kernel, view);
        }
        let x = self.dense(x_id)?;
        let pointwise = conv.kernel == [1, 1]
            && conv.stride == [1, 1]
            && conv.groups == 1
            && border.top + border.bottom + border.left + border.right == 0;
        if pointwise {
            kernel = rows(kernel);
        }
        self.product(id, kernel, x)
    }

    pub(super) fn linear(&mut self, id: NodeId) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        let x = self.dense(node.inputs[0])?;
        let [outputs, inputs] = [graph.shape(node.inputs[1])[0], graph.shape(node.inputs[1])[1]];
        let batch = if x.shape.len() > 1 { x.shape[0] } else { 1 };
        let rows_each = x.elements() / inputs / batch;
        let kernel = ConvKernel { batch, ..ConvKernel::linear(rows_each, inputs, outputs) };
        self.product(id, kernel, x)
    }

    /// Emits a convolution with its packed weights and epilogue.
    fn product(&mut self, id: NodeId, mut kernel: ConvKernel, x: View) -> Result<View, PlanError> {
        let graph = self.graph;
        let node = graph.node(id);
        if !node.inputs[1..].iter().all(|input| self.known[input.index()]) {
            return Err(self.unsupported(
                id,
                "its weights are computed from the image, but they are packed before any image is seen",
            ));
        }
        let (steps, operands, rest) = self.epilogue(id)?;
        let by_image = |post: &Post| matches!(post, Post::Binary(_, Operand::ImageChannel));
        // Rows of all images together tile better than those of each image.
        let row_by_row = kernel.kernel == [1, 1]
            && kernel.stride == [1, 1]
            && kernel.pad == [0, 0]
            && kernel.in_h == 1
            && kernel.out_h == 1
            && kernel.in_w == kernel.out_w
            && !kernel.input_nchw;
        if row_by_row && !steps.iter().any(by_image) {
            kernel.in_w *= kernel.batch;
            kernel.out_w *= kernel.batch;
            kernel.batch = 1;
        }
        let whole = ConvKernel { epilogue: steps.clone(), ..kernel.clone() };
        let (choice, used) = winograd::choose(&node.name, &whole, self.options).unzip();
        let tile = choice.as_ref().and_then(|choice| match choice.way {
            Way::Winograd(tile) => Some(tile),
            _ => None,
        });
        self.done.choices.extend(choice);
        self.done.tuned.extend(used.flatten());
        let with = |conv: ConvKernel| match tile {
            Some(tile) => Kernel::Winograd(WinogradKernel { conv, tile }),
            None => Kernel::Conv(conv),
        };
        let content = Content::Conv {
            kernel: with(kernel.clone()),
            weight: node.inputs[1],
            bias: node.inputs.get(2).copied(),
        };
        let item = self.done.weights.item(&node.name, content, 0);
        let packed = View::dense(Root::Weights(item), &[]);
        kernel.epilogue = steps;
        let out = self.buffer(&node.name, &node.shape);
        let mut args = vec![x, packed, out.clone()];
        args.extend(operands);
        self.emit(&node.name, with(kernel), &args, 2, Vec::new());
        self.steps_after(id, out, rest)
    }
}

/// A pointwise convolution sees rows and columns alike.
fn rows(kernel: ConvKernel) -> ConvKernel {
    ConvKernel {
        in_h: 1,
        in_w: kernel.in_h * kernel.in_w,
        out_h: 1,
        out_w: kernel.out_h * kernel.out_w,
        ..kernel
    }
}

/// Whether a map is the whole of a caller's `[N, C, H, W]`.
fn is_nchw(view: &View) -> bool {
    let planes = view.transpose(&[0, 3, 1, 2]);
    planes.offset == 0 && planes.is_dense()
}
