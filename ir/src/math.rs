//! The error function in `f64`, and the activations.
//!
//! `erfc` is a Taylor expansion about the nearest point of a grid of step 1/16. The derivatives of
//! `erfc` at the point `c` are `-(2/√π) e^(-c²)` times Hermite polynomials, so every coefficient
//! carries the factor `e^(-c²)` and the *relative* error stays at a few units in the last place
//! down the tail. The values on the grid come from a series (small `c`) and from Laplace's
//! continued fraction (large `c`), which are accurate but slow, and are computed once.

use crate::op::{Act, Unary};
use std::f64::consts::{FRAC_2_SQRT_PI, SQRT_2};
use std::sync::LazyLock;

/// Grid points in one unit.
const STEPS: usize = 16;
/// The expansions serve arguments below this.
const GRID_END: usize = 7;
/// Coefficients of an expansion: at `c = 7` the last is below 1e-17 of the first.
const TERMS: usize = 18;

static EXPANSIONS: LazyLock<Vec<[f64; TERMS]>> =
    LazyLock::new(|| (0..=GRID_END * STEPS).map(expansion).collect());

/// Coefficients of the powers of `h` in `erfc(c + h)` for `c = index / STEPS`.
fn expansion(index: usize) -> [f64; TERMS] {
    // Exact in binary, and so is its square.
    let c = index as f64 / STEPS as f64;
    let slope = FRAC_2_SQRT_PI * (-c * c).exp();
    let mut coefficients = [0.0; TERMS];
    coefficients[0] = if c < 1.0 { 1.0 - erf_series(c) } else { erfc_fraction(c) };
    // Physicists' Hermite polynomials: H0 = 1, H1 = 2c, H(n+1) = 2c Hn - 2n H(n-1).
    let (mut before, mut hermite) = (0.0, 1.0);
    let mut factorial = 1.0;
    for (n, coefficient) in coefficients.iter_mut().skip(1).enumerate() {
        factorial *= (n + 1) as f64;
        let sign = if n % 2 == 0 { -1.0 } else { 1.0 };
        *coefficient = sign * slope * hermite / factorial;
        (before, hermite) = (hermite, 2.0 * c * hermite - 2.0 * n as f64 * before);
    }
    coefficients
}

/// Maclaurin series of erf, for `|x| <= 1`.
fn erf_series(x: f64) -> f64 {
    let square = x * x;
    let mut term = x;
    let mut sum = x;
    for n in 1..32 {
        term *= -square / n as f64;
        sum += term / (2 * n + 1) as f64;
    }
    FRAC_2_SQRT_PI * sum
}

/// Laplace's continued fraction of erfc, for `x >= 1`.
fn erfc_fraction(x: f64) -> f64 {
    // e^(-x²) with the rounding error of x² put back: it is the exponent's absolute error, and so
    // the result's relative error.
    let square = x * x;
    let high = f64::from_bits(x.to_bits() & !0x07ff_ffff);
    let low = x - high;
    let error = (high * high - square) + 2.0 * high * low + low * low;
    let gauss = (-square).exp() * (1.0 - error);
    // From the far end: as many levels as the slowest argument, 1, needs.
    let levels = if x < 3.0 { 400 } else { 60 };
    let mut tail = 0.0;
    for n in (1..=levels).rev() {
        tail = n as f64 / 2.0 / (x + tail);
    }
    gauss * FRAC_2_SQRT_PI / 2.0 / (x + tail)
}

/// The complementary error function `1 - erf(x)`.
pub fn erfc(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < 0.0 {
        return 2.0 - erfc(-x);
    }
    if x >= GRID_END as f64 {
        return if x > 27.3 { 0.0 } else { erfc_fraction(x) };
    }
    let index = (x * STEPS as f64).round() as usize;
    let h = x - index as f64 / STEPS as f64;
    EXPANSIONS[index].iter().rev().fold(0.0, |sum, coefficient| sum * h + coefficient)
}

/// The error function `2/√π ∫₀ˣ e^(-t²) dt`.
pub fn erf(x: f64) -> f64 {
    if x.abs() < 0.5 {
        // Few terms are needed here, and the relative error stays small down to 0.
        let square = x * x;
        let mut power = FRAC_2_SQRT_PI * x;
        let mut sum = power;
        for n in 1..14 {
            power *= -square / n as f64;
            sum += power / (2 * n + 1) as f64;
        }
        sum
    } else if x < 0.0 {
        erfc(-x) - 1.0
    } else {
        1.0 - erfc(x)
    }
}

/// `max(a, b)`, not a number if either is not (as PyTorch, unlike `f64::max`).
pub fn max(a: f64, b: f64) -> f64 {
    if a > b || a.is_nan() { a } else { b }
}

/// `min(a, b)`, not a number if either is not.
pub fn min(a: f64, b: f64) -> f64 {
    if a < b || a.is_nan() { a } else { b }
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

impl Act {
    /// Its value at `x`. Definitions are PyTorch's.
    pub fn eval(self, x: f64) -> f64 {
        match self {
            Act::Relu => max(x, 0.0),
            Act::Relu6 => min(max(x, 0.0), 6.0),
            Act::HardSwish => x * (min(max(x + 3.0, 0.0), 6.0) / 6.0),
            Act::HardSigmoid => min(max(x + 3.0, 0.0), 6.0) / 6.0,
            Act::Sigmoid => sigmoid(x),
            Act::Silu => x * sigmoid(x),
            // 1 + erf(z) = erfc(-z), which keeps its digits for negative z.
            Act::Gelu => x * erfc(-x / SQRT_2) / 2.0,
            Act::GeluTanh => {
                let inner = FRAC_2_SQRT_PI / SQRT_2 * (x + 0.044715 * x * x * x);
                x * (1.0 + inner.tanh()) / 2.0
            }
            Act::Tanh => x.tanh(),
        }
    }
}

impl Unary {
    /// Its value at `x`.
    pub fn eval(self, x: f64) -> f64 {
        match self {
            Unary::Neg => -x,
            Unary::Abs => x.abs(),
            Unary::Exp => x.exp(),
            Unary::Log => x.ln(),
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Recip => 1.0 / x,
            Unary::Square => x * x,
            Unary::Act(act) => act.eval(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_close(actual: f64, expected: f64, relative: f64) {
        let error = ((actual - expected) / expected).abs();
        assert!(error <= relative, "{actual:e} is not {expected:e} (relative error {error:e})");
    }

    /// Values from tables of the error function, to 20 digits as the tables print them.
    #[expect(clippy::excessive_precision)]
    #[test]
    fn error_function_has_its_tabulated_values() {
        for (x, value) in [
            (1e-3, 0.001_128_378_790_969_236_379_9),
            (0.25, 0.276_326_390_168_236_932_99),
            (0.5, 0.520_499_877_813_046_537_68),
            (0.75, 0.711_155_633_653_515_131_60),
            (1.0, 0.842_700_792_949_714_869_34),
            (1.5, 0.966_105_146_475_310_727_07),
            (2.0, 0.995_322_265_018_952_734_16),
            (3.0, 0.999_977_909_503_001_414_56),
        ] {
            assert_close(erf(x), value, 1e-15);
            assert_close(erf(-x), -value, 1e-15);
        }
        for (x, value) in [
            (0.5, 0.479_500_122_186_953_462_32),
            (1.0, 0.157_299_207_050_285_130_66),
            (2.0, 0.004_677_734_981_047_265_837_9),
            (3.0, 2.209_049_699_858_544_137_3e-5),
            (4.0, 1.541_725_790_028_001_885_2e-8),
            (5.0, 1.537_459_794_428_034_850_2e-12),
            (6.0, 2.151_973_671_249_891_311_7e-17),
            (10.0, 2.088_487_583_762_544_757_0e-45),
        ] {
            assert_close(erfc(x), value, 4e-15);
        }
    }

    /// Off the grid, the expansions agree with the slow formulas that they replace.
    #[test]
    fn expansions_agree_with_the_continued_fraction() {
        for i in 0..600 {
            let x = 1.0 + i as f64 * 0.01 + 0.003_7;
            assert_close(erfc(x), erfc_fraction(x), 3e-15);
        }
        for i in 0..100 {
            let x = i as f64 * 0.01 + 0.002_9;
            assert_close(erf(x), erf_series(x), 1e-15);
        }
    }

    #[test]
    fn ends_of_the_line() {
        assert_eq!(erf(0.0), 0.0);
        assert_eq!(erf(f64::INFINITY), 1.0);
        assert_eq!(erf(f64::NEG_INFINITY), -1.0);
        assert_eq!(erfc(f64::NEG_INFINITY), 2.0);
        assert!(erf(f64::NAN).is_nan());
    }

    #[test]
    fn activations_at_known_points() {
        for (act, x, value) in [
            (Act::Relu, -1.0, 0.0),
            (Act::Relu6, 7.0, 6.0),
            (Act::HardSwish, 1.0, 4.0 / 6.0),
            (Act::HardSwish, -4.0, 0.0),
            (Act::HardSigmoid, 0.0, 0.5),
            (Act::Sigmoid, 0.0, 0.5),
            (Act::Silu, 1.0, 0.731_058_578_630_004_9),
            (Act::Gelu, 1.0, 0.841_344_746_068_542_9),
            (Act::Gelu, -1.0, -0.158_655_253_931_457_05),
            (Act::GeluTanh, 1.0, 0.841_191_990_608_276_8),
            (Act::Tanh, 0.5, 0.462_117_157_260_009_76),
        ] {
            let y = act.eval(x);
            assert!((y - value).abs() < 1e-15, "{act:?}({x}) = {y}");
        }
        for act in [Act::Relu, Act::Relu6, Act::HardSwish, Act::HardSigmoid] {
            assert!(act.eval(f64::NAN).is_nan());
        }
    }
}
