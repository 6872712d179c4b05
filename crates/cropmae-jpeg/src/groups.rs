//! Looks up several codes at once, for blocks that are skipped.

use crate::symbol::{LOOK, Symbol};

/// The codes at the start of a window that are completely within the bits of one lookup.
///
/// The value bits of the last code may be after these bits. The packed fields are the number of bits, the number of
/// coefficients, and whether the block ends there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Group(u16);

impl Group {
    /// Returns the group of the bits `index`, from the table of single codes.
    pub(crate) fn new(look: &[Symbol; 1 << LOOK], index: usize) -> Self {
        let window = (index as u64) << (64 - LOOK);
        let (mut bits, mut advance, mut ends) = (0, 0, false);
        while bits < LOOK && !ends {
            let symbol = look[(window << bits >> (64 - LOOK)) as usize];
            // The bits after those of the lookup are unknown, so such a code may be another one.
            if symbol.total_bits() == 0 || bits + symbol.code_bits() > LOOK {
                break;
            }
            ends = symbol.advance() >= Symbol::END;
            // The end is one position later, because a full block has no end code.
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

    /// Returns the number of coefficients to skip, or 0 if there is no group or the group does not fit into a block.
    #[inline(always)]
    pub(crate) fn advance(self) -> usize {
        usize::from(self.0 >> 6 & 63)
    }

    #[inline(always)]
    pub(crate) fn ends(self) -> bool {
        self.0 >> 15 != 0
    }
}
