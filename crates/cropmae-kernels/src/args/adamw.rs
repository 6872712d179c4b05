//! The arguments of an AdamW update.

use candle_core::{Tensor, Var};

/// The numbers of one AdamW update of one parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWStep {
    /// The learning rate.
    pub lr: f64,
    /// The decay of the first moment.
    pub beta1: f64,
    /// The decay of the second moment.
    pub beta2: f64,
    /// The number that is added to the denominator.
    pub eps: f64,
    /// The decoupled weight decay.
    pub weight_decay: f64,
    /// The number of the update, from 1, for the bias correction.
    pub step: u64,
}

impl AdamWStep {
    /// Returns 1 - b1^t and 1 - b2^t.
    pub(crate) fn corrections(&self) -> (f64, f64) {
        let correction = |beta: f64| 1.0 - beta.powf(self.step as f64);
        (correction(self.beta1), correction(self.beta2))
    }
}

/// The update of one parameter in an optimizer step. All four tensors have the same shape.
#[derive(Debug, Clone, Copy)]
pub struct AdamWUpdate<'a> {
    /// The parameter.
    pub param: &'a Var,
    /// The gradient of the parameter.
    pub grad: &'a Tensor,
    /// The first moment.
    pub exp_avg: &'a Var,
    /// The second moment.
    pub exp_avg_sq: &'a Var,
    /// The numbers of the update.
    pub step: AdamWStep,
}
