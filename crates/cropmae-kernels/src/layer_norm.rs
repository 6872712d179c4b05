//! Layer normalisation (Ba et al., arXiv 1607.06450), also fused with the residual sum before it.
//!
//! y = (s - mean) * rstd * weight + bias over the last dimension, rstd = 1 / sqrt(var + eps) with the
//! biased variance. Only the inputs are kept: the backward pass recomputes the sum and the statistics.
//! With g = dy * weight and n = (s - mean) * rstd: ds = rstd * (g - mean(g) - n * mean(g * n)).

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use crate::backward::{anchor, check_leaf, weight_gradient};
use crate::check;
use crate::cpu;
use crate::dropout::{Dropout, masked};
use crate::portable;

pub(crate) mod rows;

use rows::Input;

/// `x` (.., D) normalised over D, times `weight` (D), plus `bias` (D).
///
/// # Errors
/// If a shape does not fit or a tensor is not f32.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    let op = LayerNorm { eps: eps as f32 };
    check_shapes(op.name(), x, weight, bias)?;
    if portable::needed(x) {
        return portable::layer_norm(x, weight, bias, eps);
    }
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
    if portable::needed(x) {
        let weights = (&op.weight, &op.bias);
        return portable::residual_layer_norm(x, residual, weights, eps, dropout);
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
        let mut y = cpu::output(input.x.len());
        rows::forward(input, weight, bias, self.eps, &mut y);
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
        let mut dx = cpu::output(x.elem_count());
        let grads = {
            let x = cpu::read(self.name(), x)?;
            let input = Input {
                x: &x,
                residual: None,
            };
            let weight = cpu::read(self.name(), weight)?;
            let dy = cpu::read(self.name(), &dy)?;
            rows::backward(input, &weight, &dy, self.eps, None, &mut dx)
        };
        let dweight = weight_gradient(self.name(), weight, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.weight);
        })?;
        let dbias = weight_gradient(self.name(), bias, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.bias);
        })?;
        let dx = Tensor::from_vec(dx, x.shape(), x.device())?;
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
        let mut y = cpu::output(input.x.len());
        rows::forward(input, &weight, &bias, self.eps, &mut y);
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
        let mut dx = cpu::output(x.elem_count());
        let grads = {
            let x = cpu::read(self.name(), x)?;
            let residual = cpu::read(self.name(), residual)?;
            let input = Input {
                x: &x,
                residual: Some((&residual, self.dropout)),
            };
            let weight = cpu::read(self.name(), &self.weight)?;
            let dy = cpu::read(self.name(), &dy)?;
            rows::backward(input, &weight, &dy, self.eps, None, &mut dx)
        };
        weight_gradient(self.name(), &self.weight, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.weight);
        })?;
        weight_gradient(self.name(), &self.bias, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.bias);
        })?;
        // So far the gradient of the sum: the residual's as it is, x's behind the mask.
        let dresidual = Tensor::from_vec(dx, x.shape(), x.device())?;
        let dx = match self.dropout {
            Some(dropout) => {
                let sum = cpu::read(self.name(), &dresidual)?;
                let dx = masked(&sum, self.weight.elem_count(), dropout);
                Tensor::from_vec(dx, x.shape(), x.device())?
            }
            None => dresidual.clone(),
        };
        Ok((Some(dx), Some(dresidual), None))
    }
}
