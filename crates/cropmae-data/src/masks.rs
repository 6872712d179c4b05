//! Random masks. Each patch gets uniform noise, and the patches with the smallest values stay visible (He et al., CVPR
//! 2022, appendix A).
//!
//! This module only returns the order of the noise. The model decides how many patches stay.

use cropmae_config::{Seed, Stream};

use crate::random::uniform;

/// Returns the mask noise `(N)` of one sample of one epoch, uniform in `[0, 1)`.
pub fn noise(seed: Seed, epoch: u64, index: u64, num_patches: usize) -> Vec<f32> {
    let mut rng = seed.rng(Stream::Mask, epoch, index);
    (0..num_patches).map(|_| uniform(&mut rng)).collect()
}

/// Returns the patch indices `(N)` in order of increasing noise.
///
/// Among equal values, the lower index comes first.
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
