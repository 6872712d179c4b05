//! The one source of randomness: a counter-based generator keyed by what it is drawn for.
//!
//! Each draw's key names its purpose, its epoch and its sample, so no result depends on the order in
//! which threads run, and any sample of any epoch can be drawn again on its own.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::{Deserialize, Serialize};

/// Root seed of an experiment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// What random numbers are drawn for. The discriminants are part of the result: never renumber them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// Crop boxes, flips and frame choices of a sample.
    Views = 1,
    /// The mask of a sample.
    Mask = 2,
    /// The order of samples in an epoch.
    Order = 3,
    /// Initial weights.
    Init = 4,
    /// Dropout of a step.
    Dropout = 5,
    /// Procedural scenes.
    Scenes = 6,
}

impl Seed {
    /// The generator for `stream` at the counters `(major, minor)`, usually (epoch, sample index).
    ///
    /// The four numbers are ChaCha8's 256-bit key itself, so different counters never share a sequence.
    ///
    /// ```
    /// use cropmae_config::{Seed, Stream};
    /// use rand_chacha::rand_core::RngCore;
    ///
    /// let mut again = Seed(7).rng(Stream::Mask, 3, 41);
    /// assert_eq!(Seed(7).rng(Stream::Mask, 3, 41).next_u64(), again.next_u64());
    /// ```
    pub fn rng(self, stream: Stream, major: u64, minor: u64) -> ChaCha8Rng {
        let mut key = [0u8; 32];
        for (chunk, word) in key
            .chunks_exact_mut(8)
            .zip([self.0, stream as u64, major, minor])
        {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        ChaCha8Rng::from_seed(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::RngCore;

    #[test]
    fn every_counter_has_its_own_sequence() {
        let first =
            |seed: u64, stream, major, minor| Seed(seed).rng(stream, major, minor).next_u64();
        let base = first(1, Stream::Views, 2, 3);
        assert_ne!(base, first(2, Stream::Views, 2, 3));
        assert_ne!(base, first(1, Stream::Mask, 2, 3));
        assert_ne!(base, first(1, Stream::Views, 3, 2));
        assert_ne!(base, first(1, Stream::Views, 2, 4));
    }

    #[test]
    fn sequences_are_pinned() {
        // A change here changes every published run: bump the format version if it is wanted.
        assert_eq!(Seed(0).rng(Stream::Views, 0, 0).next_u64(), PINNED);
    }

    const PINNED: u64 = 4_606_029_925_845_525_861;
}
