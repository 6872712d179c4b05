//! Layer normalisation (Ba et al., arXiv 1607.06450), also fused with the residual sum before it.
//!
//! y = (s - mean) * rstd * weight + bias over the last dimension, rstd = 1 / sqrt(var + eps) with the
//! biased variance. Only the inputs are kept: the backward pass recomputes the sum and the statistics.
//! With g = dy * weight and n = (s - mean) * rstd: ds = rstd * (g - mean(g) - n * mean(g * n)).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::backward::{anchor, check_leaf, weight_gradient};
use crate::check;
use crate::cpu::{self, ROWS_PER_TASK, simd};
use crate::dropout::{Dropout, masked};

/// `x` (.., D) normalised over D, times `weight` (D), plus `bias` (D).
///
/// # Errors
/// If a shape does not fit or a tensor is not f32.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let op = LayerNorm { eps: eps as f32 };
    check_shapes(op.name(), x, weight, bias)?;
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

/// LN(`residual` + dropout(`x`)), both (.., D): the step after each sub-layer of a post-norm block.
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, p is not in 0..1, or a weight is the result of an op.
pub fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);
    let anchor = anchor(&[&weight, &bias]).clone();
    let op = ResidualLayerNorm {
        eps: eps as f32,
        dropout,
        weight,
        bias,
    };
    check_shapes(op.name(), x, &op.weight, &op.bias)?;
    check::shape(op.name(), "residual", residual, x.dims())?;
    check_leaf(op.name(), "weight", &op.weight)?;
    check_leaf(op.name(), "bias", &op.bias)?;
    if let Some(dropout) = dropout {
        dropout.check(op.name())?;
    }
    x.contiguous()?
        .apply_op3(&residual.contiguous()?, &anchor, op)
}

fn check_shapes(op: &'static str, x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<()> {
    check::float(op, "x", x)?;
    let d = check::last_dim(op, "x", x)?;
    check::shape(op, "weight", weight, &[d])?;
    check::shape(op, "bias", bias, &[d])
}

struct LayerNorm {
    eps: f32,
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let input = Input {
            x: cpu::slice(self.name(), x, x_layout)?,
            residual: None,
        };
        let weight = cpu::slice(self.name(), weight, weight_layout)?;
        let bias = cpu::slice(self.name(), bias, bias_layout)?;
        let y = forward(&input, weight, bias, self.eps);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let grads = {
            let x = cpu::read(self.name(), x)?;
            let input = Input {
                x: &x,
                residual: None,
            };
            let weight = cpu::read(self.name(), weight)?;
            backward(&input, &weight, &cpu::read(self.name(), &dy)?, self.eps)
        };
        let dweight = weight_gradient(self.name(), weight, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.weight);
        })?;
        let dbias = weight_gradient(self.name(), bias, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.bias);
        })?;
        let dx = Tensor::from_vec(grads.input, x.shape(), x.device())?;
        Ok((Some(dx), dweight, dbias))
    }
}

struct ResidualLayerNorm {
    eps: f32,
    dropout: Option<Dropout>,
    weight: Tensor,
    bias: Tensor,
}

impl CustomOp3 for ResidualLayerNorm {
    fn name(&self) -> &'static str {
        "residual_layer_norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        residual: &CpuStorage,
        residual_layout: &Layout,
        _anchor: &CpuStorage,
        _anchor_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let residual = cpu::slice(self.name(), residual, residual_layout)?;
        let input = Input {
            x: cpu::slice(self.name(), x, x_layout)?,
            residual: Some((residual, self.dropout)),
        };
        let weight = cpu::read(self.name(), &self.weight)?;
        let bias = cpu::read(self.name(), &self.bias)?;
        let y = forward(&input, &weight, &bias, self.eps);
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        residual: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let grads = {
            let x = cpu::read(self.name(), x)?;
            let residual = cpu::read(self.name(), residual)?;
            let input = Input {
                x: &x,
                residual: Some((&residual, self.dropout)),
            };
            let weight = cpu::read(self.name(), &self.weight)?;
            backward(&input, &weight, &cpu::read(self.name(), &dy)?, self.eps)
        };
        weight_gradient(self.name(), &self.weight, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.weight);
        })?;
        weight_gradient(self.name(), &self.bias, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.bias);
        })?;
        let dx = match self.dropout {
            Some(dropout) => {
                let dx = masked(&grads.input, self.weight.elem_count(), dropout);
                Some(Tensor::from_vec(dx, x.shape(), x.device())?)
            }
            None => None,
        };
        let dresidual = Tensor::from_vec(grads.input, x.shape(), x.device())?;
        Ok((
            Some(dx.unwrap_or_else(|| dresidual.clone())),
            Some(dresidual),
            None,
        ))
    }
}

/// What is normalised: `x`, or `residual` + dropout(`x`).
struct Input<'a> {
    x: &'a [f32],
    residual: Option<(&'a [f32], Option<Dropout>)>,
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

fn forward(input: &Input, weight: &[f32], bias: &[f32], eps: f32) -> Vec<f32> {
    let d = weight.len();
    let mut y = cpu::output(input.x.len());
    y.par_chunks_mut(ROWS_PER_TASK * d)
        .enumerate()
        .for_each(|(block, y)| {
            let mut sum = vec![0.0; d];
            simd::dispatch(
                #[inline(always)]
                || {
                    for (i, y) in y.chunks_exact_mut(d).enumerate() {
                        let row = input.row(block * ROWS_PER_TASK + i, d, &mut sum);
                        let (mean, rstd) = statistics(row, eps);
                        for ((y, &v), (&w, &b)) in
                            y.iter_mut().zip(row).zip(weight.iter().zip(bias))
                        {
                            *y = (v - mean) * rstd * w + b;
                        }
                    }
                },
            );
        });
    y
}

struct Grads {
    /// Of what is normalised.
    input: Vec<f32>,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

fn backward(input: &Input, weight: &[f32], dy: &[f32], eps: f32) -> Grads {
    let d = weight.len();
    let block_len = ROWS_PER_TASK * d;
    let mut dx = cpu::output(dy.len());
    let partial_sums: Vec<_> = dx
        .par_chunks_mut(block_len)
        .zip(dy.par_chunks(block_len))
        .enumerate()
        .map(|(block, (dx, dy))| {
            let mut sum = vec![0.0; d];
            let mut sums = (vec![0.0; d], vec![0.0; d]);
            simd::dispatch(
                #[inline(always)]
                || {
                    let rows = dx.chunks_exact_mut(d).zip(dy.chunks_exact(d));
                    for (i, (dx, dy)) in rows.enumerate() {
                        let row = input.row(block * ROWS_PER_TASK + i, d, &mut sum);
                        backward_row(row, weight, dy, eps, dx, (&mut sums.0, &mut sums.1));
                    }
                },
            );
            sums
        })
        .collect();
    let mut grads = Grads {
        input: dx,
        weight: vec![0.0; d],
        bias: vec![0.0; d],
    };
    for (dweight, dbias) in &partial_sums {
        cpu::add_scaled(&mut grads.weight, 1.0, dweight);
        cpu::add_scaled(&mut grads.bias, 1.0, dbias);
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
    (dweight, dbias): (&mut [f32], &mut [f32]),
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
    for ((sum, &dy), &v) in dweight.iter_mut().zip(dy).zip(row) {
        *sum += dy * ((v - mean) * rstd);
    }
    for (sum, &dy) in dbias.iter_mut().zip(dy) {
        *sum += dy;
    }
}
