//! The innermost loops and the packing, which differ between number types.
//!
//! Operands are read in units of 32 bits along the summed dimension, which are one f32 or two neighboring bf16.

use std::sync::LazyLock;

use crate::compute::Compute;
use crate::cpu::matrix::Mat;

#[cfg(target_arch = "x86_64")]
#[macro_use]
mod avx512;

/// The number of rows of a strip.
pub(crate) const ROWS: usize = 6;

/// The number of columns of a panel.
pub(super) const COLS: usize = 64;

/// The number of columns of a vector.
pub(crate) const LANES: usize = 16;

/// The arguments of one call of the kernel, which computes `c` (rows, 16 * vectors) = \[`c` +\] `a` `b`.
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "only the kernels for x86-64 read it so far")
)]
pub(super) struct Step {
    /// The number of rows, in 1..=6.
    pub(super) rows: usize,
    /// The number of vectors, in 1..=4.
    pub(super) vectors: usize,
    /// The number of units along the summed dimension.
    pub(super) units: usize,
    /// The left operand, in units.
    pub(super) a: *const f32,
    /// The distance between rows, in units.
    pub(super) a_row: usize,
    /// The distance between steps along the summed dimension, in units.
    pub(super) a_unit: usize,
    /// The right operand, with 16 * vectors units for each step along the summed dimension.
    pub(super) b: *const f32,
    pub(super) c: *mut f32,
    pub(super) c_row: usize,
    /// `true` to add to `c`.
    pub(super) add: bool,
}

/// Rows or columns at a distance in memory: the first element, the distance to the next row, and the number of values to
/// read, which are `along` contiguous values in each of `across` rows.
#[derive(Clone, Copy)]
#[cfg_attr(
    not(target_arch = "x86_64"),
    expect(dead_code, reason = "only the kernels for x86-64 read it so far")
)]
struct Source {
    first: *const f32,
    stride: usize,
    across: usize,
    along: usize,
}

/// The loops for one number type and one instruction set.
pub(crate) struct Kernels {
    /// The number of values in a unit.
    per_unit: usize,
    step: unsafe fn(&Step),
    /// Packs contiguous rows (K, columns) into a panel of (units, width).
    panel_of_rows: unsafe fn(Source, usize, &mut [f32]),
    /// Packs contiguous columns (columns, K) into a panel of (units, width).
    panel_of_columns: unsafe fn(Source, usize, &mut [f32]),
    /// Packs contiguous rows (K, M) into strips of (units, 6).
    strips: unsafe fn(Source, &mut [f32]),
    /// Packs one row.
    row: unsafe fn(&[f32], &mut [f32]),
}

/// Returns the loops for `compute`, if this machine has the instructions.
pub(crate) fn kernels(compute: Compute) -> Option<&'static Kernels> {
    static F32: LazyLock<Option<Kernels>> = LazyLock::new(f32_kernels);
    static BF16: LazyLock<Option<Kernels>> = LazyLock::new(bf16_kernels);
    match compute {
        Compute::F32 => F32.as_ref(),
        Compute::Bf16 => BF16.as_ref(),
    }
}

#[cfg(target_arch = "x86_64")]
fn f32_kernels() -> Option<Kernels> {
    is_x86_feature_detected!("avx512f").then_some(avx512::f32::KERNELS)
}

#[cfg(target_arch = "x86_64")]
fn bf16_kernels() -> Option<Kernels> {
    (is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bf16"))
        .then_some(avx512::bf16::KERNELS)
}

#[cfg(not(target_arch = "x86_64"))]
fn f32_kernels() -> Option<Kernels> {
    None
}

#[cfg(not(target_arch = "x86_64"))]
fn bf16_kernels() -> Option<Kernels> {
    None
}

impl Kernels {
    /// Returns the number of units for `values` values. The last unit may be completed with a zero.
    pub(super) fn units(&self, values: usize) -> usize {
        values.div_ceil(self.per_unit)
    }

    /// Returns `true` if rows of f32 are already units.
    pub(super) fn reads_in_place(&self) -> bool {
        self.per_unit == 1
    }

    /// # Safety
    /// `a`, `b` and `c` must point to what `step` describes, `c` to memory that nothing else accesses.
    pub(super) unsafe fn step(&self, step: &Step) {
        // SAFETY: `kernels` hands out tables for this machine only; the caller vouches for the pointers.
        unsafe { (self.step)(step) }
    }

    /// Writes columns `first..first + cols` of `source` (K, N) as one panel.
    pub(super) fn panel(&self, source: Mat, first: usize, cols: usize, panel: &mut [f32]) {
        let width = cols.next_multiple_of(LANES);
        assert!(cols <= COLS && first + cols <= source.cols());
        assert_eq!(panel.len(), self.units(source.rows()) * width);
        if source.rows() == 0 || cols == 0 {
            return;
        }
        // SAFETY: the table is for this machine; `source` holds the rows or columns (its constructor), the
        // panel has room for all units of all columns (asserted).
        unsafe {
            if source.has_contiguous_rows() {
                let from = Source {
                    first: source.row(0)[first..].as_ptr(),
                    stride: source.row_stride(),
                    across: source.rows(),
                    along: cols,
                };
                (self.panel_of_rows)(from, width, panel);
            } else {
                let columns = source.t();
                let from = Source {
                    first: columns.row(first).as_ptr(),
                    stride: columns.row_stride(),
                    across: cols,
                    along: columns.cols(),
                };
                (self.panel_of_columns)(from, width, panel);
            }
        }
    }

    /// Writes columns `first..first + cols` of `source` (K, M) as strips of 6.
    pub(super) fn strips(&self, source: Mat, first: usize, cols: usize, strips: &mut [f32]) {
        assert!(source.has_contiguous_rows() && first + cols <= source.cols());
        assert!(strips.len() >= cols.next_multiple_of(ROWS) * self.units(source.rows()));
        if source.rows() == 0 || cols == 0 {
            return;
        }
        let from = Source {
            first: source.row(0)[first..].as_ptr(),
            stride: source.row_stride(),
            across: source.rows(),
            along: cols,
        };
        // SAFETY: the table is for this machine; `source` holds the rows (its constructor), the strips have
        // room (asserted).
        unsafe { (self.strips)(from, strips) }
    }

    /// Writes a row as units.
    pub(super) fn row(&self, source: &[f32], units: &mut [f32]) {
        assert!(units.len() >= self.units(source.len()));
        // SAFETY: the table is for this machine; there is room (asserted).
        unsafe { (self.row)(source, units) }
    }
}
