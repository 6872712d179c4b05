//! The arithmetic of layer normalization on the CPU, row by row.

use candle_core::Result;

use crate::args::Dropout;
use crate::cpu::ROWS_PER_TASK;
use crate::cpu::output::{Unset, output};
use crate::cpu::simd::{self, vectorized};
use crate::cpu::sums::add_scaled;

/// The input of the normalization: `x`, or `residual` + dropout(`x`).
#[derive(Clone, Copy)]
pub(in crate::cpu) struct Input<'a> {
    pub(in crate::cpu) x: &'a [f32],
    pub(in crate::cpu) residual: Option<(&'a [f32], Option<Dropout>)>,
}

impl<'a> Input<'a> {
    /// Returns row `i` of `d` elements, which is computed in `sum` if it is not stored.
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

/// Returns the mean and the reciprocal standard deviation.
#[inline(always)]
fn statistics(row: &[f32], eps: f32) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = simd::sum(row, |v| v) / n;
    let var = simd::sum(row, |v| (v - mean) * (v - mean)) / n;
    (mean, 1.0 / (var + eps).sqrt())
}

/// Writes the normalized rows to `y`.
pub(in crate::cpu) fn forward<'y>(
    input: Input,
    weight: &[f32],
    bias: &[f32],
    eps: f32,
    y: Unset<'y>,
) -> &'y mut [f32] {
    let d = weight.len();
    y.par_blocks(ROWS_PER_TASK * d, |block, y| {
        let mut sum = vec![0.0; d];
        let y = vectorized!(y.blocks(
            d,
            #[inline(always)]
            |i, y| {
                let row = input.row(block * ROWS_PER_TASK + i, d, &mut sum);
                let (mean, rstd) = statistics(row, eps);
                let elements = row.iter().zip(weight.iter().zip(bias));
                y.fill(elements.map(
                    #[inline(always)]
                    |(&v, (&w, &b))| (v - mean) * rstd * w + b,
                ))
            }
        ));
        (y, ())
    })
    .0
}

/// The gradients of weight and bias.
pub(in crate::cpu) struct Grads {
    pub(in crate::cpu) weight: Vec<f32>,
    pub(in crate::cpu) bias: Vec<f32>,
}

impl Grads {
    fn zeros(d: usize) -> Self {
        Self {
            weight: vec![0.0; d],
            bias: vec![0.0; d],
        }
    }
}

/// Writes the gradient of the input plus `skip` to `dx`.
///
/// `skip` is the gradient that reaches the input on another path.
pub(in crate::cpu) fn backward<'x>(
    input: Input,
    weight: &[f32],
    dy: &[f32],
    eps: f32,
    skip: Option<&[f32]>,
    dx: Unset<'x>,
) -> (&'x mut [f32], Grads) {
    let d = weight.len();
    let (dx, partial_sums) = dx.par_blocks(ROWS_PER_TASK * d, |block, dx| {
        let mut sum = vec![0.0; d];
        let mut grads = Grads::zeros(d);
        let dx = vectorized!(dx.blocks(
            d,
            #[inline(always)]
            |i, dx| {
                let i = block * ROWS_PER_TASK + i;
                let row = input.row(i, d, &mut sum);
                let dx = backward_row(row, weight, &dy[i * d..][..d], eps, dx, &mut grads);
                if let Some(skip) = skip {
                    for (dx, &skip) in dx.iter_mut().zip(&skip[i * d..][..d]) {
                        *dx += skip;
                    }
                }
                dx
            }
        ));
        (dx, grads)
    });
    let mut grads = Grads::zeros(d);
    for partial in &partial_sums {
        add_scaled(&mut grads.weight, 1.0, &partial.weight);
        add_scaled(&mut grads.bias, 1.0, &partial.bias);
    }
    (dx, grads)
}

/// Returns the gradient of the input as a vector, and those of weight and bias.
pub(in crate::cpu) fn gradients(
    input: Input,
    weight: &[f32],
    dy: &[f32],
    eps: f32,
) -> Result<(Vec<f32>, Grads)> {
    let mut grads = None;
    let dx = output(dy.len(), |dx| {
        let (dx, found) = backward(input, weight, dy, eps, None, dx);
        grads = Some(found);
        Ok(dx)
    })?;
    let none = || Grads::zeros(weight.len());
    Ok((dx, grads.unwrap_or_else(none)))
}

#[inline(always)]
fn backward_row<'x>(
    row: &[f32],
    weight: &[f32],
    dy: &[f32],
    eps: f32,
    dx: Unset<'x>,
    grads: &mut Grads,
) -> &'x mut [f32] {
    let (mean, rstd) = statistics(row, eps);
    // dx contains g = dy * weight until the means over the row are known.
    let dx = dx.fill(dy.iter().zip(weight).map(
        #[inline(always)]
        |(&dy, &w)| dy * w,
    ));
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
    dx
}
