//! The feed-forward part of a transformer layer.

use candle_core::{Result, Tensor};

use super::dropout::maybe_dropout;
use super::linear::linear;
use crate::args::Dropout;
use crate::compute::Compute;

/// Computes fc2(dropout(gelu(fc1(x)))).
pub(crate) fn mlp(
    x: &Tensor,
    fc1: (&Tensor, &Tensor),
    fc2: (&Tensor, &Tensor),
    dropped: Option<Dropout>,
    compute: Compute,
) -> Result<Tensor> {
    let pre = linear(x, fc1, compute)?;
    // The value of candle's `gelu_erf` is right, but its slope only has six digits.
    let act = (&pre * ((&pre / 2f64.sqrt())?.erf()? + 1.0)?)?.affine(0.5, 0.0)?;
    linear(&maybe_dropout(&act, dropped)?, fc2, compute)
}
