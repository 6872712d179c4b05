//! The matrix products of a linear layer on the CPU; sizes are (Dout, Din).

use rayon::prelude::*;

use crate::compute::Compute;

use crate::cpu::ROWS_PER_TASK;
use crate::cpu::gemm::{Mat, MatMut, Threads, gemm};
use crate::cpu::simd::vectorised;

/// `y` (rows, Dout) = `beta` * `y` + x W^T.
pub(crate) fn forward(
    x: &[f32],
    weight: &[f32],
    y: &mut [f32],
    beta: f32,
    (d_out, d_in): (usize, usize),
    compute: Compute,
) {
    let rows = x.len() / d_in;
    let weight = Mat::new(weight, d_out, d_in).t();
    gemm(
        MatMut::new(y, rows, d_out),
        beta,
        1.0,
        Mat::new(x, rows, d_in),
        weight,
        Threads::All,
        compute,
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

/// `dx` (rows, Din) = dy W.
pub(crate) fn backward_input(
    dy: &[f32],
    weight: &[f32],
    dx: &mut [f32],
    (d_out, d_in): (usize, usize),
    compute: Compute,
) {
    let rows = dx.len() / d_in;
    let weight = Mat::new(weight, d_out, d_in);
    gemm(
        MatMut::new(dx, rows, d_in),
        0.0,
        1.0,
        Mat::new(dy, rows, d_out),
        weight,
        Threads::All,
        compute,
    );
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
    gemm(
        dweight,
        beta,
        1.0,
        dy,
        Mat::new(x, rows, d_in),
        Threads::All,
        compute,
    );
}
