//! Dropout by the counter hash, computed where the tensor lies.

use candle_core::{Result, Tensor};

use super::THREADS;
use super::graph::attach;
use super::layer_norm::matrix;
use super::queue::{Arg, Buffer, Grid, Queue};
use crate::args::Dropout;
use crate::compute::Compute;

/// Dropout as kernels with dropout built in take it. A threshold of 0 drops nothing, and the hash is not computed.
#[derive(Clone, Copy)]
pub(super) struct Mask(Option<Dropout>);

impl Mask {
    pub(super) fn of(dropout: Option<Dropout>) -> Self {
        Self(dropout)
    }

    pub(super) fn key(self) -> Arg<'static> {
        Arg::Long(self.0.map_or(0, |dropout| dropout.key))
    }

    pub(super) fn threshold(self) -> Arg<'static> {
        Arg::Word(self.0.map_or(0, Dropout::threshold))
    }

    pub(super) fn kept(self) -> Arg<'static> {
        Arg::Float(self.0.map_or(1.0, Dropout::scale))
    }
}

/// `x` with elements dropped.
pub(super) fn masked(queue: &Queue, x: &Tensor, dropout: Dropout) -> Result<Buffer> {
    let (rows, cols) = matrix(x)?;
    let mut y = queue.float(x.dims())?;
    let mask = Mask::of(Some(dropout));
    let args = [
        Arg::In(x),
        Arg::Out(&mut y),
        Arg::Size(cols),
        mask.key(),
        mask.threshold(),
        mask.kept(),
    ];
    queue.launch("dropout", Grid::row(rows, THREADS)?, args)?;
    Ok(y)
}

/// `x` with elements dropped, whose rows are those of its last dimension.
pub(crate) fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    let queue = Queue::of(x.device(), Compute::F32)?;
    let x = x.contiguous()?;
    let y = masked(&queue, &x, dropout)?;
    attach("dropout", y, &[&x], move |dy| {
        Ok([Some(masked(&queue, dy, dropout)?.into_tensor()), None, None])
    })
}
