//! Pre-norm transformer blocks.

use candle_core::{Result, Tensor};

use super::attention::self_attention;
use super::layer_norm::layer_norm;
use super::linear::linear;
use super::mlp::mlp;
use crate::args::{AttentionWeights, BlockWeights, MlpWeights};
use crate::compute::Compute;

/// Computes x + proj(self_attention(qkv(LN(x)))).
pub(crate) fn attention_block(
    x: &Tensor,
    weights: AttentionWeights,
    compute: Compute,
) -> Result<Tensor> {
    let h = layer_norm(x, weights.norm)?;
    let qkv = linear(&h, weights.qkv, compute)?;
    let y = self_attention(&qkv, weights.num_heads, None, compute)?;
    x + linear(&y, weights.proj, compute)?
}

/// Computes x + fc2(gelu(fc1(LN(x)))).
pub(crate) fn mlp_block(x: &Tensor, weights: MlpWeights, compute: Compute) -> Result<Tensor> {
    let h = layer_norm(x, weights.norm)?;
    x + mlp(&h, weights.fc1, weights.fc2, None, compute)?
}

/// Applies blocks to segments of sequences, one segment after the other.
pub(crate) fn transformer(
    x: &Tensor,
    segments: &[(usize, usize)],
    blocks: &[BlockWeights],
) -> Result<Tensor> {
    let d = x.dim(1)?;
    let mut first = 0;
    let mut done = Vec::with_capacity(segments.len());
    for &(b, n) in segments {
        let mut x = x.narrow(0, first, b * n)?.reshape((b, n, d))?;
        first += b * n;
        for block in blocks {
            x = attention_block(&x, block.attention(), block.policy.compute)?;
            x = mlp_block(&x, block.mlp(), block.policy.compute)?;
        }
        done.push(x.reshape((b * n, d))?);
    }
    Tensor::cat(&done, 0)
}
