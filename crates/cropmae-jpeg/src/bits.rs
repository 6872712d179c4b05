//! Reads entropy-coded data as bits. Stuffing is removed first, so that the reader never has to look for markers.

use memchr::memchr;

/// The number of zero bytes after the last segment, so that reading ahead stays inside of the buffer.
const PADDING: usize = 8;

/// The entropy-coded data of one scan without stuffed zeros, split at the restart markers.
#[derive(Debug, Default)]
pub(crate) struct ScanData {
    bytes: Vec<u8>,
    /// The end of each segment in `bytes`, which is the start of the next one.
    ends: Vec<usize>,
}

impl ScanData {
    /// Replaces the content with the scan that starts at `source`. Any marker except a restart ends the scan.
    pub(crate) fn fill(&mut self, source: &[u8]) {
        self.bytes.clear();
        self.ends.clear();
        self.bytes.reserve(source.len() + PADDING);
        let mut rest = source;
        while let Some(at) = memchr(0xff, rest) {
            self.bytes.extend_from_slice(&rest[..at]);
            match rest.get(at + 1) {
                Some(0x00) => {
                    self.bytes.push(0xff);
                    rest = &rest[at + 2..];
                }
                Some(0xd0..=0xd7) => {
                    self.ends.push(self.bytes.len());
                    rest = &rest[at + 2..];
                }
                // This is a fill byte before a marker.
                Some(0xff) => rest = &rest[at + 1..],
                Some(_) | None => {
                    rest = &[];
                    break;
                }
            }
        }
        self.bytes.extend_from_slice(rest);
        self.ends.push(self.bytes.len());
        self.bytes.extend_from_slice(&[0; PADDING]);
    }

    /// Returns a reader of the bits of a segment.
    pub(crate) fn segment(&self, index: usize) -> Option<BitReader<'_>> {
        let end = *self.ends.get(index)?;
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        Some(BitReader {
            bytes: &self.bytes,
            next: start,
            ahead: word(&self.bytes, start),
            bits: 0,
            count: 0,
            end,
        })
    }
}

/// Returns the eight bytes from `start`, with zeros after the end of the buffer.
#[inline(always)]
fn word(bytes: &[u8], start: usize) -> u64 {
    let rest = bytes.get(start..).unwrap_or(&[]);
    rest.first_chunk()
        .map_or(0, |&eight| u64::from_be_bytes(eight))
}

/// A reader of bits, most significant first, with a 64-bit window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// The offset of the first byte that is not counted in the window.
    next: usize,
    /// The bytes from that offset, loaded in the previous refill, so that no refill waits for memory.
    ahead: u64,
    /// The window. Its first `count` bits are valid, and the others may be set to the following bits.
    bits: u64,
    count: u32,
    /// The offset of the end of the segment.
    end: usize,
}

impl BitReader<'_> {
    /// The minimum number of bits in the window after [`Self::refill`].
    pub(crate) const REFILLED: u32 = 56;

    /// Fills the window, with zeros after the end of the buffer.
    ///
    /// There is no branch, because a processor could not predict it.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        self.bits |= self.ahead >> self.count;
        self.next += (63 - self.count as usize) >> 3;
        self.ahead = word(self.bytes, self.next);
        self.count |= Self::REFILLED;
    }

    /// Returns the window, whose first bit is the most significant.
    #[inline(always)]
    pub(crate) fn window(&self) -> u64 {
        self.bits
    }

    /// Skips `bits`, which must be in the window.
    #[inline(always)]
    pub(crate) fn consume(&mut self, bits: u32) {
        self.bits <<= bits;
        self.count -= bits;
    }

    /// Returns `true` if more bits were read than the segment contains.
    pub(crate) fn overran(&self) -> bool {
        self.next * 8 - self.count as usize > self.end * 8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stuffing_goes_and_restarts_cut() {
        let mut data = ScanData::default();
        data.fill(&[
            1, 0xff, 0x00, 2, 0xff, 0xff, 0xd3, 3, 0xff, 0x00, 0xff, 0xd9, 9, 9,
        ]);
        assert_eq!(data.bytes, [1, 0xff, 2, 3, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(data.ends, [3, 5]);
        assert!(data.segment(2).is_none());
        data.fill(&[7, 0xff]);
        assert_eq!((data.bytes[0], &data.ends[..]), (7, &[1][..]));
    }

    #[test]
    fn bits_come_in_order_and_overruns_are_noticed() {
        let bytes: Vec<u8> = (1..=40).collect();
        let mut data = ScanData::default();
        data.fill(&bytes);
        let mut reader = data.segment(0).unwrap();
        let expected = bytes
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |i| byte >> i & 1));
        let mut read = Vec::new();
        for width in (1..=17).cycle() {
            reader.refill();
            let value = reader.window() >> (64 - width);
            read.extend((0..width).rev().map(|i| (value >> i & 1) as u8));
            reader.consume(width);
            assert_eq!(reader.overran(), read.len() > 320, "{} bits", read.len());
            if read.len() > 500 {
                break;
            }
        }
        assert!(read.iter().copied().take(320).eq(expected));
        assert!(
            read[320..].iter().all(|&bit| bit == 0),
            "zeros behind the end"
        );
    }
}
