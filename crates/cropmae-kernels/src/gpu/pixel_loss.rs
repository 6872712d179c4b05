//! The reconstruction loss. The statistics of the targets are computed again in the backward pass.

use candle_core::{Result, Tensor};

use super::graph::attach;
use super::layer_norm::by_warps;
use super::optimizer::sum;
use super::pixels::Rows;
use super::queue::{Arg, Queue};
use crate::args::PatchPixels;
use crate::compute::Compute;

/// Mean squared error of `pred` against the rows `ids` of `target`, or all of them.
pub(crate) fn pixel_loss(
    op: &'static str,
    pred: &Tensor,
    target: &PatchPixels,
    ids: Option<&Tensor>,
    norm_pix: bool,
) -> Result<Tensor> {
    let queue = Queue::of(pred.device(), Compute::F32)?;
    let (b, k, cols) = pred.dims3()?;
    let loss = Loss {
        rows: b * k,
        k,
        n: target.patches().dim(1)?,
        cols,
        target: Rows::new(&queue, target, ids)?,
        norm_pix: usize::from(norm_pix),
    };
    let pred = pred.contiguous()?;
    let mut sums = queue.float(loss.rows)?;
    let [values, bytes, table] = loss.target.pixels();
    let [rows, k, n, cols_arg, is_bytes, has_ids, norm_pix] = loss.sizes();
    let args = [
        Arg::In(&pred),
        values,
        bytes,
        table,
        loss.target.ids(),
        Arg::Out(&mut sums),
        rows,
        k,
        n,
        cols_arg,
        is_bytes,
        has_ids,
        norm_pix,
    ];
    queue.launch("pixel_loss", by_warps(loss.rows)?, args)?;
    let mean = 1.0 / (loss.rows * cols) as f32;
    let y = sum(&queue, &sums.into_tensor(), mean)?.scalar();
    attach(op, y, &[&pred.clone()], move |dloss| {
        let mut dpred = queue.float(pred.dims())?;
        let [values, bytes, table] = loss.target.pixels();
        let [rows, k, n, cols, is_bytes, has_ids, norm_pix] = loss.sizes();
        let args = [
            Arg::In(&pred),
            values,
            bytes,
            table,
            loss.target.ids(),
            Arg::In(dloss),
            Arg::Out(&mut dpred),
            rows,
            k,
            n,
            cols,
            is_bytes,
            has_ids,
            norm_pix,
        ];
        queue.launch("pixel_loss_backward", by_warps(loss.rows)?, args)?;
        Ok([Some(dpred.into_tensor()), None, None])
    })
}

/// What the loss keeps besides the prediction.
struct Loss {
    rows: usize,
    /// Rows of a sample of the prediction, and of the target.
    k: usize,
    n: usize,
    cols: usize,
    target: Rows,
    norm_pix: usize,
}

impl Loss {
    fn sizes(&self) -> [Arg<'static>; 7] {
        [
            Arg::Size(self.rows),
            Arg::Size(self.k),
            Arg::Size(self.n),
            Arg::Size(self.cols),
            self.target.is_bytes(),
            self.target.has_ids(),
            Arg::Size(self.norm_pix),
        ]
    }
}
