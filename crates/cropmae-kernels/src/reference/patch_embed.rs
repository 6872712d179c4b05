//! Patch embedding.

use candle_core::{Result, Tensor};

use super::gather_rows;
use super::linear::linear;
use crate::compute::Compute;

/// Multiplies patches by the weight and adds bias and positions. With `ids_keep`, only these patches are embedded.
pub(crate) fn patch_embed(
    patches: &Tensor,
    ids_keep: Option<&Tensor>,
    (weight, bias): (&Tensor, &Tensor),
    pos: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    let (b, _, values) = patches.dims3()?;
    // (D, 3, P, P) -> (D, P P 3), which is the order of the pixels in a patch
    let weight = weight
        .permute((0, 2, 3, 1))?
        .contiguous()?
        .reshape(((), values))?;
    let (patches, pos) = match ids_keep {
        Some(ids) => {
            let (k, d) = (ids.dim(1)?, bias.elem_count());
            if k == 0 {
                return Tensor::zeros((b, 0, d), patches.dtype(), patches.device());
            }
            let pos = pos.index_select(&ids.flatten_all()?, 0)?;
            (gather_rows(patches, ids)?, pos.reshape((b, k, d))?)
        }
        None => (patches.clone(), pos.unsqueeze(0)?),
    };
    linear(&patches, (&weight, bias), compute)?.broadcast_add(&pos)
}
