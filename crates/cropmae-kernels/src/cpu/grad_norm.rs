//! The sum of the squares of all gradients, in a fixed order.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::simd::{self, vectorized};
use super::tensor::read;

/// Elements whose squares are summed in f32 before f64 takes over.
const CHUNK: usize = 4096;

/// L2 norm over all tensors together.
pub(crate) fn grad_norm(grads: &[&Tensor]) -> Result<f64> {
    let mut total = 0.0;
    for grad in grads {
        let grad = grad.contiguous()?;
        let grad = read("grad_norm", &grad)?;
        // Collected first, so that the chunks are added in order.
        let sums: Vec<f32> = grad
            .par_chunks(CHUNK)
            .map(|x| vectorized!(simd::sum(x, |g| g * g)))
            .collect();
        total += sums.iter().copied().map(f64::from).sum::<f64>();
    }
    Ok(total.sqrt())
}
