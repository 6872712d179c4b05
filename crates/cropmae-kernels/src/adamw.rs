//! AdamW (Loshchilov and Hutter, arXiv 1711.05101): one pass over parameter, moments and gradient.
//!
//! p *= 1 - lr wd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
//! p -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps), the order of torch.optim.AdamW.

use std::collections::HashSet;

use candle_core::{Result, Tensor, Var, bail};
use rayon::prelude::*;

use crate::check;
use crate::cpu;
use crate::cpu::simd::vectorised;
use crate::portable;

/// Elements of one rayon task.
const CHUNK: usize = 16 * 1024;

/// One AdamW update's numbers for one parameter.
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

/// One parameter's part of an optimiser step.
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

/// Updates `param` and its moments in place.
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

/// Updates many parameters at once, in parallel over all of them.
///
/// # Errors
/// If shapes differ, a tensor is not f32, or a variable occurs twice. Nothing is written then.
pub fn adamw_all(updates: &[AdamWUpdate]) -> Result<()> {
    const OP: &str = "adamw";
    let mut seen = HashSet::new();
    for update in updates {
        let shape = update.param.dims();
        check::float(OP, "param", update.param)?;
        check::shape(OP, "grad", update.grad, shape)?;
        check::shape(OP, "exp_avg", update.exp_avg, shape)?;
        check::shape(OP, "exp_avg_sq", update.exp_avg_sq, shape)?;
        for var in [update.param, update.exp_avg, update.exp_avg_sq] {
            if !seen.insert(var.id()) {
                bail!(
                    "{OP}: a variable of shape {:?} occurs twice in one step",
                    var.dims()
                );
            }
        }
    }
    updates.par_iter().try_for_each(|update| {
        if portable::needed(update.param) {
            return portable::adamw(update);
        }
        let grad = update.grad.contiguous()?;
        let grad = cpu::read(OP, &grad)?;
        // Distinct variables (checked above), so the nested locks cannot wait for each other.
        cpu::write(OP, update.param, |param| {
            cpu::write(OP, update.exp_avg, |exp_avg| {
                cpu::write(OP, update.exp_avg_sq, |exp_avg_sq| {
                    update.step.apply(param, &grad, exp_avg, exp_avg_sq);
                })
            })
        })??
    })
}

impl AdamWStep {
    fn apply(&self, param: &mut [f32], grad: &[f32], exp_avg: &mut [f32], exp_avg_sq: &mut [f32]) {
        let correction1 = 1.0 - self.beta1.powf(self.step as f64);
        let correction2 = 1.0 - self.beta2.powf(self.step as f64);
        let keep = (1.0 - self.lr * self.weight_decay) as f32;
        let step_size = (self.lr / correction1) as f32;
        let root_scale = (1.0 / correction2.sqrt()) as f32;
        let (beta1, beta2) = (self.beta1 as f32, self.beta2 as f32);
        let (gain1, gain2) = ((1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32);
        let (eps, grad_scale) = (self.eps as f32, self.grad_scale as f32);
        param
            .par_chunks_mut(CHUNK)
            .zip(grad.par_chunks(CHUNK))
            .zip(
                exp_avg
                    .par_chunks_mut(CHUNK)
                    .zip(exp_avg_sq.par_chunks_mut(CHUNK)),
            )
            .for_each(|((param, grad), (exp_avg, exp_avg_sq))| {
                vectorised!({
                    let moments = exp_avg.iter_mut().zip(exp_avg_sq);
                    for ((p, &g), (m, v)) in param.iter_mut().zip(grad).zip(moments) {
                        let g = g * grad_scale;
                        *m = beta1 * *m + gain1 * g;
                        *v = beta2 * *v + gain2 * (g * g);
                        *p = *p * keep - step_size * *m / (v.sqrt() * root_scale + eps);
                    }
                });
            });
    }
}
