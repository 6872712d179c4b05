//! Attention in tiles.
//!
//! Queries, keys and values are read in place from packed rows, in which the heads are side by side. The keys and values
//! of a head are packed once. Its queries are processed in tiles, whose probabilities exist only in scratch memory. The
//! forward pass keeps the log of the sum of exponentials of each row (lse), from which the backward pass computes the
//! probabilities again (Dao et al., arXiv 2205.14135):
//! P = exp(S - lse), dV = P^T dO, dP = dO V^T, dS = P * (dP - rowsum(dO * O)), dQ = dS K, dK = dS^T Q.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::output::{Unset, output};
use super::shared::PartMut;
use super::tensor::{read, slice};
use crate::args::Dropout;
use crate::compute::Compute;

mod heads;
mod tile;

pub(super) use heads::{Heads, Rows};

/// Computes attention on packed rows of q, k and v.
pub(crate) fn self_attention(
    qkv: &Tensor,
    num_heads: usize,
    dropout: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    let (b, n, width) = qkv.dims3()?;
    qkv.contiguous()?.apply_op1(SelfAttention {
        heads: Heads::new((b, n, n), width / 3, num_heads, dropout, compute),
        lse: OnceLock::new(),
    })
}

/// Computes attention from q to packed rows of k and v.
pub(crate) fn cross_attention(
    q: &Tensor,
    kv: &Tensor,
    num_heads: usize,
    dropout: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    let (b, n, d) = q.dims3()?;
    let op = CrossAttention {
        heads: Heads::new((b, n, kv.dim(1)?), d, num_heads, dropout, compute),
        lse: OnceLock::new(),
    };
    q.contiguous()?.apply_op2(&kv.contiguous()?, op)
}

/// Returns the attention probabilities from q to k.
pub(crate) fn attention_map(q: &Tensor, k: &Tensor, num_heads: usize) -> Result<Tensor> {
    let (b, n, d) = q.dims3()?;
    let heads = Heads::new((b, n, k.dim(1)?), d, num_heads, None, Compute::F32);
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
        let rows = Rows::unpack(slice(self.name(), qkv, layout)?, self.heads.width());
        let y = attend(&self.heads, rows, &self.lse)?;
        Ok((CpuStorage::F32(y), self.heads.output_shape()))
    }

    fn bwd(&self, qkv: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Option<Tensor>> {
        let dy = dy.contiguous()?;
        let (y, dy) = (read(self.name(), y)?, read(self.name(), &dy)?);
        let dqkv = {
            let packed = read(self.name(), qkv)?;
            let lse = self.lse.get().map(Vec::as_slice).unwrap_or_default();
            let rows = Rows::unpack(&packed, self.heads.width());
            output(packed.len(), |mut dqkv| {
                let [dq, dk, dv] = PartMut::split(&mut dqkv, self.heads.width());
                self.heads.backward(rows, (&y, lse), &dy, [&dq, &dk, &dv]);
                // SAFETY: the backward pass writes the three parts, which are all elements.
                Ok(unsafe { dqkv.assume_written() })
            })?
        };
        Tensor::from_vec(dqkv, qkv.shape(), qkv.device()).map(Some)
    }
}

/// Returns the output, and the lse that the backward pass needs.
fn attend(heads: &Heads, rows: [Rows; 3], kept: &OnceLock<Vec<f32>>) -> Result<Vec<f32>> {
    output(heads.output_len(), |y: Unset<'_>| {
        let (y, lse) = heads.forward(rows, y);
        kept.get_or_init(|| lse);
        Ok(y)
    })
}

struct CrossAttention {
    heads: Heads,
    /// (B, H, N), written by the forward pass.
    lse: OnceLock<Vec<f32>>,
}

impl CrossAttention {
    /// Returns views of q, k and v.
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
        let q = slice(self.name(), q, q_layout)?;
        let rows = self.unpack(q, slice(self.name(), kv, kv_layout)?);
        let y = attend(&self.heads, rows, &self.lse)?;
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
        let (y, dy) = (read(self.name(), y)?, read(self.name(), &dy)?);
        let mut dq = Vec::new();
        let dkv = output(kv.elem_count(), |mut dkv| {
            let (q, kv) = (read(self.name(), q)?, read(self.name(), kv)?);
            let lse = self.lse.get().map(Vec::as_slice).unwrap_or_default();
            let [dk, dv] = PartMut::split(&mut dkv, self.heads.width());
            let rows = self.unpack(&q, &kv);
            dq = output(q.len(), |mut dq| {
                let [part] = PartMut::split(&mut dq, self.heads.width());
                self.heads.backward(rows, (&y, lse), &dy, [&part, &dk, &dv]);
                // SAFETY: the backward pass writes all of dq.
                Ok(unsafe { dq.assume_written() })
            })?;
            // SAFETY: it also writes dk and dv, which are all elements.
            Ok(unsafe { dkv.assume_written() })
        })?;
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
        let [q] = Rows::unpack(slice(self.name(), q, q_layout)?, self.0.width());
        let [k] = Rows::unpack(slice(self.name(), k, k_layout)?, self.0.width());
        Ok((
            CpuStorage::F32(self.0.probabilities(q, k)),
            self.0.map_shape(),
        ))
    }
}
