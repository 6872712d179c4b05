//! A linear layer.

use candle_core::{Result, Tensor};

use super::product::matmul;
use crate::compute::Compute;

/// Computes x W^T + b.
pub(crate) fn linear(
    x: &Tensor,
    (weight, bias): (&Tensor, &Tensor),
    compute: Compute,
) -> Result<Tensor> {
    let (d_out, d_in) = weight.dims2()?;
    let mut shape = x.dims().to_vec();
    shape.pop();
    shape.push(d_out);
    let rows = x.contiguous()?.reshape(((), d_in))?;
    matmul(&rows, &weight.t()?, compute)?
        .broadcast_add(bias)?
        .reshape(shape)
}
