//! Patch embedding.

use candle_core::{Result, Tensor};

use super::THREADS;
use super::columns::Sums;
use super::grad::Grad;
use super::graph::attach;
use super::layer_norm::by_warps;
use super::pixels::Rows;
use super::queue::{Arg, Grid, Matrix, Plus, Product, Queue};
use crate::args::PatchPixels;
use crate::compute::Compute;
use crate::gradients::{self, anchor};

/// Patches times the convolution's weight, plus bias and position; only rows `ids_keep`, if given.
pub(crate) fn patch_embed(
    patches: &PatchPixels,
    ids_keep: Option<&Tensor>,
    (weight, bias): (&Tensor, &Tensor),
    pos: &Tensor,
    compute: Compute,
) -> Result<Tensor> {
    const OP: &str = "patch_embed";
    let queue = Queue::of(bias.device(), compute)?;
    let (b, n, values) = patches.patches().dims3()?;
    let d = bias.elem_count();
    let k = ids_keep.map_or(Ok(n), |ids| ids.dim(1))?;
    let rows = b * k;
    if rows == 0 {
        return Tensor::zeros((b, k, d), bias.dtype(), bias.device());
    }
    let from = Rows::new(&queue, patches, ids_keep)?;
    let (weight, bias) = (weight.contiguous()?, bias.contiguous()?);

    let mut visible = queue.operand((rows, values))?;
    let [floats, bytes, table] = from.pixels();
    let args = [
        floats,
        bytes,
        table,
        from.ids(),
        Arg::Out(&mut visible),
        Arg::Size(rows),
        Arg::Size(k),
        Arg::Size(n),
        Arg::Size(values),
        from.is_bytes(),
        from.has_ids(),
    ];
    queue.launch("gather_patches", by_warps(rows)?, args)?;
    let visible = visible.into_tensor();
    let mut operand = queue.operand((d, values))?;
    let args = [
        Arg::In(&weight),
        Arg::Out(&mut operand),
        Arg::Size(values / 3),
    ];
    queue.launch("convolution_weight", Grid::row(d, THREADS)?, args)?;
    let operand = operand.into_tensor();

    let mut y = queue.float((b, k, d))?;
    let args = [
        Arg::In(&pos.contiguous()?),
        Arg::In(&bias),
        from.ids(),
        Arg::Out(&mut y),
        Arg::Size(rows),
        Arg::Size(k),
        Arg::Size(n),
        Arg::Size(d),
        from.has_ids(),
    ];
    queue.launch("gather_positions", by_warps(rows)?, args)?;
    let product = Product {
        left: Matrix::rows(&visible)?,
        right: Matrix::rows(&operand)?.t(),
        bias: None,
        plus: Plus::Output,
    };
    queue.product(&product, Arg::Out(&mut y))?;

    let anchor = anchor(&[&weight, &bias]).clone();
    attach(OP, y, &[&anchor], move |dy| {
        let dy = Grad::new(&queue, dy)?;
        if let Some(slot) = gradients::slot(OP, &weight)? {
            let mut dw = queue.float((d, values))?;
            let product = Product {
                left: Matrix::rows(&dy.operand)?.t(),
                right: Matrix::rows(&visible)?,
                bias: None,
                plus: Plus::Nothing,
            };
            queue.product(&product, Arg::Out(&mut dw))?;
            let args = [
                Arg::In(&dw.into_tensor()),
                Arg::Update(&slot.tensor),
                Arg::Size(values / 3),
                Arg::Float(slot.beta),
            ];
            queue.launch("convolution_gradient", Grid::row(d, THREADS)?, args)?;
        }
        let mut sums = Sums::default();
        sums.add(OP, &bias, &dy.sums)?;
        sums.finish(&queue, [])?;
        Ok([None, None, None])
    })
}
