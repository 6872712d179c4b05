//! The feed-forward part of a transformer block: fc2(dropout(gelu(fc1(x)))), exact erf GELU; in a
//! pre-norm block x + fc2(gelu(fc1(LN(x)))).
//!
//! Only the pre-activation is kept. The activation, F = 4 D wide, exists for a block of rows at a time:
//! it is formed (again, in the backward pass) with bias and dropout mask in one pass and consumed while
//! it is in the cache. So is the normalised input of a pre-norm block.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::backward::anchor;
use crate::check;
use crate::compute::Policy;
use crate::cpu::scratch::Scratch;
use crate::cpu::simd::{self, vectorised};
use crate::cpu::{self, ROWS_PER_TASK};
use crate::dropout::Dropout;
use crate::linear::{self, Layer};
use crate::portable;
use crate::pre_norm::{Norm, PreNorm};

/// Rows whose activations exist at a time, at most: enough for all threads.
const BLOCK_ROWS: usize = 576;

/// Rows of a block when there are `rows` in all: blocks of about the same size.
fn block_rows(rows: usize) -> usize {
    let blocks = rows.div_ceil(BLOCK_ROWS).max(1);
    rows.div_ceil(blocks)
        .next_multiple_of(96)
        .clamp(1, rows.max(1))
}

/// fc2(dropout(gelu(fc1(`x`)))). `x` (.., D), fc1 (F, D) and (F), fc2 (Dout, F) and (Dout) -> (.., Dout).
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, p is not in 0..1, or a weight is the result of an op.
pub fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    dropout: Option<Dropout>,
    policy: Policy,
) -> Result<Tensor> {
    const OP: &str = "mlp";
    check::float(OP, "x", x)?;
    let d_in = check::last_dim(OP, "x", x)?;
    if let Some(dropout) = dropout {
        dropout.check(OP)?;
    }
    if portable::needed(x) {
        return portable::mlp(x, fc1, fc2, dropout);
    }
    let fc1 = Layer::new(OP, "fc1", fc1, d_in, policy.compute)?;
    let fc2 = Layer::new(OP, "fc2", fc2, fc1.d_out(), policy.compute)?;
    Mlp {
        name: OP,
        d_in,
        norm: None,
        fc1,
        fc2,
        dropout,
        keep: !policy.recompute,
        kept: Mutex::new(None),
    }
    .apply(x)
}

/// The second half of a pre-norm block: `x` + fc2(gelu(fc1(LN(`x`)))), `x` (.., D) -> (.., D).
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, or a weight is the result of an op.
pub fn mlp_block(
    x: &Tensor,
    norm: Norm,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    policy: Policy,
) -> Result<Tensor> {
    const OP: &str = "mlp_block";
    check::float(OP, "x", x)?;
    let d = check::last_dim(OP, "x", x)?;
    if portable::needed(x) {
        check::shape(OP, "fc2.bias", fc2.1, &[d])?;
        return portable::mlp_block(x, norm, fc1, fc2);
    }
    Mlp::block(OP, d, norm, fc1, fc2, policy)?.apply(x)
}

/// The op behind [`mlp`] and [`mlp_block`], also a part of a whole transformer.
pub(crate) struct Mlp {
    name: &'static str,
    d_in: usize,
    /// Of a pre-norm block, which also adds its input to its output.
    norm: Option<PreNorm>,
    fc1: Layer,
    fc2: Layer,
    dropout: Option<Dropout>,
    /// There will be a backward pass, which is not to compute again what it needs.
    pub(crate) keep: bool,
    /// fc1's output (.., F), left by the forward pass, taken by the backward pass so that its memory is free
    /// soon.
    kept: Mutex<Option<Vec<f32>>>,
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
        let x: &[f32] = cpu::slice(self.name, x, x_layout)?;
        let d_out = self.fc2.d_out();
        let mut y = cpu::output(x.len() / self.d_in * d_out);
        self.forward(x, &mut y)?;
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
        let mut dx = cpu::output(x.elem_count());
        self.backward(
            &cpu::read(self.name, x)?,
            &cpu::read(self.name, &dy)?,
            &mut dx,
        )?;
        if !x.track_op() {
            return Ok((None, None));
        }
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
    }
}

impl Mlp {
    /// The second half of a pre-norm block.
    pub(crate) fn block(
        name: &'static str,
        d: usize,
        norm: Norm,
        fc1: (&Tensor, &Tensor),
        fc2: (&Tensor, &Tensor),
        policy: Policy,
    ) -> Result<Self> {
        check::shape(name, "fc2.bias", fc2.1, &[d])?;
        let norm = Some(PreNorm::new(name, norm, d)?);
        let fc1 = Layer::new(name, "fc1", fc1, d, policy.compute)?;
        let fc2 = Layer::new(name, "fc2", fc2, fc1.d_out(), policy.compute)?;
        Ok(Self {
            name,
            d_in: d,
            norm,
            fc1,
            fc2,
            dropout: None,
            keep: !policy.recompute,
            kept: Mutex::new(None),
        })
    }

    /// The weights, for `anchor`.
    pub(crate) fn tensors(&self) -> Vec<&Tensor> {
        let mut weights = [self.fc1.tensors(), self.fc2.tensors()].concat();
        weights.extend(self.norm.iter().flat_map(PreNorm::tensors));
        weights
    }

    /// `x` (rows, D) -> `y` (rows, Dout).
    pub(crate) fn forward(&self, x: &[f32], y: &mut [f32]) -> Result<()> {
        let (d_in, hidden, d_out) = (self.d_in, self.fc1.d_out(), self.fc2.d_out());
        let rows = x.len() / d_in;
        let block_rows = block_rows(rows);
        let mut kept = if self.keep {
            cpu::output(rows * hidden)
        } else {
            Vec::new()
        };
        let mut unkept = Scratch::new(if kept.is_empty() {
            block_rows * hidden
        } else {
            0
        });
        let mut act = Scratch::new(block_rows * hidden);
        let mut h = Scratch::new(if self.norm.is_some() {
            block_rows * d_in
        } else {
            0
        });
        let (weight1, weight2) = (self.fc1.weight()?, self.fc2.weight()?);
        let (w1_t, w2_t) = (self.fc1.w_t(&weight1), self.fc2.w_t(&weight2));
        let blocks = y
            .chunks_mut(block_rows * d_out)
            .zip(x.chunks(block_rows * d_in));
        for (block, (y, x)) in blocks.enumerate() {
            let first_row = block * block_rows;
            let rows = x.len() / d_in;
            let act = &mut act[..rows * hidden];
            let pre = match kept.get_mut(first_row * hidden..) {
                Some(kept) if !kept.is_empty() => &mut kept[..rows * hidden],
                _ => &mut unkept[..rows * hidden],
            };
            let (h, beta) = match &self.norm {
                Some(norm) => {
                    norm.forward(x, &mut h[..x.len()])?;
                    y.copy_from_slice(x);
                    (&h[..x.len()], 1.0)
                }
                None => (x, 0.0),
            };
            linear::multiply(h, &w1_t, pre, 0.0);
            self.activate(pre, act, first_row)?;
            linear::multiply(act, &w2_t, y, beta);
            linear::add_bias(y, &self.fc2.bias()?);
        }
        if self.keep {
            *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        }
        Ok(())
    }

    /// `dx` from `dy`; delivers the gradients of the weights.
    pub(crate) fn backward(&self, x: &[f32], dy: &[f32], dx: &mut [f32]) -> Result<()> {
        let (d_in, hidden, d_out) = (self.d_in, self.fc1.d_out(), self.fc2.d_out());
        let kept = self
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
        let normed = if self.norm.is_some() {
            block_rows * d_in
        } else {
            0
        };
        let (mut h, mut dh) = (Scratch::new(normed), Scratch::new(normed));
        let (weight1, weight2) = (self.fc1.weight()?, self.fc2.weight()?);
        let (w1, w2) = (self.fc1.w(&weight1), self.fc2.w(&weight2));
        let blocks = x
            .chunks(block_rows * d_in)
            .zip(dy.chunks(block_rows * d_out));
        let blocks = blocks.zip(dx.chunks_mut(block_rows * d_in)).enumerate();
        for (block, ((x, dy), dx)) in blocks {
            let (first_row, rows) = (block * block_rows, x.len() / d_in);
            let (act, dpre) = (&mut act[..rows * hidden], &mut dpre[..rows * hidden]);
            let h = match &self.norm {
                Some(norm) => {
                    norm.forward(x, &mut h[..x.len()])?;
                    &h[..x.len()]
                }
                None => x,
            };
            let pre = match &kept {
                Some(kept) => &kept[first_row * hidden..][..rows * hidden],
                None => {
                    let pre = &mut again[..rows * hidden];
                    self.fc1.forward(h, pre, 0.0)?;
                    &*pre
                }
            };
            linear::multiply(dy, &w2, dpre, 0.0);
            self.backward_activate(pre, act, dpre, first_row);
            self.fc2.backward_weights(act, dy)?;
            self.fc1.backward_weights(h, dpre)?;
            match &self.norm {
                Some(norm) => {
                    let dh = &mut dh[..x.len()];
                    linear::multiply(dpre, &w1, dh, 0.0);
                    norm.backward(x, dh, dy, dx)?;
                }
                None => linear::multiply(dpre, &w1, dx, 0.0),
            }
        }
        Ok(())
    }

    fn apply(mut self, x: &Tensor) -> Result<Tensor> {
        let anchor = anchor(&self.tensors()).clone();
        self.keep &= x.track_op() || anchor.track_op();
        x.contiguous()?.apply_op2(&anchor, self)
    }

    /// Adds fc1's bias to its product `pre` and writes dropout(gelu(`pre`)) to `act`, in rows that start
    /// at `first_row` of the input.
    fn activate(&self, pre: &mut [f32], act: &mut [f32], first_row: usize) -> Result<()> {
        let bias = self.fc1.bias()?;
        let bias: &[f32] = &bias;
        let hidden = bias.len();
        let block = ROWS_PER_TASK * hidden;
        let tasks = pre.par_chunks_mut(block).zip(act.par_chunks_mut(block));
        tasks.enumerate().for_each(|(i, (pre, act))| {
            vectorised!({
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

    /// Forms the activations again and turns `d`, the gradient of dropout's output, into that of `pre`.
    fn backward_activate(&self, pre: &[f32], act: &mut [f32], d: &mut [f32], first_row: usize) {
        let hidden = self.fc1.d_out();
        let block = ROWS_PER_TASK * hidden;
        act.par_chunks_mut(block)
            .zip(d.par_chunks_mut(block))
            .zip(pre.par_chunks(block))
            .enumerate()
            .for_each(|(i, ((act, d), pre))| {
                vectorised!({
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
