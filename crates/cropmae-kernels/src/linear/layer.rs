//! A linear layer inside of a larger op, which captures its weights.

use candle_core::{Result, Tensor};

use super::products;
use crate::backward::{check_leaf, weight_gradient};
use crate::check;
use crate::compute::Compute;
use crate::cpu::gemm::Right;
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

    pub(crate) fn weight(&self) -> Result<Read<'_>> {
        cpu::read(self.op, &self.weight)
    }

    /// W^T, ready for any number of products `x W^T`.
    pub(crate) fn w_t<'a>(&self, weight: &'a Read) -> Right<'a> {
        products::w_t(weight, self.dims(), self.compute)
    }

    /// W, ready for any number of products `dy W`.
    pub(crate) fn w<'a>(&self, weight: &'a Read) -> Right<'a> {
        products::w(weight, self.dims(), self.compute)
    }

    /// `y` = `beta` * `y` + x W^T + b.
    pub(crate) fn forward(&self, x: &[f32], y: &mut [f32], beta: f32) -> Result<()> {
        products::multiply(x, &self.w_t(&self.weight()?), y, beta);
        products::add_bias(y, &self.bias()?);
        Ok(())
    }

    /// `dx` = dy W.
    pub(crate) fn backward_input(&self, dy: &[f32], dx: &mut [f32]) -> Result<()> {
        products::multiply(dy, &self.w(&self.weight()?), dx, 0.0);
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
