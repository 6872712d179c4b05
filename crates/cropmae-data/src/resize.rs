//! Crops and resizes 8-bit RGB images exactly as Pillow does: antialiased, in 22-bit fixed point.
//!
//! The published runs resized images with Pillow, whose two passes each round to 8 bits. Other bilinear resizers differ
//! by a level or two, so they do not give the same pixels. Here, each axis has a table of integer weights (`Kernel`).
//! Rows are filtered first, and then the columns of the 8-bit result. A pass that would not change the size is skipped.
//! Pixels outside the crop have no effect. This is the order of Pillow 10.2, the version of the reference. Pillow 13
//! filters columns first where that is cheaper, which changes values by at most one level on crops that are enlarged in
//! one direction and reduced in the other.
//!
//! The inner loops run over integer lanes of a fixed width, which the compiler vectorizes. `pulp` selects the
//! instruction set at run time. The passes are types (`FilterRows`, `FilterColumns`) because a closure would not be
//! compiled for that instruction set.

mod horizontal;
mod kernel;
mod vertical;

use cropmae_config::Interpolation;
use image::RgbImage;

use crate::boxes::CropBox;
use horizontal::filter_rows;
use kernel::Kernel;
use vertical::filter_columns;

/// The number of fractional bits of the weights: 32, minus 8 for the pixel and 2 for the overshoot of the cubic filter.
const PRECISION_BITS: u32 = 22;
/// One half, which is added for rounding.
const HALF: i32 = 1 << (PRECISION_BITS - 1);

/// Resizes the pixels of `image` inside `crop` to `width` x `height` pixels.
///
/// The crop must lie inside the image, as the boxes of [`crate::boxes::BoxSampler`] do.
pub fn resize_crop(
    image: &RgbImage,
    crop: CropBox,
    width: u32,
    height: u32,
    filter: Interpolation,
) -> RgbImage {
    let source = Rows::of(image, crop);
    let horizontal = (crop.width != width).then(|| Kernel::new(crop.width, width, filter));
    let vertical = (crop.height != height).then(|| Kernel::new(crop.height, height, filter));
    let mut out = RgbImage::new(width, height);
    let row_bytes = width as usize * 3;
    match (horizontal, vertical) {
        (Some(horizontal), Some(vertical)) => {
            let mut narrowed = vec![0; crop.height as usize * row_bytes];
            filter_rows(source, &horizontal, &mut narrowed);
            let narrowed = Rows {
                bytes: &narrowed,
                stride: row_bytes,
                row_bytes,
            };
            filter_columns(narrowed, &vertical, &mut out);
        }
        (Some(horizontal), None) => filter_rows(source, &horizontal, &mut out),
        (None, Some(vertical)) => filter_columns(source, &vertical, &mut out),
        (None, None) => {
            for (out, row) in out.chunks_exact_mut(row_bytes).zip(source.iter()) {
                out.copy_from_slice(row);
            }
        }
    }
    out
}

/// A rectangle of interleaved RGB rows inside a larger buffer.
struct Rows<'a> {
    /// The bytes from the first one of the rectangle to the last.
    bytes: &'a [u8],
    stride: usize,
    row_bytes: usize,
}

impl<'a> Rows<'a> {
    fn of(image: &'a RgbImage, crop: CropBox) -> Self {
        let stride = image.width() as usize * 3;
        let start = crop.top as usize * stride + crop.left as usize * 3;
        let end = start + (crop.height as usize - 1) * stride + crop.width as usize * 3;
        Self {
            bytes: &image.as_raw()[start..end],
            stride,
            row_bytes: crop.width as usize * 3,
        }
    }

    fn iter(&self) -> impl Iterator<Item = &'a [u8]> {
        let row_bytes = self.row_bytes;
        self.bytes
            .chunks(self.stride)
            .map(move |row| &row[..row_bytes])
    }

    fn row(&self, y: usize) -> &'a [u8] {
        &self.bytes[y * self.stride..][..self.row_bytes]
    }
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

#[cfg(test)]
mod tests;
