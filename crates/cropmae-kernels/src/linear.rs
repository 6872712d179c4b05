//! Linear layer: y = x W^T + b.
//!
//! dx = dy W, dW = dy^T x, db = the column sums of dy; dW and db are added to the buffers of
//! `Gradients` by the products themselves.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

use crate::backward::weight_gradient;
use crate::check;
use crate::cpu::gemm::{Mat, MatMut, Threads, gemm};
use crate::cpu::{self, ROWS_PER_TASK, simd};

/// `x` (.., Din) by `weight` (Dout, Din), plus `bias` (Dout) -> (.., Dout).
///
/// # Errors
/// If a shape does not fit or a tensor is not f32.
pub fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    check_shapes(Linear.name(), "", x, weight, bias)?;
    x.contiguous()?
        .apply_op3(&weight.contiguous()?, &bias.contiguous()?, Linear)
}

/// Checks a layer's tensors; `prefix` names them in messages.
pub(crate) fn check_shapes(
    op: &'static str,
    prefix: &str,
    x: &Tensor,
    weight: &Tensor,
    bias: &Tensor,
) -> Result<()> {
    check::float(op, "x", x)?;
    let d_in = check::last_dim(op, "x", x)?;
    let d_out = bias.elem_count();
    check::shape(op, &format!("{prefix}weight"), weight, &[d_out, d_in])?;
    check::shape(op, &format!("{prefix}bias"), bias, &[d_out])
}

/// Also run without a graph by `mlp`.
pub(crate) struct Linear;

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let x = cpu::slice(self.name(), x, x_layout)?;
        let weight = cpu::slice(self.name(), weight, weight_layout)?;
        let bias = cpu::slice(self.name(), bias, bias_layout)?;
        let mut shape = x_layout.dims().to_vec();
        if let Some(last) = shape.last_mut() {
            *last = bias.len();
        }
        Ok((CpuStorage::F32(forward(x, weight, bias)), shape.into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _y: &Tensor,
        dy: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (d_out, d_in) = weight.dims2()?;
        let dy = dy.contiguous()?;
        let dy = cpu::read(self.name(), &dy)?;
        let dx = if x.track_op() {
            let weight = cpu::read(self.name(), weight)?;
            let mut dx = cpu::output(x.elem_count());
            backward_input(&dy, &weight, &mut dx, d_out);
            Some(Tensor::from_vec(dx, x.shape(), x.device())?)
        } else {
            None
        };
        let dweight = {
            let x = cpu::read(self.name(), x)?;
            weight_gradient(self.name(), weight, |sums, beta| {
                backward_weight(&dy, &x, sums, beta, (d_out, d_in));
            })?
        };
        let dbias = weight_gradient(self.name(), bias, |sums, beta| {
            cpu::column_sums(&dy, sums, beta);
        })?;
        Ok((dx, dweight, dbias))
    }
}

/// x W^T + b.
pub(crate) fn forward(x: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    let d_out = bias.len();
    let d_in = weight.len() / d_out.max(1);
    let rows = x.len() / d_in;
    let mut y = cpu::output(rows * d_out);
    product(x, weight, &mut y, d_in);
    add_bias(&mut y, bias);
    y
}

/// `y` = x W^T.
pub(crate) fn product(x: &[f32], weight: &[f32], y: &mut [f32], d_in: usize) {
    let (rows, d_out) = (x.len() / d_in, weight.len() / d_in);
    let weight = Mat::new(weight, d_out, d_in).t();
    gemm(
        MatMut::new(y, rows, d_out),
        0.0,
        1.0,
        Mat::new(x, rows, d_in),
        weight,
        Threads::All,
    );
}

/// Adds `bias` (D) to each row of `y` (rows, D).
pub(crate) fn add_bias(y: &mut [f32], bias: &[f32]) {
    let d = bias.len();
    y.par_chunks_mut((ROWS_PER_TASK * d).max(1)).for_each(|y| {
        simd::dispatch(
            #[inline(always)]
            || {
                for y in y.chunks_exact_mut(d) {
                    for (y, &b) in y.iter_mut().zip(bias) {
                        *y += b;
                    }
                }
            },
        );
    });
}

/// `dx` = dy W.
pub(crate) fn backward_input(dy: &[f32], weight: &[f32], dx: &mut [f32], d_out: usize) {
    let (rows, d_in) = (dy.len() / d_out, weight.len() / d_out);
    let weight = Mat::new(weight, d_out, d_in);
    gemm(
        MatMut::new(dx, rows, d_in),
        0.0,
        1.0,
        Mat::new(dy, rows, d_out),
        weight,
        Threads::All,
    );
}

/// `dweight` = `beta` * `dweight` + dy^T x.
pub(crate) fn backward_weight(
    dy: &[f32],
    x: &[f32],
    dweight: &mut [f32],
    beta: f32,
    (d_out, d_in): (usize, usize),
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
    );
}
