//! The feed-forward part of a transformer block: fc2(dropout(gelu(fc1(x)))), exact erf GELU.
//!
//! Only the pre-activation is kept. The activation, F = 4 D wide, exists for a block of rows at a time:
//! it is formed (again, in the backward pass) with its dropout mask in one pass and consumed while it is
//! in the cache.

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::backward::{anchor, check_leaf, weight_gradient};
use crate::check;
use crate::cpu::scratch::Scratch;
use crate::cpu::{self, ROWS_PER_TASK, simd};
use crate::dropout::Dropout;
use crate::linear;

/// Rows whose activations exist at a time: enough to amortise the packing of the weights.
const BLOCK_ROWS: usize = 1024;

/// fc2(dropout(gelu(fc1(`x`)))). `x` (.., D), fc1 (F, D) and (F), fc2 (D, F) and (D) -> (.., D).
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, p is not in 0..1, or a weight is the result of an op.
pub fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    const OP: &str = "mlp";
    linear::check_shapes(OP, "fc1.", x, fc1.0, fc1.1)?;
    let hidden = fc1.1.elem_count();
    if fc2.0.dims() != [fc2.1.elem_count(), hidden] || fc2.1.rank() != 1 {
        bail!(
            "{OP}: fc2.weight has shape {:?} and fc2.bias {:?}, expected (D, {hidden}) and (D)",
            fc2.0.dims(),
            fc2.1.dims()
        );
    }
    let weights = Weights {
        fc1_weight: fc1.0.contiguous()?,
        fc1_bias: fc1.1.contiguous()?,
        fc2_weight: fc2.0.contiguous()?,
        fc2_bias: fc2.1.contiguous()?,
    };
    for (name, weight) in weights.named() {
        check::float(OP, name, weight)?;
        check_leaf(OP, name, weight)?;
    }
    if let Some(dropout) = dropout {
        dropout.check(OP)?;
    }
    let x = x.contiguous()?;
    let pre = x.apply_op3_no_bwd(&weights.fc1_weight, &weights.fc1_bias, &linear::Linear)?;
    let anchor = anchor(&weights.named().map(|(_, weight)| weight)).clone();
    x.apply_op2(
        &anchor,
        Mlp {
            weights,
            pre,
            dropout,
        },
    )
}

struct Weights {
    fc1_weight: Tensor,
    fc1_bias: Tensor,
    fc2_weight: Tensor,
    fc2_bias: Tensor,
}

impl Weights {
    fn named(&self) -> [(&'static str, &Tensor); 4] {
        [
            ("fc1.weight", &self.fc1_weight),
            ("fc1.bias", &self.fc1_bias),
            ("fc2.weight", &self.fc2_weight),
            ("fc2.bias", &self.fc2_bias),
        ]
    }
}

struct Mlp {
    weights: Weights,
    /// fc1(x), (.., F).
    pre: Tensor,
    dropout: Option<Dropout>,
}

impl CustomOp2 for Mlp {
    fn name(&self) -> &'static str {
        "mlp"
    }

    fn cpu_fwd(
        &self,
        _x: &CpuStorage,
        x_layout: &Layout,
        _anchor: &CpuStorage,
        _anchor_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let pre = cpu::read(self.name(), &self.pre)?;
        let weight = cpu::read(self.name(), &self.weights.fc2_weight)?;
        let bias = cpu::read(self.name(), &self.weights.fc2_bias)?;
        let (hidden, d) = (self.weights.fc1_bias.elem_count(), bias.len());
        let mut y = cpu::output(pre.len() / hidden * d);
        let mut act = Scratch::new(pre.len().min(BLOCK_ROWS * hidden));
        let blocks = y
            .chunks_mut(BLOCK_ROWS * d)
            .zip(pre.chunks(BLOCK_ROWS * hidden));
        for (block, (y, pre)) in blocks.enumerate() {
            let act = &mut act[..pre.len()];
            self.activate(pre, act, block * BLOCK_ROWS);
            linear::product(act, &weight, y, hidden);
            linear::add_bias(y, &bias);
        }
        let mut shape = x_layout.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = d;
        }
        Ok((CpuStorage::F32(y), shape.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        _anchor: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let op = self.name();
        let Weights {
            fc1_weight,
            fc1_bias,
            fc2_weight,
            fc2_bias,
        } = &self.weights;
        let (hidden, d_in) = fc1_weight.dims2()?;
        let d_out = fc2_bias.elem_count();
        let dy = dy.contiguous()?;
        let (dy, pre) = (cpu::read(op, &dy)?, cpu::read(op, &self.pre)?);
        let mut dx = if x.track_op() {
            cpu::output(x.elem_count())
        } else {
            Vec::new()
        };
        let mut act = Scratch::new(pre.len().min(BLOCK_ROWS * hidden));
        let mut dpre = Scratch::new(act.len());
        {
            let x = cpu::read(op, x)?;
            for (block, pre) in pre.chunks(BLOCK_ROWS * hidden).enumerate() {
                let first_row = block * BLOCK_ROWS;
                let rows = pre.len() / hidden;
                let dy = &dy[first_row * d_out..][..rows * d_out];
                let x = &x[first_row * d_in..][..rows * d_in];
                let (act, dpre) = (&mut act[..pre.len()], &mut dpre[..pre.len()]);
                linear::backward_input(dy, &cpu::read(op, fc2_weight)?, dpre, d_out);
                self.backward_activate(pre, act, dpre, first_row);
                weight_gradient(op, fc2_weight, |sums, beta| {
                    linear::backward_weight(dy, act, sums, beta, (d_out, hidden));
                })?;
                weight_gradient(op, fc1_weight, |sums, beta| {
                    linear::backward_weight(dpre, x, sums, beta, (hidden, d_in));
                })?;
                weight_gradient(op, fc1_bias, |sums, beta| {
                    cpu::column_sums(dpre, sums, beta)
                })?;
                if !dx.is_empty() {
                    let dx = &mut dx[first_row * d_in..][..rows * d_in];
                    linear::backward_input(dpre, &cpu::read(op, fc1_weight)?, dx, hidden);
                }
            }
        }
        weight_gradient(op, fc2_bias, |sums, beta| cpu::column_sums(&dy, sums, beta))?;
        if !x.track_op() {
            return Ok((None, None));
        }
        Ok((Some(Tensor::from_vec(dx, x.shape(), x.device())?), None))
    }
}

impl Mlp {
    /// `act` = dropout(gelu(`pre`)), for rows that start at `first_row` of the input.
    fn activate(&self, pre: &[f32], act: &mut [f32], first_row: usize) {
        let hidden = self.weights.fc1_bias.elem_count();
        let block = ROWS_PER_TASK * hidden;
        act.par_chunks_mut(block)
            .zip(pre.par_chunks(block))
            .enumerate()
            .for_each(|(i, (act, pre))| {
                simd::dispatch(
                    #[inline(always)]
                    || {
                        for (act, &pre) in act.iter_mut().zip(pre) {
                            *act = simd::gelu(pre).0;
                        }
                        if let Some(dropout) = self.dropout {
                            for (row, act) in act.chunks_exact_mut(hidden).enumerate() {
                                dropout.row(first_row + i * ROWS_PER_TASK + row).apply(act);
                            }
                        }
                    },
                );
            });
    }

    /// Forms the activations again and turns `d`, the gradient of dropout's output, into that of `pre`.
    fn backward_activate(&self, pre: &[f32], act: &mut [f32], d: &mut [f32], first_row: usize) {
        let hidden = self.weights.fc1_bias.elem_count();
        let block = ROWS_PER_TASK * hidden;
        act.par_chunks_mut(block)
            .zip(d.par_chunks_mut(block))
            .zip(pre.par_chunks(block))
            .enumerate()
            .for_each(|(i, ((act, d), pre))| {
                simd::dispatch(
                    #[inline(always)]
                    || {
                        for ((act, d), &pre) in act.iter_mut().zip(d.iter_mut()).zip(pre) {
                            let (value, slope) = simd::gelu(pre);
                            *act = value;
                            *d *= slope;
                        }
                        if let Some(dropout) = self.dropout {
                            let rows = act.chunks_exact_mut(hidden).zip(d.chunks_exact_mut(hidden));
                            for (row, (act, d)) in rows.enumerate() {
                                let mask = dropout.row(first_row + i * ROWS_PER_TASK + row);
                                mask.apply(act);
                                mask.apply(d);
                            }
                        }
                    },
                );
            });
    }
}
