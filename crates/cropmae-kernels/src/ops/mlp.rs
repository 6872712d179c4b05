//! The feed-forward part of a transformer layer: fc2(dropout(gelu(fc1(x)))), with the exact GELU of erf.

use candle_core::{Result, Tensor};

use crate::args::Dropout;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::compute::Policy;
use crate::{cpu, gpu, reference};

/// Computes fc2(dropout(gelu(fc1(`x`)))): (.., D) -> (.., Dout).
///
/// `fc1` is a weight (F, D) and a bias (F), and `fc2` is a weight (Dout, F) and a bias (Dout).
///
/// # Errors
/// Returns an error if a shape does not fit, a tensor is not f32, p is not in 0..1, a weight is the result of an op, or
/// the device does not support `policy`.
pub fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    dropout: Option<Dropout>,
    policy: Policy,
) -> Result<Tensor> {
    const OP: &str = "mlp";
    let inputs = Inputs::new(OP, "x", x)?;
    let d_in = inputs.last_dim("x", x)?;
    let hidden = inputs.layer("fc1", fc1, d_in)?;
    inputs.layer("fc2", fc2, hidden)?;
    inputs.dropout(dropout)?;
    inputs.policy(policy)?;
    match inputs.backend {
        Backend::Cpu => cpu::mlp(x, fc1, fc2, dropout, policy),
        Backend::Gpu => gpu::mlp(x, fc1, fc2, dropout, policy),
        Backend::Reference => reference::mlp(x, fc1, fc2, dropout, policy.compute),
    }
}
