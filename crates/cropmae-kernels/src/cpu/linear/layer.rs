//! A linear layer inside of a larger op that captures its weights.

use candle_core::{Result, Tensor};

use super::products;
use crate::compute::Compute;
use crate::cpu::gemm::Right;
use crate::cpu::output::Unset;
use crate::cpu::sums::column_sums;
use crate::cpu::tensor::{Read, read, write_gradient};

/// The weight (Dout, Din) and the bias (Dout), each a variable or a constant.
pub(in crate::cpu) struct Layer {
    op: &'static str,
    weight: Tensor,
    bias: Tensor,
    compute: Compute,
}

impl Layer {
    pub(in crate::cpu) fn new(
        op: &'static str,
        (weight, bias): (&Tensor, &Tensor),
        compute: Compute,
    ) -> Result<Self> {
        Ok(Self {
            op,
            weight: weight.contiguous()?,
            bias: bias.contiguous()?,
            compute,
        })
    }

    /// Returns the weights for `anchor`.
    pub(in crate::cpu) fn tensors(&self) -> [&Tensor; 2] {
        [&self.weight, &self.bias]
    }

    pub(in crate::cpu) fn d_out(&self) -> usize {
        self.bias.elem_count()
    }

    fn dims(&self) -> (usize, usize) {
        (self.d_out(), self.weight.elem_count() / self.d_out())
    }

    pub(in crate::cpu) fn bias(&self) -> Result<Read<'_>> {
        read(self.op, &self.bias)
    }

    pub(in crate::cpu) fn weight(&self) -> Result<Read<'_>> {
        read(self.op, &self.weight)
    }

    /// Returns W^T, prepared for any number of products `x W^T`.
    pub(in crate::cpu) fn w_t<'a>(&self, weight: &'a Read) -> Right<'a> {
        products::w_t(weight, self.dims(), self.compute)
    }

    /// Returns W, prepared for any number of products `dy W`.
    pub(in crate::cpu) fn w<'a>(&self, weight: &'a Read) -> Right<'a> {
        products::w(weight, self.dims(), self.compute)
    }

    /// Computes `y` = x W^T + b.
    pub(in crate::cpu) fn forward<'y>(&self, x: &[f32], y: Unset<'y>) -> Result<&'y mut [f32]> {
        let y = products::multiply(x, &self.w_t(&self.weight()?), y);
        products::add_bias(y, &self.bias()?);
        Ok(y)
    }

    /// Computes `y` = `y` + x W^T + b.
    pub(in crate::cpu) fn forward_add(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        products::multiply_add(x, &self.w_t(&self.weight()?), y);
        products::add_bias(y, &self.bias()?);
        Ok(())
    }

    /// Computes `dx` = dy W.
    pub(in crate::cpu) fn backward_input<'x>(
        &self,
        dy: &[f32],
        dx: Unset<'x>,
    ) -> Result<&'x mut [f32]> {
        Ok(products::multiply(dy, &self.w(&self.weight()?), dx))
    }

    /// Adds the gradients of weight and bias.
    pub(in crate::cpu) fn backward_weights(&self, x: &[f32], dy: &[f32]) -> Result<()> {
        write_gradient(self.op, &self.weight, |sums, beta| {
            products::backward_weight(dy, x, sums, beta, self.dims(), self.compute);
        })?;
        write_gradient(self.op, &self.bias, |sums, beta| {
            column_sums(dy, sums, beta)
        })?;
        Ok(())
    }
}
