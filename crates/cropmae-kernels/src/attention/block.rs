//! The first half of a pre-norm transformer block as one op: x + proj(attention(qkv(LN(x)))).
//!
//! One op has one edge in candle's graph where the single steps have six, each of which candle gives a
//! zero tensor and an allocating add in the backward pass. Kept are qkv's output, attention's output
//! and its lse; the normalised input is formed again.

use std::ops::Range;
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
    if portable::needed(x) {
        Heads::new(OP, (b, n, n), d, num_heads, None, policy.compute)?;
        return portable::attention_block(x, norm, qkv, proj, num_heads);
    }
    let weights = AttentionWeights {
        norm,
        qkv,
        proj,
        num_heads,
    };
    let mut block = AttentionBlock::new(OP, &[(b, n)], d, weights, policy)?;
    let anchor = anchor(&block.tensors()).clone();
    block.keep &= x.track_op() || anchor.track_op();
    x.contiguous()?.apply_op2(&anchor, block)
}

/// What [`attention_block`] takes besides its input.
#[derive(Clone, Copy)]
pub(crate) struct AttentionWeights<'a> {
    pub(crate) norm: Norm<'a>,
    pub(crate) qkv: (&'a Tensor, &'a Tensor),
    pub(crate) proj: (&'a Tensor, &'a Tensor),
    pub(crate) num_heads: usize,
}

/// The op behind [`attention_block`], also a part of a whole transformer.
pub(crate) struct AttentionBlock {
    op: &'static str,
    /// Sequences of one length follow one another; tokens attend inside of their own.
    segments: Vec<Heads>,
    norm: PreNorm,
    qkv: Layer,
    proj: Layer,
    /// There will be a backward pass, which is not to compute again what it needs.
    pub(crate) keep: bool,
    /// Left by the forward pass, taken by the backward pass so that its memory is free soon.
    kept: Mutex<Option<Kept>>,
}

/// What the backward pass needs of the forward pass; T tokens of all segments.
struct Kept {
    /// (T, 3D)
    qkv: Vec<f32>,
    /// Attention's output (T, D).
    y: Vec<f32>,
    /// (B, H, N) of each segment.
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
        let x = cpu::slice(self.op, x, x_layout)?;
        let mut sum = cpu::output(x.len());
        self.forward(x, &mut sum)?;
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
        let mut dx = cpu::output(x.elem_count());
        self.backward(
            &cpu::read(self.op, x)?,
            &cpu::read(self.op, &dsum)?,
            &mut dx,
        )?;
        if !x.track_op() {
            return Ok((None, None));
        }
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
    }
}

impl AttentionBlock {
    /// `segments` are pairs of sequences and tokens in each.
    pub(crate) fn new(
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
        let heads = |&(b, n)| Heads::new(op, (b, n, n), d, num_heads, None, policy.compute);
        let segments = segments.iter().map(heads).collect::<Result<_>>()?;
        let norm = PreNorm::new(op, norm, d)?;
        let (qkv, proj) = (
            Layer::new(op, "qkv", qkv, d, policy.compute)?,
            Layer::new(op, "proj", proj, d, policy.compute)?,
        );
        if qkv.d_out() != 3 * d || proj.d_out() != d {
            bail!(
                "{op}: qkv has {} outputs and proj {}, expected {} and {d}",
                qkv.d_out(),
                proj.d_out(),
                3 * d
            );
        }
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

    /// The weights, for `anchor`.
    pub(crate) fn tensors(&self) -> Vec<&Tensor> {
        [self.norm.tensors(), self.qkv.tensors(), self.proj.tensors()].concat()
    }

    /// `sum` = `x` + proj(attention(qkv(LN(`x`)))).
    pub(crate) fn forward(&self, x: &[f32], sum: &mut [f32]) -> Result<()> {
        sum.copy_from_slice(x);
        if self.keep {
            let kept = self.attend(x)?;
            self.proj.forward(&kept.y, sum, 1.0)?;
            *self.kept() = Some(kept);
            return Ok(());
        }
        let (mut qkv, mut y) = (Scratch::new(3 * x.len()), Scratch::new(x.len()));
        self.attend_to(x, &mut qkv, &mut y)?;
        self.proj.forward(&y, sum, 1.0)
    }

    /// `dx` from `dsum`; delivers the gradients of the weights.
    pub(crate) fn backward(&self, x: &[f32], dsum: &[f32], dx: &mut [f32]) -> Result<()> {
        let kept = self.kept().take();
        let Kept { qkv, y, lse } = match kept {
            Some(kept) => kept,
            None => self.attend(x)?,
        };
        let mut dqkv = Scratch::new(qkv.len());
        {
            self.proj.backward_weights(&y, dsum)?;
            let mut dy = Scratch::new(y.len());
            self.proj.backward_input(dsum, &mut dy)?;
            for ((heads, tokens), lse) in self.ranges().zip(&lse) {
                let (width, packed) = (heads.width(), Heads::packed(&tokens));
                let [dq, dk, dv] = PartMut::split(&mut dqkv[packed.clone()], width);
                let rows = Rows::unpack(&qkv[packed], width);
                let y = (&y[tokens.clone()], lse.as_slice());
                heads.backward(rows, y, &dy[tokens], [&dq, &dk, &dv]);
            }
        }
        drop((qkv, y, lse));
        let (mut h, mut dh) = (Scratch::new(x.len()), Scratch::new(x.len()));
        self.norm.forward(x, &mut h)?;
        self.qkv.backward_weights(&h, &dqkv)?;
        self.qkv.backward_input(&dqkv, &mut dh)?;
        self.norm.backward(x, &dh, dsum, dx)
    }

    fn kept(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segments and where their elements lie in a (T, D) matrix.
    fn ranges(&self) -> impl Iterator<Item = (&Heads, Range<usize>)> {
        self.segments.iter().scan(0, |end, heads| {
            let start = *end;
            *end += heads.output_len();
            Some((heads, start..*end))
        })
    }

    /// Everything before the last projection.
    fn attend(&self, x: &[f32]) -> Result<Kept> {
        let (mut qkv, mut y) = (cpu::output(3 * x.len()), cpu::output(x.len()));
        let lse = self.attend_to(x, &mut qkv, &mut y)?;
        Ok(Kept { qkv, y, lse })
    }

    fn attend_to(&self, x: &[f32], qkv: &mut [f32], y: &mut [f32]) -> Result<Vec<Vec<f32>>> {
        {
            let mut h = Scratch::new(x.len());
            self.norm.forward(x, &mut h)?;
            self.qkv.forward(&h, qkv, 0.0)?;
        }
        let attend = |(heads, tokens): (&Heads, Range<usize>)| {
            let rows = Rows::unpack(&qkv[Heads::packed(&tokens)], heads.width());
            heads.forward(rows, &mut y[tokens])
        };
        Ok(self.ranges().map(attend).collect())
    }
}
