//! Making a graph, node by node.

use crate::graph::{Graph, Node, NodeId, Param};
use crate::infer::{ShapeError, elements, infer};
use crate::op::Op;
use crate::tensor::Tensor;
use std::sync::Arc;

impl Graph {
    /// The node of that id.
    ///
    /// # Panics
    /// When the id is of another graph; ids that this graph gave are always good.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// Shape of the value of that id.
    ///
    /// # Panics
    /// As [`Graph::node`].
    pub fn shape(&self, id: NodeId) -> &[usize] {
        &self.node(id).shape
    }

    /// Ids of all nodes in order.
    pub fn ids(&self) -> impl DoubleEndedIterator<Item = NodeId> + use<> {
        (0..self.nodes.len() as u32).map(NodeId)
    }

    /// Appends an input of that shape.
    ///
    /// # Errors
    /// When the shape is empty or too large.
    pub fn input(
        &mut self,
        name: impl Into<String>,
        shape: Vec<usize>,
    ) -> Result<NodeId, ShapeError> {
        elements(&shape)?;
        self.append(name.into(), Op::Input, Vec::new(), shape)
    }

    /// Appends a constant.
    ///
    /// # Errors
    /// When its shape is empty or too large.
    pub fn constant(
        &mut self,
        name: impl Into<String>,
        tensor: Tensor,
    ) -> Result<NodeId, ShapeError> {
        self.push(name, Op::Const(Arc::new(tensor)), Vec::new())
    }

    /// Appends a parameter and the node that reads it, which has the parameter's path as its name.
    /// Shapes are checked by [`crate::verify()`].
    ///
    /// # Panics
    /// When the graph already has `u32::MAX` nodes.
    pub fn param(&mut self, param: Param) -> NodeId {
        let (name, shape) = (param.path.clone(), param.shape.clone());
        self.params.push(param);
        self.append(name, Op::Param(self.params.len() - 1), Vec::new(), shape)
            .expect("a graph of u32::MAX nodes does not fit into memory")
    }

    /// Appends a node whose shape follows from its operands.
    ///
    /// # Errors
    /// When the operator does not apply to the operands; the graph is then unchanged.
    pub fn push(
        &mut self,
        name: impl Into<String>,
        op: Op,
        inputs: Vec<NodeId>,
    ) -> Result<NodeId, ShapeError> {
        let shapes: Option<Vec<&[usize]>> = inputs
            .iter()
            .map(|id| self.nodes.get(id.index()).map(|node| node.shape.as_slice()))
            .collect();
        let shapes = shapes.ok_or_else(|| ShapeError::new("an operand is not in the graph"))?;
        let shape = infer(&op, &shapes, &self.params)?;
        self.append(name.into(), op, inputs, shape)
    }

    fn append(
        &mut self,
        name: String,
        op: Op,
        inputs: Vec<NodeId>,
        shape: Vec<usize>,
    ) -> Result<NodeId, ShapeError> {
        let id = u32::try_from(self.nodes.len())
            .map_err(|_| ShapeError::new("the graph has too many nodes"))?;
        self.nodes.push(Node { name, op, inputs, post: Vec::new(), shape });
        Ok(NodeId(id))
    }
}
