//! Filters along rows, four of them side by side.

use pulp::{Simd, WithSimd};

use super::kernel::Kernel;
use super::{HALF, Rows, to_byte};

/// The number of rows that are filtered side by side.
const ROWS: usize = 4;

/// Filters along each row: `(rows, W, 3)` to `(rows, outputs, 3)`.
pub(super) fn filter_rows(source: Rows, kernel: &Kernel, out: &mut [u8]) {
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
            // Photos are mostly enlarged, or reduced to no less than half. These windows get unrolled loops.
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

/// Four rows that are filtered side by side.
///
/// Pixels have four bytes here, of which the last is unused, because a whole register is cheaper than three quarters of
/// one.
///
/// Each step is a separate loop, because the compiler vectorizes them only one by one.
struct Band {
    /// The pixels of the rows, and later those of the results.
    rows: [Vec<u32>; ROWS],
    /// The pixels of all rows, by column.
    columns: Vec<[u8; ROWS * 4]>,
    /// The filtered pixels of all rows, by output column.
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

    /// Loads the next rows. If fewer rows are left, the other rows keep their old pixels.
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

    /// Writes as many filtered rows as `out` has room for.
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
