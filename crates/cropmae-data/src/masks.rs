//! Random masks: uniform noise per patch, the smallest stay (He et al., CVPR 2022, appendix A).
//!
//! Only the order of the noise leaves this module; how many patches stay is the model's business.

use cropmae_config::{Seed, Stream};

use crate::random::uniform;

/// The mask noise of one sample of one epoch, uniform in `[0, 1)`: `(N)`.
pub fn noise(seed: Seed, epoch: u64, index: u64, num_patches: usize) -> Vec<f32> {
    let mut rng = seed.rng(Stream::Mask, epoch, index);
    (0..num_patches).map(|_| uniform(&mut rng)).collect()
}

/// Patch indices in order of increasing noise, `(N)`; equal noise keeps the lower index first.
pub fn ids_shuffle(noise: &[f32]) -> Vec<u32> {
    let mut ids: Vec<u32> = (0..noise.len() as u32).collect();
    ids.sort_by(|&a, &b| noise[a as usize].total_cmp(&noise[b as usize]));
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_noise_and_ties_keep_their_order() {
        assert_eq!(ids_shuffle(&[0.5, 0.1, 0.5, 0.0, 0.1]), [3, 1, 4, 0, 2]);
    }

    #[test]
    fn masks_differ_by_epoch_and_sample_and_are_uniform() {
        let ids = |epoch, index| ids_shuffle(&noise(Seed(1), epoch, index, 196));
        assert_eq!(ids(2, 3), ids(2, 3));
        assert_ne!(ids(2, 3), ids(3, 3));
        assert_ne!(ids(2, 3), ids(2, 4));
        let mut first = [0usize; 4];
        for index in 0..4000 {
            first[ids_shuffle(&noise(Seed(1), 0, index, 4))[0] as usize] += 1;
        }
        assert!(
            first.iter().all(|&count| (880..1120).contains(&count)),
            "{first:?}"
        );
    }
}
