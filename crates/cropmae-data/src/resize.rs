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
/// Rows that the horizontal pass filters side by side.
const ROWS: usize = 4;
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
        match filter {
            Interpolation::Bilinear => Self::of_shape(input, output, 1.0, triangle),
            Interpolation::Bicubic => Self::of_shape(input, output, 2.0, cubic),
        }
    }

    /// The weights of a filter that reaches `radius` inputs (or outputs, where these lie further apart).
    fn of_shape(input: u32, output: u32, radius: f64, shape: impl Fn(f64) -> f64) -> Self {
        let scale = f64::from(input) / f64::from(output);
        let filter_scale = scale.max(1.0);
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
        let row_bytes = kernel.firsts.len() * 3;
        let mut band = Band::new(source.row_bytes / 3, kernel.firsts.len());
        let mut rows = source.iter();
        for out in out.chunks_mut(row_bytes * ROWS) {
            band.fill(&mut rows);
            // Photos are mostly enlarged or at most halved: those windows get unrolled loops.
            match kernel.taps {
                2 => band.filter(kernel, kernel.weights.as_chunks::<2>().0),
                3 => band.filter(kernel, kernel.weights.as_chunks::<3>().0),
                4 => band.filter(kernel, kernel.weights.as_chunks::<4>().0),
                5 => band.filter(kernel, kernel.weights.as_chunks::<5>().0),
                6 => band.filter(kernel, kernel.weights.as_chunks::<6>().0),
                taps => band.filter(kernel, kernel.weights.chunks_exact(taps)),
            }
            band.write(out);
        }
    }
}

/// Four rows that are filtered side by side. Pixels have four bytes here, of which the last counts for
/// nothing: a whole register is cheaper than three quarters of one.
///
/// Each step is a loop of its own, since the compiler vectorises them one by one only.
struct Band {
    /// The rows' pixels, then those of the results.
    rows: [Vec<u32>; ROWS],
    /// Of each column the pixels of all rows.
    columns: Vec<[u8; ROWS * 4]>,
    /// Of each output column the pixels of all rows.
    filtered: Vec<[u8; ROWS * 4]>,
}

impl Band {
    fn new(columns: usize, outputs: usize) -> Self {
        Self {
            rows: [(); ROWS].map(|()| vec![0; columns.max(outputs)]),
            columns: vec![[0; ROWS * 4]; columns],
            filtered: vec![[0; ROWS * 4]; outputs],
        }
    }

    /// Takes the next rows; where there are no more, it takes what it holds.
    #[inline(always)]
    fn fill<'a>(&mut self, rows: &mut impl Iterator<Item = &'a [u8]>) {
        for (pixels, row) in self.rows.iter_mut().zip(rows) {
            for (pixel, &[r, g, b]) in pixels.iter_mut().zip(row.as_chunks::<3>().0) {
                *pixel = u32::from_le_bytes([r, g, b, 0]);
            }
        }
        let [a, b, c, d] = &self.rows;
        let pixels = a.iter().zip(b).zip(c.iter().zip(d));
        for (column, ((a, b), (c, d))) in self.columns.iter_mut().zip(pixels) {
            let (targets, _) = column.as_chunks_mut::<4>();
            targets[0] = a.to_le_bytes();
            targets[1] = b.to_le_bytes();
            targets[2] = c.to_le_bytes();
            targets[3] = d.to_le_bytes();
        }
    }

    #[inline(always)]
    fn filter<W: AsRef<[i32]>>(&mut self, kernel: &Kernel, weights: impl IntoIterator<Item = W>) {
        for (filtered, (&first, weights)) in self
            .filtered
            .iter_mut()
            .zip(kernel.firsts.iter().zip(weights))
        {
            let weights = weights.as_ref();
            let mut lanes = [HALF; ROWS * 4];
            for (column, weight) in self.columns[first..][..weights.len()].iter().zip(weights) {
                for (lane, &value) in lanes.iter_mut().zip(column) {
                    *lane += weight * i32::from(value);
                }
            }
            for (byte, lane) in filtered.iter_mut().zip(lanes) {
                *byte = to_byte(lane);
            }
        }
    }

    /// Writes the filtered rows, or as many as there is room for.
    #[inline(always)]
    fn write(&mut self, out: &mut [u8]) {
        let [a, b, c, d] = &mut self.rows;
        let pixels = a.iter_mut().zip(b).zip(c.iter_mut().zip(d));
        for (column, ((a, b), (c, d))) in self.filtered.iter().zip(pixels) {
            let (sources, _) = column.as_chunks::<4>();
            *a = u32::from_le_bytes(sources[0]);
            *b = u32::from_le_bytes(sources[1]);
            *c = u32::from_le_bytes(sources[2]);
            *d = u32::from_le_bytes(sources[3]);
        }
        for (row, pixels) in out
            .chunks_exact_mut(self.filtered.len() * 3)
            .zip(&self.rows)
        {
            for (rgb, pixel) in row.as_chunks_mut::<3>().0.iter_mut().zip(pixels) {
                let [r, g, b, _] = pixel.to_le_bytes();
                *rgb = [r, g, b];
            }
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
