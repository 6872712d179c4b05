//! Linear layers. The products add the gradients of weights directly to their slots.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::output::output;
use super::sums::column_sums;
use super::tensor::{read, slice, write_gradient};
use crate::compute::Compute;

mod layer;
mod products;

pub(super) use layer::Layer;
pub(super) use products::{add_bias, backward_weight, multiply, multiply_add, w_t};

/// Computes x W^T + b.
pub(crate) fn linear(
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, Linear(compute))
}

struct Linear(Compute);

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
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
        let x = slice(self.name(), x, x_layout)?;
        let weight = slice(self.name(), weight, weight_layout)?;
        let bias = slice(self.name(), bias, bias_layout)?;
        let (d_out, d_in) = weight_layout.shape().dims2()?;
        let w_t = w_t(weight, (d_out, d_in), self.0);
        let y = output(x.len() / d_in * d_out, |y| {
            let y = multiply(x, &w_t, y);
            add_bias(y, bias);
            Ok(y)
        })?;
        Ok((CpuStorage::F32(y), with_last_dim(x_layout, d_out)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let dims = weight.dims2()?;
        let dy = dy.contiguous()?;
        let dy = read(self.name(), &dy)?;
        let dx = if x.track_op() {
            let weight = read(self.name(), weight)?;
            let w = products::w(&weight, dims, self.0);
            let dx = output(x.elem_count(), |dx| Ok(multiply(&dy, &w, dx)))?;
            Some(Tensor::from_vec(dx, x.shape(), x.device())?)
        } else {
            None
        };
        let dweight = {
            let x = read(self.name(), x)?;
            write_gradient(self.name(), weight, |sums, beta| {
                backward_weight(&dy, &x, sums, beta, dims, self.0);
            })?
        };
        let dbias = write_gradient(self.name(), bias, |sums, beta| {
            column_sums(&dy, sums, beta);
        })?;
        Ok((dx, dweight, dbias))
    }
}

/// Returns the shape with another last dimension.
pub(super) fn with_last_dim(layout: &Layout, last: usize) -> Shape {
    let mut shape = layout.dims().to_vec();
    if let Some(dim) = shape.last_mut() {
        *dim = last;
    }
    shape.into()
}
