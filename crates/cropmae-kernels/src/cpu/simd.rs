//! Elementwise functions and reductions as plain loops that the compiler vectorizes.
//!
//! All functions are inlined into their callers. `vectorized` compiles the loop of the caller once per instruction set
//! (AVX-512, AVX2, NEON, baseline) and chooses one at run time, so builds do not need `target-cpu=native`. The functions
//! use no fused multiply-adds, and reductions have a fixed number of lanes, so all instruction sets give the same bits.
//! NaN stays NaN in all functions.

/// The number of independent chains of a reduction.
const LANES: usize = 32;

/// Evaluates an expression that is compiled for the best instruction set of this machine.
///
/// This is a macro because the closure must be inlined. Otherwise it would be compiled for the baseline.
macro_rules! vectorized {
    ($body:expr) => {
        $crate::cpu::simd::dispatch(
            #[inline(always)]
            || $body,
        )
    };
}

pub(crate) use vectorized;

/// Calls `f` with the best instruction set. This is the function behind `vectorized`.
#[inline(always)]
pub(crate) fn dispatch<R>(f: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(f)
}

/// Combines the chains of a reduction pairwise.
#[inline(always)]
fn join(mut acc: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            acc[i] = f(acc[i], acc[i + width]);
        }
        width /= 2;
    }
    acc[0]
}

/// Returns the sum of `f` over the elements of `x`.
#[inline(always)]
pub(crate) fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut acc = [0.0; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            acc[i] += f(chunk[i]);
        }
    }
    for (acc, &x) in acc.iter_mut().zip(tail) {
        *acc += f(x);
    }
    join(acc, |a, b| a + b)
}

/// Replaces each element of `x` by `f` of it and returns the sum.
#[inline(always)]
pub(crate) fn map_sum(x: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let (chunks, tail) = x.as_chunks_mut::<LANES>();
    let mut acc = [0.0; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            chunk[i] = f(chunk[i]);
            acc[i] += chunk[i];
        }
    }
    for (acc, x) in acc.iter_mut().zip(tail) {
        *x = f(*x);
        *acc += *x;
    }
    join(acc, |a, b| a + b)
}

/// Returns the sum of `f` over the pairs of elements of `x` and `y`.
#[inline(always)]
pub(crate) fn sum2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let (x_chunks, x_tail) = x.as_chunks::<LANES>();
    let (y_chunks, y_tail) = y.as_chunks::<LANES>();
    let mut acc = [0.0; LANES];
    for (x, y) in x_chunks.iter().zip(y_chunks) {
        for i in 0..LANES {
            acc[i] += f(x[i], y[i]);
        }
    }
    for (acc, (&x, &y)) in acc.iter_mut().zip(x_tail.iter().zip(y_tail)) {
        *acc += f(x, y);
    }
    join(acc, |a, b| a + b)
}

/// Returns the largest element. NaN may be ignored.
#[inline(always)]
pub(crate) fn max(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let (chunks, tail) = x.as_chunks::<LANES>();
    let mut acc = [f32::NEG_INFINITY; LANES];
    for chunk in chunks {
        for i in 0..LANES {
            acc[i] = larger(acc[i], chunk[i]);
        }
    }
    for (acc, &x) in acc.iter_mut().zip(tail) {
        *acc = larger(*acc, x);
    }
    join(acc, larger)
}

/// Returns e^x within 2 ulp (with the reduction of Cody and Waite and the polynomial of the Cephes library).
///
/// It is 0 below -87.3 and e^88 above 88. Softmax and GELU only need values up to e^0.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5 * 2^23 rounds to an integer and leaves it in the low bits.
    const ROUND: f32 = 12_582_912.0;
    const LN2_HI: f32 = 0.693_359_4;
    const LN2_LO: f32 = -2.121_944_4e-4;
    // Use comparisons instead of min and max, so that NaN stays NaN.
    let clamped = if x > 88.0 { 88.0 } else { x };
    let clamped = if clamped < -87.3 { -87.3 } else { clamped };
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = clamped - n * LN2_HI - n * LN2_LO;
    let p = 1.987_569_1e-4;
    let p = p * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    let p = p * (r * r) + r + 1.0;
    let exponent = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .wrapping_add(127)
        << 23;
    let y = p * f32::from_bits(exponent);
    if x < -87.3 { 0.0 } else { y }
}

/// Returns the value and the derivative of GELU at `x`.
///
/// GELU is x * Phi(x) with the exact normal distribution function Phi, not the tanh form. The results are within 2e-7 of
/// those with erf in double precision, or half a unit in the last place if that is larger.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> (f32, f32) {
    const INV_SQRT_2PI: f32 = 0.398_942_3;
    let abs = x.abs();
    let density = exp(-0.5 * (x * x));
    let tail = density * normal_tail(abs);
    let relu = if x < 0.0 { 0.0 } else { x };
    let cdf = if x < 0.0 { tail } else { 1.0 - tail };
    (relu - abs * tail, cdf + x * (INV_SQRT_2PI * density))
}

/// Returns (1 - Phi(x)) / exp(-x^2 / 2) for x >= 0.
///
/// This is a polynomial in t = 1 / (1 + 0.4 x / sqrt 2), the form of Abramowitz and Stegun 7.1.26, fitted for a relative
/// error of 1e-7 over [0, 8.5].
#[inline(always)]
fn normal_tail(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.282_842_72 * x);
    let p = 0.034_040_984;
    let p = p * t - 0.183_164_49;
    let p = p * t + 0.315_423_1;
    let p = p * t - 0.159_555_9;
    let p = p * t + 0.188_039_42;
    let p = p * t + 0.075_497_925;
    let p = p * t + 0.117_161_3;
    let p = p * t + 0.112_557_6;
    p * t
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns erfc by its series and continued fraction in double precision.
    fn normal_cdf(x: f64) -> f64 {
        let z = x.abs();
        let tail = if z < 3.0 {
            let (mut term, mut sum) = (z, z);
            for k in 1..200 {
                term *= z * z / f64::from(2 * k + 1);
                sum += term;
            }
            0.5 - sum * (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt()
        } else {
            let fraction = (1..200).rev().fold(z, |f, k| z + f64::from(k) / f);
            (-0.5 * z * z).exp() / (2.0 * std::f64::consts::PI).sqrt() / fraction
        };
        if x < 0.0 { tail } else { 1.0 - tail }
    }

    #[test]
    fn gelu_is_exact_to_2e_7() {
        for i in -100_000..=100_000 {
            let x = i as f32 * 1e-4;
            let (value, slope) = gelu(x);
            let (wide, cdf) = (f64::from(x), normal_cdf(f64::from(x)));
            let density = (-0.5 * wide * wide).exp() / (2.0 * std::f64::consts::PI).sqrt();
            let tolerance = 2e-7f64.max(6.1e-8 * wide.abs());
            assert!(
                (f64::from(value) - wide * cdf).abs() <= tolerance,
                "gelu({x}) = {value}"
            );
            assert!(
                (f64::from(slope) - cdf - wide * density).abs() <= 3e-7,
                "gelu'({x})"
            );
        }
    }

    #[test]
    fn exp_is_exact_to_2_ulp() {
        for i in -87_000..=87_990 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x).exp();
            assert!(
                (f64::from(exp(x)) / exact - 1.0).abs() < 2.4e-7,
                "exp({x}) = {}",
                exp(x)
            );
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    #[test]
    fn nan_stays_nan() {
        assert!(exp(f32::NAN).is_nan());
        assert!(gelu(f32::NAN).0.is_nan() && gelu(f32::NAN).1.is_nan());
        assert!(sum(&[1.0, f32::NAN, 2.0], |x| x).is_nan());
    }

    #[test]
    fn reductions_see_every_element() {
        for len in [0, 1, 31, 32, 33, 197, 384] {
            let x: Vec<f32> = (0..len).map(|i| (i % 7) as f32).collect();
            let expected: f32 = x.iter().sum();
            assert_eq!(sum(&x, |v| v), expected);
            assert_eq!(sum2(&x, &x, |a, b| a - 0.5 * b), 0.5 * expected);
            let mut doubled = x.clone();
            assert_eq!(map_sum(&mut doubled, |v| 2.0 * v), 2.0 * expected);
            assert!(doubled.iter().zip(&x).all(|(d, v)| *d == 2.0 * v));
            for i in 0..len {
                let mut peak = x.clone();
                peak[i] = 9.0;
                assert_eq!(max(&peak), 9.0);
            }
        }
    }
}
