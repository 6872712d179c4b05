//! Pre-norm transformer blocks in a row as one op: each x + attention(LN(x)), then x + mlp(LN(x)).
//!
//! One op has one edge in candle's graph, where each block would have two that candle gives a zero tensor
//! and an allocating add in the backward pass. Sequences of several lengths go through as one matrix of
//! tokens: only attention tells them apart, and a short one (the few visible patches of a masked view) adds
//! rows to products instead of products.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};

use crate::attention::{AttentionBlock, AttentionWeights};
use crate::backward::anchor;
use crate::check;
use crate::compute::Policy;
use crate::cpu;
use crate::cpu::scratch::Scratch;
use crate::mlp::Mlp;
use crate::portable;
use crate::pre_norm::Norm;

/// Weights of a block: of [`crate::attention_block`], then of [`crate::mlp_block`].
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Before attention.
    pub norm1: Norm<'a>,
    /// Weight (3D, D), rows q, k, v, and bias (3D).
    pub qkv: (&'a Tensor, &'a Tensor),
    /// Weight (D, D) and bias (D).
    pub proj: (&'a Tensor, &'a Tensor),
    /// Of attention.
    pub num_heads: usize,
    /// Before the MLP.
    pub norm2: Norm<'a>,
    /// Weight (F, D) and bias (F).
    pub fc1: (&'a Tensor, &'a Tensor),
    /// Weight (D, F) and bias (D).
    pub fc2: (&'a Tensor, &'a Tensor),
    /// How the block runs.
    pub policy: Policy,
}

/// `blocks` one after the other on the tokens `x` (T, D) -> (T, D). `segments` says how the tokens divide into
/// sequences, as pairs of their number and the tokens in each: tokens attend inside of their sequence.
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, or a weight is the result of an op.
pub fn transformer(x: &Tensor, segments: &[(usize, usize)], blocks: &[Block]) -> Result<Tensor> {
    const OP: &str = "transformer";
    check::float(OP, "x", x)?;
    let d = check::last_dim(OP, "x", x)?;
    let tokens: usize = segments.iter().map(|(b, n)| b * n).sum();
    check::shape(OP, "x", x, &[tokens, d])?;
    if blocks.is_empty() {
        bail!("{OP}: expected at least one block");
    }
    if portable::needed(x) {
        return portable::transformer(x, segments, blocks);
    }
    let layers = blocks.iter().map(|block| {
        let weights = AttentionWeights {
            norm: block.norm1,
            qkv: block.qkv,
            proj: block.proj,
            num_heads: block.num_heads,
        };
        let policy = block.policy;
        Ok(BlockOp {
            attention: AttentionBlock::new(OP, segments, d, weights, policy)?,
            mlp: Mlp::block(OP, d, block.norm2, block.fc1, block.fc2, policy)?,
        })
    });
    let mut op = Transformer {
        blocks: layers.collect::<Result<_>>()?,
        tracked: false,
        kept: Mutex::new(Vec::new()),
    };
    let anchor = anchor(&op.tensors()).clone();
    op.tracked = x.track_op() || anchor.track_op();
    for block in &mut op.blocks {
        block.attention.keep &= op.tracked;
        block.mlp.keep &= op.tracked;
    }
    x.contiguous()?.apply_op2(&anchor, op)
}

struct BlockOp {
    attention: AttentionBlock,
    mlp: Mlp,
}

struct Transformer {
    blocks: Vec<BlockOp>,
    /// There will be a backward pass.
    tracked: bool,
    /// Left by the forward pass, taken by the backward pass: for each block what enters its MLP, and what
    /// leaves the block (nothing for the last).
    kept: Mutex<Vec<(Vec<f32>, Vec<f32>)>>,
}

impl Transformer {
    /// The weights, for `anchor`.
    fn tensors(&self) -> Vec<&Tensor> {
        let mut tensors = Vec::new();
        for block in &self.blocks {
            tensors.extend(block.attention.tensors());
            tensors.extend(block.mlp.tensors());
        }
        tensors
    }

    /// Keeps what the backward pass needs.
    fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let mut kept: Vec<(Vec<f32>, Vec<f32>)> = Vec::with_capacity(self.blocks.len());
        for (i, block) in self.blocks.iter().enumerate() {
            let x = kept.last().map_or(x, |(_, x)| x);
            let mut middle = cpu::output(x.len());
            block.attention.forward(x, &mut middle)?;
            let mut out = Vec::new();
            if i + 1 == self.blocks.len() {
                block.mlp.forward(&middle, y)?;
            } else {
                out = cpu::output(x.len());
                block.mlp.forward(&middle, &mut out)?;
            }
            kept.push((middle, out));
        }
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(())
    }

    fn take_kept(&self) -> Vec<(Vec<f32>, Vec<f32>)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }

    /// Keeps nothing.
    fn infer(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let mut middle = Scratch::new(x.len());
        for (i, block) in self.blocks.iter().enumerate() {
            block
                .attention
                .forward(if i == 0 { x } else { y }, &mut middle)?;
            block.mlp.forward(&middle, y)?;
        }
        Ok(())
    }
}

impl CustomOp2 for Transformer {
    fn name(&self) -> &'static str {
        "transformer"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        _anchor: &CpuStorage,
        _anchor_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = cpu::slice(self.name(), x, x_layout)?;
        let mut y = cpu::output(x.len());
        if self.tracked {
            self.forward(x, &mut y)?;
        } else {
            self.infer(x, &mut y)?;
        }
        Ok((CpuStorage::F32(y), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dy = cpu::read(self.name(), &dy)?;
        let mut dx = cpu::output(x.elem_count());
        {
            let x = cpu::read(self.name(), x)?;
            let mut dmiddle = Scratch::new(x.len());
            let mut kept = self.take_kept();
            if kept.is_empty() {
                // The graph is differentiated for a second time.
                self.forward(&x, &mut Scratch::new(x.len()))?;
                kept = self.take_kept();
            }
            for (i, block) in self.blocks.iter().enumerate().rev() {
                let last = i + 1 == self.blocks.len();
                let (middle, _) = kept.pop().unwrap_or_default();
                let dout: &[f32] = if last { &dy } else { &dx };
                block.mlp.backward(&middle, dout, &mut dmiddle)?;
                drop(middle); // its memory is free for the next
                let x = kept.last().map_or(&*x, |(_, x)| x);
                block.attention.backward(x, &dmiddle, &mut dx)?;
            }
        }
        if !x.track_op() {
            return Ok((None, None));
        }
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
    }
}
