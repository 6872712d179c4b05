//! Layer normalization in one pass over each row, also fused with the residual sum before it.
//!
//! Only the inputs are kept. The backward pass computes the sum and the statistics again.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::dropout::masked;
use super::output::output;
use super::sums::add_scaled;
use super::tensor::{read, slice, write_gradient};
use crate::args::{Dropout, Norm};
use crate::gradients::anchor;

pub(super) mod rows;

use rows::Input;

/// Computes LN over the last dimension.
pub(crate) fn layer_norm(x: &Tensor, norm: Norm) -> Result<Tensor> {
    let op = LayerNorm {
        eps: norm.eps as f32,
    };
    x.contiguous()?
        .apply_op3(&norm.weight.contiguous()?, &norm.bias.contiguous()?, op)
}

/// Computes LN(`residual` + dropout(`x`)).
pub(crate) fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    norm: Norm,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    let (weight, bias) = (norm.weight.contiguous()?, norm.bias.contiguous()?);
    let anchor = anchor(&[&weight, &bias]).clone();
    let op = ResidualLayerNorm {
        eps: norm.eps as f32,
        dropout,
        weight,
        bias,
    };
    x.contiguous()?
        .apply_op3(&residual.contiguous()?, &anchor, op)
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
            x: slice(self.name(), x, x_layout)?,
            residual: None,
        };
        let weight = slice(self.name(), weight, weight_layout)?;
        let bias = slice(self.name(), bias, bias_layout)?;
        let y = output(input.x.len(), |y| {
            Ok(rows::forward(input, weight, bias, self.eps, y))
        })?;
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
        let (dx, grads) = {
            let x = read(self.name(), x)?;
            let input = Input {
                x: &x,
                residual: None,
            };
            let weight = read(self.name(), weight)?;
            rows::gradients(input, &weight, &read(self.name(), &dy)?, self.eps)?
        };
        let dweight = write_gradient(self.name(), weight, |sums, beta| {
            add_scaled(sums, beta, &grads.weight);
        })?;
        let dbias = write_gradient(self.name(), bias, |sums, beta| {
            add_scaled(sums, beta, &grads.bias);
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
        let residual = slice(self.name(), residual, residual_layout)?;
        let input = Input {
            x: slice(self.name(), x, x_layout)?,
            residual: Some((residual, self.dropout)),
        };
        let weight = read(self.name(), &self.weight)?;
        let bias = read(self.name(), &self.bias)?;
        let y = output(input.x.len(), |y| {
            Ok(rows::forward(input, &weight, &bias, self.eps, y))
        })?;
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
        let (dx, grads) = {
            let x = read(self.name(), x)?;
            let residual = read(self.name(), residual)?;
            let input = Input {
                x: &x,
                residual: Some((&residual, self.dropout)),
            };
            let weight = read(self.name(), &self.weight)?;
            rows::gradients(input, &weight, &read(self.name(), &dy)?, self.eps)?
        };
        write_gradient(self.name(), &self.weight, |sums, beta| {
            add_scaled(sums, beta, &grads.weight);
        })?;
        write_gradient(self.name(), &self.bias, |sums, beta| {
            add_scaled(sums, beta, &grads.bias);
        })?;
        // This is the gradient of the sum. It is also the gradient of the residual, and that of x after the mask.
        let dresidual = Tensor::from_vec(dx, x.shape(), x.device())?;
        let dx = match self.dropout {
            Some(dropout) => {
                let sum = read(self.name(), &dresidual)?;
                let d = self.weight.elem_count();
                let dx = output(sum.len(), |dx| Ok(masked(&sum, d, dropout, dx)))?;
                Tensor::from_vec(dx, x.shape(), x.device())?
            }
            None => dresidual.clone(),
        };
        Ok((Some(dx), Some(dresidual), None))
    }
}
