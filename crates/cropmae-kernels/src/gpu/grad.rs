//! A gradient in the forms that a layer's backward pass takes.

use candle_core::{Result, Tensor};

use super::columns::{self, Partial};
use super::layer_norm::matrix;
use super::queue::Queue;

/// The gradient of a layer's output.
pub(super) struct Grad {
    /// In f32, for sums.
    pub(super) float: Tensor,
    /// As operands of products; the same tensor where these are f32.
    pub(super) operand: Tensor,
    /// Its sums over rows: the gradient of the layer's bias.
    pub(super) sums: Partial,
}

impl Grad {
    /// The forms of a contiguous f32 gradient (.., D).
    pub(super) fn new(queue: &Queue, grad: &Tensor) -> Result<Self> {
        let (operand, sums) = columns::cast_with_sums(queue, grad, matrix(grad)?)?;
        Ok(Self {
            float: grad.clone(),
            operand: operand.reshape(grad.shape())?,
            sums,
        })
    }
}
