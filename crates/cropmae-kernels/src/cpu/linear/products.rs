//! The matrix products of a linear layer on the CPU. Sizes are (Dout, Din).

use rayon::prelude::*;

use crate::compute::Compute;
use crate::cpu::ROWS_PER_TASK;
use crate::cpu::gemm::{self, Right, Threads};
use crate::cpu::matrix::{Mat, MatMut};
use crate::cpu::output::Unset;
use crate::cpu::simd::vectorized;

/// Prepares W^T of `weight` (Dout, Din) for products `x W^T`.
pub(in crate::cpu) fn w_t(
    weight: &[f32],
    (d_out, d_in): (usize, usize),
    compute: Compute,
) -> Right<'_> {
    Right::new(Mat::new(weight, d_out, d_in).t(), Threads::All, compute)
}

/// Prepares W of `weight` (Dout, Din) for products `dy W`.
pub(in crate::cpu) fn w(
    weight: &[f32],
    (d_out, d_in): (usize, usize),
    compute: Compute,
) -> Right<'_> {
    Right::new(Mat::new(weight, d_out, d_in), Threads::All, compute)
}

/// Computes `y` (rows, Dout) = `x` `right`, with `right` (Din, Dout).
pub(in crate::cpu) fn multiply<'y>(x: &[f32], right: &Right, y: Unset<'y>) -> &'y mut [f32] {
    let (d_in, d_out) = right.dims();
    let rows = x.len() / d_in;
    let (x, y) = (Mat::new(x, rows, d_in), MatMut::unset(y, rows, d_out));
    gemm::multiply(y, (0.0, 1.0), x, right, Threads::All).into_slice()
}

/// Computes `y` (rows, Dout) = `y` + `x` `right`, with `right` (Din, Dout).
pub(in crate::cpu) fn multiply_add(x: &[f32], right: &Right, y: &mut [f32]) {
    let (d_in, d_out) = right.dims();
    let rows = x.len() / d_in;
    let (x, y) = (Mat::new(x, rows, d_in), MatMut::new(y, rows, d_out));
    gemm::multiply(y, (1.0, 1.0), x, right, Threads::All);
}

/// Adds `bias` (D) to each row of `y` (rows, D).
pub(in crate::cpu) fn add_bias(y: &mut [f32], bias: &[f32]) {
    let d = bias.len();
    y.par_chunks_mut((ROWS_PER_TASK * d).max(1)).for_each(|y| {
        vectorized!(for y in y.chunks_exact_mut(d) {
            for (y, &b) in y.iter_mut().zip(bias) {
                *y += b;
            }
        });
    });
}

/// Computes `dweight` (Dout, Din) = `beta` * `dweight` + dy^T x.
pub(in crate::cpu) fn backward_weight(
    dy: &[f32],
    x: &[f32],
    dweight: &mut [f32],
    beta: f32,
    (d_out, d_in): (usize, usize),
    compute: Compute,
) {
    let rows = x.len() / d_in;
    let dweight = MatMut::new(dweight, d_out, d_in);
    let dy = Mat::new(dy, rows, d_out).t();
    gemm::gemm(
        dweight,
        beta,
        1.0,
        dy,
        Mat::new(x, rows, d_in),
        Threads::All,
        compute,
    );
}
