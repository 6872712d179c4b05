//! Converts between 8-bit views and the model's patches.
//!
//! Patches have the shape `(N, P*P*3)`. They are row-major over the grid of N = (size / P)^2 patches, and their values
//! are in the order (row in patch, column in patch, channel), channel fastest. Values are normalized f32, or the bytes
//! themselves if the device normalizes.
//!
//! Normalized values are computed and not looked up, because a division in every lane is faster than a load for every
//! value.

use image::RgbImage;
use pulp::{Simd, WithSimd};

use crate::mirror::Mirror;
use crate::normalize::{MEAN, STD, normalize, to_byte};

/// A type of the values in patches.
pub trait Value: Copy {
    /// Converts the bytes of whole pixels to values.
    fn of<const N: usize>(bytes: &[u8; N]) -> [Self; N];
}

impl Value for f32 {
    #[inline(always)]
    fn of<const N: usize>(bytes: &[u8; N]) -> [f32; N] {
        let (means, stds) = const { (periodic::<N>(MEAN), periodic::<N>(STD)) };
        let mut values = [0.0; N];
        for lane in 0..N {
            values[lane] = normalize(bytes[lane], means[lane], stds[lane]);
        }
        values
    }
}

impl Value for u8 {
    #[inline(always)]
    fn of<const N: usize>(bytes: &[u8; N]) -> [u8; N] {
        *bytes
    }
}

/// Repeats the values of three channels for each byte of whole pixels.
const fn periodic<const N: usize>(channels: [f32; 3]) -> [f32; N] {
    let mut lanes = [0.0; N];
    let mut lane = 0;
    while lane < N {
        lanes[lane] = channels[lane % 3];
        lane += 1;
    }
    lanes
}

/// Writes the patches `(N, P*P*3)` of a square `view` to `out`.
///
/// The view is mirrored left to right if `flip` is set. Its sides must be multiples of `patch`, which is P in pixels.
///
/// # Panics
/// Panics if `out` does not hold as many values as `view`.
pub fn patchify<T: Value>(view: &RgbImage, patch: usize, flip: bool, out: &mut [T]) {
    assert_eq!(
        out.len(),
        view.as_raw().len(),
        "the patches and the view must have the same number of values"
    );
    pulp::Arch::new().dispatch(Patchify {
        view,
        patch,
        flip,
        out,
    });
}

struct Patchify<'a, T> {
    view: &'a RgbImage,
    patch: usize,
    flip: bool,
    out: &'a mut [T],
}

impl<T: Value> WithSimd for Patchify<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        // The row lengths of common patch sizes, so that no loop has a remainder.
        match self.patch {
            patch if patch % 16 == 0 => self.by::<48>(),
            patch if patch % 14 == 0 => self.by::<42>(),
            patch if patch % 8 == 0 => self.by::<24>(),
            _ => self.by::<3>(),
        }
    }
}

impl<T: Value> Patchify<'_, T> {
    /// Takes `N` bytes at a time, which must divide the length of a row of a patch.
    #[inline(always)]
    fn by<const N: usize>(self) {
        let row_bytes = self.view.width() as usize * 3;
        let patch_row_bytes = self.patch * 3;
        let band_bytes = self.patch * row_bytes;
        let mut mirror = Mirror::new(self.patch, row_bytes);
        let bands = self.view.as_raw().chunks_exact(band_bytes);
        for (band, patches) in bands.zip(self.out.chunks_exact_mut(band_bytes)) {
            let band = if self.flip { mirror.turned(band) } else { band };
            for (y, row) in band.chunks_exact(row_bytes).enumerate() {
                let targets =
                    patches[y * patch_row_bytes..].chunks_mut(patch_row_bytes * self.patch);
                for (bytes, target) in row.chunks_exact(patch_row_bytes).zip(targets) {
                    let pieces = bytes.as_chunks::<N>().0.iter();
                    for (out, bytes) in target.as_chunks_mut::<N>().0.iter_mut().zip(pieces) {
                        *out = T::of(bytes);
                    }
                }
            }
        }
    }
}

/// Returns the 8-bit image that normalized `patches` `(N, P*P*3)` show.
///
/// The image has `size` x `size` pixels. `size` must be a multiple of `patch`, which is P in pixels. Values outside the
/// range of pixels are clamped.
///
/// # Panics
/// Panics if `patches` does not hold `size * size * 3` values.
pub fn unpatchify(patches: &[f32], size: usize, patch: usize) -> RgbImage {
    assert_eq!(
        patches.len(),
        size * size * 3,
        "the patches must have size * size * 3 values"
    );
    let mut picture = RgbImage::new(size as u32, size as u32);
    for (x, y, pixel) in picture.enumerate_pixels_mut() {
        let start = place(x, y, size, patch);
        for (channel, byte) in pixel.0.iter_mut().enumerate() {
            *byte = to_byte(patches[start + channel], channel);
        }
    }
    picture
}

/// Returns where the values of the pixel at column `x` and row `y` start in the patches of a view.
fn place(x: u32, y: u32, size: usize, patch: usize) -> usize {
    let (x, y) = (x as usize, y as usize);
    let index = (y / patch) * (size / patch) + x / patch;
    ((index * patch + y % patch) * patch + x % patch) * 3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::normalize::TABLE;
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
        // The second patch contains the top right pixels: (2, 0), (3, 0), (2, 1), (3, 1).
        for (position, value) in [2, 3, 6, 7].into_iter().enumerate() {
            let start = 12 + position * 3;
            assert_eq!(patches[start], TABLE[0][value]);
            assert_eq!(patches[start + 1], TABLE[1][100]);
            assert_eq!(patches[start + 2], TABLE[2][200]);
        }
    }

    #[test]
    fn every_byte_becomes_its_value_in_the_table() {
        for patch in [1, 5, 8, 16, 32] {
            let size = patch * 160usize.div_ceil(patch);
            let view = RgbImage::from_fn(size as u32, size as u32, |x, y| {
                image::Rgb([0, 85, 170].map(|shift| (x + y * 3 + shift) as u8))
            });
            let mut patches = vec![f32::NAN; size * size * 3];
            patchify(&view, patch, false, &mut patches);
            for (x, y, pixel) in view.enumerate_pixels() {
                let start = place(x, y, size, patch);
                for channel in 0..3 {
                    let expected = TABLE[channel][usize::from(pixel.0[channel])];
                    assert_eq!(patches[start + channel].to_bits(), expected.to_bits());
                }
            }
        }
    }
}
