//! The layer norm at the start of a pre-norm block, inside of the block's op.

use candle_core::{Result, Tensor};

use super::layer_norm::rows::{self, Input};
use super::output::Unset;
use super::sums::add_scaled;
use super::tensor::{read, write_gradient};
use crate::args::Norm;

/// A `Norm` that an op captures.
pub(super) struct PreNorm {
    op: &'static str,
    weight: Tensor,
    bias: Tensor,
    eps: f32,
}

impl PreNorm {
    pub(super) fn new(op: &'static str, norm: Norm) -> Result<Self> {
        Ok(Self {
            op,
            weight: norm.weight.contiguous()?,
            bias: norm.bias.contiguous()?,
            eps: norm.eps as f32,
        })
    }

    /// Returns the weights for `anchor`.
    pub(super) fn tensors(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    /// Computes `h` = LN(`x`).
    pub(super) fn forward<'h>(&self, x: &[f32], h: Unset<'h>) -> Result<&'h mut [f32]> {
        let (weight, bias) = (read(self.op, &self.weight)?, read(self.op, &self.bias)?);
        let input = Input { x, residual: None };
        Ok(rows::forward(input, &weight, &bias, self.eps, h))
    }

    /// Computes `dx` = `skip` + the gradient from `dh`, and adds the gradients of the weights.
    pub(super) fn backward<'x>(
        &self,
        x: &[f32],
        dh: &[f32],
        skip: &[f32],
        dx: Unset<'x>,
    ) -> Result<&'x mut [f32]> {
        let weight = read(self.op, &self.weight)?;
        let input = Input { x, residual: None };
        let (dx, grads) = rows::backward(input, &weight, dh, self.eps, Some(skip), dx);
        drop(weight);
        write_gradient(self.op, &self.weight, |sums, beta| {
            add_scaled(sums, beta, &grads.weight);
        })?;
        write_gradient(self.op, &self.bias, |sums, beta| {
            add_scaled(sums, beta, &grads.bias);
        })?;
        Ok(dx)
    }
}
