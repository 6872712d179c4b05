//! The source of all random numbers: a counter-based generator.
//!
//! The key of a generator holds the purpose, the epoch and the sample of the numbers. No result depends on the order in
//! which threads run, and any sample of any epoch can be drawn again on its own.

use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use serde::{Deserialize, Serialize};

/// The seed of an experiment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seed(pub u64);

/// The purpose of random numbers. The discriminants affect every result and must never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Stream {
    /// The crop boxes, flips and frame choices of a sample.
    Views = 1,
    /// The mask of a sample.
    Mask = 2,
    /// The order of samples in an epoch.
    Order = 3,
    /// The initial weights.
    Init = 4,
    /// The dropout of a step.
    Dropout = 5,
    /// The procedural scenes.
    Scenes = 6,
}

impl Seed {
    /// Returns the generator for `stream` at the counters `(major, minor)`, usually (epoch, sample index).
    ///
    /// The seed, the stream and the counters form the 256-bit key of ChaCha8, so different counters never share a
    /// sequence.
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
        // A change of this value changes every published run. Bump the format version if it is intended.
        assert_eq!(Seed(0).rng(Stream::Views, 0, 0).next_u64(), PINNED);
    }

    const PINNED: u64 = 4_606_029_925_845_525_861;
}
