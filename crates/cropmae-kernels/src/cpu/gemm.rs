//! Matrix products on strided views: our own kernels where they fit the machine, the `gemm` crate elsewhere.
//!
//! The crate splits a product into tiles of the output, never along the summed dimension, and chooses
//! its blocking from the shapes alone, so results do not depend on the number of threads (tested).

use std::marker::PhantomData;

use super::output::Unset;
use super::product;
pub(super) use super::product::ROWS;
use crate::compute::Compute;

/// A matrix to read: rows at any stride, or its transpose.
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
    /// Row-major `rows` x `cols`.
    pub(crate) fn new(data: &'a [f32], rows: usize, cols: usize) -> Self {
        Self::strided(data, rows, cols, cols)
    }

    /// Rows of `cols` elements that start `row_stride` apart.
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

    pub(super) fn row_stride(self) -> usize {
        self.row_stride
    }

    /// Whether the elements of a row are neighbours; those of a column are otherwise.
    pub(super) fn has_contiguous_rows(self) -> bool {
        self.col_stride == 1
    }

    /// A row whose elements are neighbours.
    pub(super) fn row(self, i: usize) -> &'a [f32] {
        assert!(i < self.rows && self.has_contiguous_rows());
        // SAFETY: the row lies inside of the borrowed slice (constructors).
        unsafe { std::slice::from_raw_parts(self.data.add(i * self.row_stride), self.cols) }
    }

    /// The transpose, a view.
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

/// A matrix to write, rows at any stride.
pub(crate) struct MatMut<'a> {
    data: *mut f32,
    rows: usize,
    cols: usize,
    /// Elements of each row that may be written: more than `cols` where its end is padding.
    room: usize,
    row_stride: usize,
    /// Whether its elements have been written before, and so may be read.
    written: bool,
    lifetime: PhantomData<&'a mut [f32]>,
}

impl<'a> MatMut<'a> {
    /// Row-major `rows` x `cols`.
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

    /// Row-major `rows` x `cols` of which nothing has been written.
    pub(crate) fn unset(mut data: Unset<'a>, rows: usize, cols: usize) -> Self {
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

    /// Rows of `cols` elements, each followed by padding up to [`padded`], which products may overwrite.
    pub(crate) fn padded(data: &'a mut [f32], rows: usize, cols: usize) -> Self {
        let row_stride = padded(cols);
        Self {
            cols,
            ..Self::new(data, rows, row_stride)
        }
    }

    /// # Safety
    /// The rows must lie in memory that is valid for reads and writes for `'a` and that nothing else
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

    /// Elements of each row that may be written.
    pub(super) fn room(&self) -> usize {
        self.room
    }

    pub(super) fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Where element (`row`, `col`) lies.
    pub(super) fn at(&mut self, row: usize, col: usize) -> *mut f32 {
        assert!(row < self.rows && col < self.cols);
        // SAFETY: inside of the view.
        unsafe { self.data.add(row * self.row_stride + col) }
    }

    /// Rows `first..first + rows` as a matrix of their own.
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

    /// The same matrix for a shorter time.
    pub(crate) fn reborrow(&mut self) -> MatMut<'_> {
        MatMut {
            lifetime: PhantomData,
            ..*self
        }
    }

    /// Its rows.
    ///
    /// # Panics
    /// If it has not been written.
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        assert!(self.written);
        let (data, cols, row_stride) = (self.data, self.cols, self.row_stride);
        // SAFETY: rows lie inside the view (constructors), are written (asserted) and do not overlap as
        // cols <= row_stride.
        (0..self.rows)
            .map(move |i| unsafe { std::slice::from_raw_parts_mut(data.add(i * row_stride), cols) })
    }

    /// Its rows, to be written.
    pub(super) fn unset_rows(&mut self) -> impl Iterator<Item = Unset<'_>> {
        let (data, cols, row_stride) = (self.data, self.cols, self.row_stride);
        (0..self.rows).map(move |i| {
            // SAFETY: rows lie inside the view (constructors) and do not overlap as cols <= row_stride.
            unsafe { Unset::from_raw(data.add(i * row_stride), cols) }
        })
    }

    /// Its elements, if rows follow on one another.
    ///
    /// # Panics
    /// If it has not been written, or its rows lie apart.
    pub(crate) fn into_slice(self) -> &'a mut [f32] {
        assert!(self.written && self.row_stride == self.cols);
        // SAFETY: the rows lie inside the view (constructors), without gaps and written (asserted).
        unsafe { std::slice::from_raw_parts_mut(self.data, self.rows * self.cols) }
    }
}

/// Who computes a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread: inside of a task.
    One,
    /// The current rayon pool.
    All,
}

/// The length of a row of `cols` elements that ends with a whole vector.
pub(crate) fn padded(cols: usize) -> usize {
    cols.next_multiple_of(product::LANES)
}

/// A right operand, made ready once for any number of products.
pub(crate) struct Right<'a> {
    source: Mat<'a>,
    /// As our own kernels want it, where this machine has them.
    packed: Option<(&'static product::Kernels, product::Panels)>,
}

impl<'a> Right<'a> {
    /// Products will multiply by `source`.
    pub(crate) fn new(source: Mat<'a>, threads: Threads, compute: Compute) -> Self {
        let kernels = product::kernels(compute).or_else(|| product::kernels(Compute::F32));
        let packed = kernels
            .filter(|_| source.rows > 0 && source.cols > 0)
            .map(|kernels| (kernels, product::Panels::pack(kernels, source, threads)));
        Self { source, packed }
    }

    /// Rows and columns.
    pub(crate) fn dims(&self) -> (usize, usize) {
        (self.source.rows, self.source.cols)
    }
}

/// `c` = `beta` * `c` + `alpha` * `a` * `b`. With `beta` 0, `c` is not read.
pub(crate) fn gemm(
    c: MatMut,
    beta: f32,
    alpha: f32,
    a: Mat,
    b: Mat,
    threads: Threads,
    compute: Compute,
) {
    multiply(
        c,
        (beta, alpha),
        a,
        &Right::new(b, threads, compute),
        threads,
    );
}

/// `c` = `beta` * `c` + `alpha` * `a` * `b`. With `beta` 0, `c` is not read. Returns the written `c`.
///
/// # Panics
/// If shapes do not fit, or `c` would be read but has not been written.
pub(crate) fn multiply<'c>(
    mut c: MatMut<'c>,
    scales: (f32, f32),
    a: Mat,
    b: &Right,
    threads: Threads,
) -> MatMut<'c> {
    assert_eq!(
        (c.rows, c.cols, a.cols),
        (a.rows, b.source.cols, b.source.rows)
    );
    assert!(c.written || scales.0 == 0.0);
    match b.packed.as_ref().filter(|_| c.rows > 0) {
        Some((kernels, panels)) => {
            product::product(kernels, c.reborrow(), scales, a, panels, threads);
        }
        None => multiply_by_crate(c.reborrow(), scales, a, b.source, threads),
    }
    MatMut { written: true, ..c }
}

/// [`multiply`] with the `gemm` crate; shapes have been compared.
fn multiply_by_crate(c: MatMut, (beta, alpha): (f32, f32), a: Mat, b: Mat, threads: Threads) {
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: the views are in bounds by construction, `c` is exclusively ours, shapes agree.
    unsafe {
        gemm::gemm(
            c.rows,
            c.cols,
            a.cols,
            c.data,
            1,
            c.row_stride as isize,
            beta != 0.0,
            a.data,
            a.col_stride as isize,
            a.row_stride as isize,
            b.data,
            b.col_stride as isize,
            b.row_stride as isize,
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}
