//! Rows of interleaved RGB pixels in reverse order, whole registers at a time.
//!
//! Three bytes are no lane, so a copy pixel by pixel moves single bytes. Instead all bytes of the row are
//! turned, which leaves each pixel's channels in reverse order too, and then red and blue change places:
//! every byte comes from two places ahead, from its own, or from two places behind.

/// Bytes that are put together in one go: whole pixels, and whole registers.
const LANES: usize = 96;
/// Distance between the outer channels of a pixel.
const REACH: usize = 2;

/// Which lanes belong to a channel: all bits set or none.
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

/// Turns bands of rows.
pub(crate) struct Mirror {
    row_bytes: usize,
    /// The rows with all bytes turned, behind and before some that count for nothing.
    turned: Vec<u8>,
    out: Vec<u8>,
}

impl Mirror {
    /// For bands of `rows` rows of `row_bytes`, whole pixels.
    pub(crate) fn new(rows: usize, row_bytes: usize) -> Self {
        let whole = (rows * row_bytes).next_multiple_of(LANES);
        Self {
            row_bytes,
            turned: vec![0; whole + 2 * REACH],
            out: vec![0; whole],
        }
    }

    /// Each row's pixels from the last to the first.
    #[inline(always)]
    pub(crate) fn turned(&mut self, band: &[u8]) -> &[u8] {
        // All rows first: to read at odd places what was just written would wait for the write.
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
