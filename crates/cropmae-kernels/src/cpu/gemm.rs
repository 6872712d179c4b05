//! Matrix products on strided views, with the kernels of this crate if the machine supports them, and otherwise with the
//! crate `gemm`.
//!
//! `gemm` splits a product into tiles of the output, never along the summed dimension, and its blocking depends only on
//! the shapes, so results do not depend on the number of threads (tested).

use super::matrix::{Mat, MatMut};
use super::product;
use crate::compute::Compute;

/// The threads that compute a product.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// The calling thread, for products inside of a task.
    One,
    /// The current rayon pool.
    All,
}

/// A right operand, prepared once for any number of products.
pub(crate) struct Right<'a> {
    source: Mat<'a>,
    /// The operand packed for the kernels of this crate, if the machine supports them.
    packed: Option<(&'static product::Kernels, product::Panels)>,
}

impl<'a> Right<'a> {
    /// Prepares products with the right operand `source`.
    pub(crate) fn new(source: Mat<'a>, threads: Threads, compute: Compute) -> Self {
        let kernels = product::kernels(compute).or_else(|| product::kernels(Compute::F32));
        let packed = kernels
            .filter(|_| source.rows() > 0 && source.cols() > 0)
            .map(|kernels| (kernels, product::Panels::pack(kernels, source, threads)));
        Self { source, packed }
    }

    /// Returns the numbers of rows and columns.
    pub(crate) fn dims(&self) -> (usize, usize) {
        (self.source.rows(), self.source.cols())
    }
}

/// Computes `c` = `beta` * `c` + `alpha` * `a` * `b`. If `beta` is 0, `c` is not read.
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

/// Computes `c` = `beta` * `c` + `alpha` * `a` * `b` and returns the written `c`. If `beta` is 0, `c` is not read.
///
/// # Panics
/// Panics if shapes do not fit, or if `c` would be read but has not been written.
pub(crate) fn multiply<'c>(
    mut c: MatMut<'c>,
    scales: (f32, f32),
    a: Mat,
    b: &Right,
    threads: Threads,
) -> MatMut<'c> {
    assert_eq!(
        (c.rows(), c.cols(), a.cols()),
        (a.rows(), b.source.cols(), b.source.rows())
    );
    assert!(c.is_written() || scales.0 == 0.0);
    match b.packed.as_ref().filter(|_| c.rows() > 0) {
        Some((kernels, panels)) => {
            product::product(kernels, c.reborrow(), scales, a, panels, threads);
        }
        None => multiply_by_crate(c.reborrow(), scales, a, b.source, threads),
    }
    // SAFETY: a product writes each element, whatever its factors.
    unsafe { c.assume_written() }
}

/// Computes [`multiply`] with the crate `gemm`. The caller has compared the shapes.
fn multiply_by_crate(mut c: MatMut, (beta, alpha): (f32, f32), a: Mat, b: Mat, threads: Threads) {
    let parallelism = match threads {
        Threads::One => gemm::Parallelism::None,
        Threads::All => gemm::Parallelism::Rayon(0),
    };
    // SAFETY: the views are in bounds by construction, `c` is exclusively ours, shapes agree.
    unsafe {
        gemm::gemm(
            c.rows(),
            c.cols(),
            a.cols(),
            c.as_mut_ptr(),
            1,
            c.row_stride() as isize,
            beta != 0.0,
            a.as_ptr(),
            a.col_stride() as isize,
            a.row_stride() as isize,
            b.as_ptr(),
            b.col_stride() as isize,
            b.row_stride() as isize,
            beta,
            alpha,
            false,
            false,
            false,
            parallelism,
        );
    }
}
