//! A kernel on operands, with what it must compute.

use super::harness::{Emitter, backends, run, split};
use super::reference;
use netwright_codegen::operands::{Role, operands};
use netwright_codegen::program::Kernel;

/// A test of a kernel, for whatever runs it.
#[derive(Clone, Debug)]
pub struct Case {
    pub kernel: Kernel,
    /// All operands but the output; weights unpacked, as weight and bias; tables are `u32` bits.
    pub values: Vec<Vec<f32>>,
    /// The whole output.
    pub expected: Vec<f64>,
    /// How far each value may be from the expected one. NaN and infinities must be met exactly.
    pub allowed: Vec<f64>,
}

impl Case {
    /// Against plain loops; `tolerance` is relative to `1 + |expected|`.
    pub fn new(kernel: &Kernel, values: &[Vec<f32>], tolerance: f64) -> Case {
        let expected = reference::run(kernel, values);
        let allowed = |want: &f64| match want.is_finite() {
            true => tolerance * (1.0 + want.abs()),
            false => 0.0,
        };
        let allowed = expected.iter().map(allowed).collect();
        Case { kernel: kernel.clone(), values: values.to_vec(), expected, allowed }
    }

    /// Checks it on every back end. Returns the largest error as a share of what is allowed.
    pub fn check(&self) -> f64 {
        backends().into_iter().map(|backend| self.check_on(backend)).fold(0.0, f64::max)
    }

    fn check_on(&self, backend: Emitter) -> f64 {
        let kernel = &self.kernel;
        let out = run(kernel, &self.values, backend);
        assert_eq!(out.len(), self.expected.len());
        let mut worst = 0.0f64;
        for (i, got) in out.iter().enumerate() {
            let (got, want, allowed) = (f64::from(*got), self.expected[i], self.allowed[i]);
            if got == want || got.is_nan() && want.is_nan() {
                continue;
            }
            let error = (got - want).abs();
            assert!(
                error <= allowed,
                "value {i} is {got} instead of {want}, where {allowed:.2e} is allowed; \
                 {backend:?} {kernel:?}"
            );
            worst = worst.max(error / allowed);
        }
        worst
    }

    /// The operands as the kernel gets them, in its order: what each is for, and its bytes. The output's
    /// are left out.
    pub fn operands(&self) -> Vec<(Role, Vec<u8>)> {
        let (inputs, weights) = split(&self.kernel, &self.values);
        let mut inputs = inputs.into_iter();
        let mut offset = 0usize;
        let mut operand = |role: Role, bytes: usize| match role {
            Role::Input | Role::Ahead => {
                inputs.next().iter().flatten().flat_map(|v| v.to_le_bytes()).collect()
            }
            Role::Weights => {
                let start = offset.next_multiple_of(64);
                offset = start + bytes;
                weights[start..offset].to_vec()
            }
            Role::Output => vec![],
        };
        let all = operands(&self.kernel).unwrap().into_iter();
        all.map(|one| (one.role, operand(one.role, one.bytes))).collect()
    }
}
