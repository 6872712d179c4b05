//! Views of matrices in slices and other memory, for products.

use std::marker::PhantomData;

use super::output::Unset;
use super::product::LANES;

/// A matrix to read, with rows at any stride, or its transpose.
#[derive(Clone, Copy)]
pub(crate) struct Mat<'a> {
    data: *const f32,
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
    lifetime: PhantomData<&'a [f32]>,
}

// SAFETY: a view is read only, like the shared slice that it borrows from.
unsafe impl Send for Mat<'_> {}
// SAFETY: as above.
unsafe impl Sync for Mat<'_> {}

impl<'a> Mat<'a> {
    /// Creates a row-major matrix of `rows` x `cols`.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Creates a matrix of rows of `cols` elements that start at a distance of `row_stride`.
    pub(crate) fn strided(data: &'a [f32], rows: usize, cols: usize, row_stride: usize) -> Self {
        assert!(rows == 0 || (rows - 1) * row_stride + cols <= data.len());
        Self {
            data: data.as_ptr(),
            rows,
            cols,
            row_stride,
            col_stride: 1,
            lifetime: PhantomData,
        }
    }

    pub(super) fn rows(self) -> usize {
        self.rows
    }

    pub(super) fn cols(self) -> usize {
        self.cols
    }

    pub(super) fn as_ptr(self) -> *const f32 {
        self.data
    }

    pub(super) fn row_stride(self) -> usize {
        self.row_stride
    }

    pub(super) fn col_stride(self) -> usize {
        self.col_stride
    }

    /// Returns `true` if the elements of a row are adjacent. Otherwise the elements of a column are.
    pub(super) fn has_contiguous_rows(self) -> bool {
        self.col_stride == 1
    }

    /// Returns a row whose elements are adjacent.
    pub(super) fn row(self, i: usize) -> &'a [f32] {
        assert!(i < self.rows && self.has_contiguous_rows());
        // SAFETY: the row is inside of the borrowed slice (constructors).
        unsafe { std::slice::from_raw_parts(self.data.add(i * self.row_stride), self.cols) }
    }

    /// Returns the transpose as a view.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.cols,
            cols: self.rows,
            row_stride: self.col_stride,
            col_stride: self.row_stride,
            ..self
        }
    }
}

/// A matrix to write, with rows at any stride.
pub(crate) struct MatMut<'a> {
    data: *mut f32,
    rows: usize,
    cols: usize,
    /// The number of elements of each row that may be written. It is more than `cols` if rows end with padding.
    room: usize,
    row_stride: usize,
    /// `true` if the elements have been written before and may be read.
    written: bool,
    lifetime: PhantomData<&'a mut [f32]>,
}

impl<'a> MatMut<'a> {
    /// Creates a row-major matrix of `rows` x `cols`.
    pub(crate) fn new(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        assert!(rows * cols <= data.len());
        Self {
            data: data.as_mut_ptr(),
            rows,
            cols,
            room: cols,
            row_stride: cols,
            written: true,
            lifetime: PhantomData,
        }
    }

    /// Creates a row-major matrix of `rows` x `cols` that has not been written.
    pub(super) fn unset(mut data: Unset<'a>, rows: usize, cols: usize) -> Self {
        assert_eq!(rows * cols, data.len());
        Self {
            data: data.as_mut_ptr(),
            rows,
            cols,
            room: cols,
            row_stride: cols,
            written: false,
            lifetime: PhantomData,
        }
    }

    /// Creates a matrix whose rows of `cols` elements end with padding up to [`padded`], which products may overwrite.
    pub(crate) fn padded(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        let row_stride = padded(cols);
        Self {
            cols,
            ..Self::new(data, rows, row_stride)
        }
    }

    /// # Safety
    /// The rows must be in memory that is valid for reads and writes for `'a` and that nothing else
    /// accesses meanwhile. If `written` their elements must have been written.
    pub(crate) unsafe fn from_raw(
        data: *mut f32,
        (rows, cols): (usize, usize),
        row_stride: usize,
        written: bool,
    ) -> Self {
        Self {
            data,
            rows,
            cols,
            room: cols,
            row_stride,
            written,
            lifetime: PhantomData,
        }
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cols(&self) -> usize {
        self.cols
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut f32 {
        self.data
    }

    /// Returns `true` if the elements have been written before.
    pub(super) fn is_written(&self) -> bool {
        self.written
    }

    /// Returns the same matrix after it has been written through pointers.
    ///
    /// # Safety
    /// All of its elements must have been written.
    pub(super) unsafe fn assume_written(self) -> Self {
        Self {
            written: true,
            ..self
        }
    }

    /// Returns the number of elements of each row that may be written.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Returns a pointer to element (`row`, `col`).
    pub(super) fn at(&mut self, row: usize, col: usize) -> *mut f32 {
        assert!(row < self.rows && col < self.cols);
        // SAFETY: inside of the view.
        unsafe { self.data.add(row * self.row_stride + col) }
    }

    /// Returns rows `first..first + rows` as a matrix.
    ///
    /// # Safety
    /// Nothing else may access these rows meanwhile.
    pub(super) unsafe fn rows_unchecked(&self, first: usize, rows: usize) -> MatMut<'_> {
        assert!(first + rows <= self.rows);
        MatMut {
            data: self.data.wrapping_add(first * self.row_stride),
            rows,
            lifetime: PhantomData,
            ..*self
        }
    }

    /// Returns the same matrix with a shorter lifetime.
    pub(crate) fn reborrow(&mut self) -> MatMut<'_> {
        MatMut {
            lifetime: PhantomData,
            ..*self
        }
    }

    /// Returns the rows.
    ///
    /// # Panics
    /// Panics if the matrix has not been written.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        assert!(self.written);
        let (data, cols, row_stride) = (self.data, self.cols, self.row_stride);
        // SAFETY: rows are inside of the view (constructors), are written (asserted) and do not overlap, as
        // cols <= row_stride.
        (0..self.rows)
            .map(move |i| unsafe { std::slice::from_raw_parts_mut(data.add(i * row_stride), cols) })
    }

    /// Returns the rows, to be written.
    pub(super) fn unset_rows(&mut self) -> impl Iterator<Item = Unset<'_>> {
        let (data, cols, row_stride) = (self.data, self.cols, self.row_stride);
        (0..self.rows).map(move |i| {
            // SAFETY: rows are inside of the view (constructors) and do not overlap as cols <= row_stride.
            unsafe { Unset::from_raw(data.add(i * row_stride), cols) }
        })
    }

    /// Returns the elements of a matrix with contiguous rows.
    ///
    /// # Panics
    /// Panics if the matrix has not been written, or if its rows are not contiguous.
    pub(crate) fn into_slice(self) -> &'a mut [f32] {
        assert!(self.written && self.row_stride == self.cols);
        // SAFETY: the rows are inside of the view (constructors), without gaps and written (asserted).
        unsafe { std::slice::from_raw_parts_mut(self.data, self.rows * self.cols) }
    }
}

/// Returns the length of a row of `cols` elements, padded to whole vectors.
pub(crate) fn padded(cols: usize) -> usize {
    cols.next_multiple_of(LANES)
}
