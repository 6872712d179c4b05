//! The meaning of Huffman codes (ITU-T T.81, F.1.2 and F.2.2).

/// The number of bits of a lookup. Longer codes, which are rare by construction, are searched.
pub(crate) const LOOK: u32 = 10;

/// The meaning of a code, packed, so that the lookup table stays in the first-level cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Symbol(u32);

impl Symbol {
    /// The minimum advance of the end of a block, which is more than any run.
    pub(crate) const END: usize = 128;

    /// Returns the meaning of a code of `code_bits` bits for the byte `symbol`.
    pub(crate) fn new(code_bits: u32, symbol: u8) -> Self {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let advance = match (run, size) {
            (15, 0) => 16,
            (_, 0) => Self::END as u32,
            _ => run + 1,
        };
        Self((code_bits + size) | code_bits << 8 | size << 16 | advance << 24)
    }

    /// Returns the number of bits of the code and the value, or 0 if the code is longer than the bits of the lookup.
    #[inline(always)]
    pub(crate) fn total_bits(self) -> u32 {
        self.0 & 0xff
    }

    #[inline(always)]
    pub(crate) fn code_bits(self) -> u32 {
        self.0 >> 8 & 0xff
    }

    #[inline(always)]
    fn size(self) -> u32 {
        self.0 >> 16 & 0xff
    }

    /// Returns the number of coefficients to advance by, the last of which has the value.
    ///
    /// At the end of a block, it is at least [`Self::END`].
    #[inline(always)]
    pub(crate) fn advance(self) -> usize {
        (self.0 >> 24) as usize
    }

    /// Returns the value whose bits follow the code at the start of `window` (F.2.2.1, EXTEND).
    #[inline(always)]
    pub(crate) fn value(self, window: u64) -> i32 {
        let bits = window << self.code_bits();
        let size = self.size();
        let magnitude = (bits >> 1 >> (63 - size)) as i32;
        let negative = !(bits as i64 >> 63) as i32;
        magnitude + (negative & (1 - (1 << size)))
    }
}
