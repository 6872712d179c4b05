//! The feed-forward part of a transformer layer, alone or as the second half of a pre-norm block.
//!
//! Only the pre-activation is kept. The activation with its width F = 4 D exists for one block of rows at a time. It is
//! computed (again in the backward pass) with bias and dropout mask in one pass, and used while it is in the cache. The
//! same applies to the normalized input of a pre-norm block.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::ROWS_PER_TASK;
use super::linear::{self, Layer};
use super::output::{Unset, output};
use super::pre_norm::PreNorm;
use super::scratch::Scratch;
use super::simd::{self, vectorized};
use super::tensor::{read, slice};
use crate::args::{Dropout, MlpWeights};
use crate::compute::Policy;
use crate::gradients::anchor;

/// The maximum number of rows whose activations exist at the same time, which are enough for all threads.
const BLOCK_ROWS: usize = 576;

/// Returns the number of rows of a block for `rows` in total, so that blocks have about the same size.
fn block_rows(rows: usize) -> usize {
    let blocks = rows.div_ceil(BLOCK_ROWS).max(1);
    rows.div_ceil(blocks)
        .next_multiple_of(96)
        .clamp(1, rows.max(1))
}

/// Computes fc2(dropout(gelu(fc1(x)))).
pub(crate) fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    dropout: Option<Dropout>,
    policy: Policy,
) -> Result<Tensor> {
    let name = "mlp";
    Mlp {
        name,
        d_in: fc1.0.dim(1)?,
        norm: None,
        fc1: Layer::new(name, fc1, policy.compute)?,
        fc2: Layer::new(name, fc2, policy.compute)?,
        dropout,
        keep: !policy.recompute,
        kept: Mutex::new(None),
    }
    .apply(x)
}

/// Computes x + fc2(gelu(fc1(LN(x)))).
pub(crate) fn mlp_block(x: &Tensor, weights: MlpWeights, policy: Policy) -> Result<Tensor> {
    Mlp::block("mlp_block", weights, policy)?.apply(x)
}

/// The op of [`mlp`] and [`mlp_block`], which is also a part of a whole transformer.
pub(super) struct Mlp {
    name: &'static str,
    d_in: usize,
    /// The layer norm of a pre-norm block, which also adds its input to its output.
    norm: Option<PreNorm>,
    fc1: Layer,
    fc2: Layer,
    dropout: Option<Dropout>,
    /// `true` if there will be a backward pass that does not compute again what it needs.
    pub(super) keep: bool,
    /// The output of fc1 (.., F) from the forward pass, as one vector for each block of rows. The backward pass takes
    /// the vectors, so that their memory is freed early.
    kept: Mutex<Option<Vec<Vec<f32>>>>,
}

impl CustomOp2 for Mlp {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        _anchor: &CpuStorage,
        _anchor_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x: &[f32] = slice(self.name, x, x_layout)?;
        let d_out = self.fc2.d_out();
        let y = output(x.len() / self.d_in * d_out, |y| self.forward(x, y))?;
        Ok((CpuStorage::F32(y), linear::with_last_dim(x_layout, d_out)))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let dy = dy.contiguous()?;
        let dx = output(x.elem_count(), |dx| {
            self.backward(&read(self.name, x)?, &read(self.name, &dy)?, dx)
        })?;
        if !x.track_op() {
            return Ok((None, None));
        }
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
    }
}

impl Mlp {
    /// Creates the second half of a pre-norm block.
    pub(super) fn block(name: &'static str, weights: MlpWeights, policy: Policy) -> Result<Self> {
        let MlpWeights { norm, fc1, fc2 } = weights;
        Ok(Self {
            name,
            d_in: fc1.0.dim(1)?,
            norm: Some(PreNorm::new(name, norm)?),
            fc1: Layer::new(name, fc1, policy.compute)?,
            fc2: Layer::new(name, fc2, policy.compute)?,
            dropout: None,
            keep: !policy.recompute,
            kept: Mutex::new(None),
        })
    }

    /// Returns the weights for `anchor`.
    pub(super) fn tensors(&self) -> Vec<&Tensor> {
        let mut weights = [self.fc1.tensors(), self.fc2.tensors()].concat();
        weights.extend(self.norm.iter().flat_map(PreNorm::tensors));
        weights
    }

    /// Returns the number of elements of the normalized input of a block, which is 0 without a layer norm.
    fn normed_len(&self, block_rows: usize) -> usize {
        match self.norm {
            Some(_) => block_rows * self.d_in,
            None => 0,
        }
    }

    /// Computes `y` (rows, Dout) from `x` (rows, D).
    pub(super) fn forward<'y>(&self, x: &[f32], y: Unset<'y>) -> Result<&'y mut [f32]> {
        let (d_in, hidden, d_out) = (self.d_in, self.fc1.d_out(), self.fc2.d_out());
        let block_rows = block_rows(x.len() / d_in);
        let mut kept = Vec::new();
        let mut unkept = Scratch::new(if self.keep { 0 } else { block_rows * hidden });
        let mut act = Scratch::new(block_rows * hidden);
        let mut h = Scratch::new(self.normed_len(block_rows));
        let (weight1, weight2) = (self.fc1.weight()?, self.fc2.weight()?);
        let (w1_t, w2_t) = (self.fc1.w_t(&weight1), self.fc2.w_t(&weight2));
        let y = y.try_blocks(block_rows * d_out, |block, y| {
            let (first_row, rows) = (block * block_rows, y.len() / d_out);
            let x = &x[first_row * d_in..][..rows * d_in];
            let act = &mut act[..rows * hidden];
            let h = match &self.norm {
                Some(norm) => norm.forward(x, Unset::from(&mut h[..x.len()]))?,
                None => x,
            };
            if self.keep {
                kept.push(output(rows * hidden, |pre| {
                    let pre = linear::multiply(h, &w1_t, pre);
                    self.activate(pre, act, first_row)?;
                    Ok(pre)
                })?);
            } else {
                let pre = Unset::from(&mut unkept[..rows * hidden]);
                self.activate(linear::multiply(h, &w1_t, pre), act, first_row)?;
            }
            let y = match &self.norm {
                Some(_) => {
                    let y = y.fill(x.iter().copied());
                    linear::multiply_add(act, &w2_t, y);
                    y
                }
                None => linear::multiply(act, &w2_t, y),
            };
            linear::add_bias(y, &self.fc2.bias()?);
            Ok(y)
        })?;
        if self.keep {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        Ok(y)
    }

    /// Computes `dx` from `dy` and adds the gradients of the weights.
    pub(super) fn backward<'x>(
        &self,
        x: &[f32],
        dy: &[f32],
        dx: Unset<'x>,
    ) -> Result<&'x mut [f32]> {
        let (d_in, hidden, d_out) = (self.d_in, self.fc1.d_out(), self.fc2.d_out());
        let mut kept = self
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let block_rows = block_rows(x.len() / d_in);
        let mut act = Scratch::new(block_rows * hidden);
        let mut dpre = Scratch::new(block_rows * hidden);
        let mut again = Scratch::new(if kept.is_some() {
            0
        } else {
            block_rows * hidden
        });
        let normed = self.normed_len(block_rows);
        let (mut h, mut dh) = (Scratch::new(normed), Scratch::new(normed));
        let (weight1, weight2) = (self.fc1.weight()?, self.fc2.weight()?);
        let (w1, w2) = (self.fc1.w(&weight1), self.fc2.w(&weight2));
        dx.try_blocks(block_rows * d_in, |block, dx| {
            let (first_row, rows) = (block * block_rows, dx.len() / d_in);
            let x = &x[first_row * d_in..][..rows * d_in];
            let dy = &dy[first_row * d_out..][..rows * d_out];
            let act = &mut act[..rows * hidden];
            let h = match &self.norm {
                Some(norm) => norm.forward(x, Unset::from(&mut h[..x.len()]))?,
                None => x,
            };
            let kept = kept.as_mut().map(|kept| std::mem::take(&mut kept[block]));
            let pre = match &kept {
                Some(kept) => kept,
                None => &*self
                    .fc1
                    .forward(h, Unset::from(&mut again[..rows * hidden]))?,
            };
            let dpre = linear::multiply(dy, &w2, Unset::from(&mut dpre[..rows * hidden]));
            self.backward_activate(pre, act, dpre, first_row);
            drop(kept); // its memory is free for the next
            self.fc2.backward_weights(act, dy)?;
            self.fc1.backward_weights(h, dpre)?;
            match &self.norm {
                Some(norm) => {
                    let dh = Unset::from(&mut dh[..x.len()]);
                    norm.backward(x, linear::multiply(dpre, &w1, dh), dy, dx)
                }
                None => Ok(linear::multiply(dpre, &w1, dx)),
            }
        })
    }

    fn apply(mut self, x: &Tensor) -> Result<Tensor> {
        let anchor = anchor(&self.tensors()).clone();
        self.keep &= x.track_op() || anchor.track_op();
        x.contiguous()?.apply_op2(&anchor, self)
    }

    /// Adds the bias of fc1 to its product `pre`, and writes dropout(gelu(`pre`)) to `act`.
    ///
    /// The first row is `first_row` of the input.
    fn activate(&self, pre: &mut [f32], act: &mut [f32], first_row: usize) -> Result<()> {
        let bias = self.fc1.bias()?;
        let bias: &[f32] = &bias;
        let hidden = bias.len();
        let block = ROWS_PER_TASK * hidden;
        let tasks = pre.par_chunks_mut(block).zip(act.par_chunks_mut(block));
        tasks.enumerate().for_each(|(i, (pre, act))| {
            vectorized!({
                let rows = pre
                    .chunks_exact_mut(hidden)
                    .zip(act.chunks_exact_mut(hidden));
                for (row, (pre, act)) in rows.enumerate() {
                    for ((act, pre), &b) in act.iter_mut().zip(pre).zip(bias) {
                        *pre += b;
                        *act = simd::gelu(*pre).0;
                    }
                    if let Some(dropout) = self.dropout {
                        dropout.row(first_row + i * ROWS_PER_TASK + row).apply(act);
                    }
                }
            });
        });
        Ok(())
    }

    /// Computes the activations again, and turns `d`, the gradient of the output of dropout, into the gradient of `pre`.
    fn backward_activate(&self, pre: &[f32], act: &mut [f32], d: &mut [f32], first_row: usize) {
        let hidden = self.fc1.d_out();
        let block = ROWS_PER_TASK * hidden;
        act.par_chunks_mut(block)
            .zip(d.par_chunks_mut(block))
            .zip(pre.par_chunks(block))
            .enumerate()
            .for_each(|(i, ((act, d), pre))| {
                vectorized!({
                    let rows = act.chunks_exact_mut(hidden).zip(d.chunks_exact_mut(hidden));
                    for (row, ((act, d), pre)) in rows.zip(pre.chunks_exact(hidden)).enumerate() {
                        let elements = act.iter_mut().zip(d).zip(pre);
                        match self.dropout {
                            None => {
                                for ((act, d), &pre) in elements {
                                    let (value, slope) = simd::gelu(pre);
                                    *act = value;
                                    *d *= slope;
                                }
                            }
                            Some(dropout) => {
                                let mask = dropout.row(first_row + i * ROWS_PER_TASK + row);
                                for (col, ((act, d), &pre)) in elements.enumerate() {
                                    let (value, slope) = simd::gelu(pre);
                                    let factor = mask.factor(col);
                                    *act = value * factor;
                                    *d *= slope * factor;
                                }
                            }
                        }
                    }
                });
            });
    }
}
