//! Measures a bare matrix product, which is the upper limit of the speed of ops that consist of products.

use std::time::Instant;

use super::gemm::{Threads, gemm};
use super::matrix::{Mat, MatMut};
use crate::compute::Compute;

/// Returns the seconds of one product (M, K) x (K, N) in the current rayon pool.
///
/// This is the median of `repeats` products after an uncounted one. The operands stay in place, so only arithmetic and
/// packing are measured.
#[must_use]
pub fn product_seconds((m, k, n): (usize, usize, usize), compute: Compute, repeats: usize) -> f64 {
    let (a, b) = (vec![0.5; m * k], vec![0.25; k * n]);
    let mut c = vec![0.0; m * n];
    let mut product = || {
        let start = Instant::now();
        gemm(
            MatMut::new(&mut c, m, n),
            0.0,
            1.0,
            Mat::new(&a, m, k),
            Mat::new(&b, k, n),
            Threads::All,
            compute,
        );
        start.elapsed().as_secs_f64()
    };
    product();
    let mut seconds: Vec<f64> = (0..repeats.max(1)).map(|_| product()).collect();
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}
