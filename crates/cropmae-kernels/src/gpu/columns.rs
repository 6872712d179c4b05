//! Sums over rows, for the gradients of biases and layer norms, in a fixed order.

use candle_core::{Result, Tensor};

use super::THREADS;
use super::queue::{Arg, Grid, Queue};
use crate::gradients::{self, Slot};

/// `SUM_ROWS` of columns.h: rows whose sum a block computes.
const SUM_ROWS: usize = 64;

/// Blocks that sum `rows` rows.
pub(super) fn blocks(rows: usize) -> usize {
    rows.div_ceil(SUM_ROWS)
}

/// The grid of kernels that give a thread a column, and a block `SUM_ROWS` rows.
pub(super) fn grid(rows: usize, cols: usize) -> Result<Grid> {
    Grid::new([cols.div_ceil(THREADS), blocks(rows), 1], THREADS)
}

/// Sums of blocks of rows that are yet to be added: columns of a tensor (blocks, ..).
#[derive(Clone)]
pub(super) struct Partial {
    tensor: Tensor,
    /// The first of the columns.
    first: usize,
}

impl Partial {
    pub(super) fn new(tensor: Tensor) -> Self {
        Self { tensor, first: 0 }
    }

    /// Columns from `first` on.
    pub(super) fn at(tensor: &Tensor, first: usize) -> Self {
        let tensor = tensor.clone();
        Self { tensor, first }
    }
}

/// The sums of the rows of `x` (rows, cols), operands of products.
pub(super) fn partial_sums(
    queue: &Queue,
    x: &Tensor,
    (rows, cols): (usize, usize),
) -> Result<Partial> {
    let mut partial = queue.float((blocks(rows), cols))?;
    let args = [
        Arg::In(x),
        Arg::Out(&mut partial),
        Arg::Size(rows),
        Arg::Size(cols),
    ];
    queue.launch("sum_columns", grid(rows, cols)?, args)?;
    Ok(Partial::new(partial.into_tensor()))
}

/// An f32 matrix (rows, cols) as operands of products, and the sums of its rows.
pub(super) fn cast_with_sums(
    queue: &Queue,
    x: &Tensor,
    (rows, cols): (usize, usize),
) -> Result<(Tensor, Partial)> {
    let mut y = queue.operand((rows, cols))?;
    let mut partial = queue.float((blocks(rows), cols))?;
    let args = [
        Arg::In(x),
        Arg::Out(&mut y),
        Arg::Out(&mut partial),
        Arg::Size(rows),
        Arg::Size(cols),
    ];
    queue.launch("cast_columns", grid(rows, cols)?, args)?;
    Ok((y.into_tensor(), Partial::new(partial.into_tensor())))
}

/// Gradients of vectors, as sums of blocks that are yet to be added.
#[derive(Default)]
pub(super) struct Sums {
    items: Vec<Item>,
}

struct Item {
    partial: Partial,
    slot: Slot,
}

impl Sums {
    /// The gradient of `weight`, which a constant does not have.
    pub(super) fn add(
        &mut self,
        op: &'static str,
        weight: &Tensor,
        partial: &Partial,
    ) -> Result<()> {
        if let Some(slot) = gradients::slot(op, weight)? {
            let partial = partial.clone();
            self.items.push(Item { partial, slot });
        }
        Ok(())
    }

    /// Writes all of them to their slots in one launch. Returns what candle has to pass on for `weights`, which are
    /// those that have been added, in the same order.
    pub(super) fn finish<const N: usize>(
        self,
        queue: &Queue,
        weights: [&Tensor; N],
    ) -> Result<[Option<Tensor>; N]> {
        self.write(queue)?;
        let mut slots = self.items.into_iter().map(|item| item.slot);
        Ok(weights.map(|weight| {
            let slot = if weight.track_op() {
                slots.next()
            } else {
                None
            };
            slot.and_then(Slot::returned)
        }))
    }

    fn write(&self, queue: &Queue) -> Result<()> {
        let Some(longest) = self
            .items
            .iter()
            .map(|item| item.slot.tensor.elem_count())
            .max()
        else {
            return Ok(());
        };
        let mut numbers = Vec::with_capacity(4 * self.items.len());
        for item in &self.items {
            let Partial { tensor, first } = &item.partial;
            let blocks = tensor.dim(0)?;
            let stride = tensor.elem_count() / blocks;
            numbers.extend([blocks, stride, *first, item.slot.tensor.elem_count()]);
        }
        let numbers = queue.sizes(&numbers)?;
        let betas: Vec<f32> = self.items.iter().map(|item| item.slot.beta).collect();
        let betas = queue.floats(&betas)?;
        let partials: Vec<&Tensor> = self.items.iter().map(|item| &item.partial.tensor).collect();
        let out: Vec<&Tensor> = self.items.iter().map(|item| &item.slot.tensor).collect();
        let args = [
            Arg::InList(&partials),
            Arg::UpdateList(&out),
            Arg::In(&numbers),
            Arg::In(&betas),
        ];
        let grid = Grid::new([longest.div_ceil(THREADS), self.items.len(), 1], THREADS)?;
        queue.launch("finish_columns", grid, args)
    }
}
