//! The reconstruction loss of masked autoencoders (He et al., arXiv 2111.06377, section 3): mean squared
//! error on removed patches, by default against pixels normalised per patch.
//!
//! The target patches are read in place by their ids and their statistics are computed again in the
//! backward pass: d pred = 2 (pred - target) / (B R V).

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};
use rayon::prelude::*;

use crate::check;
use crate::cpu::simd::{self, vectorised};
use crate::cpu::{self, ROWS_PER_TASK};
use crate::portable;

/// Mean squared error per patch of `pred` against `target`, averaged over all patches given.
///
/// `pred`, `target` (B, R, V): the R removed patches of each sample, V values each. With `norm_pix` each
/// target patch is normalised by its own mean and unbiased variance (+ 1e-6 under the root). -> scalar.
///
/// # Errors
/// If shapes differ, a tensor is not f32, or `target` is tracked (it gets no gradient).
pub fn pixel_loss(pred: &Tensor, target: &Tensor, norm_pix: bool) -> Result<Tensor> {
    const OP: &str = "pixel_loss";
    check::dims3(OP, "pred", pred)?;
    check::shape(OP, "target", target, pred.dims())?;
    if portable::needed(pred) {
        return portable::pixel_loss(pred, target, None, norm_pix);
    }
    apply(OP, pred, target, None, norm_pix)
}

/// `pixel_loss` of `pred` (B, R, V) against the rows `ids` (B, R) u32 of `patches` (B, N, V) -> scalar.
///
/// # Errors
/// If a shape or type does not fit, an id is not below N, or `patches` is tracked.
pub fn masked_pixel_loss(
    pred: &Tensor,
    patches: &Tensor,
    ids: &Tensor,
    norm_pix: bool,
) -> Result<Tensor> {
    const OP: &str = "masked_pixel_loss";
    let (b, n, values) = check::dims3(OP, "patches", patches)?;
    let r = check::ids(OP, "ids", ids, b)?;
    check::shape(OP, "pred", pred, &[b, r, values])?;
    if portable::needed(pred) {
        return portable::pixel_loss(pred, patches, Some(ids), norm_pix);
    }
    let ids = ids.flatten_all()?.to_vec1::<u32>()?;
    check::ids_below(OP, "ids", &ids, n)?;
    apply(OP, pred, patches, Some(ids), norm_pix)
}

fn apply(
    name: &'static str,
    pred: &Tensor,
    target: &Tensor,
    ids: Option<Vec<u32>>,
    norm_pix: bool,
) -> Result<Tensor> {
    if target.track_op() {
        bail!("{name}: the target is tracked, but it gets no gradient: detach it");
    }
    if pred.elem_count() == 0 {
        bail!(
            "{name}: no patch was removed, pred has shape {:?}",
            pred.dims()
        );
    }
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
    /// (B, R or N, V)
    target: Tensor,
    /// (B, R) rows of `target`; row after row if `None`.
    ids: Option<Vec<u32>>,
    /// R or N.
    target_rows: usize,
    norm_pix: bool,
}

impl CustomOp1 for PixelLoss {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cpu_fwd(&self, pred: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, per_sample, values) = layout.shape().dims3()?;
        let pred: &[f32] = cpu::slice(self.name, pred, layout)?;
        let target = cpu::read(self.name, &self.target)?;
        let sums: Vec<f64> = pred
            .par_chunks(ROWS_PER_TASK * values)
            .enumerate()
            .map(|(block, pred)| {
                vectorised!({
                    let mut sum = 0.0;
                    for (i, pred) in pred.chunks_exact(values).enumerate() {
                        let row = self.row(block * ROWS_PER_TASK + i, per_sample);
                        let target = &target[row * values..][..values];
                        let (mean, rstd) = self.normalisation(target);
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
        let mut dpred = cpu::output(pred.elem_count());
        {
            let pred = cpu::read(self.name, pred)?;
            let target = cpu::read(self.name, &self.target)?;
            let block_len = ROWS_PER_TASK * values;
            dpred
                .par_chunks_mut(block_len)
                .zip(pred.par_chunks(block_len))
                .enumerate()
                .for_each(|(block, (dpred, pred))| {
                    vectorised!({
                        let rows = dpred
                            .chunks_exact_mut(values)
                            .zip(pred.chunks_exact(values));
                        for (i, (dpred, pred)) in rows.enumerate() {
                            let row = self.row(block * ROWS_PER_TASK + i, per_sample);
                            let target = &target[row * values..][..values];
                            let (mean, rstd) = self.normalisation(target);
                            for (dpred, (&pred, &target)) in
                                dpred.iter_mut().zip(pred.iter().zip(target))
                            {
                                *dpred = factor * (pred - (target - mean) * rstd);
                            }
                        }
                    })
                });
        }
        Tensor::from_vec(dpred, pred.shape(), pred.device()).map(Some)
    }
}

impl PixelLoss {
    /// Row of `target` for row `i` of the prediction, both counted over samples.
    fn row(&self, i: usize, per_sample: usize) -> usize {
        match &self.ids {
            Some(ids) => i / per_sample * self.target_rows + ids[i] as usize,
            None => i,
        }
    }

    /// Mean and reciprocal standard deviation to normalise a target patch with.
    #[inline(always)]
    fn normalisation(&self, target: &[f32]) -> (f32, f32) {
        if !self.norm_pix {
            return (0.0, 1.0);
        }
        let n = target.len() as f32;
        let mean = simd::sum(target, |v| v) / n;
        let var = simd::sum(target, |v| (v - mean) * (v - mean)) / (n - 1.0);
        (mean, 1.0 / (var + 1e-6).sqrt())
    }
}
