//! Pre-norm transformer blocks. Tokens and their gradients stay f32; what enters products has the type of operands.

use std::sync::Arc;

use candle_core::{Result, Tensor, bail};

use super::attention::{Heads, Kept, Parts};
use super::columns::{Sums, partial_sums};
use super::grad::Grad;
use super::graph::attach;
use super::layer_norm::{LayerNorm, matrix};
use super::linear::Layer;
use super::mlp::Mlp;
use super::queue::{Buffer, Queue};
use crate::args::{AttentionWeights, BlockWeights, MlpWeights};
use crate::compute::Policy;
use crate::gradients::anchor;

/// x + proj(attention(qkv(LN(x)))).
struct AttentionHalf {
    norm: LayerNorm,
    qkv: Layer,
    proj: Layer,
    /// The sequences, with the row of each first token.
    segments: Arc<[(Heads, usize)]>,
}

/// What the backward pass of a half needs besides its input.
struct AttentionKept {
    h: Tensor,
    qkv: Tensor,
    o: Tensor,
    /// The log-sum-exp of each segment.
    lse: Vec<Tensor>,
}

impl AttentionHalf {
    fn tensors(&self) -> Vec<&Tensor> {
        let norm = [&self.norm.weight, &self.norm.bias];
        [norm, self.qkv.tensors(), self.proj.tensors()].concat()
    }

    /// `x` (T, D) -> (T, D).
    fn forward(&self, queue: &Queue, x: &Tensor) -> Result<(Buffer, AttentionKept)> {
        let (rows, d) = matrix(x)?;
        let h = self.norm.forward(queue, x)?.into_tensor();
        let mut qkv = queue.operand((rows, 3 * d))?;
        self.qkv.forward(queue, &h, None, &mut qkv)?;
        let qkv = qkv.into_tensor();
        let mut o = queue.operand((rows, d))?;
        let attend = |&(heads, first): &(Heads, usize)| {
            let parts = Parts::packed(d, first);
            heads.forward(queue, [&qkv, &qkv], parts, (&mut o, first * d))
        };
        let lse = self.segments.iter().map(attend).collect::<Result<_>>()?;
        let o = o.into_tensor();
        let mut y = queue.float(x.shape())?;
        self.proj.forward(queue, &o, Some(x), &mut y)?;
        Ok((y, AttentionKept { h, qkv, o, lse }))
    }

    /// The gradient of `x` from that of the output.
    fn backward(
        &self,
        queue: &Queue,
        op: &'static str,
        (x, kept): (&Tensor, &AttentionKept),
        dy: &Grad,
        sums: &mut Sums,
    ) -> Result<Grad> {
        let (rows, d) = matrix(x)?;
        let mut d_o = queue.operand((rows, d))?;
        self.proj.backward_input(queue, &dy.operand, &mut d_o)?;
        let d_o = d_o.into_tensor();
        self.proj.backward_weight(queue, op, &dy.operand, &kept.o)?;
        self.proj.backward_bias(op, &dy.sums, sums)?;
        let mut dqkv = queue.operand((rows, 3 * d))?;
        for ((heads, first), lse) in self.segments.iter().zip(&kept.lse) {
            let kept = Kept {
                q: &kept.qkv,
                kv: &kept.qkv,
                parts: Parts::packed(d, *first),
                o: &kept.o,
                o_offset: first * d,
                lse,
            };
            heads.backward_packed(queue, &kept, &d_o, &mut dqkv)?;
        }
        let dqkv = dqkv.into_tensor();
        let qkv_sums = partial_sums(queue, &dqkv, (rows, 3 * d))?;
        self.qkv.backward_bias(op, &qkv_sums, sums)?;
        self.qkv.backward_weight(queue, op, &dqkv, &kept.h)?;
        let mut dh = queue.operand(x.shape())?;
        self.qkv.backward_input(queue, &dqkv, &mut dh)?;
        let dh = dh.into_tensor();
        self.norm
            .backward(queue, op, (x, &dh), Some(&dy.float), sums)
    }
}

/// x + fc2(gelu(fc1(LN(x)))).
struct MlpHalf {
    norm: LayerNorm,
    mlp: Mlp,
}

/// What the backward pass of a half needs besides its input.
struct MlpKept {
    h: Tensor,
    pre: Tensor,
}

impl MlpHalf {
    fn tensors(&self) -> Vec<&Tensor> {
        let norm = [&self.norm.weight, &self.norm.bias];
        [norm.as_slice(), &self.mlp.tensors()].concat()
    }

    /// `x` (.., D) -> (.., D).
    fn forward(&self, queue: &Queue, x: &Tensor) -> Result<(Buffer, MlpKept)> {
        let h = self.norm.forward(queue, x)?.into_tensor();
        let pre = self.mlp.pre(queue, &h)?;
        let mut y = queue.float(x.shape())?;
        self.mlp.forward(queue, &pre, Some(x), &mut y)?;
        Ok((y, MlpKept { h, pre }))
    }

    /// The gradient of `x` from that of the output.
    fn backward(
        &self,
        queue: &Queue,
        op: &'static str,
        (x, kept): (&Tensor, &MlpKept),
        dy: &Grad,
        sums: &mut Sums,
    ) -> Result<Grad> {
        let mut dh = queue.operand(x.shape())?;
        let MlpKept { h, pre } = kept;
        self.mlp
            .backward(queue, op, (h, pre), dy, Some(&mut dh), sums)?;
        let dh = dh.into_tensor();
        self.norm
            .backward(queue, op, (x, &dh), Some(&dy.float), sums)
    }
}

/// Either half of a block.
enum Half {
    Attention(AttentionHalf),
    Mlp(MlpHalf),
}

/// What the backward pass of either half needs besides its input.
enum HalfKept {
    Attention(AttentionKept),
    Mlp(MlpKept),
}

impl Half {
    fn tensors(&self) -> Vec<&Tensor> {
        match self {
            Self::Attention(half) => half.tensors(),
            Self::Mlp(half) => half.tensors(),
        }
    }

    fn forward(&self, queue: &Queue, x: &Tensor) -> Result<(Buffer, HalfKept)> {
        match self {
            Self::Attention(half) => {
                let (y, kept) = half.forward(queue, x)?;
                Ok((y, HalfKept::Attention(kept)))
            }
            Self::Mlp(half) => {
                let (y, kept) = half.forward(queue, x)?;
                Ok((y, HalfKept::Mlp(kept)))
            }
        }
    }

    fn backward(
        &self,
        queue: &Queue,
        op: &'static str,
        (x, kept): (&Tensor, &HalfKept),
        dy: &Grad,
        sums: &mut Sums,
    ) -> Result<Grad> {
        match (self, kept) {
            (Self::Attention(half), HalfKept::Attention(kept)) => {
                half.backward(queue, op, (x, kept), dy, sums)
            }
            (Self::Mlp(half), HalfKept::Mlp(kept)) => half.backward(queue, op, (x, kept), dy, sums),
            _ => bail!("{op}: what was kept belongs to another half of a block"),
        }
    }
}

/// A half of a block, and whether what its backward pass needs besides its input is computed again there.
type Step = (Half, bool);

/// Applies halves of blocks one after the other.
fn chain(op: &'static str, x: &Tensor, steps: Vec<Step>, queue: Queue) -> Result<Tensor> {
    let x = x.contiguous()?;
    let weights: Vec<&Tensor> = steps.iter().flat_map(|(half, _)| half.tensors()).collect();
    let anchor = anchor(&weights).clone();
    let tracked = x.track_op() || anchor.track_op();
    let mut kept: Vec<(Tensor, Option<HalfKept>)> = Vec::new();
    let mut last: Option<Buffer> = None;
    for (half, recompute) in &steps {
        let x = last.take().map_or_else(|| x.detach(), Buffer::into_tensor);
        let (y, from_half) = half.forward(&queue, &x)?;
        if tracked {
            kept.push((x, (!recompute).then_some(from_half)));
        }
        last = Some(y);
    }
    let Some(y) = last else {
        bail!("{op}: expected at least one block");
    };
    let x_tracked = x.track_op();
    attach(op, y, &[&x, &anchor], move |dy| {
        let mut grad = Grad::new(&queue, dy)?;
        let mut sums = Sums::default();
        for ((half, _), (x, kept)) in steps.iter().zip(&kept).rev() {
            grad = match kept {
                Some(kept) => half.backward(&queue, op, (x, kept), &grad, &mut sums)?,
                None => {
                    let (_, kept) = half.forward(&queue, x)?;
                    half.backward(&queue, op, (x, &kept), &grad, &mut sums)?
                }
            };
        }
        sums.finish(&queue, [])?;
        Ok([x_tracked.then_some(grad.float), None, None])
    })
}

fn segments_of(segments: &[(usize, usize)], d: usize, num_heads: usize) -> Arc<[(Heads, usize)]> {
    let mut first = 0;
    let segments = segments.iter().map(|&(batch, n)| {
        let heads = Heads {
            batch,
            n,
            m: n,
            num_heads,
            width: d / num_heads,
            dropout: None,
        };
        let segment = (heads, first);
        first += batch * n;
        segment
    });
    segments.collect()
}

fn attention_half(
    weights: AttentionWeights,
    [qkv, proj]: [Layer; 2],
    segments: &[(usize, usize)],
) -> Result<Half> {
    let d = weights.proj.1.elem_count();
    Ok(Half::Attention(AttentionHalf {
        norm: LayerNorm::new(weights.norm)?,
        qkv,
        proj,
        segments: segments_of(segments, d, weights.num_heads),
    }))
}

fn mlp_half(weights: MlpWeights, layers: [Layer; 2]) -> Result<Half> {
    Ok(Half::Mlp(MlpHalf {
        norm: LayerNorm::new(weights.norm)?,
        mlp: Mlp::new(layers, None),
    }))
}

/// x + proj(attention(qkv(LN(x)))), `x` (B, N, D).
pub(crate) fn attention_block(
    x: &Tensor,
    weights: AttentionWeights,
    policy: Policy,
) -> Result<Tensor> {
    let queue = Queue::of(x.device(), policy.compute)?;
    let (b, n, _) = x.dims3()?;
    let layers = Layer::all(&queue, [weights.qkv, weights.proj])?;
    let half = attention_half(weights, layers, &[(b, n)])?;
    chain("attention_block", x, vec![(half, policy.recompute)], queue)
}

/// x + fc2(gelu(fc1(LN(x)))).
pub(crate) fn mlp_block(x: &Tensor, weights: MlpWeights, policy: Policy) -> Result<Tensor> {
    let queue = Queue::of(x.device(), policy.compute)?;
    let layers = Layer::all(&queue, [weights.fc1, weights.fc2])?;
    let half = mlp_half(weights, layers)?;
    chain("mlp_block", x, vec![(half, policy.recompute)], queue)
}

/// Blocks one after the other on the tokens `x` (T, D) of sequences: pairs of their number and their length.
pub(crate) fn transformer(
    x: &Tensor,
    segments: &[(usize, usize)],
    blocks: &[BlockWeights],
) -> Result<Tensor> {
    const OP: &str = "transformer";
    let compute = blocks
        .first()
        .map_or_else(Default::default, |block| block.policy.compute);
    if blocks.iter().any(|block| block.policy.compute != compute) {
        bail!("{OP}: the blocks run in different precisions");
    }
    let queue = Queue::of(x.device(), compute)?;
    let weights: Vec<(&Tensor, &Tensor)> = blocks
        .iter()
        .flat_map(|block| [block.qkv, block.proj, block.fc1, block.fc2])
        .collect();
    let mut layers = Layer::list(&queue, &weights)?.into_iter();
    let mut steps = Vec::with_capacity(2 * blocks.len());
    for block in blocks {
        let mut pair = || match (layers.next(), layers.next()) {
            (Some(first), Some(second)) => Ok([first, second]),
            _ => bail!("{OP}: a layer is missing"),
        };
        let recompute = block.policy.recompute;
        let half = attention_half(block.attention(), pair()?, segments)?;
        steps.push((half, recompute));
        steps.push((mlp_half(block.mlp(), pair()?)?, recompute));
    }
    chain(OP, x, steps, queue)
}
