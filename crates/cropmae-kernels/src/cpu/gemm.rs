//! Matrix products on strided views: a thin, checked layer over the `gemm` crate.
//!
//! The crate splits a product into tiles of the output, never along the summed dimension, and chooses
//! its blocking from the shapes alone, so results do not depend on the number of threads (tested).

use std::marker::PhantomData;

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
    row_stride: usize,
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
            row_stride: cols,
            lifetime: PhantomData,
        }
    }

    /// # Safety
    /// The rows must lie in memory that is valid for reads and writes for `'a` and that nothing else
    /// accesses meanwhile.
    pub(crate) unsafe fn from_raw(
        data: *mut f32,
        rows: usize,
        cols: usize,
        row_stride: usize,
    ) -> Self {
        Self {
            data,
            rows,
            cols,
            row_stride,
            lifetime: PhantomData,
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
    pub(crate) fn rows_mut(&mut self) -> impl Iterator<Item = &mut [f32]> {
        let (data, cols, row_stride) = (self.data, self.cols, self.row_stride);
        // SAFETY: rows lie inside the view (constructors) and do not overlap as cols <= row_stride.
        (0..self.rows)
            .map(move |i| unsafe { std::slice::from_raw_parts_mut(data.add(i * row_stride), cols) })
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

/// `c` = `beta` * `c` + `alpha` * `a` * `b`. With `beta` 0, `c` is not read.
pub(crate) fn gemm(c: MatMut, beta: f32, alpha: f32, a: Mat, b: Mat, threads: Threads) {
    assert_eq!((c.rows, c.cols, a.cols), (a.rows, b.cols, b.rows));
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
