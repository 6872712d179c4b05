//! Pre-norm transformer blocks in a row as one op: each x + attention(LN(x)), then x + mlp(LN(x)).
//!
//! Sequences of several lengths go through as one matrix of tokens: only attention tells them apart, and a
//! short one (the few visible patches of a masked view) adds rows to products instead of products.

use candle_core::{Result, Tensor, bail};

use super::attention_block::AttentionWeights;
use super::layer_norm::Norm;
use super::mlp_block::MlpWeights;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::compute::Policy;
use crate::{cpu, reference};

/// Weights of a block: first those of [`crate::attention_block`], then those of [`crate::mlp_block`].
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// The layer norm before attention, over D.
    pub norm1: Norm<'a>,
    /// Weight (3D, D), rows q, k, v, and bias (3D).
    pub qkv: (&'a Tensor, &'a Tensor),
    /// Weight (D, D) and bias (D).
    pub proj: (&'a Tensor, &'a Tensor),
    /// Heads of the attention.
    pub num_heads: usize,
    /// The layer norm before the MLP, over D.
    pub norm2: Norm<'a>,
    /// Weight (F, D) and bias (F).
    pub fc1: (&'a Tensor, &'a Tensor),
    /// Weight (D, F) and bias (D).
    pub fc2: (&'a Tensor, &'a Tensor),
    /// How the block runs.
    pub policy: Policy,
}

impl<'a> Block<'a> {
    /// The weights of the first half.
    pub(crate) fn attention(&self) -> AttentionWeights<'a> {
        AttentionWeights {
            norm: self.norm1,
            qkv: self.qkv,
            proj: self.proj,
            num_heads: self.num_heads,
        }
    }

    /// The weights of the second half.
    pub(crate) fn mlp(&self) -> MlpWeights<'a> {
        MlpWeights {
            norm: self.norm2,
            fc1: self.fc1,
            fc2: self.fc2,
        }
    }
}

/// `blocks` one after the other on the tokens `x` (T, D) -> (T, D). `segments` says how the tokens divide into
/// sequences, as pairs of their number and the tokens in each: tokens attend inside of their sequence.
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, a weight is the result of an op, or the device cannot do what
/// a block's policy asks.
pub fn transformer(x: &Tensor, segments: &[(usize, usize)], blocks: &[Block]) -> Result<Tensor> {
    const OP: &str = "transformer";
    let inputs = Inputs::new(OP, "x", x)?;
    let d = inputs.last_dim("x", x)?;
    let tokens: usize = segments.iter().map(|(b, n)| b * n).sum();
    inputs.shape("x", x, &[tokens, d])?;
    if blocks.is_empty() {
        bail!("{OP}: expected at least one block");
    }
    for block in blocks {
        block.attention().check(OP, &inputs, segments, d)?;
        block.mlp().check(&inputs, d)?;
        inputs.policy(block.policy)?;
    }
    match inputs.backend {
        Backend::Cpu => cpu::transformer(x, segments, blocks),
        Backend::Reference => reference::transformer(x, segments, blocks),
    }
}
