//! The patch embedding of vision transformers (Dosovitskiy et al., arXiv 2010.11929, section 3.1).
//!
//! The convolution with stride P is a matrix product on patches. Only visible patches are embedded, and the rows of the
//! position table are added in the same pass. The weight has the layout of a convolution (D, 3, P, P). Each call sorts
//! its columns once into the (row, column, channel) order of the patches.

use candle_core::{Result, Tensor, bail};

use crate::args::PatchPixels;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::compute::Compute;
use crate::{cpu, gpu, reference};

/// Embeds `patches` `(B, N, P*P*3)`: normalized f32 values or bytes.
///
/// The patches are multiplied by the convolution `weight` (D, 3, P, P), and `bias` (D) and the row of each patch in the
/// position table `pos` (N, D) are added. With `ids_keep` (B, K) u32, only these patches are embedded, in this order:
/// the result is (B, K, D), otherwise (B, N, D). The position table is a constant without a gradient.
///
/// # Errors
/// Returns an error if a shape or type does not fit, an id is not below N, `patches` is tracked (pixels have no
/// gradient), or a weight is the result of an op.
pub fn patch_embed(
    patches: impl Into<PatchPixels>,
    ids_keep: Option<&Tensor>,
    weight: &Tensor,
    bias: &Tensor,
    pos: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "patch_embed";
    let patches = patches.into();
    let inputs = Inputs::new(OP, "pos", pos)?;
    let (b, n, values) = inputs.pixels("patches", &patches)?;
    inputs.float("weight", weight)?;
    let d = match *weight.dims() {
        [d, 3, p, q] if d > 0 && p > 0 && p == q && 3 * p * p == values => d,
        _ => bail!(
            "{OP}: weight has shape {:?}, expected (D, 3, P, P) with 3 P P = {values}",
            weight.dims()
        ),
    };
    inputs.shape("bias", bias, &[d])?;
    inputs.shape("pos", pos, &[n, d])?;
    inputs.leaf("weight", weight)?;
    inputs.leaf("bias", bias)?;
    let ids = ids_keep
        .map(|ids| inputs.ids("ids_keep", ids, (b, n)))
        .transpose()?;
    let pos = pos.detach();
    match inputs.backend {
        Backend::Cpu => {
            cpu::patch_embed(&patches.normalized()?, ids, (weight, bias), &pos, compute)
        }
        Backend::Gpu => gpu::patch_embed(&patches, ids_keep, (weight, bias), &pos, compute),
        Backend::Reference => reference::patch_embed(
            &patches.normalized()?,
            ids_keep,
            (weight, bias),
            &pos,
            compute,
        ),
    }
}
