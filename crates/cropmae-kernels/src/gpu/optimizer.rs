//! What an update of the weights consists of, for all tensors in one launch each.

use candle_core::{Result, Tensor, Var};

use super::THREADS;
use super::queue::{Arg, Buffer, Grid, Queue};
use crate::args::AdamWUpdate;
use crate::compute::Compute;

/// `UPDATE_ELEMENTS` of optimizer.h.
const UPDATE_ELEMENTS: usize = 4096;

/// What each block of an update does, three numbers a block, and how many blocks there are.
fn work<'a>(
    queue: &Queue,
    tensors: impl Iterator<Item = &'a Tensor>,
) -> Result<(Tensor, Grid, usize)> {
    let mut work = Vec::new();
    for (i, tensor) in tensors.enumerate() {
        let length = tensor.elem_count();
        for begin in (0..length).step_by(UPDATE_ELEMENTS) {
            work.extend([i, begin, length.min(begin + UPDATE_ELEMENTS)]);
        }
    }
    let blocks = work.len() / 3;
    Ok((
        queue.sizes(&work)?,
        Grid::row(blocks.max(1), THREADS)?,
        blocks,
    ))
}

/// AdamW updates, in place.
pub(crate) fn adamw(updates: &[AdamWUpdate]) -> Result<()> {
    let Some(first) = updates.first() else {
        return Ok(());
    };
    let queue = Queue::of(first.param.device(), Compute::F32)?;
    let (work, grid, blocks) = work(
        &queue,
        updates.iter().map(|update| update.param.as_tensor()),
    )?;
    if blocks == 0 {
        return Ok(());
    }
    let mut numbers = Vec::with_capacity(9 * updates.len());
    for AdamWUpdate { step, .. } in updates {
        let (correction1, correction2) = step.corrections();
        let of_tensor = [
            1.0 - step.lr * step.weight_decay,
            step.lr / correction1,
            1.0 / correction2.sqrt(),
            step.beta1,
            step.beta2,
            1.0 - step.beta1,
            1.0 - step.beta2,
            step.eps,
            step.grad_scale,
        ];
        numbers.extend(of_tensor.map(|number| number as f32));
    }
    let numbers = queue.floats(&numbers)?;
    let grads = contiguous(updates.iter().map(|update| update.grad))?;
    let grads: Vec<&Tensor> = grads.iter().collect();
    let of = |var: for<'a> fn(&AdamWUpdate<'a>) -> &'a Var| -> Vec<&Tensor> {
        updates
            .iter()
            .map(|update| var(update).as_tensor())
            .collect()
    };
    let (params, exp_avgs, exp_avg_sqs) =
        (of(|u| u.param), of(|u| u.exp_avg), of(|u| u.exp_avg_sq));
    let args = [
        Arg::UpdateList(&params),
        Arg::InList(&grads),
        Arg::UpdateList(&exp_avgs),
        Arg::UpdateList(&exp_avg_sqs),
        Arg::In(&work),
        Arg::In(&numbers),
    ];
    queue.launch("adamw", grid, args)
}

/// Moves averages towards their values, in place.
pub(crate) fn ema(pairs: &[(&Var, &Tensor)], decay: f64) -> Result<()> {
    let Some((first, _)) = pairs.first() else {
        return Ok(());
    };
    let queue = Queue::of(first.device(), Compute::F32)?;
    let (work, grid, blocks) = work(&queue, pairs.iter().map(|(average, _)| average.as_tensor()))?;
    if blocks == 0 {
        return Ok(());
    }
    let values = contiguous(pairs.iter().map(|(_, value)| *value))?;
    let values: Vec<&Tensor> = values.iter().collect();
    let averages: Vec<&Tensor> = pairs
        .iter()
        .map(|(average, _)| average.as_tensor())
        .collect();
    let args = [
        Arg::UpdateList(&averages),
        Arg::InList(&values),
        Arg::In(&work),
        Arg::Float(decay as f32),
        Arg::Float((1.0 - decay) as f32),
    ];
    queue.launch("ema", grid, args)
}

/// L2 norm over all tensors together; one number is read.
pub(crate) fn grad_norm(grads: &[&Tensor]) -> Result<f64> {
    let Some(first) = grads.first() else {
        return Ok(0.0);
    };
    let queue = Queue::of(first.device(), Compute::F32)?;
    let grads = contiguous(grads.iter().copied())?;
    let grads: Vec<&Tensor> = grads.iter().collect();
    let (work, grid, blocks) = work(&queue, grads.iter().copied())?;
    if blocks == 0 {
        return Ok(0.0);
    }
    let mut sums = queue.float(blocks)?;
    let args = [Arg::InList(&grads), Arg::In(&work), Arg::Out(&mut sums)];
    queue.launch("square_sums", grid, args)?;
    let total = sum(&queue, &sums.into_tensor(), 1.0)?.into_tensor();
    Ok(f64::from(total.to_vec1::<f32>()?[0]).sqrt())
}

/// `factor` times the sum of `x` -> (1).
pub(super) fn sum(queue: &Queue, x: &Tensor, factor: f32) -> Result<Buffer> {
    let mut out = queue.float(1)?;
    let args = [
        Arg::In(x),
        Arg::Out(&mut out),
        Arg::Size(x.elem_count()),
        Arg::Float(factor),
    ];
    queue.launch("sum", Grid::row(1, THREADS)?, args)?;
    Ok(out)
}

fn contiguous<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Result<Vec<Tensor>> {
    tensors.map(Tensor::contiguous).collect()
}
