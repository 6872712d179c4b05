//! Multi-head attention. Unlike the kernels, it keeps the probabilities for the backward pass.

use candle_core::{D, Result, Tensor};

use super::dropout::maybe_dropout;
use super::product::matmul;
use crate::args::Dropout;
use crate::compute::Compute;

/// Computes attention on packed rows of q, k and v.
pub(crate) fn self_attention(
    qkv: &Tensor,
    num_heads: usize,
    dropped: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    let d = qkv.dim(2)? / 3;
    let (q, kv) = (qkv.narrow(2, 0, d)?, qkv.narrow(2, d, 2 * d)?);
    cross_attention(&q, &kv, num_heads, dropped, compute)
}

/// Computes attention from q to packed rows of k and v.
pub(crate) fn cross_attention(
    q: &Tensor,
    kv: &Tensor,
    num_heads: usize,
    dropped: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    let d = q.dim(2)?;
    let exponentials = exponentials(q, &kv.narrow(2, 0, d)?, num_heads, compute)?;
    let sums = exponentials.sum_keepdim(D::Minus1)?;
    // As in the kernels, rows are divided by their sums after the product, which is important in bfloat16.
    let kept = maybe_dropout(&exponentials, dropped)?;
    let y = matmul(&kept, &heads(&kv.narrow(2, d, d)?, num_heads)?, compute)?; // (B, H, N, Dh)
    let y = y.broadcast_div(&sums)?;
    y.transpose(1, 2)?.contiguous()?.reshape(q.shape())
}

/// Returns softmax(q k^T / sqrt(Dh)), (B, H, N, M).
pub(crate) fn attention_map(q: &Tensor, k: &Tensor, num_heads: usize) -> Result<Tensor> {
    let e = exponentials(q, k, num_heads, Compute::F32)?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

/// Returns the numerators of the softmax, (B, H, N, M), which are at most 1.
fn exponentials(q: &Tensor, k: &Tensor, num_heads: usize, compute: Compute) -> Result<Tensor> {
    let scale = ((q.dim(2)? / num_heads) as f64).powf(-0.5);
    let (q, k) = (heads(q, num_heads)?, heads(k, num_heads)?);
    let scores = (matmul(&q, &k.t()?, compute)? * scale)?;
    scores
        .broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?
        .exp()
}

/// Splits heads: (B, N, D) -> (B, H, N, Dh).
fn heads(x: &Tensor, num_heads: usize) -> Result<Tensor> {
    let (b, n, d) = x.dims3()?;
    x.contiguous()?
        .reshape((b, n, num_heads, d / num_heads))?
        .transpose(1, 2)?
        .contiguous()
}
