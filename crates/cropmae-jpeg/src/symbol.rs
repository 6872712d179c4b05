//! What a Huffman code stands for (ITU-T T.81, F.1.2 and F.2.2).

/// Bits looked at. Longer codes, which are rare by construction, are searched.
pub(crate) const LOOK: u32 = 10;

/// What a code stands for, packed: the lookup table must stay in the nearest cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Symbol(u32);

impl Symbol {
    /// What the end of a block advances by at least, which is more than any run.
    pub(crate) const END: usize = 128;

    /// What a code of `code_bits` bits for the byte `symbol` stands for.
    pub(crate) fn new(code_bits: u32, symbol: u8) -> Self {
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        let advance = match (run, size) {
            (15, 0) => 16,
            (_, 0) => Self::END as u32,
            _ => run + 1,
        };
        Self((code_bits + size) | code_bits << 8 | size << 16 | advance << 24)
    }

    /// Bits of code and value together; 0 if the code is longer than the bits looked at.
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

    /// Coefficients to move on by, the last of which has the value; at least [`Self::END`] at the end of a
    /// block.
    #[inline(always)]
    pub(crate) fn advance(self) -> usize {
        (self.0 >> 24) as usize
    }

    /// The value whose bits follow the code at the start of `window` (F.2.2.1, EXTEND).
    #[inline(always)]
    pub(crate) fn value(self, window: u64) -> i32 {
        let bits = window << self.code_bits();
        let size = self.size();
        let magnitude = (bits >> 1 >> (63 - size)) as i32;
        let negative = !(bits as i64 >> 63) as i32;
        magnitude + (negative & (1 - (1 << size)))
    }
}
