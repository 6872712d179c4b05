//! The arithmetic of layer normalisation on the CPU, row by row.

use rayon::prelude::*;

use crate::cpu::simd::{self, vectorised};
use crate::cpu::{self, ROWS_PER_TASK};
use crate::dropout::Dropout;

/// What is normalised: `x`, or `residual` + dropout(`x`).
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    pub(crate) x: &'a [f32],
    pub(crate) residual: Option<(&'a [f32], Option<Dropout>)>,
}

impl<'a> Input<'a> {
    /// Row `i` of `d` elements, formed in `sum` if it is not stored as such.
    #[inline(always)]
    fn row<'s>(&self, i: usize, d: usize, sum: &'s mut [f32]) -> &'s [f32]
    where
        'a: 's,
    {
        let x = &self.x[i * d..][..d];
        let Some((residual, dropout)) = self.residual else {
            return x;
        };
        let terms = sum.iter_mut().zip(x.iter().zip(&residual[i * d..][..d]));
        match dropout {
            None => terms.for_each(|(sum, (&x, &r))| *sum = r + x),
            Some(dropout) => {
                let mask = dropout.row(i);
                terms.enumerate().for_each(|(col, (sum, (&x, &r)))| {
                    *sum = r + x * mask.factor(col);
                });
            }
        }
        sum
    }
}

/// Mean and reciprocal standard deviation.
#[inline(always)]
fn statistics(row: &[f32], eps: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = simd::sum(row, |v| v) / n;
    let var = simd::sum(row, |v| (v - mean) * (v - mean)) / n;
    (mean, 1.0 / (var + eps).sqrt())
}

/// Writes the normalised rows to `y`.
pub(crate) fn forward(input: Input, weight: &[f32], bias: &[f32], eps: f32, y: &mut [f32]) {
    let d = weight.len();
    y.par_chunks_mut(ROWS_PER_TASK * d)
        .enumerate()
        .for_each(|(block, y)| {
            let mut sum = vec![0.0; d];
            vectorised!(for (i, y) in y.chunks_exact_mut(d).enumerate() {
                let row = input.row(block * ROWS_PER_TASK + i, d, &mut sum);
                let (mean, rstd) = statistics(row, eps);
                for ((y, &v), (&w, &b)) in y.iter_mut().zip(row).zip(weight.iter().zip(bias)) {
                    *y = (v - mean) * rstd * w + b;
                }
            });
        });
}

/// Gradients of weight and bias.
pub(crate) struct Grads {
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// Writes the gradient of what is normalised to `dx`, plus `skip`: the gradient that reaches the input on
/// another way.
pub(crate) fn backward(
    input: Input,
    weight: &[f32],
    dy: &[f32],
    eps: f32,
    skip: Option<&[f32]>,
    dx: &mut [f32],
) -> Grads {
    let d = weight.len();
    let block_len = ROWS_PER_TASK * d;
    let partial_sums: Vec<Grads> = dx
        .par_chunks_mut(block_len)
        .zip(dy.par_chunks(block_len))
        .enumerate()
        .map(|(block, (dx, dy))| {
            let mut sum = vec![0.0; d];
            let mut grads = Grads {
                weight: vec![0.0; d],
                bias: vec![0.0; d],
            };
            vectorised!({
                let rows = dx.chunks_exact_mut(d).zip(dy.chunks_exact(d));
                for (i, (dx, dy)) in rows.enumerate() {
                    let i = block * ROWS_PER_TASK + i;
                    let row = input.row(i, d, &mut sum);
                    backward_row(row, weight, dy, eps, dx, &mut grads);
                    if let Some(skip) = skip {
                        for (dx, &skip) in dx.iter_mut().zip(&skip[i * d..][..d]) {
                            *dx += skip;
                        }
                    }
                }
            });
            grads
        })
        .collect();
    let mut grads = Grads {
        weight: vec![0.0; d],
        bias: vec![0.0; d],
    };
    for partial in &partial_sums {
        cpu::add_scaled(&mut grads.weight, 1.0, &partial.weight);
        cpu::add_scaled(&mut grads.bias, 1.0, &partial.bias);
    }
    grads
}

#[inline(always)]
fn backward_row(
    row: &[f32],
    weight: &[f32],
    dy: &[f32],
    eps: f32,
    dx: &mut [f32],
    grads: &mut Grads,
) {
    let (mean, rstd) = statistics(row, eps);
    // dx holds g = dy * weight until the means over the row are known.
    for ((dx, &dy), &w) in dx.iter_mut().zip(dy).zip(weight) {
        *dx = dy * w;
    }
    let n = row.len() as f32;
    let mean_g = simd::sum(dx, |g| g) / n;
    let mean_gn = simd::sum2(dx, row, |g, v| g * ((v - mean) * rstd)) / n;
    for (dx, &v) in dx.iter_mut().zip(row) {
        *dx = rstd * (*dx - mean_g - (v - mean) * rstd * mean_gn);
    }
    for ((sum, &dy), &v) in grads.weight.iter_mut().zip(dy).zip(row) {
        *sum += dy * ((v - mean) * rstd);
    }
    for (sum, &dy) in grads.bias.iter_mut().zip(dy) {
        *sum += dy;
    }
}
