//! The second half of a pre-norm transformer block: x + fc2(gelu(fc1(LN(x)))).

use candle_core::{Result, Tensor};

use crate::args::{MlpWeights, Norm};
use crate::backend::Backend;
use crate::check::Inputs;
use crate::compute::Policy;
use crate::{cpu, gpu, reference};

impl MlpWeights<'_> {
    /// Checks the block on rows of `d` elements.
    pub(super) fn check(&self, inputs: &Inputs, d: usize) -> Result<()> {
        inputs.shape("fc2.bias", self.fc2.1, &[d])?;
        inputs.norm(self.norm, d)?;
        let hidden = inputs.layer("fc1", self.fc1, d)?;
        inputs.layer("fc2", self.fc2, hidden)?;
        Ok(())
    }
}

/// Computes `x` + fc2(gelu(fc1(LN(`x`)))): (.., D) -> (.., D).
///
/// `fc1` is a weight (F, D) and a bias (F), and `fc2` is a weight (D, F) and a bias (D).
///
/// # Errors
/// Returns an error if a shape does not fit, a tensor is not f32, a weight is the result of an op, or the device does
/// not support `policy`.
pub fn mlp_block(
    x: &Tensor,
    norm: Norm,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    policy: Policy,
) -> Result<Tensor> {
    const OP: &str = "mlp_block";
    let inputs = Inputs::new(OP, "x", x)?;
    let d = inputs.last_dim("x", x)?;
    let weights = MlpWeights { norm, fc1, fc2 };
    weights.check(&inputs, d)?;
    inputs.policy(policy)?;
    match inputs.backend {
        Backend::Cpu => cpu::mlp_block(x, weights, policy),
        Backend::Gpu => gpu::mlp_block(x, weights, policy),
        Backend::Reference => reference::mlp_block(x, weights, policy.compute),
    }
}
