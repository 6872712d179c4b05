//! The norm of all gradients, summed in a fixed order.

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use super::simd::{self, vectorized};
use super::tensor::read;

/// The number of elements whose squares are summed in f32. These sums are added in f64.
const CHUNK: usize = 4096;

/// Returns the L2 norm over all tensors together.
pub(crate) fn grad_norm(grads: &[&Tensor]) -> Result<f64> {
    let mut total = 0.0;
    for grad in grads {
        let grad = grad.contiguous()?;
        let grad = read("grad_norm", &grad)?;
        // Collect the sums first, so that they are added in order.
        let sums: Vec<f32> = grad
            .par_chunks(CHUNK)
            .map(|x| vectorized!(simd::sum(x, |g| g * g)))
            .collect();
        total += sums.iter().copied().map(f64::from).sum::<f64>();
    }
    Ok(total.sqrt())
}
