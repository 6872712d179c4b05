//! What an update of the weights consists of, for all tensors in one launch each.

use candle_core::{Result, Tensor, Var, bail};

use super::THREADS;
use super::queue::{Arg, Buffer, Grid, Queue};
use crate::args::{AdamWUpdate, GradNorm, GradScale};
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

/// AdamW updates, in place, unless the first element of `guard` is not 0.
pub(crate) fn adamw(
    updates: &[AdamWUpdate],
    scale: &GradScale,
    guard: Option<&Tensor>,
) -> Result<()> {
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
    let mut numbers = Vec::with_capacity(8 * updates.len());
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
    let zero = queue.floats(&[0.0])?;
    let (max, clip) = match scale.clip {
        Some((max, GradNorm::OnDevice { squares })) => (max, Some(squares.clone())),
        Some((max, norm)) => (max, Some(queue.floats(&[norm.read()?.powi(2) as f32])?)),
        None => (f64::INFINITY, None),
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
        Arg::In(clip.as_ref().unwrap_or(&zero)),
        Arg::In(guard.unwrap_or(&zero)),
        Arg::Float(1.0 / scale.batches as f32),
        Arg::Float(max as f32),
    ];
    queue.launch("adamw", grid, args)
}

/// Moves averages towards their values, in place, unless the first element of `guard` is not 0.
pub(crate) fn ema(pairs: &[(&Var, &Tensor)], decay: f64, guard: Option<&Tensor>) -> Result<()> {
    let Some((first, _)) = pairs.first() else {
        return Ok(());
    };
    let queue = Queue::of(first.device(), Compute::F32)?;
    let (work, grid, blocks) = work(&queue, pairs.iter().map(|(average, _)| average.as_tensor()))?;
    if blocks == 0 {
        return Ok(());
    }
    let zero = queue.floats(&[0.0])?;
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
        Arg::In(guard.unwrap_or(&zero)),
        Arg::Float(decay as f32),
        Arg::Float((1.0 - decay) as f32),
    ];
    queue.launch("ema", grid, args)
}

/// The sum of the squares of all tensors together -> (1).
pub(crate) fn grad_norm(grads: &[&Tensor]) -> Result<Tensor> {
    let Some(first) = grads.first() else {
        bail!("the norm of no gradients has no device");
    };
    let queue = Queue::of(first.device(), Compute::F32)?;
    let grads = contiguous(grads.iter().copied())?;
    let grads: Vec<&Tensor> = grads.iter().collect();
    let (work, grid, blocks) = work(&queue, grads.iter().copied())?;
    if blocks == 0 {
        return queue.floats(&[0.0]);
    }
    let mut sums = queue.float(blocks)?;
    let args = [Arg::InList(&grads), Arg::In(&work), Arg::Out(&mut sums)];
    queue.launch("square_sums", grid, args)?;
    Ok(sum(&queue, &sums.into_tensor(), 1.0)?.into_tensor())
}

/// Notes `number` (1) in `first` (3) of a guard, if it is the first one that is not finite.
pub(crate) fn check_finite(
    number: &Tensor,
    first: &Tensor,
    (what, position): (usize, usize),
) -> Result<()> {
    let queue = Queue::of(number.device(), Compute::F32)?;
    let args = [
        Arg::In(number),
        Arg::Update(first),
        Arg::Size(what),
        Arg::Size(position),
    ];
    queue.launch("check_finite", Grid::row(1, 32)?, args)
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
