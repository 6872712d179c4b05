//! Between 8-bit views and the model's patches.
//!
//! Patches are `(N, P*P*3)` f32: row-major over the grid of N = (size / P)^2 patches, and inside a patch
//! in (row, column, channel) order, channel fastest.

use image::RgbImage;

use crate::normalize::{TABLE, to_byte};

/// Writes the normalised patches of a square `view` to `out` `(N, P*P*3)`, mirrored left to right when
/// `flip` is set.
///
/// The sides of `view` must be a multiple of `patch`, and `out` must hold as many values as `view`.
pub fn patchify(view: &RgbImage, patch: usize, flip: bool, out: &mut [f32]) {
    let row_bytes = view.width() as usize * 3;
    let segment = patch * 3;
    let grid = row_bytes / segment;
    assert_eq!(
        out.len(),
        view.as_raw().len(),
        "patches and view differ in size"
    );
    for (y, row) in view.as_raw().chunks_exact(row_bytes).enumerate() {
        let (grid_row, patch_row) = (y / patch, y % patch);
        for (grid_column, segment_bytes) in row.chunks_exact(segment).enumerate() {
            let column = if flip {
                grid - 1 - grid_column
            } else {
                grid_column
            };
            let start = ((grid_row * grid + column) * patch + patch_row) * segment;
            let target = out[start..start + segment].chunks_exact_mut(3);
            let pixels = segment_bytes.chunks_exact(3);
            if flip {
                target.zip(pixels.rev()).for_each(normalize_pixel);
            } else {
                target.zip(pixels).for_each(normalize_pixel);
            }
        }
    }
}

#[inline(always)]
fn normalize_pixel((target, pixel): (&mut [f32], &[u8])) {
    for channel in 0..3 {
        target[channel] = TABLE[channel][usize::from(pixel[channel])];
    }
}

/// The picture that normalised `patches` `(N, P*P*3)` show: `size` x `size` pixels, clamped to 8 bits.
///
/// `size` must be a multiple of `patch`, and `patches` must hold `size * size * 3` values.
pub fn unpatchify(patches: &[f32], size: usize, patch: usize) -> RgbImage {
    assert_eq!(
        patches.len(),
        size * size * 3,
        "patches do not fill the picture"
    );
    let grid = size / patch;
    let mut picture = RgbImage::new(size as u32, size as u32);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let (x, y) = (x as usize, y as usize);
        let index = (y / patch) * grid + x / patch;
        let start = ((index * patch + y % patch) * patch + x % patch) * 3;
        for (channel, byte) in pixel.0.iter_mut().enumerate() {
            *byte = to_byte(patches[start + channel], channel);
        }
    }
    picture
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn view(size: usize, seed: u8) -> RgbImage {
        RgbImage::from_fn(size as u32, size as u32, |x, y| {
            image::Rgb([
                (x * 7 + y * 3) as u8 ^ seed,
                (x * y) as u8 ^ seed,
                (x * 31 + y * 17) as u8 ^ seed,
            ])
        })
    }

    proptest! {
        #[test]
        fn pictures_survive_the_round_trip(grid in 1usize..6, patch in 1usize..9, seed: u8) {
            let size = grid * patch;
            let view = view(size, seed);
            let mut patches = vec![f32::NAN; size * size * 3];
            patchify(&view, patch, false, &mut patches);
            prop_assert!(unpatchify(&patches, size, patch) == view);
        }

        #[test]
        fn a_flip_mirrors_and_two_restore(grid in 1usize..6, patch in 1usize..9, seed: u8) {
            let size = grid * patch;
            let view = view(size, seed);
            let mut patches = vec![f32::NAN; size * size * 3];
            patchify(&view, patch, true, &mut patches);
            let mirrored = unpatchify(&patches, size, patch);
            prop_assert!(mirrored == image::imageops::flip_horizontal(&view));
            patchify(&mirrored, patch, true, &mut patches);
            prop_assert!(unpatchify(&patches, size, patch) == view);
        }
    }

    #[test]
    fn patches_lie_row_major_with_channels_fastest() {
        let view = RgbImage::from_fn(4, 4, |x, y| image::Rgb([(y * 4 + x) as u8, 100, 200]));
        let mut patches = vec![0.0; 48];
        patchify(&view, 2, false, &mut patches);
        // The second patch holds the top right pixels: (2, 0), (3, 0), (2, 1), (3, 1).
        for (position, value) in [2, 3, 6, 7].into_iter().enumerate() {
            let start = 12 + position * 3;
            assert_eq!(patches[start], TABLE[0][value]);
            assert_eq!(patches[start + 1], TABLE[1][100]);
            assert_eq!(patches[start + 2], TABLE[2][200]);
        }
    }
}
