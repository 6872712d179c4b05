//! AdamW (Loshchilov and Hutter, arXiv 1711.05101), for all parameters at once.
//!
//! p *= 1 - lr wd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
//! p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps), in the order of torch.optim.AdamW.

use std::collections::HashSet;

use candle_core::{Result, Tensor, Var, bail};

use super::Guard;
use crate::args::{AdamWStep, AdamWUpdate, GradScale};
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, gpu, reference};

/// Updates `param` and its moments in place with the gradient of one batch. All tensors have the same shape.
///
/// # Errors
/// Returns an error if shapes differ or a tensor is not f32.
pub fn adamw(
    param: &Var,
    grad: &Tensor,
    exp_avg: &Var,
    exp_avg_sq: &Var,
    step: &AdamWStep,
) -> Result<()> {
    let update = AdamWUpdate {
        param,
        grad,
        exp_avg,
        exp_avg_sq,
        step: *step,
    };
    adamw_all(&[update], &GradScale::default(), None)
}

/// Updates many parameters at once with `scale` applied to their gradients, unless `guard` has noted a fault.
///
/// Nothing is read from a device with kernels.
///
/// # Errors
/// Returns an error, and writes nothing, if shapes or devices differ, a tensor is not f32, or a variable occurs twice.
pub fn adamw_all(updates: &[AdamWUpdate], scale: &GradScale, guard: Option<&Guard>) -> Result<()> {
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
        Backend::Cpu => cpu::adamw(updates, scale.factor()?),
        Backend::Gpu => gpu::adamw(updates, scale, guard.map(Guard::first)),
        Backend::Reference => reference::adamw(updates, scale.factor()?),
    }
}
