//! Multi-head scaled dot-product attention (Vaswani et al., arXiv 1706.03762, section 3.2).
//!
//! Queries, keys and values are read in place from packed rows; the heads lie side by side in a row.
//! A head's keys and values are packed once; its queries go over them in tiles, whose probabilities exist
//! only in scratch memory. The forward pass keeps the log of each row's sum of exponentials, from which
//! the backward pass forms the probabilities again (Dao et al., arXiv 2205.14135):
//! P = exp(S - lse), dV = P^T dO, dP = dO V^T, dS = P * (dP - rowsum(dO * O)), dQ = dS K, dK = dS^T Q.
//! Dropout acts on P; its mask is a function of (sample, head, query) and the key.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::check;
use crate::compute::Compute;
use crate::cpu;
use crate::cpu::shared::PartMut;
use crate::dropout::Dropout;
use crate::portable;

mod block;
mod heads;
mod tile;

pub use block::attention_block;
pub(crate) use block::{AttentionBlock, AttentionWeights};
use heads::{Heads, Rows};

/// Self-attention on packed `qkv` (B, N, 3D), rows q, k, v, heads contiguous inside each -> (B, N, D).
///
/// # Errors
/// If the shape does not fit `num_heads`, `qkv` is not f32, or p is not in 0..1.
pub fn self_attention(
    qkv: &Tensor,
    num_heads: usize,
    dropout: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "self_attention";
    let (b, n, width) = check::dims3(OP, "qkv", qkv)?;
    if !width.is_multiple_of(3) {
        bail!(
            "{OP}: qkv has shape {:?}, expected a last dimension of 3 D",
            qkv.dims()
        );
    }
    let heads = Heads::new(OP, (b, n, n), width / 3, num_heads, dropout, compute)?;
    if portable::needed(qkv) {
        return portable::self_attention(qkv, num_heads, dropout);
    }
    qkv.contiguous()?.apply_op1(SelfAttention {
        heads,
        lse: OnceLock::new(),
    })
}

/// Cross-attention of `q` (B, N, D) on packed `kv` (B, M, 2D), rows k, v -> (B, N, D).
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, or p is not in 0..1.
pub fn cross_attention(
    q: &Tensor,
    kv: &Tensor,
    num_heads: usize,
    dropout: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "cross_attention";
    let (b, n, d) = check::dims3(OP, "q", q)?;
    let (_, m, _) = check::dims3(OP, "kv", kv)?;
    check::shape(OP, "kv", kv, &[b, m, 2 * d])?;
    let heads = Heads::new(OP, (b, n, m), d, num_heads, dropout, compute)?;
    if portable::needed(q) {
        return portable::cross_attention(q, kv, num_heads, dropout);
    }
    let op = CrossAttention {
        heads,
        lse: OnceLock::new(),
    };
    q.contiguous()?.apply_op2(&kv.contiguous()?, op)
}

/// Attention probabilities (B, H, N, M) of `q` (B, N, D) on `k` (B, M, D), for pictures; not
/// differentiable.
///
/// # Errors
/// If a shape does not fit or a tensor is not f32.
pub fn attention_map(q: &Tensor, k: &Tensor, num_heads: usize) -> Result<Tensor> {
    const OP: &str = "attention_map";
    let (b, n, d) = check::dims3(OP, "q", q)?;
    let (_, m, _) = check::dims3(OP, "k", k)?;
    check::shape(OP, "k", k, &[b, m, d])?;
    let heads = Heads::new(OP, (b, n, m), d, num_heads, None, Compute::F32)?;
    if portable::needed(q) {
        return portable::attention_map(q, k, num_heads);
    }
    q.contiguous()?
        .apply_op2_no_bwd(&k.contiguous()?, &AttentionMap(heads))
}

struct SelfAttention {
    heads: Heads,
    /// (B, H, N), written by the forward pass.
    lse: OnceLock<Vec<f32>>,
}

impl CustomOp1 for SelfAttention {
    fn name(&self) -> &'static str {
        "self_attention"
    }

    fn cpu_fwd(&self, qkv: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let rows = Rows::unpack(cpu::slice(self.name(), qkv, layout)?, self.heads.width());
        let mut y = cpu::output(self.heads.output_len());
        let lse = self.heads.forward(rows, &mut y);
        self.lse.get_or_init(|| lse);
        Ok((CpuStorage::F32(y), self.heads.output_shape()))
    }

    fn bwd(&self, qkv: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let (y, dy) = (cpu::read(self.name(), y)?, cpu::read(self.name(), &dy)?);
        let mut dqkv = cpu::output(qkv.elem_count());
        {
            let packed = cpu::read(self.name(), qkv)?;
            let lse = self.lse.get().map(Vec::as_slice).unwrap_or_default();
            let [dq, dk, dv] = PartMut::split(&mut dqkv, self.heads.width());
            let rows = Rows::unpack(&packed, self.heads.width());
            self.heads.backward(rows, (&y, lse), &dy, [&dq, &dk, &dv]);
        }
        Tensor::from_vec(dqkv, qkv.shape(), qkv.device()).map(Some)
    }
}

struct CrossAttention {
    heads: Heads,
    /// (B, H, N), written by the forward pass.
    lse: OnceLock<Vec<f32>>,
}

impl CrossAttention {
    /// Views of q, k and v.
    fn unpack<'a>(&self, q: &'a [f32], kv: &'a [f32]) -> [Rows<'a>; 3] {
        let [q] = Rows::unpack(q, self.heads.width());
        let [k, v] = Rows::unpack(kv, self.heads.width());
        [q, k, v]
    }
}

impl CustomOp2 for CrossAttention {
    fn name(&self) -> &'static str {
        "cross_attention"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        kv: &CpuStorage,
        kv_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let q = cpu::slice(self.name(), q, q_layout)?;
        let rows = self.unpack(q, cpu::slice(self.name(), kv, kv_layout)?);
        let mut y = cpu::output(self.heads.output_len());
        let lse = self.heads.forward(rows, &mut y);
        self.lse.get_or_init(|| lse);
        Ok((CpuStorage::F32(y), self.heads.output_shape()))
    }

    fn bwd(
        &self,
        q: &Tensor,
        kv: &Tensor,
        y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let (y, dy) = (cpu::read(self.name(), y)?, cpu::read(self.name(), &dy)?);
        let mut dq = cpu::output(q.elem_count());
        let mut dkv = cpu::output(kv.elem_count());
        {
            let (q, kv) = (cpu::read(self.name(), q)?, cpu::read(self.name(), kv)?);
            let lse = self.lse.get().map(Vec::as_slice).unwrap_or_default();
            let [dq] = PartMut::split(&mut dq, self.heads.width());
            let [dk, dv] = PartMut::split(&mut dkv, self.heads.width());
            self.heads
                .backward(self.unpack(&q, &kv), (&y, lse), &dy, [&dq, &dk, &dv]);
        }
        let dq = Tensor::from_vec(dq, q.shape(), q.device())?;
        let dkv = Tensor::from_vec(dkv, kv.shape(), kv.device())?;
        Ok((Some(dq), Some(dkv)))
    }
}

struct AttentionMap(Heads);

impl CustomOp2 for AttentionMap {
    fn name(&self) -> &'static str {
        "attention_map"
    }

    fn cpu_fwd(
        &self,
        q: &CpuStorage,
        q_layout: &Layout,
        k: &CpuStorage,
        k_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [q] = Rows::unpack(cpu::slice(self.name(), q, q_layout)?, self.0.width());
        let [k] = Rows::unpack(cpu::slice(self.name(), k, k_layout)?, self.0.width());
        Ok((
            CpuStorage::F32(self.0.probabilities(q, k)),
            self.0.map_shape(),
        ))
    }
}
