//! Layer normalization (Ba et al., arXiv 1607.06450), alone or fused with the residual sum before it.
//!
//! y = (s - mean) * rstd * weight + bias over the last dimension, where rstd = 1 / sqrt(var + eps) with the biased
//! variance. With g = dy * weight and n = (s - mean) * rstd, the gradient is
//! ds = rstd * (g - mean(g) - n * mean(g * n)).

use candle_core::{Result, Tensor};

use crate::args::{Dropout, Norm};
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, gpu, reference};

/// Normalizes `x` (.., D) over D, multiplies it by `weight` (D) and adds `bias` (D) -> (.., D).
///
/// # Errors
/// Returns an error if a shape does not fit or a tensor is not f32.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<Tensor> {
    const OP: &str = "layer_norm";
    let inputs = Inputs::new(OP, "x", x)?;
    let d = inputs.last_dim("x", x)?;
    inputs.shape("weight", weight, &[d])?;
    inputs.shape("bias", bias, &[d])?;
    let norm = Norm { weight, bias, eps };
    match inputs.backend {
        Backend::Cpu => cpu::layer_norm(x, norm),
        Backend::Gpu => gpu::layer_norm(x, norm),
        Backend::Reference => reference::layer_norm(x, norm),
    }
}

/// Computes LN(`residual` + dropout(`x`)), both (.., D) -> (.., D).
///
/// This is the step after each sub-layer of a post-norm block. `weight` and `bias` are (D).
///
/// # Errors
/// Returns an error if a shape does not fit, a tensor is not f32, p is not in 0..1, or a weight is the result of an op.
pub fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    const OP: &str = "residual_layer_norm";
    let inputs = Inputs::new(OP, "x", x)?;
    let d = inputs.last_dim("x", x)?;
    inputs.shape("residual", residual, x.dims())?;
    for (name, tensor) in [("weight", weight), ("bias", bias)] {
        inputs.shape(name, tensor, &[d])?;
        inputs.leaf(name, tensor)?;
    }
    inputs.dropout(dropout)?;
    let norm = Norm { weight, bias, eps };
    match inputs.backend {
        Backend::Cpu => cpu::residual_layer_norm(x, residual, norm, dropout),
        Backend::Gpu => gpu::residual_layer_norm(x, residual, norm, dropout),
        Backend::Reference => reference::residual_layer_norm(x, residual, norm, dropout),
    }
}
