//! A linear layer: y = x W^T + b. The gradients are dx = dy W, dW = dy^T x, and db, the column sums of dy.

use candle_core::{Result, Tensor};

use crate::backend::Backend;
use crate::check::Inputs;
use crate::compute::Compute;
use crate::{cpu, gpu, reference};

/// Multiplies `x` (.., Din) by the transpose of `weight` (Dout, Din) and adds `bias` (Dout) -> (.., Dout).
///
/// # Errors
/// Returns an error if a shape does not fit or a tensor is not f32.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor, compute: Compute) -> Result<Tensor> {
    const OP: &str = "linear";
    let inputs = Inputs::new(OP, "x", x)?;
    let d_in = inputs.last_dim("x", x)?;
    let d_out = inputs.last_dim("bias", bias)?;
    inputs.shape("weight", weight, &[d_out, d_in])?;
    inputs.shape("bias", bias, &[d_out])?;
    match inputs.backend {
        Backend::Cpu => cpu::linear(x, weight, bias, compute),
        Backend::Gpu => gpu::linear(x, weight, bias, compute),
        Backend::Reference => reference::linear(x, (weight, bias), compute),
    }
}
