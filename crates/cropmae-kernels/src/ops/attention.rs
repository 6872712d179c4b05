//! Multi-head scaled dot-product attention (Vaswani et al., arXiv 1706.03762, section 3.2).
//!
//! For each head, S = Q K^T / sqrt(Dh), P = softmax(S) over the keys, and O = P V. The heads are side by side in rows.
//! Dropout is applied to P, and its mask is a function of (sample, head, query) and the key.

use candle_core::{Result, Tensor, bail};

use crate::args::Dropout;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::compute::Compute;
use crate::{cpu, gpu, reference};

/// Computes self-attention on packed `qkv` (B, N, 3D) -> (B, N, D).
///
/// Each row contains q, k and v, and the heads are contiguous inside of each of them.
///
/// # Errors
/// Returns an error if the shape does not fit `num_heads`, `qkv` is not f32, or p is not in 0..1.
pub fn self_attention(
    qkv: &Tensor,
    num_heads: usize,
    dropout: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "self_attention";
    let inputs = Inputs::new(OP, "qkv", qkv)?;
    let (b, n, width) = inputs.dims3("qkv", qkv)?;
    if !width.is_multiple_of(3) {
        bail!(
            "{OP}: qkv has shape {:?}, expected a last dimension of 3 D",
            qkv.dims()
        );
    }
    inputs.heads((b, n, n), width / 3, num_heads)?;
    inputs.dropout(dropout)?;
    match inputs.backend {
        Backend::Cpu => cpu::self_attention(qkv, num_heads, dropout, compute),
        Backend::Gpu => gpu::self_attention(qkv, num_heads, dropout, compute),
        Backend::Reference => reference::self_attention(qkv, num_heads, dropout, compute),
    }
}

/// Computes cross-attention from `q` (B, N, D) to packed `kv` (B, M, 2D), whose rows contain k and v -> (B, N, D).
///
/// # Errors
/// Returns an error if a shape does not fit, a tensor is not f32, or p is not in 0..1.
pub fn cross_attention(
    q: &Tensor,
    kv: &Tensor,
    num_heads: usize,
    dropout: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "cross_attention";
    let inputs = Inputs::new(OP, "q", q)?;
    let (b, n, d) = inputs.dims3("q", q)?;
    let (_, m, _) = inputs.dims3("kv", kv)?;
    inputs.shape("kv", kv, &[b, m, 2 * d])?;
    inputs.heads((b, n, m), d, num_heads)?;
    inputs.dropout(dropout)?;
    match inputs.backend {
        Backend::Cpu => cpu::cross_attention(q, kv, num_heads, dropout, compute),
        Backend::Gpu => gpu::cross_attention(q, kv, num_heads, dropout, compute),
        Backend::Reference => reference::cross_attention(q, kv, num_heads, dropout, compute),
    }
}

/// Returns the attention probabilities (B, H, N, M) from `q` (B, N, D) to `k` (B, M, D), for pictures.
///
/// The result has no gradient.
///
/// # Errors
/// Returns an error if a shape does not fit or a tensor is not f32.
pub fn attention_map(q: &Tensor, k: &Tensor, num_heads: usize) -> Result<Tensor> {
    const OP: &str = "attention_map";
    let inputs = Inputs::new(OP, "q", q)?;
    let (b, n, d) = inputs.dims3("q", q)?;
    let (_, m, _) = inputs.dims3("k", k)?;
    inputs.shape("k", k, &[b, m, d])?;
    inputs.heads((b, n, m), d, num_heads)?;
    let (q, k) = (q.detach(), k.detach());
    match inputs.backend {
        Backend::Cpu => cpu::attention_map(&q, &k, num_heads),
        Backend::Gpu => gpu::attention_map(&q, &k, num_heads),
        Backend::Reference => reference::attention_map(&q, &k, num_heads),
    }
}
