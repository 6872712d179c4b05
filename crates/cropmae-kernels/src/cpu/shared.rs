//! Packed rows that several tasks write at the same time, each in separate columns and rows.

use std::array;
use std::marker::PhantomData;

use super::matrix::MatMut;
use super::output::Unset;

/// One of several parts that are side by side in the rows of a matrix, such as q, k and v.
///
/// It is used for outputs whose pieces are interleaved in memory (heads inside of rows) and therefore cannot be split
/// with `chunks_mut`.
pub(crate) struct PartMut<'a> {
    data: *mut f32,
    rows: usize,
    width: usize,
    row_stride: usize,
    lifetime: PhantomData<&'a mut [f32]>,
}

// SAFETY: the elements of a part are only accessible through `block`, whose callers ensure that blocks that are alive
// at the same time have no common elements.
unsafe impl Send for PartMut<'_> {}
// SAFETY: as above.
unsafe impl Sync for PartMut<'_> {}

impl<'a> PartMut<'a> {
    /// Splits `data` (rows, `PARTS` * `width`) into its parts.
    pub(crate) fn split<const PARTS: usize>(
        data: &'a mut Unset<'_>,
        width: usize,
    ) -> [Self; PARTS] {
        let row_stride = PARTS * width;
        let rows = data.len() / row_stride;
        let data = data.as_mut_ptr();
        array::from_fn(|part| Self {
            // The offset is in bounds, or at the end of an empty slice.
            data: data.wrapping_add(part * width),
            rows,
            width,
            row_stride,
            lifetime: PhantomData,
        })
    }

    /// Returns the block of `rows` x `cols` at (`row`, `col`).
    ///
    /// # Safety
    /// No other block of this part with common elements may be alive. If `written` is true, the elements must have been
    /// written.
    pub(crate) unsafe fn block(
        &self,
        (row, col): (usize, usize),
        (rows, cols): (usize, usize),
        written: bool,
    ) -> MatMut<'_> {
        assert!(row + rows <= self.rows && col + cols <= self.width);
        // SAFETY: the assertion ensures that the block is inside of this part, parts do not overlap, and the caller
        // ensures that blocks do not overlap.
        unsafe {
            let first = self.data.wrapping_add(row * self.row_stride + col);
            MatMut::from_raw(first, (rows, cols), self.row_stride, written)
        }
    }
}
