//! The global gradient norm, for clipping and for the log.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::check;
use crate::cpu;
use crate::cpu::simd::{self, vectorised};
use crate::portable;

/// Elements whose squares are summed in f32 before f64 takes over.
const CHUNK: usize = 4096;

/// L2 norm over all `grads` together.
///
/// # Errors
/// If a tensor is not f32.
pub fn grad_norm(grads: &[&Tensor]) -> Result<f64> {
    const OP: &str = "grad_norm";
    let mut total = 0.0;
    for grad in grads {
        check::float(OP, "grad", grad)?;
        if portable::needed(grad) {
            total += portable::square_sum(grad)?;
            continue;
        }
        let grad = grad.contiguous()?;
        let grad = cpu::read(OP, &grad)?;
        // Collected first, so that the chunks are added in order.
        let sums: Vec<f32> = grad
            .par_chunks(CHUNK)
            .map(|x| vectorised!(simd::sum(x, |g| g * g)))
            .collect();
        total += sums.iter().copied().map(f64::from).sum::<f64>();
    }
    Ok(total.sqrt())
}
