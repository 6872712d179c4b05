//! The Huffman and quantization tables of a file (ITU-T T.81, B.2.4.1 and B.2.4.2).

use crate::block::ZIGZAG;
use crate::error::JpegError;
use crate::huffman::{LARGEST_AC, LARGEST_DC, Table};

/// The tables that were defined so far.
#[derive(Default)]
pub(crate) struct Tables {
    /// The quantization tables, in natural order.
    pub(crate) quantizers: [Option<[i32; 64]>; 4],
    pub(crate) dc: [Option<Table>; 4],
    pub(crate) ac: [Option<Table>; 4],
}

impl Tables {
    /// Reads the content of a DHT segment.
    pub(crate) fn read_huffman(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        let short = || JpegError::short("a Huffman table");
        while let Some((&target, rest)) = segment.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let total = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(total).ok_or_else(short)?;
            let table = Table::new(counts, symbols)?;
            let (class, table, too_large) = match target >> 4 {
                0 => (
                    &mut self.dc,
                    table,
                    symbols.iter().any(|&size| size > LARGEST_DC),
                ),
                1 => (
                    &mut self.ac,
                    table.with_groups(),
                    symbols.iter().any(|&symbol| symbol & 15 > LARGEST_AC),
                ),
                _ => return Err(JpegError::invalid("a Huffman table of an unknown class")),
            };
            if too_large {
                return Err(JpegError::unsupported(
                    "a JPEG with other than 8 bits per value",
                ));
            }
            let slot = class
                .get_mut(usize::from(target & 15))
                .ok_or_else(|| JpegError::invalid("a Huffman table beyond the fourth"))?;
            *slot = Some(table);
            segment = rest;
        }
        Ok(())
    }

    /// Reads the content of a DQT segment.
    pub(crate) fn read_quantizers(&mut self, mut segment: &[u8]) -> Result<(), JpegError> {
        while let Some((&target, rest)) = segment.split_first() {
            let slot = self
                .quantizers
                .get_mut(usize::from(target & 15))
                .ok_or_else(|| JpegError::invalid("a quantization table beyond the fourth"))?;
            let width = 1 + usize::from(target >> 4 != 0);
            let (values, rest) = rest
                .split_at_checked(64 * width)
                .ok_or_else(|| JpegError::short("a quantization table"))?;
            let table = slot.insert([0; 64]);
            for (value, place) in values.chunks_exact(width).zip(ZIGZAG) {
                let value = value
                    .iter()
                    .fold(0, |high, &low| high << 8 | i32::from(low));
                table[usize::from(place)] = value;
            }
            segment = rest;
        }
        Ok(())
    }
}
