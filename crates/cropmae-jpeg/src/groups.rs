//! Several codes at one look, for blocks that are passed over.

use crate::symbol::{LOOK, Symbol};

/// The codes at the start of a window whose bits are all looked at, taken together; the value bits of the
/// last may lie behind. Packed: bits in all, then coefficients, then whether the block ends there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Group(u16);

impl Group {
    /// The group of the bits `index`, by the table of single codes.
    pub(crate) fn new(look: &[Symbol; 1 << LOOK], index: usize) -> Self {
        let window = (index as u64) << (64 - LOOK);
        let (mut bits, mut advance, mut ends) = (0, 0, false);
        while bits < LOOK && !ends {
            let symbol = look[(window << bits >> (64 - LOOK)) as usize];
            // The bits behind those looked at are not known: such a code may be another one.
            if symbol.total_bits() == 0 || bits + symbol.code_bits() > LOOK {
                break;
            }
            ends = symbol.advance() >= Symbol::END;
            // The end is one place on: a block that is full has none.
            advance += if ends { 1 } else { symbol.advance() };
            bits += symbol.total_bits();
        }
        if advance >= 64 {
            return Self::default();
        }
        Self(bits as u16 | (advance as u16) << 6 | u16::from(ends) << 15)
    }

    #[inline(always)]
    pub(crate) fn bits(self) -> u32 {
        u32::from(self.0 & 63)
    }

    /// Coefficients to move on by; 0 if there is no group, or one that no block can hold.
    #[inline(always)]
    pub(crate) fn advance(self) -> usize {
        usize::from(self.0 >> 6 & 63)
    }

    #[inline(always)]
    pub(crate) fn ends(self) -> bool {
        self.0 >> 15 != 0
    }
}
