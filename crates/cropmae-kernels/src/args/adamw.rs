//! What an AdamW update takes.

use candle_core::{Tensor, Var};

/// The numbers of one AdamW update of one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// One-based count of updates, for the bias correction.
    pub step: u64,
    /// The gradient is multiplied by this first (clipping, accumulation).
    pub grad_scale: f64,
}

impl AdamWStep {
    /// 1 - b1^t and 1 - b2^t.
    pub(crate) fn corrections(&self) -> (f64, f64) {
        let correction = |beta: f64| 1.0 - beta.powf(self.step as f64);
        (correction(self.beta1), correction(self.beta2))
    }
}

/// One parameter's part of an optimizer step. All four tensors have the same shape.
#[derive(Debug, Clone, Copy)]
pub struct AdamWUpdate<'a> {
    /// The parameter.
    pub param: &'a Var,
    /// Its gradient.
    pub grad: &'a Tensor,
    /// First moment.
    pub exp_avg: &'a Var,
    /// Second moment.
    pub exp_avg_sq: &'a Var,
    /// The numbers.
    pub step: AdamWStep,
}
