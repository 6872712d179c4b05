//! The reconstruction loss in one pass.
//!
//! The target patches are read in place by their ids, and the backward pass computes their statistics again.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use super::ROWS_PER_TASK;
use super::output::output;
use super::simd::{self, vectorized};
use super::tensor::{read, slice};

/// Returns the mean squared error of `pred` against the rows `ids` of `target`, or against all rows.
pub(crate) fn pixel_loss(
    name: &'static str,
    pred: &Tensor,
    target: &Tensor,
    ids: Option<Vec<u32>>,
    norm_pix: bool,
) -> Result<Tensor> {
    let op = PixelLoss {
        name,
        target: target.contiguous()?,
        ids,
        target_rows: target.dim(1)?,
        norm_pix,
    };
    pred.contiguous()?.apply_op1(op)
}

struct PixelLoss {
    name: &'static str,
    /// The shape (B, R or N, V).
    target: Tensor,
    /// The rows (B, R) of `target`, or `None` for all rows in order.
    ids: Option<Vec<u32>>,
    /// The number of patches per sample in `target`: R or N.
    target_rows: usize,
    norm_pix: bool,
}

impl CustomOp1 for PixelLoss {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, pred: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, per_sample, values) = layout.shape().dims3()?;
        let pred: &[f32] = slice(self.name, pred, layout)?;
        let target = read(self.name, &self.target)?;
        let sums: Vec<f64> = pred
            .par_chunks(ROWS_PER_TASK * values)
            .enumerate()
            .map(|(block, pred)| {
                vectorized!({
                    let mut sum = 0.0;
                    for (i, pred) in pred.chunks_exact(values).enumerate() {
                        let row = self.row(block * ROWS_PER_TASK + i, per_sample);
                        let target = &target[row * values..][..values];
                        let (mean, rstd) = self.normalization(target);
                        let squares = simd::sum2(pred, target, |pred, target| {
                            let error = pred - (target - mean) * rstd;
                            error * error
                        });
                        sum += f64::from(squares);
                    }
                    sum
                })
            })
            .collect();
        let loss = sums.iter().sum::<f64>() / pred.len() as f64;
        Ok((CpuStorage::F32(vec![loss as f32]), ().into()))
    }

    fn bwd(&self, pred: &Tensor, _loss: &Tensor, dloss: &Tensor) -> Result<Option<Tensor>> {
        let (_, per_sample, values) = pred.dims3()?;
        let factor = 2.0 * dloss.to_scalar::<f32>()? / pred.elem_count() as f32;
        let dpred = {
            let pred = read(self.name, pred)?;
            let target = read(self.name, &self.target)?;
            output(pred.len(), |dpred| {
                let written = dpred.par_blocks(ROWS_PER_TASK * values, |block, dpred| {
                    let dpred = vectorized!(dpred.blocks(
                        values,
                        #[inline(always)]
                        |i, dpred| {
                            let i = block * ROWS_PER_TASK + i;
                            let pred = &pred[i * values..][..values];
                            let target = &target[self.row(i, per_sample) * values..][..values];
                            let (mean, rstd) = self.normalization(target);
                            dpred.fill(pred.iter().zip(target).map(
                                #[inline(always)]
                                |(&pred, &target)| factor * (pred - (target - mean) * rstd),
                            ))
                        }
                    ));
                    (dpred, ())
                });
                Ok(written.0)
            })?
        };
        Tensor::from_vec(dpred, pred.shape(), pred.device()).map(Some)
    }
}

impl PixelLoss {
    /// Returns the row of `target` for row `i` of the prediction, both counted over all samples.
    fn row(&self, i: usize, per_sample: usize) -> usize {
        match &self.ids {
            Some(ids) => i / per_sample * self.target_rows + ids[i] as usize,
            None => i,
        }
    }

    /// Returns the mean and the reciprocal standard deviation that normalize a target patch.
    #[inline(always)]
    fn normalization(&self, target: &[f32]) -> (f32, f32) {
        if !self.norm_pix {
            return (0.0, 1.0);
        }
        let n = target.len() as f32;
        let mean = simd::sum(target, |v| v) / n;
        let var = simd::sum(target, |v| (v - mean) * (v - mean)) / (n - 1.0);
        (mean, 1.0 / (var + 1e-6).sqrt())
    }
}
