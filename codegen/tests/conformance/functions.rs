//! Accuracy and special values of the elementwise functions.

use crate::cases::{Cases, groups};
use crate::support::case::Case;
use crate::support::harness::random;
use crate::support::reference;
use netwright_codegen::program::*;

fn kernel(function: Function, n: usize) -> Kernel {
    let steps = vec![Post::Unary(function)];
    Kernel::Map(MapKernel { shape: vec![n], strides: vec![vec![1]], steps })
}

/// Distance between neighbouring `f32`s at a value.
fn ulp(x: f64) -> f64 {
    let size = (x.abs() as f32).max(f32::MIN_POSITIVE);
    f64::from(f32::from_bits(size.to_bits() + 1)) - f64::from(size)
}

/// Adds values of a function; `allowed` is said of an exact value and where it is taken.
fn add(cases: &mut Cases, function: Function, x: Vec<f32>, allowed: impl Fn(f64, f64) -> f64) {
    let exact = |x: &f32| reference::function(function, f64::from(*x));
    let expected: Vec<f64> = x.iter().map(exact).collect();
    let allowed = expected.iter().zip(&x).map(|(want, x)| allowed(*want, f64::from(*x))).collect();
    cases.0.push(Case { kernel: kernel(function, x.len()), values: vec![x], expected, allowed });
}

fn accuracy(cases: &mut Cases) {
    let n = 40_000;
    // Functions, ranges, and the largest error in ulp of the result.
    for (function, ranges, limit) in [
        (Function::Exp, [(-87.0, 88.7), (-1.0, 1.0)], 1.2),
        (Function::Sigmoid, [(-20.0, 20.0), (-1.0, 1.0)], 4.0),
        (Function::Sigmoid, [(-88.0, 88.0), (-80.0, -60.0)], 7.0),
        (Function::Silu, [(-20.0, 20.0), (-1.0, 1.0)], 4.0),
        (Function::Silu, [(-88.0, 88.0), (-80.0, -60.0)], 7.0),
        (Function::Tanh, [(-20.0, 20.0), (-0.7, 0.7)], 3.0),
        (Function::Log, [(1e-30, 1e30), (0.3, 3.0)], 2.0),
        (Function::Sqrt, [(0.0, 1e30), (0.0, 2.0)], 0.5),
        (Function::Rsqrt, [(1e-30, 1e30), (0.1, 2.0)], 1.5),
        (Function::Recip, [(1e-30, 1e30), (0.1, 2.0)], 0.5),
        (Function::HardSwish, [(3.0, 100.0), (-1.0, 1.0)], 3.0),
        (Function::HardSigmoid, [(3.0, 100.0), (-1.0, 1.0)], 2.0),
        (Function::Gelu, [(0.0, 10.0), (0.0, 1.0)], 4.0),
        (Function::GeluTanh, [(0.0, 10.0), (0.0, 1.0)], 4.0),
    ] {
        for (low, high) in ranges {
            let at = |i| low + (high - low) * (i as f32 / (n - 1) as f32);
            add(cases, function, (0..n).map(at).collect(), |exact, _| limit * ulp(exact));
        }
    }
}

/// Where `exp(-x)` comes near the largest `f32`, and beyond.
fn sigmoid_and_silu_of_large_values(cases: &mut Cases) {
    let x = vec![-88.3, -88.5, -89.0, -100.0, -1e4, -f32::MAX, 17.5, 88.0, 89.0, 1e4, f32::MAX];
    for function in [Function::Sigmoid, Function::Silu] {
        add(cases, function, x.clone(), |exact, _| 1e-6 * exact.abs() + 1e-36);
    }
}

/// Below 0 the GELUs are differences of nearly equal numbers: the error is relative to `x`.
fn gelu_of_negative_values(cases: &mut Cases) {
    let x: Vec<f32> = (0..20_000).map(|i| i as f32 / -2000.0).collect();
    for function in [Function::Gelu, Function::GeluTanh] {
        add(cases, function, x.clone(), |_, x| 2e-7 * x.abs());
    }
}

fn special_values(cases: &mut Cases) {
    let (inf, nan) = (f32::INFINITY, f32::NAN);
    let clamp = Function::Clamp { low: (-1.0f32).to_bits(), high: 2.0f32.to_bits() };
    for (function, expected) in [
        (Function::Relu, [nan, inf, 0.0, 0.0]),
        (clamp, [nan, 2.0, -1.0, 0.0]),
        (Function::HardSigmoid, [nan, 1.0, 0.0, 0.5]),
        (Function::HardSwish, [nan, inf, nan, 0.0]),
        (Function::Sigmoid, [nan, 1.0, 0.0, 0.5]),
        (Function::Silu, [nan, inf, nan, 0.0]),
        (Function::Gelu, [nan, inf, nan, 0.0]),
        (Function::GeluTanh, [nan, inf, nan, 0.0]),
        (Function::Tanh, [nan, 1.0, -1.0, 0.0]),
        (Function::Exp, [nan, inf, 0.0, 1.0]),
        (Function::Log, [nan, inf, nan, -inf]),
        (Function::Sqrt, [nan, inf, nan, 0.0]),
        (Function::Rsqrt, [nan, 0.0, nan, inf]),
        (Function::Recip, [nan, 0.0, 0.0, inf]),
        (Function::Square, [nan, inf, inf, 0.0]),
        (Function::Neg, [nan, -inf, inf, 0.0]),
        (Function::Abs, [nan, inf, inf, 0.0]),
    ] {
        cases.0.push(Case {
            kernel: kernel(function, 4),
            values: vec![vec![nan, inf, -inf, 0.0]],
            expected: expected.map(f64::from).to_vec(),
            allowed: vec![0.0; 4],
        });
    }
}

fn exp_reaches_subnormals_and_overflows_late(cases: &mut Cases) {
    let x = vec![-103.0, -100.0, -90.0, -88.0, 88.0, 88.7, 88.8, 200.0, -200.0];
    let expected: Vec<f64> = x.iter().map(|x| f64::from((f64::from(*x)).exp() as f32)).collect();
    // Subnormal numbers are 1.4e-45 apart.
    let allowed = |want: &f64| if want.is_finite() { 2e-7 * want + 1.5e-45 } else { 0.0 };
    let allowed = expected.iter().map(allowed).collect();
    let kernel = kernel(Function::Exp, x.len());
    cases.0.push(Case { kernel, values: vec![x], expected, allowed });
}

fn logarithms_of_small_numbers(cases: &mut Cases) {
    let x = vec![1e-45, 1e-40, f32::MIN_POSITIVE, 1e-20, 1.0, f32::MAX];
    cases.add_values(&kernel(Function::Log, x.len()), &[x], 2e-7);
}

fn affine(cases: &mut Cases) {
    let function = Function::Affine { mul: 1.25f32.to_bits(), add: (-0.5f32).to_bits() };
    cases.add_values(&kernel(function, 77), &[random(77, 5)], 1e-7);
}

fn powers(cases: &mut Cases) {
    let bases = [0.0, 0.3, 1.0, 2.5, 9.0, -2.0, -0.5, f32::INFINITY];
    let exponents = [-2.0, 0.0, 0.5, 1.0, 2.0, 3.0, 1.0 / 3.0];
    let pairs: Vec<(f32, f32)> =
        bases.iter().flat_map(|a| exponents.iter().map(|b| (*a, *b))).collect();
    let steps = vec![Post::Binary(Arithmetic::Pow, Operand::Full)];
    let strides = vec![vec![1]; 2];
    let kernel = Kernel::Map(MapKernel { shape: vec![pairs.len()], strides, steps });
    let values = [pairs.iter().map(|p| p.0).collect(), pairs.iter().map(|p| p.1).collect()];
    cases.add_values(&kernel, &values, 1e-6);
}

groups! {
    accuracy
    sigmoid_and_silu_of_large_values
    gelu_of_negative_values
    special_values
    exp_reaches_subnormals_and_overflows_late
    logarithms_of_small_numbers
    affine
    powers
}
