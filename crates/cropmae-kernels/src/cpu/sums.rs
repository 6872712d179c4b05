//! Sums over rows, and accumulated sums.

use rayon::prelude::*;

use super::ROWS_PER_TASK;
use super::simd;

/// Computes `sums` (D) = `beta` * `sums` + the sum over the rows of `x` (rows, D).
pub(crate) fn column_sums(x: &[f32], sums: &mut [f32], beta: f32) {
    // Each task sums a stripe of columns, so that each column is summed by one task in the order of rows.
    const STRIPE: usize = 64;
    let cols = sums.len();
    sums.par_chunks_mut(STRIPE)
        .enumerate()
        .for_each(|(i, sums)| {
            let mut total = [0.0f64; STRIPE];
            let total = &mut total[..sums.len()];
            simd::vectorized!({
                // These are sums of sums, and the outer ones are in f64. The rounding error of a long chain grows with
                // its length, and the terms of bias gradients may almost cancel.
                for rows in x.chunks(ROWS_PER_TASK * cols) {
                    let mut part = [0.0f32; STRIPE];
                    for row in rows.chunks_exact(cols) {
                        let row = &row[i * STRIPE..][..total.len()];
                        for (part, &v) in part.iter_mut().zip(row) {
                            *part += v;
                        }
                    }
                    for (total, part) in total.iter_mut().zip(part) {
                        *total += f64::from(part);
                    }
                }
            });
            for (sum, &total) in sums.iter_mut().zip(&*total) {
                *sum = match beta {
                    0.0 => total as f32, // the old value may be unset
                    _ => (f64::from(beta * *sum) + total) as f32,
                };
            }
        });
}

/// Computes `sums` = `beta` * `sums` + `x`. If `beta` is 0, the old values, which may be unset, are not read.
pub(crate) fn add_scaled(sums: &mut [f32], beta: f32, x: &[f32]) {
    if beta == 0.0 {
        sums.copy_from_slice(x);
    } else {
        for (sum, &x) in sums.iter_mut().zip(x) {
            *sum = beta * *sum + x;
        }
    }
}
