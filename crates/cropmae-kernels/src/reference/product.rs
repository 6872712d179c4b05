//! Matrix products in f32 or with operands rounded to bfloat16.

use candle_core::{DType, Result, Tensor};

use crate::compute::Compute;

/// Returns the product `a` `b` of matrices or of batches of matrices.
///
/// As in the kernels, with [`Compute::Bf16`] every product, including those of the backward pass, rounds its operands to
/// bfloat16 and sums in the type of `a`.
pub(super) fn matmul(a: &Tensor, b: &Tensor, compute: Compute) -> Result<Tensor> {
    match compute {
        Compute::F32 => a.matmul(b),
        Compute::Bf16 => round_gradient(&round(a)?.matmul(&round(b)?)?),
    }
}

fn to_bf16_and_back(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::BF16)?.to_dtype(x.dtype())
}

/// Rounds `x` with the gradient of the identity.
///
/// The sum is exact, because the difference is a multiple of the last place of `x` and smaller than `x`.
fn round(x: &Tensor) -> Result<Tensor> {
    let constant = x.detach();
    x + (to_bf16_and_back(&constant)? - constant)?
}

/// Returns `y` unchanged, but rounds its gradient, which is an operand of both products of the backward pass.
fn round_gradient(y: &Tensor) -> Result<Tensor> {
    let rounded = to_bf16_and_back(y)?;
    let rest = (y.detach() - rounded.detach())?;
    rounded + rest
}
