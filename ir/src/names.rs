//! Names of operators and of their attributes' values, as the text form and messages write them.

use crate::op::{Act, Binary, Interpolation, Op, PoolKind, PostOp, Reduce, Unary};

/// Gives a fieldless-by-value enum its names in both directions.
macro_rules! names {
    ($type:ty { $($value:expr => $name:literal,)* }) => {
        impl $type {
            /// All values with their names.
            pub(crate) const NAMES: &'static [($type, &'static str)] = &[$(($value, $name),)*];

            /// Its name in the text form.
            pub fn name(self) -> &'static str {
                Self::NAMES
                    .iter()
                    .find(|(value, _)| *value == self)
                    .map(|(_, name)| *name)
                    .expect("the table lists every value; a test checks that")
            }

            /// The value of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::NAMES.iter().find(|(_, n)| *n == name).map(|(value, _)| *value)
            }
        }
    };
}

names!(Unary {
    Unary::Neg => "neg",
    Unary::Abs => "abs",
    Unary::Exp => "exp",
    Unary::Log => "log",
    Unary::Sqrt => "sqrt",
    Unary::Rsqrt => "rsqrt",
    Unary::Recip => "recip",
    Unary::Square => "square",
    Unary::Act(Act::Relu) => "relu",
    Unary::Act(Act::Relu6) => "relu6",
    Unary::Act(Act::HardSwish) => "hard_swish",
    Unary::Act(Act::HardSigmoid) => "hard_sigmoid",
    Unary::Act(Act::Sigmoid) => "sigmoid",
    Unary::Act(Act::Silu) => "silu",
    Unary::Act(Act::Gelu) => "gelu",
    Unary::Act(Act::GeluTanh) => "gelu_tanh",
    Unary::Act(Act::Tanh) => "tanh",
});

names!(Binary {
    Binary::Add => "add",
    Binary::Sub => "sub",
    Binary::Mul => "mul",
    Binary::Div => "div",
    Binary::Max => "max",
    Binary::Min => "min",
    Binary::Pow => "pow",
});

names!(Reduce {
    Reduce::Sum => "reduce_sum",
    Reduce::Mean => "reduce_mean",
    Reduce::Max => "reduce_max",
    Reduce::Min => "reduce_min",
    Reduce::L2 => "reduce_l2",
});

names!(PoolKind {
    PoolKind::Max => "max_pool",
    PoolKind::Avg => "avg_pool",
});

names!(Interpolation {
    Interpolation::Nearest => "nearest",
    Interpolation::Bilinear => "bilinear",
    Interpolation::Bicubic => "bicubic",
    Interpolation::Area => "area",
});

impl Act {
    /// Its name in the text form.
    pub fn name(self) -> &'static str {
        Unary::Act(self).name()
    }
}

impl Op {
    /// Its name in the text form and in messages.
    pub fn mnemonic(&self) -> &'static str {
        match self {
            Op::Input => "input",
            Op::Param(_) => "param",
            Op::Const(_) => "const",
            Op::Conv(_) => "conv",
            Op::BatchNorm { .. } => "batch_norm",
            Op::LayerNorm { .. } => "layer_norm",
            Op::Linear => "linear",
            Op::MatMul { .. } => "matmul",
            Op::Unary(unary) => unary.name(),
            Op::Clamp { .. } => "clamp",
            Op::Affine { .. } => "affine",
            Op::Binary(binary) => binary.name(),
            Op::Pool(pool) => pool.kind.name(),
            Op::Reduce { kind, .. } => kind.name(),
            Op::Softmax { .. } => "softmax",
            Op::Concat { .. } => "concat",
            Op::Slice { .. } => "slice",
            Op::Pad { .. } => "pad",
            Op::Roll { .. } => "roll",
            Op::Gather { .. } => "gather",
            Op::Reshape { .. } => "reshape",
            Op::Transpose { .. } => "transpose",
            Op::Expand { .. } => "expand",
            Op::Resize { .. } => "resize",
        }
    }

    /// Fewest and most operands; no second number means any number.
    pub fn arity(&self) -> (usize, Option<usize>) {
        match self {
            Op::Input | Op::Param(_) | Op::Const(_) => (0, Some(0)),
            Op::Conv(_) | Op::Linear => (2, Some(3)),
            Op::BatchNorm { .. } => (5, Some(5)),
            Op::LayerNorm { .. } => (1, Some(3)),
            Op::MatMul { .. } | Op::Binary(_) => (2, Some(2)),
            Op::Concat { .. } => (1, None),
            Op::Unary(_)
            | Op::Clamp { .. }
            | Op::Affine { .. }
            | Op::Pool(_)
            | Op::Reduce { .. }
            | Op::Softmax { .. }
            | Op::Slice { .. }
            | Op::Pad { .. }
            | Op::Roll { .. }
            | Op::Gather { .. }
            | Op::Reshape { .. }
            | Op::Transpose { .. }
            | Op::Expand { .. }
            | Op::Resize { .. } => (1, Some(1)),
        }
    }
}

impl PostOp {
    /// Its name in the text form and in messages.
    pub fn mnemonic(&self) -> &'static str {
        match self {
            PostOp::Unary(unary) => unary.name(),
            PostOp::Clamp { .. } => "clamp",
            PostOp::Affine { .. } => "affine",
            PostOp::Binary { op, .. } => op.name(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    /// Every value by an exhaustive match, so that a new one fails to compile here first.
    #[test]
    fn every_value_has_a_name_of_its_own() {
        let successor = |unary| match unary {
            Unary::Neg => Some(Unary::Abs),
            Unary::Abs => Some(Unary::Exp),
            Unary::Exp => Some(Unary::Log),
            Unary::Log => Some(Unary::Sqrt),
            Unary::Sqrt => Some(Unary::Rsqrt),
            Unary::Rsqrt => Some(Unary::Recip),
            Unary::Recip => Some(Unary::Square),
            Unary::Square => Some(Unary::Act(Act::Relu)),
            Unary::Act(act) => match act {
                Act::Relu => Some(Act::Relu6),
                Act::Relu6 => Some(Act::HardSwish),
                Act::HardSwish => Some(Act::HardSigmoid),
                Act::HardSigmoid => Some(Act::Sigmoid),
                Act::Sigmoid => Some(Act::Silu),
                Act::Silu => Some(Act::Gelu),
                Act::Gelu => Some(Act::GeluTanh),
                Act::GeluTanh => Some(Act::Tanh),
                Act::Tanh => None,
            }
            .map(Unary::Act),
        };
        let all: Vec<Unary> = std::iter::successors(Some(Unary::Neg), |u| successor(*u)).collect();
        assert_eq!(all.len(), Unary::NAMES.len());
        for unary in all {
            assert_eq!(Unary::from_name(unary.name()), Some(unary));
        }
        let mut names = HashSet::new();
        let unary = Unary::NAMES.iter().map(|(_, name)| *name);
        let binary = Binary::NAMES.iter().map(|(_, name)| *name);
        let reduce = Reduce::NAMES.iter().map(|(_, name)| *name);
        let pool = PoolKind::NAMES.iter().map(|(_, name)| *name);
        for name in unary.chain(binary).chain(reduce).chain(pool) {
            assert!(names.insert(name), "{name} stands twice");
        }
        for binary in [
            Binary::Add,
            Binary::Sub,
            Binary::Mul,
            Binary::Div,
            Binary::Max,
            Binary::Min,
            Binary::Pow,
        ] {
            assert_eq!(Binary::from_name(binary.name()), Some(binary));
        }
    }
}
