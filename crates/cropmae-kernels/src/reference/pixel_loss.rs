//! The reconstruction loss.

use candle_core::{Result, Tensor};

use super::gather_rows;

/// Returns the mean squared error against the rows `ids` of `patches`, or against all rows.
pub(crate) fn pixel_loss(
    pred: &Tensor,
    patches: &Tensor,
    ids: Option<&Tensor>,
    norm_pix: bool,
) -> Result<Tensor> {
    let mut target = match ids {
        Some(ids) => gather_rows(patches, ids)?,
        None => patches.clone(),
    };
    if norm_pix {
        let centered = target.broadcast_sub(&target.mean_keepdim(2)?)?;
        let var = (centered.sqr()?.sum_keepdim(2)? / (target.dim(2)? as f64 - 1.0))?;
        target = centered.broadcast_div(&(var + 1e-6)?.sqrt()?)?;
    }
    (pred - target)?.sqr()?.mean_all()
}
