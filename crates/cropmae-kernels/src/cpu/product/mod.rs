//! Matrix products with AVX-512, in f32 or with operands rounded to bfloat16 (`vdpbf16ps`).
//!
//! The right operand is packed once into panels of 64 columns, which all blocks of rows share. Blocks of the left
//! operand are read in place if possible (f32 rows), and otherwise packed. A step of the kernel keeps 6 x 64 sums in
//! registers, and 512 units of the summed dimension at a time stay in the second-level cache.
//!
//! Each element is summed by one thread in the order of the inner dimension, independent of the start of its block, so
//! results do not depend on the number of threads.

mod kernels;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

pub(crate) use kernels::{Kernels, LANES, kernels};

pub(crate) use self::kernels::ROWS;
use self::kernels::{COLS, Step};
use super::gemm::Threads;
use super::matrix::{Mat, MatMut};
use super::scratch::Scratch;
use super::simd::vectorized;

/// The number of units of the inner dimension that are summed at a time.
const UNITS: usize = 512;

/// Returns the number of rows of a block, which is a multiple of `ROWS`.
///
/// There are as many rows as fit into the second-level cache with 512 units each, but fewer if the matrix has few rows,
/// so that all threads get some.
fn block_rows(rows: usize) -> usize {
    (rows / 8).next_multiple_of(ROWS).clamp(4 * ROWS, 16 * ROWS)
}

/// Computes `c` = `beta` * `c` + `alpha` * `a` * `panels`. If `beta` is 0, `c` is not read.
pub(crate) fn product(
    kernels: &Kernels,
    c: MatMut,
    (beta, alpha): (f32, f32),
    a: Mat,
    panels: &Panels,
    threads: Threads,
) {
    let rows = c.rows();
    let in_place = alpha == 1.0
        && (beta == 0.0 || beta == 1.0)
        && c.room() >= c.cols().next_multiple_of(LANES);
    let c = Blocks(c);
    let block_rows = match threads {
        Threads::One => 16 * ROWS,
        Threads::All => block_rows(rows),
    };
    let block = |i: usize| {
        let first = i * block_rows;
        let count = (rows - first).min(block_rows);
        let left = Left::new(kernels, a, first, count);
        // SAFETY: blocks have no row in common.
        let c = unsafe { c.block(first, count) };
        if in_place {
            panels.multiply(kernels, &left, c, beta == 1.0);
        } else {
            panels.multiply_scaled(kernels, &left, c, (beta, alpha));
        }
    };
    let blocks = rows.div_ceil(block_rows);
    match threads {
        Threads::One => (0..blocks).for_each(block),
        Threads::All => (0..blocks).into_par_iter().with_max_len(1).for_each(block),
    }
}

/// The rows of a matrix, distributed in blocks.
struct Blocks<'a>(MatMut<'a>);

// SAFETY: elements are only accessible through `block`, whose callers ensure that blocks do not overlap.
unsafe impl Sync for Blocks<'_> {}

impl Blocks<'_> {
    /// # Safety
    /// No other block with common rows may be alive.
    unsafe fn block(&self, first: usize, rows: usize) -> MatMut<'_> {
        // SAFETY: the caller ensures this.
        unsafe { self.0.rows_unchecked(first, rows) }
    }
}

/// The right operand (K, N), in panels of 64 columns.
///
/// The last panel may have fewer columns, padded with zeros to whole vectors. A panel contains one unit of each column
/// after the other.
pub(crate) struct Panels {
    data: Scratch,
    units: usize,
    cols: usize,
}

impl Panels {
    pub(crate) fn pack(kernels: &Kernels, source: Mat, threads: Threads) -> Self {
        let (units, cols) = (kernels.units(source.rows()), source.cols());
        let mut data = Scratch::new(units * cols.next_multiple_of(LANES));
        let pack = |(i, panel): (usize, &mut [f32])| {
            let first = i * COLS;
            kernels.panel(source, first, (cols - first).min(COLS), panel);
        };
        let len = (units * COLS).max(1);
        match threads {
            Threads::One => data.chunks_mut(len).enumerate().for_each(pack),
            Threads::All => data.par_chunks_mut(len).enumerate().for_each(pack),
        }
        Self { data, units, cols }
    }

    /// Computes `c` = \[`c` +\] left * panels. The rows of `c` must have space for whole vectors.
    fn multiply(&self, kernels: &Kernels, left: &Left, mut c: MatMut, add: bool) {
        assert!(left.rows == c.rows() && c.room() >= self.cols.next_multiple_of(LANES));
        for unit in (0..self.units).step_by(UNITS) {
            let count = (self.units - unit).min(UNITS);
            for first in (0..self.cols).step_by(COLS) {
                let vectors = (self.cols - first).min(COLS).div_ceil(LANES);
                let panel = &self.data[first * self.units..][..vectors * LANES * self.units];
                for (strip, row) in (0..left.rows).step_by(ROWS).enumerate() {
                    let step = Step {
                        rows: (left.rows - row).min(ROWS),
                        vectors,
                        units: count,
                        a: left.at(strip, unit),
                        a_row: left.row_stride,
                        a_unit: left.unit_stride,
                        b: panel[unit * vectors * LANES..].as_ptr(),
                        c: c.at(row, first),
                        c_row: c.row_stride(),
                        add: add || unit > 0,
                    };
                    // SAFETY: `left` contains `units` units of `rows` rows (its constructor), the panel
                    // contains `units` groups of `vectors` vectors (its slice), and `c`, which we own
                    // exclusively, has as many rows with space for whole vectors (asserted).
                    unsafe { kernels.step(&step) };
                }
            }
        }
    }

    /// Computes `c` = `beta` * `c` + `alpha` * left * panels, for any width of `c`.
    fn multiply_scaled(
        &self,
        kernels: &Kernels,
        left: &Left,
        mut c: MatMut,
        (beta, alpha): (f32, f32),
    ) {
        let cols = self.cols;
        let row = cols.next_multiple_of(LANES);
        let mut tile = Scratch::new(left.rows * row);
        self.multiply(kernels, left, MatMut::new(&mut tile, left.rows, row), false);
        let tiles = tile.chunks_exact(row);
        if beta == 0.0 {
            vectorized!(for (c, tile) in c.unset_rows().zip(tiles) {
                c.fill(tile[..cols].iter().map(|&t| alpha * t));
            });
        } else {
            vectorized!(for (c, tile) in c.rows_mut().zip(tiles) {
                for (c, &t) in c.iter_mut().zip(&tile[..cols]) {
                    *c = beta * *c + alpha * t;
                }
            });
        }
    }
}

/// Some rows of the left operand (M, K) in units, in place or packed.
struct Left<'a> {
    /// The buffer of `data`, if it was packed.
    _packed: Option<Scratch>,
    data: *const f32,
    rows: usize,
    row_stride: usize,
    unit_stride: usize,
    strip_stride: usize,
    lifetime: std::marker::PhantomData<&'a [f32]>,
}

impl<'a> Left<'a> {
    fn new(kernels: &Kernels, source: Mat<'a>, first: usize, rows: usize) -> Self {
        let lifetime = std::marker::PhantomData;
        if !source.has_contiguous_rows() {
            let units = kernels.units(source.cols());
            let mut packed = Scratch::new(rows.next_multiple_of(ROWS) * units);
            kernels.strips(source.t(), first, rows, &mut packed);
            return Self {
                data: packed.as_ptr(),
                _packed: Some(packed),
                rows,
                row_stride: 1,
                unit_stride: ROWS,
                strip_stride: ROWS * units,
                lifetime,
            };
        }
        if kernels.reads_in_place() {
            return Self {
                _packed: None,
                data: source.row(first).as_ptr(),
                rows,
                row_stride: source.row_stride(),
                unit_stride: 1,
                strip_stride: ROWS * source.row_stride(),
                lifetime,
            };
        }
        let mut row_stride = kernels.units(source.cols()).next_multiple_of(LANES);
        if row_stride.is_multiple_of(256) {
            row_stride += LANES; // rows at powers of two would share their places in the cache
        }
        let mut packed = Scratch::new(rows * row_stride);
        for (i, row) in packed.chunks_exact_mut(row_stride).enumerate() {
            kernels.row(source.row(first + i), row);
        }
        Self {
            data: packed.as_ptr(),
            _packed: Some(packed),
            rows,
            row_stride,
            unit_stride: 1,
            strip_stride: ROWS * row_stride,
            lifetime,
        }
    }

    /// Returns a pointer to unit `unit` of the first row of strip `strip`.
    fn at(&self, strip: usize, unit: usize) -> *const f32 {
        self.data
            .wrapping_add(strip * self.strip_stride + unit * self.unit_stride)
    }
}
