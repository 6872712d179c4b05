//! The reconstruction loss of masked autoencoders (He et al., arXiv 2111.06377, section 3), which is the mean squared
//! error on removed patches, by default against pixels that are normalized for each patch.
//!
//! The gradient is d pred = 2 (pred - target) / (B R V). The target has no gradient.

use candle_core::{Result, Tensor, bail};

use crate::args::PatchPixels;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, gpu, reference};

/// Returns the mean squared error of `pred` against `target` over all patches, as a scalar.
///
/// `pred` and `target` (B, R, V) are the R removed patches of each sample with V values each. If `norm_pix` is true,
/// each target patch is normalized by its mean and unbiased variance (+ 1e-6 under the root).
///
/// # Errors
/// Returns an error if shapes differ, a tensor is not f32, or `target` is tracked (it has no gradient).
pub fn pixel_loss(pred: &Tensor, target: &Tensor, norm_pix: bool) -> Result<Tensor> {
    const OP: &str = "pixel_loss";
    let inputs = Inputs::new(OP, "pred", pred)?;
    inputs.dims3("pred", pred)?;
    inputs.shape("target", target, pred.dims())?;
    check(OP, &inputs, pred, target)?;
    match inputs.backend {
        Backend::Cpu => cpu::pixel_loss(OP, pred, target, None, norm_pix),
        Backend::Gpu => gpu::pixel_loss(OP, pred, &target.into(), None, norm_pix),
        Backend::Reference => reference::pixel_loss(pred, target, None, norm_pix),
    }
}

/// Returns the [`pixel_loss`] of `pred` (B, R, V) against the rows `ids` (B, R) u32 of `patches` (B, N, V), as a scalar.
///
/// The patches are normalized f32 values or bytes.
///
/// # Errors
/// Returns an error if a shape or type does not fit, an id is not below N, or `patches` is tracked.
pub fn masked_pixel_loss(
    pred: &Tensor,
    patches: impl Into<PatchPixels>,
    ids: &Tensor,
    norm_pix: bool,
) -> Result<Tensor> {
    const OP: &str = "masked_pixel_loss";
    let inputs = Inputs::new(OP, "pred", pred)?;
    let patches = patches.into();
    let (b, n, values) = inputs.pixels("patches", &patches)?;
    let rows = inputs.ids("ids", ids, (b, n))?;
    inputs.shape("pred", pred, &[b, ids.dim(1)?, values])?;
    check(OP, &inputs, pred, patches.patches())?;
    match inputs.backend {
        Backend::Cpu => cpu::pixel_loss(OP, pred, &patches.normalized()?, Some(rows), norm_pix),
        Backend::Gpu => gpu::pixel_loss(OP, pred, &patches, Some(ids), norm_pix),
        Backend::Reference => {
            reference::pixel_loss(pred, &patches.normalized()?, Some(ids), norm_pix)
        }
    }
}

fn check(op: &'static str, inputs: &Inputs, pred: &Tensor, target: &Tensor) -> Result<()> {
    inputs.untracked("the target", target)?;
    if pred.elem_count() == 0 {
        bail!(
            "{op}: no patch was removed, pred has shape {:?}",
            pred.dims()
        );
    }
    Ok(())
}
