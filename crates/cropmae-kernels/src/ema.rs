//! Exponential moving average of weights (Polyak and Juditsky, 1992): s = d s + (1 - d) p, in place.

use candle_core::{Result, Tensor, Var};
use rayon::prelude::*;

use crate::check;
use crate::cpu;
use crate::cpu::simd::vectorised;
use crate::portable;

/// Elements of one rayon task.
const CHUNK: usize = 16 * 1024;

/// Moves each average of `pairs` towards its value: `average = decay * average + (1 - decay) * value`.
/// The averages must be distinct variables.
///
/// # Errors
/// If shapes differ or a tensor is not f32.
pub fn ema_all(pairs: &[(&Var, &Tensor)], decay: f64) -> Result<()> {
    const OP: &str = "ema";
    for (average, value) in pairs {
        check::float(OP, "average", average)?;
        check::shape(OP, "value", value, average.dims())?;
    }
    let (keep, gain) = (decay as f32, (1.0 - decay) as f32);
    pairs.par_iter().try_for_each(|(average, value)| {
        if portable::needed(average) {
            let moved = ((average.as_tensor() * decay)? + (*value * (1.0 - decay))?)?;
            return average.set(&moved);
        }
        let value = value.contiguous()?;
        let value = cpu::read(OP, &value)?;
        cpu::write(OP, average, |average| {
            average
                .par_chunks_mut(CHUNK)
                .zip(value.par_chunks(CHUNK))
                .for_each(|(average, value)| {
                    vectorised!({
                        for (s, &p) in average.iter_mut().zip(value) {
                            *s = keep * *s + gain * p;
                        }
                    });
                });
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn averages_move_by_the_share_that_is_not_kept() {
        let device = &Device::Cpu;
        let average = Var::ones((3, CHUNK), DType::F32, device).unwrap();
        let value = Tensor::full(3f32, (3, CHUNK), device).unwrap();
        ema_all(&[(&average, &value)], 0.75).unwrap();
        let found: Vec<f32> = average.flatten_all().unwrap().to_vec1().unwrap();
        assert!(found.iter().all(|&x| x == 1.5));
        let other = Tensor::ones((3, 4), DType::F32, device).unwrap();
        assert!(ema_all(&[(&average, &other)], 0.5).is_err());
    }
}
