//! Changing the weights of a convolution or linear layer, symbolically: new weights are nodes that
//! compute them from the old ones.

use super::rewrite::Rewrite;
use netwright_ir::{Binary, NodeId, Op, ShapeError, Tensor};

/// A convolution or linear layer that could take a following affine step into its weights.
pub(super) struct Layer {
    pub id: NodeId,
    pub x: NodeId,
    pub weight: NodeId,
    pub bias: Option<NodeId>,
    pub outputs: usize,
}

/// The layer that makes `value`, if its weights may change for the sake of `user`, its only reader.
/// Otherwise why not.
pub(super) fn layer(rewrite: &Rewrite<'_>, value: NodeId, user: NodeId) -> Result<Layer, String> {
    let node = rewrite.node(value);
    if !matches!(node.op, Op::Conv(_) | Op::Linear) {
        return Err(format!("its operand is made by {}", node.op.mnemonic()));
    }
    if !node.post.is_empty() {
        return Err("the layer's value goes through further steps before".into());
    }
    if rewrite.uses(value) != 1 {
        return Err(format!(
            "the value before is also read by {}",
            rewrite.other_user(value, user)
        ));
    }
    if !node.inputs[1..].iter().all(|&input| rewrite.known(input)) {
        return Err("the layer's weights are computed from the image".into());
    }
    Ok(Layer {
        id: value,
        x: node.inputs[0],
        weight: node.inputs[1],
        bias: node.inputs.get(2).copied(),
        outputs: rewrite.shape(node.inputs[1])[0],
    })
}

impl Layer {
    /// The weights with each output's filter multiplied (divided) by an entry of `scale [O]`.
    pub fn scaled_weight(
        &self,
        rewrite: &mut Rewrite<'_>,
        op: Binary,
        scale: NodeId,
    ) -> Result<NodeId, ShapeError> {
        let mut shape = vec![1; rewrite.shape(self.weight).len()];
        shape[0] = self.outputs;
        let scale = rewrite.reshape(scale, &shape)?;
        let name = rewrite.name(self.weight).to_string();
        rewrite.push(name, Op::Binary(op), vec![self.weight, scale])
    }

    /// The bias, zeros where there is none.
    pub fn bias_or_zeros(&self, rewrite: &mut Rewrite<'_>) -> Result<NodeId, ShapeError> {
        match self.bias {
            Some(bias) => Ok(bias),
            None => {
                let name = format!("{}.zeros", rewrite.name(self.id));
                rewrite.constant(name, Tensor::zeros([self.outputs]))
            }
        }
    }

    /// Gives the layer its new weights, and lets it stand for `user` too.
    pub fn absorb(self, rewrite: &mut Rewrite<'_>, user: NodeId, weight: NodeId, bias: NodeId) {
        let node = rewrite.node(self.id);
        let (op, post) = (node.op.clone(), rewrite.node(user).post.clone());
        rewrite.set(self.id, op, vec![self.x, weight, bias], post);
        rewrite.replace(user, self.id);
    }
}
