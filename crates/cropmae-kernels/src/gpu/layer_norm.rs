//! Layer normalization. Statistics are computed again in the backward pass.

use candle_core::{D, Result, Tensor};

use super::columns::{self, Partial, Sums};
use super::dropout::{Mask, masked};
use super::grad::Grad;
use super::graph::attach;
use super::queue::{Arg, Buffer, Grid, Queue};
use super::{THREADS, WARPS};
use crate::args::{Dropout, Norm};
use crate::compute::Compute;
use crate::gradients::anchor;

/// A layer norm's weights, which an op keeps.
#[derive(Clone)]
pub(super) struct LayerNorm {
    pub(super) weight: Tensor,
    pub(super) bias: Tensor,
    eps: f32,
}

impl LayerNorm {
    pub(super) fn new(norm: Norm) -> Result<Self> {
        Ok(Self {
            weight: norm.weight.contiguous()?,
            bias: norm.bias.contiguous()?,
            eps: norm.eps as f32,
        })
    }

    /// LN(`x`) as operands of products, `x` (.., D) in f32.
    pub(super) fn forward(&self, queue: &Queue, x: &Tensor) -> Result<Buffer> {
        let (rows, cols) = matrix(x)?;
        let mut y = queue.operand(x.dims())?;
        let args = [
            Arg::In(x),
            Arg::In(&self.weight),
            Arg::In(&self.bias),
            Arg::Out(&mut y),
            Arg::Size(rows),
            Arg::Size(cols),
            Arg::Float(self.eps),
        ];
        queue.launch("layer_norm", by_warps(rows)?, args)?;
        Ok(y)
    }

    /// The gradient of the input `s` from that of the output, operands of products, plus `residual`. The gradients
    /// of weight and bias are added to `sums`.
    pub(super) fn backward(
        &self,
        queue: &Queue,
        op: &'static str,
        (s, dy): (&Tensor, &Tensor),
        residual: Option<&Tensor>,
        sums: &mut Sums,
    ) -> Result<Grad> {
        let (rows, cols) = matrix(s)?;
        let copied = queue.compute != Compute::F32;
        let mut dx = queue.float(s.dims())?;
        let mut operand = queue.operand(if copied { s.elem_count() } else { 1 })?;
        let mut moments = queue.float((rows, 2))?;
        let args = [
            Arg::In(s),
            Arg::In(dy),
            Arg::In(&self.weight),
            Arg::In(residual.unwrap_or(s)),
            Arg::Out(&mut dx),
            Arg::Out(&mut operand),
            Arg::Out(&mut moments),
            Arg::Size(rows),
            Arg::Size(cols),
            Arg::Float(self.eps),
            Arg::Size(usize::from(residual.is_some())),
            Arg::Size(usize::from(copied)),
        ];
        queue.launch("layer_norm_dx", by_warps(rows)?, args)?;
        let (dx, moments) = (dx.into_tensor(), moments.into_tensor());
        let mut partial = queue.float((columns::blocks(rows), 3, cols))?;
        let args = [
            Arg::In(s),
            Arg::In(dy),
            Arg::In(&dx),
            Arg::In(&moments),
            Arg::Out(&mut partial),
            Arg::Size(rows),
            Arg::Size(cols),
        ];
        queue.launch("layer_norm_dw", columns::grid(rows, cols)?, args)?;
        let partial = partial.into_tensor();
        sums.add(op, &self.weight, &Partial::at(&partial, 0))?;
        sums.add(op, &self.bias, &Partial::at(&partial, cols))?;
        Ok(Grad {
            operand: if copied {
                operand.into_tensor().reshape(dx.shape())?
            } else {
                dx.clone()
            },
            float: dx,
            sums: Partial::at(&partial, 2 * cols),
        })
    }
}

/// Rows and columns of a tensor whose last dimension are the columns.
pub(super) fn matrix(x: &Tensor) -> Result<(usize, usize)> {
    let cols = x.dim(D::Minus1)?;
    Ok((x.elem_count() / cols, cols))
}

/// The grid of kernels that give a warp a row.
pub(super) fn by_warps(rows: usize) -> Result<Grid> {
    Grid::row(rows.div_ceil(WARPS), THREADS)
}

/// LN over the last dimension.
pub(crate) fn layer_norm(x: &Tensor, norm: Norm) -> Result<Tensor> {
    const OP: &str = "layer_norm";
    let queue = Queue::of(x.device(), Compute::F32)?;
    let x = x.contiguous()?;
    let layer = LayerNorm::new(norm)?;
    let y = layer.forward(&queue, &x)?;
    let inputs = [x.clone(), layer.weight.clone(), layer.bias.clone()];
    attach(OP, y, &inputs.each_ref(), move |dy| {
        let mut sums = Sums::default();
        let dx = layer.backward(&queue, OP, (&x, dy), None, &mut sums)?.float;
        let [dweight, dbias] = sums.finish(&queue, [&layer.weight, &layer.bias])?;
        Ok([x.track_op().then_some(dx), dweight, dbias])
    })
}

/// LN(residual + dropout(x)).
pub(crate) fn residual_layer_norm(
    x: &Tensor,
    residual: &Tensor,
    norm: Norm,
    dropout: Option<Dropout>,
) -> Result<Tensor> {
    const OP: &str = "residual_layer_norm";
    let queue = Queue::of(x.device(), Compute::F32)?;
    let (x, residual) = (x.contiguous()?, residual.contiguous()?);
    let layer = LayerNorm::new(norm)?;
    let (rows, cols) = matrix(&x)?;
    let (mut s, mut y) = (queue.float(x.dims())?, queue.float(x.dims())?);
    let mask = Mask::of(dropout);
    let args = [
        Arg::In(&x),
        Arg::In(&residual),
        Arg::In(&layer.weight),
        Arg::In(&layer.bias),
        Arg::Out(&mut s),
        Arg::Out(&mut y),
        Arg::Size(rows),
        Arg::Size(cols),
        Arg::Float(layer.eps),
        mask.key(),
        mask.threshold(),
        mask.kept(),
    ];
    queue.launch("residual_layer_norm", by_warps(rows)?, args)?;
    let s = s.into_tensor();
    let anchor = anchor(&[norm.weight, norm.bias]).clone();
    let (x_tracked, residual_tracked) = (x.track_op(), residual.track_op());
    attach(OP, y, &[&x, &residual, &anchor], move |dy| {
        let mut sums = Sums::default();
        let ds = layer.backward(&queue, OP, (&s, dy), None, &mut sums)?.float;
        sums.finish(&queue, [])?;
        let dx = match dropout {
            Some(dropout) if x_tracked => Some(masked(&queue, &ds, dropout)?.into_tensor()),
            _ => x_tracked.then(|| ds.clone()),
        };
        Ok([dx, residual_tracked.then_some(ds), None])
    })
}
