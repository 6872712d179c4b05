//! Dropout (Srivastava et al., JMLR 2014) whose mask is a function of a key and a position.
//!
//! Nothing is stored for the backward pass, and the mask is the same for any number of threads and on any device. The
//! element (row, column) is dropped if a hash of (key, row, column) is below p. The hash of the row is SplitMix64
//! (Steele et al., OOPSLA 2014). The hash of the column is the 32-bit mixer "lowbias32" (Wellons, 2018), mixed with the
//! two words of the row, which is simple enough to vectorize.

/// The multipliers of the hash of the column.
pub(crate) const MIX: [u32; 2] = [0x7feb_352d, 0x846c_a68b];

/// The step of SplitMix64's counter, which is 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The dropout of one call site in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// The probability of dropping an element, in 0..1. The other elements are scaled by 1 / (1 - p).
    pub p: f32,
    /// The key of the call site and the step.
    pub key: u64,
}

impl Dropout {
    /// Returns dropout number `index` derived from this one, with the same probability and a different key.
    ///
    /// The masks of neighboring indices are independent.
    #[must_use]
    pub fn derive(self, index: u64) -> Self {
        let key = splitmix64(self.key.wrapping_add(index.wrapping_mul(GOLDEN)));
        Self { key, ..self }
    }

    /// Returns the mask of one row.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> RowMask {
        RowMask {
            words: self.row_words(row),
            threshold: self.threshold(),
            scale: self.scale(),
        }
    }

    /// Returns the hash of a row.
    #[inline(always)]
    pub(crate) fn row_words(self, row: usize) -> [u32; 2] {
        let words = splitmix64(self.key ^ splitmix64(row as u64));
        [words as u32, (words >> 32) as u32]
    }

    /// Returns the threshold. Elements with a hash below it are dropped.
    #[inline(always)]
    pub(crate) fn threshold(self) -> u32 {
        // This is exact in f64. p * 2^32 is rounded to the nearest of 2^32 probabilities.
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }

    /// Returns the factor of elements that are not dropped.
    #[inline(always)]
    pub(crate) fn scale(self) -> f32 {
        1.0 / (1.0 - self.p)
    }
}

/// The mask of a row.
#[derive(Clone, Copy)]
pub(crate) struct RowMask {
    words: [u32; 2],
    threshold: u32,
    scale: f32,
}

impl RowMask {
    /// Returns the factor of the element in `col`: 0 or 1 / (1 - p).
    #[inline(always)]
    pub(crate) fn factor(self, col: usize) -> f32 {
        let mut h = (col as u32) ^ self.words[0];
        h = (h ^ (h >> 16)).wrapping_mul(MIX[0]);
        h = (h ^ (h >> 15))
            .wrapping_add(self.words[1])
            .wrapping_mul(MIX[1]);
        h ^= h >> 16;
        if h < self.threshold { 0.0 } else { self.scale }
    }

    /// Multiplies a row by its mask.
    #[inline(always)]
    pub(crate) fn apply(self, row: &mut [f32]) {
        for (col, x) in row.iter_mut().enumerate() {
            *x *= self.factor(col);
        }
    }
}

/// Returns number `x / GOLDEN` of the sequence of SplitMix64.
fn splitmix64(x: u64) -> u64 {
    let x = x.wrapping_add(GOLDEN);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every result with dropout depends on these numbers, so the masks must never change.
    #[test]
    fn keys_and_hashes_stay_what_they_are() {
        // These are the first numbers of SplitMix64 from the seed 0.
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(splitmix64(GOLDEN), 0x6e78_9e6a_a1b9_65f4);
        let stem = Dropout { p: 0.1, key: 0 };
        assert_eq!(stem.derive(0).key, 0xe220_a839_7b1d_cdaf);
        assert_eq!(stem.derive(1).key, 0x6e78_9e6a_a1b9_65f4);
    }
}
