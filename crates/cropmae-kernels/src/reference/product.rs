//! Matrix products in f32 or with operands rounded to bfloat16.

use candle_core::{DType, Result, Tensor};

use crate::compute::Compute;

/// `a` `b`, also for batches of matrices. With [`Compute::Bf16`] every product rounds its operands to bfloat16
/// and sums in the type of `a`, those of the backward pass included, as the kernels do.
pub(super) fn matmul(a: &Tensor, b: &Tensor, compute: Compute) -> Result<Tensor> {
    match compute {
        Compute::F32 => a.matmul(b),
        Compute::Bf16 => round_gradient(&round(a)?.matmul(&round(b)?)?),
    }
}

fn to_bf16_and_back(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::BF16)?.to_dtype(x.dtype())
}

/// `x` rounded, with the gradient of `x` itself. The sum is exact: the difference is a multiple of the last
/// place of `x`, and smaller than `x`.
fn round(x: &Tensor) -> Result<Tensor> {
    let constant = x.detach();
    x + (to_bf16_and_back(&constant)? - constant)?
}

/// `y` itself, whose gradient is rounded before it is passed on: it is an operand of both products of the
/// backward pass.
fn round_gradient(y: &Tensor) -> Result<Tensor> {
    let rounded = to_bf16_and_back(y)?;
    let rest = (y.detach() - rounded.detach())?;
    rounded + rest
}
