//! Binary masks with 64 pixels per word.

use crate::size::Size;

/// A binary mask. Each row starts at a word, and the bits beyond the last column are 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitMask {
    size: Size,
    words_per_row: usize,
    words: Vec<u64>,
}

impl BitMask {
    /// Creates an empty mask.
    pub fn empty(size: Size) -> Self {
        let words_per_row = size.width.div_ceil(64);
        Self {
            size,
            words_per_row,
            words: vec![0; words_per_row * size.height],
        }
    }

    /// Returns the mask of the pixels (H, W) that equal `id`.
    pub fn of_id(ids: &[u8], size: Size, id: u8) -> Self {
        let mut mask = Self::empty(size);
        let lines = ids.chunks_exact(size.width);
        for (row, line) in mask.words.chunks_exact_mut(mask.words_per_row).zip(lines) {
            for (word, pixels) in row.iter_mut().zip(line.chunks(64)) {
                *word = pixels.iter().enumerate().fold(0, |word, (bit, &pixel)| {
                    word | u64::from(pixel == id) << bit
                });
            }
        }
        mask
    }

    /// Returns the height and width.
    pub fn size(&self) -> Size {
        self.size
    }

    /// Returns the number of set pixels.
    pub fn count(&self) -> u64 {
        self.words.iter().map(|w| u64::from(w.count_ones())).sum()
    }

    /// Returns the number of pixels that are set in both masks.
    pub fn count_and(&self, other: &Self) -> u64 {
        let words = self.words.iter().zip(&other.words);
        words.map(|(a, b)| u64::from((a & b).count_ones())).sum()
    }

    /// Returns the mask without the pixels of `other`.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        let words = self.words.iter().zip(&other.words).map(|(a, b)| a & !b);
        Self {
            words: words.collect(),
            ..*self
        }
    }

    pub(super) fn row(&self, y: usize) -> &[u64] {
        &self.words[y * self.words_per_row..][..self.words_per_row]
    }

    pub(super) fn row_mut(&mut self, y: usize) -> &mut [u64] {
        &mut self.words[y * self.words_per_row..][..self.words_per_row]
    }

    /// Clears the bits beyond the last column.
    pub(super) fn trim(&mut self) {
        let used = self.size.width % 64;
        if used > 0 {
            for row in self.words.chunks_exact_mut(self.words_per_row) {
                if let Some(last) = row.last_mut() {
                    *last &= (1 << used) - 1;
                }
            }
        }
    }
}
