//! Linear layer: y = x W^T + b.
//!
//! dx = dy W, dW = dy^T x, db = the column sums of dy; dW and db are added to the buffers of
//! `Gradients` by the products themselves.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use crate::backward::weight_gradient;
use crate::check;
use crate::compute::Compute;
use crate::cpu;
use crate::portable;

mod layer;
mod products;

pub(crate) use layer::Layer;
pub(crate) use products::{add_bias, backward_weight, multiply, w_t};

/// `x` (.., Din) by `weight` (Dout, Din), plus `bias` (Dout) -> (.., Dout).
///
/// # Errors
/// If a shape does not fit or a tensor is not f32.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, compute: Compute) -> Result<Tensor> {
    let op = Linear(compute);
    check::float(op.name(), "x", x)?;
    let d_in = check::last_dim(op.name(), "x", x)?;
    let d_out = bias.elem_count();
    check::shape(op.name(), "weight", weight, &[d_out, d_in])?;
    check::shape(op.name(), "bias", bias, &[d_out])?;
    if portable::needed(x) {
        return portable::linear(x, weight, bias);
    }
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
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
        let x = cpu::slice(self.name(), x, x_layout)?;
        let weight = cpu::slice(self.name(), weight, weight_layout)?;
        let bias = cpu::slice(self.name(), bias, bias_layout)?;
        let (d_out, d_in) = weight_layout.shape().dims2()?;
        let mut y = cpu::output(x.len() / d_in * d_out);
        let w_t = products::w_t(weight, (d_out, d_in), self.0);
        products::multiply(x, &w_t, &mut y, 0.0);
        products::add_bias(&mut y, bias);
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
        let dy = cpu::read(self.name(), &dy)?;
        let dx = if x.track_op() {
            let weight = cpu::read(self.name(), weight)?;
            let mut dx = cpu::output(x.elem_count());
            products::multiply(&dy, &products::w(&weight, dims, self.0), &mut dx, 0.0);
            Some(Tensor::from_vec(dx, x.shape(), x.device())?)
        } else {
            None
        };
        let dweight = {
            let x = cpu::read(self.name(), x)?;
            weight_gradient(self.name(), weight, |sums, beta| {
                products::backward_weight(&dy, &x, sums, beta, dims, self.0);
            })?
        };
        let dbias = weight_gradient(self.name(), bias, |sums, beta| {
            cpu::column_sums(&dy, sums, beta);
        })?;
        Ok((dx, dweight, dbias))
    }
}

/// The shape with another last dimension.
pub(crate) fn with_last_dim(layout: &Layout, last: usize) -> Shape {
    let mut shape = layout.dims().to_vec();
    if let Some(dim) = shape.last_mut() {
        *dim = last;
    }
    shape.into()
}
