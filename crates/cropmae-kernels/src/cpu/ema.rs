//! Moving averages of weights, in place and in parallel over all of them.

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use super::CHUNK;
use super::simd::vectorized;
use super::tensor::{read, write};

/// Moves each average toward its value.
pub(crate) fn ema(pairs: &[(&Var, &Tensor)], decay: f64) -> Result<()> {
    const OP: &str = "ema";
    let (keep, gain) = (decay as f32, (1.0 - decay) as f32);
    pairs.par_iter().try_for_each(|(average, value)| {
        let value = value.contiguous()?;
        let value = read(OP, &value)?;
        write(OP, average, |average| {
            average
                .par_chunks_mut(CHUNK)
                .zip(value.par_chunks(CHUNK))
                .for_each(|(average, value)| {
                    vectorized!({
                        for (s, &p) in average.iter_mut().zip(value) {
                            *s = keep * *s + gain * p;
                        }
                    });
                });
        })
    })
}
