//! A sequence of pre-norm transformer blocks as one op.
//!
//! One op has one edge in candle's graph, while each block would have two. For each edge, candle allocates a zero tensor
//! and adds to it in the backward pass.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::attention_block::AttentionBlock;
use super::mlp::Mlp;
use super::output::{Unset, output};
use super::scratch::Scratch;
use super::tensor::{read, slice};
use crate::args::BlockWeights;
use crate::gradients::anchor;

/// Applies blocks one after the other to the tokens `x` (T, D) of sequences, given as pairs of their number and length.
pub(crate) fn transformer(
    x: &Tensor,
    segments: &[(usize, usize)],
    blocks: &[BlockWeights],
) -> Result<Tensor> {
    const OP: &str = "transformer";
    let d = x.dim(1)?;
    let blocks = blocks.iter().map(|block| {
        Ok(BlockOp {
            attention: AttentionBlock::new(OP, segments, d, block.attention(), block.policy)?,
            mlp: Mlp::block(OP, block.mlp(), block.policy)?,
        })
    });
    let mut op = Transformer {
        blocks: blocks.collect::<Result<_>>()?,
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
    /// `true` if there will be a backward pass.
    tracked: bool,
    /// The values that the backward pass takes from the forward pass: for each block the input of its MLP, and the
    /// output of the block (except for the last one).
    kept: Mutex<Vec<(Vec<f32>, Vec<f32>)>>,
}

impl Transformer {
    /// Returns the weights for `anchor`.
    fn tensors(&self) -> Vec<&Tensor> {
        let mut tensors = Vec::new();
        for block in &self.blocks {
            tensors.extend(block.attention.tensors());
            tensors.extend(block.mlp.tensors());
        }
        tensors
    }

    /// Runs the blocks and keeps the values that the backward pass needs.
    fn forward<'y>(&self, x: &[f32], y: Unset<'y>) -> Result<&'y mut [f32]> {
        let mut kept: Vec<(Vec<f32>, Vec<f32>)> = Vec::with_capacity(self.blocks.len());
        let Some((last, inner)) = self.blocks.split_last() else {
            return Ok(y.fill(x.iter().copied()));
        };
        for block in inner {
            let x = kept.last().map_or(x, |(_, x)| x);
            let middle = output(x.len(), |middle| block.attention.forward(x, middle))?;
            let out = output(x.len(), |out| block.mlp.forward(&middle, out))?;
            kept.push((middle, out));
        }
        let x = kept.last().map_or(x, |(_, x)| x);
        let middle = output(x.len(), |middle| last.attention.forward(x, middle))?;
        let y = last.mlp.forward(&middle, y)?;
        kept.push((middle, Vec::new()));
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = kept;
        Ok(y)
    }

    fn take_kept(&self) -> Vec<(Vec<f32>, Vec<f32>)> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *kept)
    }

    /// Runs the blocks without keeping any values.
    fn infer<'y>(&self, x: &[f32], y: Unset<'y>) -> Result<&'y mut [f32]> {
        let Some((first, others)) = self.blocks.split_first() else {
            return Ok(y.fill(x.iter().copied()));
        };
        let mut middle = Scratch::new(x.len());
        let between = first.attention.forward(x, middle.unset())?;
        let y = first.mlp.forward(between, y)?;
        for block in others {
            let between = block.attention.forward(y, middle.unset())?;
            block.mlp.forward(between, Unset::from(&mut *y))?;
        }
        Ok(y)
    }
}

impl Transformer {
    /// Computes `dx` from `dy` and adds the gradients of the weights.
    fn backward<'x>(&self, x: &[f32], dy: &[f32], dx: Unset<'x>) -> Result<&'x mut [f32]> {
        let mut dmiddle = Scratch::new(x.len());
        let mut kept = self.take_kept();
        if kept.is_empty() {
            // The graph is being differentiated for a second time.
            self.forward(x, Scratch::new(x.len()).unset())?;
            kept = self.take_kept();
        }
        let dx = dx.fill(dy.iter().copied());
        for block in self.blocks.iter().rev() {
            let (middle, _) = kept.pop().unwrap_or_default();
            let dmiddle = block.mlp.backward(&middle, dx, dmiddle.unset())?;
            drop(middle); // its memory is free for the next
            let x = kept.last().map_or(x, |(_, x)| x);
            block
                .attention
                .backward(x, dmiddle, Unset::from(&mut *dx))?;
        }
        Ok(dx)
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
        let x = slice(self.name(), x, x_layout)?;
        let y = output(x.len(), |y| {
            if self.tracked {
                self.forward(x, y)
            } else {
                self.infer(x, y)
            }
        })?;
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
        let dy = read(self.name(), &dy)?;
        let dx = output(x.elem_count(), |dx| {
            self.backward(&read(self.name(), x)?, &dy, dx)
        })?;
        if !x.track_op() {
            return Ok((None, None));
        }
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
    }
}
