//! The first half of a pre-norm transformer block: x + proj(attention(qkv(LN(x)))).

use candle_core::{Result, Tensor, bail};

use crate::args::{AttentionWeights, Norm};
use crate::backend::Backend;
use crate::check::Inputs;
use crate::compute::Policy;
use crate::{cpu, gpu, reference};

impl AttentionWeights<'_> {
    /// Checks the block on sequences of width `d`, given as pairs of their number and the number of tokens in each.
    pub(super) fn check(
        &self,
        op: &'static str,
        inputs: &Inputs,
        sequences: &[(usize, usize)],
        d: usize,
    ) -> Result<()> {
        for &(b, n) in sequences {
            inputs.heads((b, n, n), d, self.num_heads)?;
        }
        inputs.norm(self.norm, d)?;
        let qkv = inputs.layer("qkv", self.qkv, d)?;
        let proj = inputs.layer("proj", self.proj, d)?;
        if qkv != 3 * d || proj != d {
            bail!(
                "{op}: qkv has {qkv} outputs and proj {proj}, expected {} and {d}",
                3 * d
            );
        }
        Ok(())
    }
}

/// Computes `x` + proj(self_attention(qkv(LN(`x`)))): (B, N, D) -> (B, N, D).
///
/// `qkv` is a weight (3D, D) with the rows of q, k and v, and a bias (3D). `proj` is a weight (D, D) and a bias (D).
///
/// # Errors
/// Returns an error if a shape does not fit, a tensor is not f32, a weight is the result of an op, or the device does
/// not support `policy`.
pub fn attention_block(
    x: &Tensor,
    norm: Norm,
    qkv: (&Tensor, &Tensor),
    proj: (&Tensor, &Tensor),
    num_heads: usize,
    policy: Policy,
) -> Result<Tensor> {
    const OP: &str = "attention_block";
    let inputs = Inputs::new(OP, "x", x)?;
    let (b, n, d) = inputs.dims3("x", x)?;
    let weights = AttentionWeights {
        norm,
        qkv,
        proj,
        num_heads,
    };
    weights.check(OP, &inputs, &[(b, n)], d)?;
    inputs.policy(policy)?;
    match inputs.backend {
        Backend::Cpu => cpu::attention_block(x, weights, policy),
        Backend::Gpu => gpu::attention_block(x, weights, policy),
        Backend::Reference => reference::attention_block(x, weights, policy.compute),
    }
}
