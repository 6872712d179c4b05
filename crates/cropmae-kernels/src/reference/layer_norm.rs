//! Layer normalization.

use candle_core::{D, Result, Tensor};

use super::dropout::maybe_dropout;
use crate::args::{Dropout, Norm};

/// Computes LN over the last dimension.
pub(crate) fn layer_norm(x: &Tensor, norm: Norm) -> Result<Tensor> {
    let centered = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let var = centered.sqr()?.mean_keepdim(D::Minus1)?;
    centered
        .broadcast_div(&(var + norm.eps)?.sqrt()?)?
        .broadcast_mul(norm.weight)?
        .broadcast_add(norm.bias)
}

/// Computes LN(residual + dropout(x)).
pub(crate) fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    norm: Norm,
    dropped: Option<Dropout>,
) -> Result<Tensor> {
    layer_norm(&(residual + maybe_dropout(x, dropped)?)?, norm)
}
