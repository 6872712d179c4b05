//! AdamW in one pass over the parameter, the moments and the gradient, in parallel over all parameters.

use candle_core::Result;
use rayon::prelude::*;

use super::CHUNK;
use super::simd::vectorized;
use super::tensor::{read, write};
use crate::args::{AdamWStep, AdamWUpdate};

/// Updates parameters and moments in place, with `grad_scale` times the gradients.
pub(crate) fn adamw(updates: &[AdamWUpdate], grad_scale: f64) -> Result<()> {
    const OP: &str = "adamw";
    updates.par_iter().try_for_each(|update| {
        let grad = update.grad.contiguous()?;
        let grad = read(OP, &grad)?;
        // The op has checked that the variables are distinct, so the nested locks cannot deadlock.
        write(OP, update.param, |param| {
            write(OP, update.exp_avg, |exp_avg| {
                write(OP, update.exp_avg_sq, |exp_avg_sq| {
                    apply(
                        (&update.step, grad_scale),
                        param,
                        &grad,
                        exp_avg,
                        exp_avg_sq,
                    );
                })
            })
        })??
    })
}

fn apply(
    (step, grad_scale): (&AdamWStep, f64),
    param: &mut [f32],
    grad: &[f32],
    exp_avg: &mut [f32],
    exp_avg_sq: &mut [f32],
) {
    let (correction1, correction2) = step.corrections();
    let keep = (1.0 - step.lr * step.weight_decay) as f32;
    let step_size = (step.lr / correction1) as f32;
    let root_scale = (1.0 / correction2.sqrt()) as f32;
    let (beta1, beta2) = (step.beta1 as f32, step.beta2 as f32);
    let (gain1, gain2) = ((1.0 - step.beta1) as f32, (1.0 - step.beta2) as f32);
    let (eps, grad_scale) = (step.eps as f32, grad_scale as f32);
    param
        .par_chunks_mut(CHUNK)
        .zip(grad.par_chunks(CHUNK))
        .zip(
            exp_avg
                .par_chunks_mut(CHUNK)
                .zip(exp_avg_sq.par_chunks_mut(CHUNK)),
        )
        .for_each(|((param, grad), (exp_avg, exp_avg_sq))| {
            vectorized!({
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
