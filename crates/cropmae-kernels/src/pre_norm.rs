//! The layer norm at the start of a pre-norm block, inside of the block's op.

use candle_core::{Result, Tensor};

use crate::backward::{check_leaf, weight_gradient};
use crate::check;
use crate::cpu;
use crate::layer_norm::rows::{self, Input};

/// The layer norm that a block begins with: weight (D), bias (D).
#[derive(Debug, Clone, Copy)]
pub struct Norm<'a> {
    /// Scale (D).
    pub weight: &'a Tensor,
    /// Shift (D).
    pub bias: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
}

/// `Norm` captured by an op.
pub(crate) struct PreNorm {
    op: &'static str,
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl PreNorm {
    pub(crate) fn new(op: &'static str, norm: Norm, d: usize) -> Result<Self> {
        for (name, weight) in [("norm.weight", norm.weight), ("norm.bias", norm.bias)] {
            check::shape(op, name, weight, &[d])?;
            check_leaf(op, name, weight)?;
        }
        Ok(Self {
            op,
            weight: norm.weight.contiguous()?,
            bias: norm.bias.contiguous()?,
            eps: norm.eps as f32,
        })
    }

    /// The weights, for `anchor`.
    pub(crate) fn tensors(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// `h` = LN(`x`).
    pub(crate) fn forward(&self, x: &[f32], h: &mut [f32]) -> Result<()> {
        let (weight, bias) = (
            cpu::read(self.op, &self.weight)?,
            cpu::read(self.op, &self.bias)?,
        );
        rows::forward(Input { x, residual: None }, &weight, &bias, self.eps, h);
        Ok(())
    }

    /// `dx` = `skip` + the gradient that `dh` sends back; delivers the gradients of the weights.
    pub(crate) fn backward(
        &self,
        x: &[f32],
        dh: &[f32],
        skip: &[f32],
        dx: &mut [f32],
    ) -> Result<()> {
        let weight = cpu::read(self.op, &self.weight)?;
        let input = Input { x, residual: None };
        let grads = rows::backward(input, &weight, dh, self.eps, Some(skip), dx);
        drop(weight);
        weight_gradient(self.op, &self.weight, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.weight);
        })?;
        weight_gradient(self.op, &self.bias, |sums, beta| {
            cpu::add_scaled(sums, beta, &grads.bias);
        })?;
        Ok(())
    }
}
