//! The matrix products of a linear layer on the CPU; sizes are (Dout, Din).

use rayon::prelude::*;

use crate::compute::Compute;

use crate::cpu::ROWS_PER_TASK;
use crate::cpu::gemm::{self, Mat, MatMut, Right, Threads};
use crate::cpu::simd::vectorised;

/// W^T of `weight` (Dout, Din), for products `x W^T`.
pub(crate) fn w_t(weight: &[f32], (d_out, d_in): (usize, usize), compute: Compute) -> Right<'_> {
    Right::new(Mat::new(weight, d_out, d_in).t(), Threads::All, compute)
}

/// W of `weight` (Dout, Din), for products `dy W`.
pub(crate) fn w(weight: &[f32], (d_out, d_in): (usize, usize), compute: Compute) -> Right<'_> {
    Right::new(Mat::new(weight, d_out, d_in), Threads::All, compute)
}

/// `y` (rows, Dout) = `beta` * `y` + `x` `right`, `right` (Din, Dout).
pub(crate) fn multiply(x: &[f32], right: &Right, y: &mut [f32], beta: f32) {
    let (d_in, d_out) = right.dims();
    let rows = x.len() / d_in;
    let x = Mat::new(x, rows, d_in);
    gemm::multiply(
        MatMut::new(y, rows, d_out),
        (beta, 1.0),
        x,
        right,
        Threads::All,
    );
}

/// Adds `bias` (D) to each row of `y` (rows, D).
pub(crate) fn add_bias(y: &mut [f32], bias: &[f32]) {
    let d = bias.len();
    y.par_chunks_mut((ROWS_PER_TASK * d).max(1)).for_each(|y| {
        vectorised!(for y in y.chunks_exact_mut(d) {
            for (y, &b) in y.iter_mut().zip(bias) {
                *y += b;
            }
        });
    });
}

/// `dweight` (Dout, Din) = `beta` * `dweight` + dy^T x.
pub(crate) fn backward_weight(
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
