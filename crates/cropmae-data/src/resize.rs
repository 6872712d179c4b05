//! Crop and resize 8-bit RGB images exactly as Pillow does: antialiased, in 22-bit fixed point.
//!
//! The published runs resized with Pillow, whose two passes each round to 8 bits, so "a bilinear resize"
//! is not enough to see the same pixels: general-purpose resizers differ by a level or two. Here each
//! axis has a table of integer weights ([`Kernel`]); rows are filtered first, the columns of the 8-bit
//! result second; a pass that would not change the size is skipped; nothing outside the crop contributes.
//!
//! The inner loops run over fixed-width integer lanes that the compiler vectorises; `pulp` picks the
//! instruction set at run time.

use cropmae_config::Interpolation;
use image::RgbImage;

use crate::boxes::CropBox;

/// Fractional bits of the weights: 32 minus 8 for the pixel and 2 for the overshoot of the cubic.
const PRECISION_BITS: u32 = 22;
/// One half, for rounding.
const HALF: i32 = 1 << (PRECISION_BITS - 1);
/// Bytes of a row that the vertical pass sums in registers at a time.
const LANES: usize = 96;

/// Resizes the pixels of `image` inside `crop` to `width` x `height`.
///
/// The crop must lie inside the image, as those of [`crate::boxes::BoxSampler`] do.
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
            filter_rows(&source, &horizontal, &mut narrowed);
            let narrowed = Rows {
                bytes: &narrowed,
                stride: row_bytes,
                row_bytes,
            };
            filter_columns(&narrowed, &vertical, &mut out);
        }
        (Some(horizontal), None) => filter_rows(&source, &horizontal, &mut out),
        (None, Some(vertical)) => filter_columns(&source, &vertical, &mut out),
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
    /// From the first byte of the rectangle to the end of the buffer.
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

/// Weights of one axis: for every output position, where its window of inputs starts and how each input
/// in it counts.
struct Kernel {
    windows: Vec<Window>,
    /// All windows' weights, one after the other.
    weights: Vec<i32>,
}

struct Window {
    /// First input.
    first: usize,
    /// This window's part of the weights.
    weights: std::ops::Range<usize>,
}

impl Kernel {
    fn new(input: u32, output: u32, filter: Interpolation) -> Self {
        let scale = f64::from(input) / f64::from(output);
        let filter_scale = scale.max(1.0);
        let (radius, shape): (f64, fn(f64) -> f64) = match filter {
            Interpolation::Bilinear => (1.0, triangle),
            Interpolation::Bicubic => (2.0, cubic),
        };
        let support = radius * filter_scale;
        let inverse = 1.0 / filter_scale;
        let mut weights = Vec::with_capacity(output as usize * (2.0 * support + 2.0) as usize);
        let mut exact = Vec::new();
        let windows = (0..output)
            .map(|x| {
                let centre = (f64::from(x) + 0.5) * scale;
                // A cast truncates, and takes negatives to 0, which is the lower bound.
                let first = (centre - support + 0.5) as u32;
                let last = ((centre + support + 0.5) as u32).min(input);
                exact.clear();
                exact.extend((first..last).map(|i| shape((f64::from(i) - centre + 0.5) * inverse)));
                let sum: f64 = exact.iter().sum();
                let start = weights.len();
                weights.extend(exact.iter().map(|weight| to_fixed(weight / sum)));
                Window {
                    first: first as usize,
                    weights: start..weights.len(),
                }
            })
            .collect();
        Self { windows, weights }
    }

    fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.windows
            .iter()
            .map(|window| (window.first, &self.weights[window.weights.clone()]))
    }
}

/// Rounds half away from zero to `PRECISION_BITS` fractional bits.
fn to_fixed(weight: f64) -> i32 {
    (weight * f64::from(1 << PRECISION_BITS) + 0.5f64.copysign(weight)) as i32
}

fn triangle(x: f64) -> f64 {
    (1.0 - x.abs()).max(0.0)
}

/// Keys' cubic with a = -0.5.
fn cubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}

#[inline(always)]
fn to_byte(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Filters along each row: `(rows, W, 3)` to `(rows, windows, 3)`.
fn filter_rows(source: &Rows, kernel: &Kernel, out: &mut [u8]) {
    let out_bytes = kernel.windows.len() * 3;
    // Pixels are read four bytes at a time, so each row needs one byte after its last pixel.
    let mut padded = vec![0; source.row_bytes + 1];
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (row, out) in source.iter().zip(out.chunks_exact_mut(out_bytes)) {
                padded[..row.len()].copy_from_slice(row);
                filter_row(&padded, kernel, out);
            }
        },
    );
}

#[inline(always)]
fn filter_row(row: &[u8], kernel: &Kernel, out: &mut [u8]) {
    for (pixel, (first, weights)) in out.chunks_exact_mut(3).zip(kernel.outputs()) {
        let window = &row[first * 3..][..weights.len() * 3 + 1];
        // Red, green, blue and an idle lane.
        let mut sums = [HALF; 4];
        for (weight, input) in weights.iter().zip(window.windows(4).step_by(3)) {
            for (sum, &value) in sums.iter_mut().zip(input) {
                *sum += weight * i32::from(value);
            }
        }
        for (byte, sum) in pixel.iter_mut().zip(sums) {
            *byte = to_byte(sum);
        }
    }
}

/// Filters down each column: `(H, row)` to `(windows, row)`.
fn filter_columns(source: &Rows, kernel: &Kernel, out: &mut [u8]) {
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for (out, (first, weights)) in
                out.chunks_exact_mut(source.row_bytes).zip(kernel.outputs())
            {
                let (blocks, rest) = out.as_chunks_mut::<LANES>();
                let rest_start = blocks.len() * LANES;
                for (block, out) in blocks.iter_mut().enumerate() {
                    filter_block(source, first, weights, block * LANES, out);
                }
                for (column, byte) in (rest_start..).zip(rest) {
                    let rows = (first..).zip(weights);
                    let sum: i32 = rows
                        .map(|(y, w)| w * i32::from(source.row(y)[column]))
                        .sum();
                    *byte = to_byte(HALF + sum);
                }
            }
        },
    );
}

#[inline(always)]
fn filter_block(source: &Rows, first: usize, weights: &[i32], start: usize, out: &mut [u8; LANES]) {
    let mut sums = [HALF; LANES];
    for (y, weight) in weights.iter().enumerate() {
        let row = &source.row(first + y)[start..start + LANES];
        for (sum, &value) in sums.iter_mut().zip(row) {
            *sum += weight * i32::from(value);
        }
    }
    for (byte, sum) in out.iter_mut().zip(sums) {
        *byte = to_byte(sum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{golden_json, golden_png, int};
    use proptest::prelude::*;

    #[test]
    fn golden_resizes_are_bit_exact() {
        let Some(golden) = golden_json("resize.json") else {
            return;
        };
        let cases = golden["resize_cases"].as_array().unwrap();
        for case in cases {
            let filter = match case["interpolation"].as_str().unwrap() {
                "bilinear" => Interpolation::Bilinear,
                _ => Interpolation::Bicubic,
            };
            let crop = CropBox {
                top: int(&case["top"]),
                left: int(&case["left"]),
                height: int(&case["height"]),
                width: int(&case["width"]),
            };
            let expected = golden_png(&case["output"]);
            let (width, height) = expected.dimensions();
            let ours = resize_crop(&golden_png(&case["input"]), crop, width, height, filter);
            let sum: u64 = ours.iter().map(|&byte| u64::from(byte)).sum();
            assert_eq!(sum, case["sum"].as_u64().unwrap(), "{case}");
            assert!(ours == expected, "{case}");
        }
        assert!(cases.len() >= 20);
    }

    fn noise(width: u32, height: u32, seed: u32) -> RgbImage {
        let mut state = seed | 1;
        RgbImage::from_fn(width, height, |_, _| {
            image::Rgb(std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            }))
        })
    }

    /// The recipe in its plainest form: one pixel at a time, no tables shared, no lanes.
    fn plain(image: &RgbImage, out: u32, filter: Interpolation, horizontally: bool) -> RgbImage {
        let (width, height) = image.dimensions();
        let input = if horizontally { width } else { height };
        let kernel = Kernel::new(input, out, filter);
        let size = if horizontally {
            (out, height)
        } else {
            (width, out)
        };
        RgbImage::from_fn(size.0, size.1, |x, y| {
            let (position, line) = if horizontally { (x, y) } else { (y, x) };
            let (first, weights) = kernel.outputs().nth(position as usize).unwrap();
            image::Rgb(std::array::from_fn(|channel| {
                let sum: i64 = (first as u32..)
                    .zip(weights)
                    .map(|(i, &weight)| {
                        let (x, y) = if horizontally { (i, line) } else { (line, i) };
                        i64::from(weight) * i64::from(image.get_pixel(x, y).0[channel])
                    })
                    .sum();
                ((sum + i64::from(HALF)) >> PRECISION_BITS).clamp(0, 255) as u8
            }))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn lanes_agree_with_the_plain_recipe(
            width in 1u32..90, height in 1u32..90, out_width in 1u32..90, out_height in 1u32..90,
            seed: u32, cubic: bool, inset in 0u32..8,
        ) {
            let filter = if cubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
            let image = noise(width + inset, height + inset, seed);
            let crop = CropBox { top: inset / 2, left: inset / 3, height, width };
            let cut =
                image::imageops::crop_imm(&image, crop.left, crop.top, width, height).to_image();
            let mut expected = cut;
            if out_width != width {
                expected = plain(&expected, out_width, filter, true);
            }
            if out_height != height {
                expected = plain(&expected, out_height, filter, false);
            }
            prop_assert!(resize_crop(&image, crop, out_width, out_height, filter) == expected);
        }

        #[test]
        fn a_flat_image_stays_flat(
            width in 1u32..300, height in 1u32..300, value: u8, cubic: bool,
        ) {
            let filter = if cubic { Interpolation::Bicubic } else { Interpolation::Bilinear };
            let image = RgbImage::from_pixel(width, height, image::Rgb([value, 255, 0]));
            let out = resize_crop(&image, CropBox::full(width, height), 64, 48, filter);
            prop_assert!(out.pixels().all(|pixel| pixel.0 == [value, 255, 0]));
        }
    }
}
