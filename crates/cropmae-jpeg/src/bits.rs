//! Entropy-coded data as bits: stuffing removed first, so that the reader never looks for markers.

use memchr::memchr;

/// Zero bytes behind the last segment, so that reading ahead stays inside the buffer.
const PADDING: usize = 8;

/// The entropy-coded data of one scan without its stuffed zeros, cut at its restart markers.
#[derive(Debug, Default)]
pub(crate) struct ScanData {
    bytes: Vec<u8>,
    /// Where each segment ends in `bytes`; it starts where the one before ends.
    ends: Vec<usize>,
}

impl ScanData {
    /// Replaces the content with the scan that starts at `source`; any marker but a restart ends it.
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
                // A fill byte before a marker.
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

    /// The bits of a segment.
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

/// Eight bytes from `start`; zeros where the buffer does not hold them.
#[inline(always)]
fn word(bytes: &[u8], start: usize) -> u64 {
    let rest = bytes.get(start..).unwrap_or(&[]);
    rest.first_chunk()
        .map_or(0, |&eight| u64::from_be_bytes(eight))
}

/// Reads bits, most significant first, through a 64-bit window.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Offset of the first byte of which no bit counts as being in the window.
    next: usize,
    /// The bytes from there, loaded when the window was last filled up: nothing waits for memory.
    ahead: u64,
    /// The window; its first `count` bits are valid, others may be set to what follows.
    bits: u64,
    count: u32,
    /// Offset of the segment's end.
    end: usize,
}

impl BitReader<'_> {
    /// Bits that the window holds at least after [`Self::refill`].
    pub(crate) const REFILLED: u32 = 56;

    /// Fills the window up; behind the end of the buffer come zeros. There is no branch, because a
    /// processor could not predict whether it is needed.
    #[inline(always)]
    pub(crate) fn refill(&mut self) {
        self.bits |= self.ahead >> self.count;
        self.next += (63 - self.count as usize) >> 3;
        self.ahead = word(self.bytes, self.next);
        self.count |= Self::REFILLED;
    }

    /// The window, its first bit the most significant.
    #[inline(always)]
    pub(crate) fn window(&self) -> u64 {
        self.bits
    }

    /// Moves on by `bits`, which must be in the window.
    #[inline(always)]
    pub(crate) fn consume(&mut self, bits: u32) {
        self.bits <<= bits;
        self.count -= bits;
    }

    /// Whether more was read than the segment holds.
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
