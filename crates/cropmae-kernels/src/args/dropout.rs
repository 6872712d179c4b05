//! Dropout (Srivastava et al., JMLR 2014) whose mask is a function of a key and a position.
//!
//! Nothing is stored for the backward pass, and the mask is the same for any number of threads and on
//! any device: element (row, column) is dropped when a hash of (key, row, column) falls below p. The
//! row's share of the hash is SplitMix64 (Steele et al., OOPSLA 2014). The column's share is the 32-bit mixer
//! "lowbias32" (Wellons, 2018) with the row's two words mixed in, which is cheap enough to vectorize.

/// Multipliers of the column's hash.
pub(crate) const MIX: [u32; 2] = [0x7feb_352d, 0x846c_a68b];

/// The step of SplitMix64's counter: 2^64 divided by the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Dropout of one call site in one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dropout {
    /// Chance of dropping an element, in 0..1; the others are scaled by 1 / (1 - p).
    pub p: f32,
    /// Names the call site and the step.
    pub key: u64,
}

impl Dropout {
    /// Dropout number `index` of those that share this one as their stem: the same chance, and a key of its
    /// own. Neighboring indices give unrelated masks.
    #[must_use]
    pub fn derive(self, index: u64) -> Self {
        let key = splitmix64(self.key.wrapping_add(index.wrapping_mul(GOLDEN)));
        Self { key, ..self }
    }

    /// The mask of one row.
    #[inline(always)]
    pub(crate) fn row(self, row: usize) -> RowMask {
        RowMask {
            words: self.row_words(row),
            threshold: self.threshold(),
            scale: self.scale(),
        }
    }

    /// The row's share of the hash.
    #[inline(always)]
    pub(crate) fn row_words(self, row: usize) -> [u32; 2] {
        let words = splitmix64(self.key ^ splitmix64(row as u64));
        [words as u32, (words >> 32) as u32]
    }

    /// Hashes below it drop their element.
    #[inline(always)]
    pub(crate) fn threshold(self) -> u32 {
        // Exact in f64: p * 2^32 rounds to the nearest of 2^32 chances.
        (f64::from(self.p) * 4_294_967_296.0) as u32
    }

    /// What elements that are not dropped are multiplied by.
    #[inline(always)]
    pub(crate) fn scale(self) -> f32 {
        1.0 / (1.0 - self.p)
    }
}

/// Which elements of a row are dropped.
#[derive(Clone, Copy)]
pub(crate) struct RowMask {
    words: [u32; 2],
    threshold: u32,
    scale: f32,
}

impl RowMask {
    /// What the element in `col` is multiplied by: 0 or 1 / (1 - p).
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

/// Number `x / GOLDEN` of the sequence of SplitMix64.
fn splitmix64(x: u64) -> u64 {
    let x = x.wrapping_add(GOLDEN);
    let x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Part of every result with dropout: masks of earlier runs must come out again.
    #[test]
    fn keys_and_hashes_stay_what_they_are() {
        // The first numbers of SplitMix64 from the seed 0.
        assert_eq!(splitmix64(0), 0xe220_a839_7b1d_cdaf);
        assert_eq!(splitmix64(GOLDEN), 0x6e78_9e6a_a1b9_65f4);
        let stem = Dropout { p: 0.1, key: 0 };
        assert_eq!(stem.derive(0).key, 0xe220_a839_7b1d_cdaf);
        assert_eq!(stem.derive(1).key, 0x6e78_9e6a_a1b9_65f4);
    }
}
