//! Random draws from the generators of [`cropmae_config::Seed::rng`].
//!
//! The conversion of their output is fixed here, so that no update of a library changes them.

use rand_chacha::rand_core::RngCore;

/// Draws a uniform value in `[0, 1)`.
///
/// It is a multiple of 2^-24 and therefore exact in f32, like the f32 uniforms of PyTorch.
pub(crate) fn uniform(rng: &mut impl RngCore) -> f32 {
    (rng.next_u32() >> 8) as f32 * (1.0 / (1 << 24) as f32)
}

/// Draws a uniform value in `0..range`, where `range` must be at least 1.
///
/// The bias is below `range / 2^32`.
pub(crate) fn below(rng: &mut impl RngCore, range: u32) -> u32 {
    ((u64::from(rng.next_u32()) * u64::from(range)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use cropmae_config::{Seed, Stream};

    #[test]
    fn draws_stay_in_range_and_reach_its_ends() {
        let mut rng = Seed(5).rng(Stream::Views, 0, 0);
        let mut seen = [0usize; 7];
        let mut sum = 0.0;
        for _ in 0..7000 {
            seen[below(&mut rng, 7) as usize] += 1;
            let u = uniform(&mut rng);
            assert!((0.0..1.0).contains(&u));
            sum += f64::from(u);
        }
        assert!(
            seen.iter().all(|&count| (850..1150).contains(&count)),
            "{seen:?}"
        );
        assert!((sum / 7000.0 - 0.5).abs() < 0.02);
        assert_eq!(below(&mut rng, 1), 0);
    }
}
