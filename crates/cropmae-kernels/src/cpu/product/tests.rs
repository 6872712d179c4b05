//! Compares both number types with a plain triple loop on the rounded operands, at sizes around all limits.

use proptest::prelude::*;

use super::*;
use crate::compute::Compute;

fn values(len: usize, seed: usize) -> Vec<f32> {
    (0..len)
        .map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0)
        .collect()
}

/// Rounds to nearest even, like the instructions.
fn bf16(x: f32) -> f32 {
    let bits = x.to_bits();
    f32::from_bits((bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff_0000)
}

/// Returns `beta` + `alpha` a (m, k) b (k, n), on rounded operands.
fn naive(
    (a, b): (&[f32], &[f32]),
    (m, k, n): (usize, usize, usize),
    round: fn(f32) -> f32,
    (beta, alpha): (f32, f32),
) -> Vec<f64> {
    let at = |i: usize| {
        let products =
            (0..k).map(|p| f64::from(round(a[i / n * k + p])) * f64::from(round(b[p * n + i % n])));
        f64::from(beta) + f64::from(alpha) * products.sum::<f64>()
    };
    (0..m * n).map(at).collect()
}

fn transposed(x: &[f32], rows: usize, cols: usize) -> Vec<f32> {
    (0..x.len())
        .map(|i| x[i % rows * cols + i / rows])
        .collect()
}

/// Returns the kernels for `compute`, or records that the test skips a part.
#[track_caller]
fn kernels_or_skip(compute: Compute) -> Option<&'static Kernels> {
    let found = kernels(compute);
    if found.is_none() {
        cropmae_fixtures::skip(match compute {
            Compute::F32 => "this CPU has no AVX-512",
            Compute::Bf16 => "this CPU has no AVX-512 for bfloat16",
        });
    }
    found
}

fn check(compute: Compute, (m, k, n): (usize, usize, usize)) {
    let Some(kernels) = kernels_or_skip(compute) else {
        return;
    };
    let round = match compute {
        Compute::F32 => |x| x,
        Compute::Bf16 => bf16,
    };
    let (a, b) = (values(m * k, 1), values(k * n, 2));
    let (a_t, b_t) = (transposed(&a, m, k), transposed(&b, k, n));
    let lefts = [Mat::new(&a, m, k), Mat::new(&a_t, k, m).t()];
    let rights = [Mat::new(&b, k, n), Mat::new(&b_t, n, k).t()];
    for scales in [(0.0, 1.0), (1.0, 1.0), (0.0, 0.5), (2.0, 0.25)] {
        let expected = naive((&a, &b), (m, k, n), round, scales);
        for (left, right) in lefts.into_iter().flat_map(|l| rights.map(|r| (l, r))) {
            for threads in [Threads::One, Threads::All] {
                // If the factor is 0, the old values must not be read.
                let old = if scales.0 == 0.0 { f32::NAN } else { 1.0 };
                let mut c = vec![old; m * n];
                let panels = Panels::pack(kernels, right, threads);
                let view = MatMut::new(&mut c, m, n);
                product(kernels, view, scales, left, &panels, threads);
                for (i, (f, e)) in c.iter().zip(&expected).enumerate() {
                    // Values are below 1, and sums are computed in f32.
                    let tolerance = 1e-6 * (k as f64 + 3.0);
                    assert!(
                        (f64::from(*f) - e).abs() <= tolerance,
                        "{compute:?} {m}x{k}x{n} {scales:?} [{i}]: {f}, expected {e}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn products_match_a_triple_loop(m in 1usize..40, k in 1usize..70, n in 1usize..140) {
        check(Compute::F32, (m, k, n));
        check(Compute::Bf16, (m, k, n));
    }
}

#[test]
fn long_sums_are_split_and_joined() {
    for k in [511, 512, 513, 1023, 1025, 2100] {
        check(Compute::F32, (7, k, 80));
        check(Compute::Bf16, (7, k, 80));
    }
}

#[test]
fn many_rows_are_shared_out() {
    check(Compute::F32, (413, 20, 33));
    check(Compute::Bf16, (413, 20, 33));
}

#[test]
fn neighbors_of_a_strided_output_stay_as_they_are() {
    let Some(kernels) = kernels_or_skip(Compute::F32) else {
        return;
    };
    let (m, k, n, stride) = (8, 5, 20, 48);
    let (a, b) = (values(m * k, 1), values(k * n, 2));
    let mut data = vec![7.0; m * stride];
    // SAFETY: rows of 20 elements at distances of 48 are inside of the vector.
    let c = unsafe { MatMut::from_raw(data.as_mut_ptr(), (m, n), stride, true) };
    let (a, b) = (Mat::new(&a, m, k), Mat::new(&b, k, n));
    let panels = Panels::pack(kernels, b, Threads::One);
    product(kernels, c, (0.0, 1.0), a, &panels, Threads::One);
    for row in data.chunks_exact(stride) {
        assert!(row[..n].iter().all(|&x| x != 7.0) && row[n..].iter().all(|&x| x == 7.0));
    }
}
