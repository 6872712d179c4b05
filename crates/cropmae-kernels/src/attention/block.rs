//! The first half of a pre-norm transformer block as one op: x + proj(attention(qkv(LN(x)))).
//!
//! One op has one edge in candle's graph where the single steps have six, each of which candle gives a
//! zero tensor and an allocating add in the backward pass. Kept are qkv's output, attention's output
//! and its lse; the normalised input is formed again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use super::heads::{Heads, Rows};
use crate::backward::anchor;
use crate::check;
use crate::compute::Policy;
use crate::cpu;
use crate::cpu::scratch::Scratch;
use crate::cpu::shared::PartMut;
use crate::linear::Layer;
use crate::portable;
use crate::pre_norm::{Norm, PreNorm};

/// `x` + proj(self_attention(qkv(LN(`x`)))), `x` (B, N, D) -> (B, N, D). `qkv` is a weight (3D, D), rows
/// q, k, v, and a bias (3D), `proj` a weight (D, D) and a bias (D).
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, or a weight is the result of an op.
pub fn attention_block(
    x: &Tensor,
    norm: Norm,
    qkv: (&Tensor, &Tensor),
    proj: (&Tensor, &Tensor),
    num_heads: usize,
    policy: Policy,
) -> Result<Tensor> {
    const OP: &str = "attention_block";
    let (b, n, d) = check::dims3(OP, "x", x)?;
    let heads = Heads::new(OP, (b, n, n), d, num_heads, None, policy.compute)?;
    if portable::needed(x) {
        return portable::attention_block(x, norm, qkv, proj, num_heads);
    }
    let norm = PreNorm::new(OP, norm, d)?;
    let (qkv, proj) = (
        Layer::new(OP, "qkv", qkv, d, policy.compute)?,
        Layer::new(OP, "proj", proj, d, policy.compute)?,
    );
    if qkv.d_out() != 3 * d || proj.d_out() != d {
        bail!(
            "{OP}: qkv has {} outputs and proj {}, expected {} and {d}",
            qkv.d_out(),
            proj.d_out(),
            3 * d
        );
    }
    let anchor = anchor(&[norm.tensors(), qkv.tensors(), proj.tensors()].concat()).clone();
    let keep = !policy.recompute && (x.track_op() || anchor.track_op());
    let op = AttentionBlock {
        heads,
        norm,
        qkv,
        proj,
        keep,
        kept: Mutex::new(None),
    };
    x.contiguous()?.apply_op2(&anchor, op)
}

struct AttentionBlock {
    heads: Heads,
    norm: PreNorm,
    qkv: Layer,
    proj: Layer,
    /// There will be a backward pass, which is not to compute again what it needs.
    keep: bool,
    /// Left by the forward pass, taken by the backward pass so that its memory is free soon.
    kept: Mutex<Option<Kept>>,
}

/// What the backward pass needs of the forward pass.
struct Kept {
    /// (B, N, 3D)
    qkv: Vec<f32>,
    /// Attention's output (B, N, D).
    y: Vec<f32>,
    /// (B, H, N)
    lse: Vec<f32>,
}

impl CustomOp2 for AttentionBlock {
    fn name(&self) -> &'static str {
        "attention_block"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        _anchor: &CpuStorage,
        _anchor_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = cpu::slice(self.name(), x, x_layout)?;
        let attended = self.attend(x)?;
        let mut sum = x.to_vec();
        self.proj.forward(&attended.y, &mut sum, 1.0)?;
        if self.keep {
            *self.kept() = Some(attended);
        }
        Ok((CpuStorage::F32(sum), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _sum: &Tensor,
        dsum: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dsum = dsum.contiguous()?;
        let dsum = cpu::read(self.name(), &dsum)?;
        let mut dx = cpu::output(x.elem_count());
        {
            let x = cpu::read(self.name(), x)?;
            let kept = self.kept().take();
            let Kept { qkv, y, lse } = match kept {
                Some(kept) => kept,
                None => self.attend(&x)?,
            };
            let mut dqkv = Scratch::new(qkv.len());
            {
                self.proj.backward_weights(&y, &dsum)?;
                let mut dy = Scratch::new(y.len());
                self.proj.backward_input(&dsum, &mut dy)?;
                let [dq, dk, dv] = PartMut::split(&mut dqkv, self.heads.width());
                let rows = Rows::unpack(&qkv, self.heads.width());
                self.heads.backward(rows, (&y, &lse), &dy, [&dq, &dk, &dv]);
            }
            let (mut h, mut dh) = (Scratch::new(x.len()), Scratch::new(x.len()));
            self.norm.forward(&x, &mut h)?;
            self.qkv.backward_weights(&h, &dqkv)?;
            self.qkv.backward_input(&dqkv, &mut dh)?;
            self.norm.backward(&x, &dh, &dsum, &mut dx)?;
        }
        if !x.track_op() {
            return Ok((None, None));
        }
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
    }
}

impl AttentionBlock {
    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything before the last projection.
    fn attend(&self, x: &[f32]) -> Result<Kept> {
        let mut qkv = cpu::output(3 * x.len());
        {
            let mut h = Scratch::new(x.len());
            self.norm.forward(x, &mut h)?;
            self.qkv.forward(&h, &mut qkv, 0.0)?;
        }
        let mut y = cpu::output(x.len());
        let lse = self
            .heads
            .forward(Rows::unpack(&qkv, self.heads.width()), &mut y);
        Ok(Kept { qkv, y, lse })
    }
}
