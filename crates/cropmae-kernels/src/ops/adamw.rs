//! AdamW (Loshchilov and Hutter, arXiv 1711.05101), for all parameters at once.
//!
//! p *= 1 - lr wd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
//! p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps), in the order of torch.optim.AdamW.

use std::collections::HashSet;

use candle_core::{Result, Tensor, Var, bail};

use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, reference};

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

/// Updates `param` and its moments in place; all tensors have the same shape.
///
/// # Errors
/// If shapes differ or a tensor is not f32.
pub fn adamw(
    param: &Var,
    grad: &Tensor,
    exp_avg: &Var,
    exp_avg_sq: &Var,
    step: &AdamWStep,
) -> Result<()> {
    adamw_all(&[AdamWUpdate {
        param,
        grad,
        exp_avg,
        exp_avg_sq,
        step: *step,
    }])
}

/// Updates many parameters at once. Nothing is read back from the device.
///
/// # Errors
/// If shapes or devices differ, a tensor is not f32, or a variable occurs twice. Nothing is written then.
pub fn adamw_all(updates: &[AdamWUpdate]) -> Result<()> {
    const OP: &str = "adamw";
    let Some(first) = updates.first() else {
        return Ok(());
    };
    let inputs = Inputs::new(OP, "param", first.param)?;
    let mut seen = HashSet::new();
    for update in updates {
        let shape = update.param.dims();
        inputs.float("param", update.param)?;
        inputs.shape("grad", update.grad, shape)?;
        inputs.shape("exp_avg", update.exp_avg, shape)?;
        inputs.shape("exp_avg_sq", update.exp_avg_sq, shape)?;
        for var in [update.param, update.exp_avg, update.exp_avg_sq] {
            if !seen.insert(var.id()) {
                bail!(
                    "{OP}: a variable of shape {:?} occurs twice in one step",
                    var.dims()
                );
            }
        }
    }
    match inputs.backend {
        Backend::Cpu => cpu::adamw(updates),
        Backend::Reference => reference::adamw(updates),
    }
}
