//! Patch embedding of vision transformers (Dosovitskiy et al., arXiv 2010.11929, section 3.1).
//!
//! The convolution with stride P is a matrix product on patches. Only visible patches are embedded, and
//! the row of the position table is added at once. The weight stays in the convolution's layout
//! (D, 3, P, P); its columns are brought to the patches' (row, column, channel) order once per call.

use candle_core::{Result, Tensor, bail};

use crate::backend::Backend;
use crate::check::Inputs;
use crate::compute::Compute;
use crate::{cpu, gpu, reference};

/// Embeds `patches` (B, N, P*P*3), values in (row, column, channel) order, by the convolution `weight`
/// (D, 3, P, P), plus `bias` (D), plus each patch's row of the position table `pos` (N, D).
///
/// With `ids_keep` (B, K) u32 only those patches are embedded, in that order: -> (B, K, D), otherwise
/// (B, N, D). The position table is a constant: no gradient flows to it.
///
/// # Errors
/// If a shape or type does not fit, an id is not below N, `patches` is tracked (there is no gradient for
/// pixels), or a weight is the result of an op.
pub fn patch_embed(
    patches: &Tensor,
    ids_keep: Option<&Tensor>,
    weight: &Tensor,
    bias: &Tensor,
    pos: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "patch_embed";
    let inputs = Inputs::new(OP, "patches", patches)?;
    let (b, n, values) = inputs.dims3("patches", patches)?;
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
    inputs.untracked("patches", patches)?;
    let ids = ids_keep
        .map(|ids| inputs.ids("ids_keep", ids, (b, n)))
        .transpose()?;
    let pos = pos.detach();
    match inputs.backend {
        Backend::Cpu => cpu::patch_embed(patches, ids, (weight, bias), &pos, compute),
        Backend::Gpu => gpu::patch_embed(patches, ids_keep, (weight, bias), &pos, compute),
        Backend::Reference => {
            reference::patch_embed(patches, ids_keep, (weight, bias), &pos, compute)
        }
    }
}
