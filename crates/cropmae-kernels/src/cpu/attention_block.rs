//! The first half of a pre-norm transformer block as one op.
//!
//! One op has one edge in candle's graph, while the single steps have six. For each edge, candle allocates a zero tensor
//! and adds to it in the backward pass. The op keeps the output of qkv, the output of attention and its lse, and
//! computes the normalized input again.

use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::attention::{Heads, Rows};
use super::linear::Layer;
use super::output::{Unset, output};
use super::pre_norm::PreNorm;
use super::scratch::Scratch;
use super::shared::PartMut;
use super::tensor::{read, slice};
use crate::args::AttentionWeights;
use crate::compute::Policy;
use crate::gradients::anchor;

/// Computes x + proj(self_attention(qkv(LN(x)))).
pub(crate) fn attention_block(
    x: &Tensor,
    weights: AttentionWeights,
    policy: Policy,
) -> Result<Tensor> {
    let (b, n, d) = x.dims3()?;
    let mut block = AttentionBlock::new("attention_block", &[(b, n)], d, weights, policy)?;
    let anchor = anchor(&block.tensors()).clone();
    block.keep &= x.track_op() || anchor.track_op();
    x.contiguous()?.apply_op2(&anchor, block)
}

/// The op of [`attention_block`], which is also a part of a whole transformer.
pub(super) struct AttentionBlock {
    op: &'static str,
    /// The segments, which contain sequences of one length. Tokens attend only to tokens of their sequence.
    segments: Vec<Heads>,
    norm: PreNorm,
    qkv: Layer,
    proj: Layer,
    /// `true` if there will be a backward pass that does not compute again what it needs.
    pub(super) keep: bool,
    /// The values from the forward pass. The backward pass takes them, so that their memory is freed early.
    kept: Mutex<Option<Kept>>,
}

/// The values of the forward pass that the backward pass needs, where T is the number of tokens of all segments.
struct Kept {
    /// (T, 3D)
    qkv: Vec<f32>,
    /// The output of attention (T, D).
    y: Vec<f32>,
    /// The lse (B, H, N) of each segment.
    lse: Vec<Vec<f32>>,
}

impl CustomOp2 for AttentionBlock {
    fn name(&self) -> &'static str {
        self.op
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        _anchor: &CpuStorage,
        _anchor_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = slice(self.op, x, x_layout)?;
        let sum = output(x.len(), |sum| self.forward(x, sum))?;
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
        let dx = output(x.elem_count(), |dx| {
            self.backward(&read(self.op, x)?, &read(self.op, &dsum)?, dx)
        })?;
        if !x.track_op() {
            return Ok((None, None));
        }
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
    }
}

impl AttentionBlock {
    /// Creates the op. `segments` are pairs of the number of sequences and the number of tokens in each.
    pub(super) fn new(
        op: &'static str,
        segments: &[(usize, usize)],
        d: usize,
        weights: AttentionWeights,
        policy: Policy,
    ) -> Result<Self> {
        let AttentionWeights {
            norm,
            qkv,
            proj,
            num_heads,
        } = weights;
        let heads = |&(b, n)| Heads::new((b, n, n), d, num_heads, None, policy.compute);
        let segments = segments.iter().map(heads).collect();
        let norm = PreNorm::new(op, norm)?;
        let (qkv, proj) = (
            Layer::new(op, qkv, policy.compute)?,
            Layer::new(op, proj, policy.compute)?,
        );
        Ok(Self {
            op,
            segments,
            norm,
            qkv,
            proj,
            keep: !policy.recompute,
            kept: Mutex::new(None),
        })
    }

    /// Returns the weights for `anchor`.
    pub(super) fn tensors(&self) -> Vec<&Tensor> {
        [self.norm.tensors(), self.qkv.tensors(), self.proj.tensors()].concat()
    }

    /// Computes `sum` = `x` + proj(attention(qkv(LN(`x`)))).
    pub(super) fn forward<'s>(&self, x: &[f32], sum: Unset<'s>) -> Result<&'s mut [f32]> {
        let sum = sum.fill(x.iter().copied());
        if self.keep {
            let kept = self.attend(x)?;
            self.proj.forward_add(&kept.y, sum)?;
            *self.kept() = Some(kept);
            return Ok(sum);
        }
        let (mut qkv, mut y) = (Scratch::new(3 * x.len()), Scratch::new(x.len()));
        let qkv = self.project(x, qkv.unset())?;
        let (y, _) = self.attend_to(qkv, y.unset());
        self.proj.forward_add(y, sum)?;
        Ok(sum)
    }

    /// Computes `dx` from `dsum` and adds the gradients of the weights.
    pub(super) fn backward<'x>(
        &self,
        x: &[f32],
        dsum: &[f32],
        dx: Unset<'x>,
    ) -> Result<&'x mut [f32]> {
        let kept = self.kept().take();
        let Kept { qkv, y, lse } = match kept {
            Some(kept) => kept,
            None => self.attend(x)?,
        };
        let mut dqkv = Scratch::new(qkv.len());
        {
            self.proj.backward_weights(&y, dsum)?;
            let mut dy = Scratch::new(y.len());
            let dy = self.proj.backward_input(dsum, dy.unset())?;
            for ((heads, tokens), lse) in self.ranges().zip(&lse) {
                let (width, packed) = (heads.width(), Heads::packed(&tokens));
                let mut dqkv = Unset::from(&mut dqkv[packed.clone()]);
                let [dq, dk, dv] = PartMut::split(&mut dqkv, width);
                let rows = Rows::unpack(&qkv[packed], width);
                let y = (&y[tokens.clone()], lse.as_slice());
                heads.backward(rows, y, &dy[tokens], [&dq, &dk, &dv]);
            }
        }
        drop((qkv, y, lse));
        let (mut h, mut dh) = (Scratch::new(x.len()), Scratch::new(x.len()));
        let h = self.norm.forward(x, h.unset())?;
        self.qkv.backward_weights(h, &dqkv)?;
        let dh = self.qkv.backward_input(&dqkv, dh.unset())?;
        self.norm.backward(x, dh, dsum, dx)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the segments and the positions of their elements in a (T, D) matrix.
    fn ranges(&self) -> impl Iterator<Item = (&Heads, Range<usize>)> {
        self.segments.iter().scan(0, |end, heads| {
            let start = *end;
            *end += heads.output_len();
            Some((heads, start..*end))
        })
    }

    /// Computes everything before the last projection.
    fn attend(&self, x: &[f32]) -> Result<Kept> {
        let qkv = output(3 * x.len(), |qkv| self.project(x, qkv))?;
        let mut lse = Vec::new();
        let y = output(x.len(), |y| {
            let (y, found) = self.attend_to(&qkv, y);
            lse = found;
            Ok(y)
        })?;
        Ok(Kept { qkv, y, lse })
    }

    /// Computes `qkv` = qkv(LN(`x`)).
    fn project<'q>(&self, x: &[f32], qkv: Unset<'q>) -> Result<&'q mut [f32]> {
        let mut h = Scratch::new(x.len());
        let h = self.norm.forward(x, h.unset())?;
        self.qkv.forward(h, qkv)
    }

    /// Computes `y` = attention(`qkv`) and the lse of each segment.
    fn attend_to<'y>(&self, qkv: &[f32], y: Unset<'y>) -> (&'y mut [f32], Vec<Vec<f32>>) {
        let ranges: Vec<(&Heads, Range<usize>)> = self.ranges().collect();
        let mut lse = Vec::with_capacity(ranges.len());
        let lens = ranges.iter().map(|(_, tokens)| tokens.len());
        let y = y.pieces(lens, |i, y| {
            let (heads, tokens) = &ranges[i];
            let rows = Rows::unpack(&qkv[Heads::packed(tokens)], heads.width());
            let (y, found) = heads.forward(rows, y);
            lse.push(found);
            y
        });
        (y, lse)
    }
}
