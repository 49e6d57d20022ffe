//! Checks the rules that emitters rely on.

use super::{Count, KernelFunction, Op, UnOp};
use thiserror::Error;

/// A rule of the kernel IR that a function breaks.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("kernel `{function}`: {message}")]
pub struct CheckError {
    /// The function's name.
    pub function: String,
    /// What is wrong.
    pub message: String,
}

/// Checks that every register is written before it is read on every path, that register numbers
/// are in range, that partial accesses have `0 < n < lanes`, and that shifts are in range.
pub fn check(function: &KernelFunction) -> Result<(), CheckError> {
    let fail = |message: String| CheckError { function: function.name.clone(), message };
    if ![4, 8, 16].contains(&function.lanes) {
        return Err(fail(format!("{} lanes", function.lanes)));
    }
    if function.params > function.words {
        return Err(fail("more parameters than registers".into()));
    }
    let mut state = State {
        lanes: function.lanes,
        vectors: vec![false; function.vectors as usize],
        words: (0..function.words).map(|g| g < function.params).collect(),
    };
    state.body(&function.body).map_err(fail)
}

#[derive(Clone)]
struct State {
    lanes: u32,
    /// Whether each register has a value.
    vectors: Vec<bool>,
    words: Vec<bool>,
}

impl State {
    fn body(&mut self, body: &[Op]) -> Result<(), String> {
        body.iter().try_for_each(|op| self.op(op))
    }

    fn op(&mut self, op: &Op) -> Result<(), String> {
        let mut missing = None;
        op.vector_uses(|v| {
            if !self.vectors.get(v.0 as usize).is_some_and(|x| *x) {
                missing = Some(format!("v{} is read before it is written", v.0));
            }
        });
        op.word_uses(|g| {
            if !self.words.get(g.0 as usize).is_some_and(|x| *x) {
                missing = Some(format!("g{} is read before it is written", g.0));
            }
        });
        if let Some(message) = missing {
            return Err(message);
        }
        match op {
            Op::LoadPart { n, .. } | Op::StorePart { n, .. } | Op::Mask { n, .. }
                if *n == 0 || *n as u32 >= self.lanes =>
            {
                return Err(format!("{n} of {} lanes is not a part", self.lanes));
            }
            Op::Un { op: UnOp::Shl(n) | UnOp::Shr(n), .. } if !(1..32).contains(n) => {
                return Err(format!("shift by {n}"));
            }
            Op::Loop { count, body } => {
                let before = self.clone();
                self.body(body)?;
                // A loop that may be skipped defines nothing for what follows.
                if !matches!(count, Count::Static(1..)) {
                    *self = before;
                }
            }
            _ => {}
        }
        if let Some(v) = op.vector_def() {
            *self
                .vectors
                .get_mut(v.0 as usize)
                .ok_or_else(|| format!("v{} is out of range", v.0))? = true;
        }
        if let Some(g) = op.word_def() {
            *self
                .words
                .get_mut(g.0 as usize)
                .ok_or_else(|| format!("g{} is out of range", g.0))? = true;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Builder, G, Mem, V};
    use super::*;

    #[test]
    fn reads_before_writes_are_found() {
        let mut b = Builder::new("k", 1, 8);
        let v = b.vector();
        b.store(v, G(0), 0);
        let error = check(&b.finish()).unwrap_err();
        assert_eq!(error.to_string(), "kernel `k`: v0 is read before it is written");
    }

    #[test]
    fn a_skippable_loop_defines_nothing() {
        for (count, ok) in [(Count::Static(2), true), (Count::Reg(G(0)), false)] {
            let mut b = Builder::new("k", 1, 4);
            let v = b.vector();
            b.repeat(count, |b| b.load_n_to(v, G(0), 0, 3));
            b.store(v, G(0), 0);
            assert_eq!(check(&b.finish()).is_ok(), ok, "{count:?}");
        }
    }

    #[test]
    fn parts_must_be_parts() {
        for n in [0, 4] {
            let mut b = Builder::new("k", 1, 4);
            b.vector();
            b.push(Op::LoadPart { dst: V(0), mem: Mem { base: G(0), disp: 0 }, n });
            assert!(check(&b.finish()).is_err());
        }
    }
}
