//! Crop and resize 8-bit RGB images exactly as Pillow does: antialiased, in 22-bit fixed point.
//!
//! The published runs resized with Pillow, whose two passes each round to 8 bits, so "a bilinear resize"
//! is not enough to see the same pixels: general-purpose resizers differ by a level or two. Here each
//! axis has a table of integer weights (`Kernel`); rows are filtered first, the columns of the 8-bit
//! result second; a pass that would not change the size is skipped; nothing outside the crop contributes.
//!
//! The inner loops run over fixed-width integer lanes that the compiler vectorises. `pulp` picks the
//! instruction set at run time; the passes are types of their own (`FilterRows`, `FilterColumns`)
//! because a closure would not be compiled for that instruction set.

use cropmae_config::Interpolation;
use image::RgbImage;
use pulp::{Simd, WithSimd};

use crate::boxes::CropBox;

/// Fractional bits of the weights: 32 minus 8 for the pixel and 2 for the overshoot of the cubic.
const PRECISION_BITS: u32 = 22;
/// One half, for rounding.
const HALF: i32 = 1 << (PRECISION_BITS - 1);
/// Bytes of a row that the vertical pass sums in registers at a time.
const LANES: usize = 32;

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

/// Weights of one axis: every output is a weighted sum over a window of `taps` inputs.
struct Kernel {
    taps: usize,
    /// First input of each output's window.
    firsts: Vec<usize>,
    /// `(outputs, taps)`; windows that need fewer inputs are filled up with zeros.
    weights: Vec<i32>,
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
        let window = |x: u32| {
            let centre = (f64::from(x) + 0.5) * scale;
            // A cast truncates, and takes negatives to 0, which is the lower bound.
            let first = (centre - support + 0.5) as u32;
            let last = ((centre + support + 0.5) as u32).min(input);
            (centre, first, last)
        };
        let lengths = (0..output).map(window).map(|(_, first, last)| last - first);
        let taps = lengths.max().unwrap_or(0);
        let mut firsts = Vec::with_capacity(output as usize);
        let mut weights = vec![0; (output * taps) as usize];
        let mut exact = Vec::new();
        for (x, row) in (0..output).zip(weights.chunks_exact_mut(taps as usize)) {
            let (centre, first, last) = window(x);
            exact.clear();
            exact.extend((first..last).map(|i| shape((f64::from(i) - centre + 0.5) * inverse)));
            let sum: f64 = exact.iter().sum();
            // A shorter window at the far end moves back, so that all of it lies inside the input.
            let moved = first.min(input - taps);
            for (fixed, weight) in row[(first - moved) as usize..].iter_mut().zip(&exact) {
                *fixed = to_fixed(weight / sum);
            }
            firsts.push(moved as usize);
        }
        Self {
            taps: taps as usize,
            firsts,
            weights,
        }
    }

    fn outputs(&self) -> impl Iterator<Item = (usize, &[i32])> {
        self.firsts
            .iter()
            .copied()
            .zip(self.weights.chunks_exact(self.taps))
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

/// Filters along each row: `(rows, W, 3)` to `(rows, outputs, 3)`.
fn filter_rows(source: Rows, kernel: &Kernel, out: &mut [u8]) {
    pulp::Arch::new().dispatch(FilterRows {
        source,
        kernel,
        out,
    });
}

struct FilterRows<'a> {
    source: Rows<'a>,
    kernel: &'a Kernel,
    out: &'a mut [u8],
}

impl WithSimd for FilterRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            source,
            kernel,
            out,
        } = self;
        let out_bytes = kernel.firsts.len() * 3;
        // Pixels are read and written four bytes at a time, so a row needs one byte after its last.
        let mut wide_row = vec![0; source.row_bytes + 1];
        let mut wide_out = vec![0; out_bytes + 1];
        for (row, out) in source.iter().zip(out.chunks_exact_mut(out_bytes)) {
            wide_row[..row.len()].copy_from_slice(row);
            // Photos are mostly enlarged or at most halved: those windows get unrolled loops.
            match kernel.taps {
                2 => filter_row(
                    &wide_row,
                    kernel,
                    kernel.weights.as_chunks::<2>().0,
                    &mut wide_out,
                ),
                3 => filter_row(
                    &wide_row,
                    kernel,
                    kernel.weights.as_chunks::<3>().0,
                    &mut wide_out,
                ),
                4 => filter_row(
                    &wide_row,
                    kernel,
                    kernel.weights.as_chunks::<4>().0,
                    &mut wide_out,
                ),
                5 => filter_row(
                    &wide_row,
                    kernel,
                    kernel.weights.as_chunks::<5>().0,
                    &mut wide_out,
                ),
                6 => filter_row(
                    &wide_row,
                    kernel,
                    kernel.weights.as_chunks::<6>().0,
                    &mut wide_out,
                ),
                taps => {
                    let weights = kernel.weights.chunks_exact(taps);
                    filter_row(&wide_row, kernel, weights, &mut wide_out);
                }
            }
            out.copy_from_slice(&wide_out[..out_bytes]);
        }
    }
}

#[inline(always)]
fn filter_row<W: AsRef<[i32]>>(
    row: &[u8],
    kernel: &Kernel,
    weights: impl IntoIterator<Item = W>,
    out: &mut [u8],
) {
    for (x, (&first, weights)) in kernel.firsts.iter().zip(weights).enumerate() {
        let weights = weights.as_ref();
        let window = &row[first * 3..][..weights.len() * 3 + 1];
        // Red, green, blue, and the next pixel's red: a whole lane is cheaper than to leave it out.
        let mut sums = [HALF; 4];
        for (tap, weight) in weights.iter().enumerate() {
            for (sum, &value) in sums.iter_mut().zip(&window[tap * 3..tap * 3 + 4]) {
                *sum += weight * i32::from(value);
            }
        }
        // The next pixel overwrites the fourth byte.
        for (byte, &sum) in out[x * 3..x * 3 + 4].iter_mut().zip(&sums) {
            *byte = to_byte(sum);
        }
    }
}

/// Filters down each column: `(H, row)` to `(outputs, row)`.
fn filter_columns(source: Rows, kernel: &Kernel, out: &mut [u8]) {
    pulp::Arch::new().dispatch(FilterColumns {
        source,
        kernel,
        out,
    });
}

struct FilterColumns<'a> {
    source: Rows<'a>,
    kernel: &'a Kernel,
    out: &'a mut [u8],
}

impl WithSimd for FilterColumns<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self {
            source,
            kernel,
            out,
        } = self;
        for (out, (first, weights)) in out.chunks_exact_mut(source.row_bytes).zip(kernel.outputs())
        {
            let (blocks, rest) = out.as_chunks_mut::<LANES>();
            let rest_start = blocks.len() * LANES;
            for (block, out) in blocks.iter_mut().enumerate() {
                let mut sums = [HALF; LANES];
                for (y, weight) in (first..).zip(weights) {
                    let row = &source.row(y)[block * LANES..][..LANES];
                    for (sum, &value) in sums.iter_mut().zip(row) {
                        *sum += weight * i32::from(value);
                    }
                }
                for (byte, &sum) in out.iter_mut().zip(&sums) {
                    *byte = to_byte(sum);
                }
            }
            for (column, byte) in (rest_start..).zip(rest) {
                let rows = (first..).zip(weights);
                let sum: i32 = rows
                    .map(|(y, w)| w * i32::from(source.row(y)[column]))
                    .sum();
                *byte = to_byte(HALF + sum);
            }
        }
    }
}

#[cfg(test)]
mod tests;
