//! Decodes Huffman codes with tables (ITU-T T.81, annexes C and F.2.2.3).
//!
//! One lookup of the next bits returns the length and the meaning of a code, so that the bits of the code and the value
//! are consumed at once, and the value is computed in parallel with the lookup of the next code.

use crate::bits::BitReader;
use crate::error::JpegError;
use crate::groups::Group;
use crate::symbol::{LOOK, Symbol};

/// The number of bits of the largest DC difference in pictures with 8 bits (F.1.2.1).
pub(crate) const LARGEST_DC: u8 = 11;
/// The number of bits of the largest AC coefficient in these pictures (F.1.2.2).
pub(crate) const LARGEST_AC: u8 = 10;
// A full window contains a DC difference and a coefficient, or two coefficients, each with the longest code.
const _: () = assert!(16 + LARGEST_DC as u32 + 16 + LARGEST_AC as u32 <= BitReader::REFILLED);

/// A Huffman table of DC differences or of AC coefficients.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    look: Box<[Symbol; 1 << LOOK]>,
    /// The groups of codes, only in a table of AC coefficients.
    groups: Box<[Group; 1 << LOOK]>,
    /// The first 16-bit pattern after the codes of each length.
    limits: [u32; 17],
    /// The number to add to a code of each length to get the position of its symbol.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    /// Creates a table with `counts[i]` codes of i + 1 bits, whose symbols are listed in the order of the codes.
    pub(crate) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, JpegError> {
        let mut table = Self {
            look: Box::new([Symbol::default(); 1 << LOOK]),
            groups: Box::new([Group::default(); 1 << LOOK]),
            limits: [0; 17],
            offsets: [0; 17],
            symbols: symbols.to_vec(),
        };
        let (mut code, mut index) = (0_u32, 0_usize);
        for (length, &count) in (1..).zip(counts) {
            let count = u32::from(count);
            if code + count > 1 << length {
                return Err(JpegError::invalid("a Huffman table has too many codes"));
            }
            table.offsets[length as usize] = index as i32 - code as i32;
            for &symbol in &symbols[index..index + count as usize] {
                if length <= LOOK {
                    let first = (code << (LOOK - length)) as usize;
                    let same = 1 << (LOOK - length);
                    table.look[first..first + same].fill(Symbol::new(length, symbol));
                }
                code += 1;
            }
            index += count as usize;
            table.limits[length as usize] = code << (16 - length);
            code <<= 1;
        }
        Ok(table)
    }

    /// Returns the table with the groups that are needed to skip blocks fast.
    pub(crate) fn with_groups(mut self) -> Self {
        for (index, group) in self.groups.iter_mut().enumerate() {
            *group = Group::new(&self.look, index);
        }
        self
    }

    /// Returns the code at the start of `window`, or `None` if there is no such code.
    #[inline(always)]
    fn symbol(&self, window: u64) -> Option<Symbol> {
        let symbol = self.look[(window >> (64 - LOOK)) as usize];
        if symbol.total_bits() != 0 {
            return Some(symbol);
        }
        self.search(window)
    }

    #[cold]
    #[inline(never)]
    fn search(&self, window: u64) -> Option<Symbol> {
        let pattern = (window >> 48) as u32;
        let length = (LOOK + 1..=16).find(|&length| pattern < self.limits[length as usize])?;
        let code = (pattern >> (16 - length)) as i32;
        let place = code + self.offsets[length as usize];
        let symbol = self.symbols.get(usize::try_from(place).ok()?)?;
        Some(Symbol::new(length, *symbol))
    }

    /// Reads a code and the value after it, which must be in the window.
    #[inline(always)]
    pub(crate) fn read(&self, bits: &mut BitReader) -> Option<(Symbol, i32)> {
        let window = bits.window();
        let symbol = self.symbol(window)?;
        bits.consume(symbol.total_bits());
        Some((symbol, symbol.value(window)))
    }

    /// Skips codes and values of a block at position `place` of its zigzag scan, and returns the new position.
    ///
    /// At the end of the block, the position is at least [`Symbol::END`]. The window must contain the longest code and
    /// value.
    #[inline(always)]
    pub(crate) fn skip(&self, bits: &mut BitReader, place: usize) -> Option<usize> {
        let window = bits.window();
        let group = self.groups[(window >> (64 - LOOK)) as usize];
        let next = place + group.advance();
        // After the last position, the codes of the group would belong to the next block.
        if group.advance() != 0 && next < 64 {
            bits.consume(group.bits());
            return Some(next + Symbol::END * usize::from(group.ends()));
        }
        let symbol = self.symbol(window)?;
        bits.consume(symbol.total_bits());
        Some(place + symbol.advance())
    }
}
