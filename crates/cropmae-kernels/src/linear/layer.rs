//! A linear layer inside of a larger op, which captures its weights.

use candle_core::{Result, Tensor};

use super::products;
use crate::backward::{check_leaf, weight_gradient};
use crate::check;
use crate::compute::Compute;
use crate::cpu::{self, Read};

/// Weight (Dout, Din) and bias (Dout), each a variable or a constant.
pub(crate) struct Layer {
    op: &'static str,
    weight: Tensor,
    bias: Tensor,
    compute: Compute,
}

impl Layer {
    /// `name` stands before "weight" and "bias" in messages.
    pub(crate) fn new(
        op: &'static str,
        name: &str,
        (weight, bias): (&Tensor, &Tensor),
        d_in: usize,
        compute: Compute,
    ) -> Result<Self> {
        let (weight_name, bias_name) = (format!("{name}.weight"), format!("{name}.bias"));
        let d_out = check::last_dim(op, &bias_name, bias)?;
        check::shape(op, &bias_name, bias, &[d_out])?;
        check::shape(op, &weight_name, weight, &[d_out, d_in])?;
        check_leaf(op, &weight_name, weight)?;
        check_leaf(op, &bias_name, bias)?;
        Ok(Self {
            op,
            weight: weight.contiguous()?,
            bias: bias.contiguous()?,
            compute,
        })
    }

    /// The weights, for `anchor`.
    pub(crate) fn tensors(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    pub(crate) fn d_out(&self) -> usize {
        self.bias.elem_count()
    }

    fn dims(&self) -> (usize, usize) {
        (self.d_out(), self.weight.elem_count() / self.d_out())
    }

    pub(crate) fn bias(&self) -> Result<Read<'_>> {
        cpu::read(self.op, &self.bias)
    }

    /// `y` = `beta` * `y` + x W^T, without the bias.
    pub(crate) fn product(&self, x: &[f32], y: &mut [f32], beta: f32) -> Result<()> {
        let weight = cpu::read(self.op, &self.weight)?;
        products::forward(x, &weight, y, beta, self.dims(), self.compute);
        Ok(())
    }

    /// `y` = `beta` * `y` + x W^T + b.
    pub(crate) fn forward(&self, x: &[f32], y: &mut [f32], beta: f32) -> Result<()> {
        self.product(x, y, beta)?;
        products::add_bias(y, &self.bias()?);
        Ok(())
    }

    /// `dx` = dy W.
    pub(crate) fn backward_input(&self, dy: &[f32], dx: &mut [f32]) -> Result<()> {
        let weight = cpu::read(self.op, &self.weight)?;
        products::backward_input(dy, &weight, dx, self.dims(), self.compute);
        Ok(())
    }

    /// Delivers the gradients of weight and bias.
    pub(crate) fn backward_weights(&self, x: &[f32], dy: &[f32]) -> Result<()> {
        weight_gradient(self.op, &self.weight, |sums, beta| {
            products::backward_weight(dy, x, sums, beta, self.dims(), self.compute);
        })?;
        weight_gradient(self.op, &self.bias, |sums, beta| {
            cpu::column_sums(dy, sums, beta)
        })?;
        Ok(())
    }
}
