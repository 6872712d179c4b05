//! Mirrors rows of interleaved RGB pixels, whole registers at a time.
//!
//! A pixel has three bytes, which is not the size of a lane, so copying pixel by pixel would move single bytes.
//! Instead, all bytes of a row are reversed, which also reverses the channels of each pixel. Then red and blue are
//! swapped: every byte is taken from two places ahead, from its own place, or from two places behind.

/// The number of bytes that are combined at a time: whole pixels and whole registers.
const LANES: usize = 96;
/// The distance in bytes between the outer channels of a pixel.
const REACH: usize = 2;

/// Returns the mask of a channel: all bits are set in its lanes, and none in the others.
const fn lanes_of(channel: usize) -> [u8; LANES] {
    let mut mask = [0; LANES];
    let mut lane = channel;
    while lane < LANES {
        mask[lane] = u8::MAX;
        lane += 3;
    }
    mask
}

const RED: [u8; LANES] = lanes_of(0);
const GREEN: [u8; LANES] = lanes_of(1);
const BLUE: [u8; LANES] = lanes_of(2);

/// A buffer that mirrors bands of rows.
pub(crate) struct Mirror {
    row_bytes: usize,
    /// The rows with all bytes reversed, with unused bytes before and after them.
    turned: Vec<u8>,
    out: Vec<u8>,
}

impl Mirror {
    /// Creates the buffer for bands of `rows` rows.
    ///
    /// Each row has `row_bytes` bytes, which must be whole pixels.
    pub(crate) fn new(rows: usize, row_bytes: usize) -> Self {
        let whole = (rows * row_bytes).next_multiple_of(LANES);
        Self {
            row_bytes,
            turned: vec![0; whole + 2 * REACH],
            out: vec![0; whole],
        }
    }

    /// Returns the band with the pixels of each row in reverse order.
    #[inline(always)]
    pub(crate) fn turned(&mut self, band: &[u8]) -> &[u8] {
        // All rows are reversed first, because unaligned reads of bytes that were just written would wait for the
        // write.
        let targets = self.turned[REACH..].chunks_exact_mut(self.row_bytes);
        for (target, row) in targets.zip(band.chunks_exact(self.row_bytes)) {
            for (target, &byte) in target.iter_mut().zip(row.iter().rev()) {
                *target = byte;
            }
        }
        for (index, out) in self.out.as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            let turned = &self.turned[index * LANES..][..LANES + 2 * REACH];
            let (behind, same, ahead) = (turned, &turned[REACH..], &turned[2 * REACH..]);
            for lane in 0..LANES {
                out[lane] =
                    ahead[lane] & RED[lane] | same[lane] & GREEN[lane] | behind[lane] & BLUE[lane];
            }
        }
        &self.out[..band.len()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pixels_turn_and_channels_stay() {
        for pixels in [1, 2, 31, 32, 33, 100, 224] {
            for rows in [1, 3] {
                let band: Vec<u8> = (0..rows * pixels * 3)
                    .map(|i| (i * 7 % 251) as u8)
                    .collect();
                let expected: Vec<u8> = band
                    .chunks_exact(pixels * 3)
                    .flat_map(|row| row.rchunks_exact(3).flatten().copied())
                    .collect();
                let mut mirror = Mirror::new(rows, pixels * 3);
                assert_eq!(mirror.turned(&band), expected, "{pixels} pixels");
                assert_eq!(
                    mirror.turned(&expected),
                    band,
                    "{pixels} pixels, turned back"
                );
            }
        }
    }
}
