//! AdamW, the moving average and the gradient norm.

use candle_core::{DType, Result, Tensor, Var};

use crate::args::AdamWUpdate;

/// Makes AdamW updates in place, with `grad_scale` times the gradients.
pub(crate) fn adamw(updates: &[AdamWUpdate], grad_scale: f64) -> Result<()> {
    updates
        .iter()
        .try_for_each(|update| adamw_one(update, grad_scale))
}

fn adamw_one(update: &AdamWUpdate, grad_scale: f64) -> Result<()> {
    let AdamWUpdate {
        param,
        exp_avg,
        exp_avg_sq,
        step: s,
        ..
    } = *update;
    let grad = (update.grad * grad_scale)?;
    let (correction1, correction2) = s.corrections();
    exp_avg.set(&((exp_avg.as_detached_tensor() * s.beta1)? + (&grad * (1.0 - s.beta1))?)?)?;
    exp_avg_sq
        .set(&((exp_avg_sq.as_detached_tensor() * s.beta2)? + (grad.sqr()? * (1.0 - s.beta2))?)?)?;
    let root = exp_avg_sq.as_detached_tensor().sqrt()?;
    let denominator = ((root / correction2.sqrt())? + s.eps)?;
    let change = (exp_avg.as_detached_tensor().div(&denominator)? * (s.lr / correction1))?;
    param.set(&((param.as_detached_tensor() * (1.0 - s.lr * s.weight_decay))? - change)?)
}

/// Moves averages toward their values in place.
pub(crate) fn ema(pairs: &[(&Var, &Tensor)], decay: f64) -> Result<()> {
    pairs.iter().try_for_each(|(average, value)| {
        let kept = (average.as_detached_tensor() * decay)?;
        average.set(&(kept + (value.detach() * (1.0 - decay))?)?)
    })
}

/// Returns the norm over all tensors. Squares are summed on the device, and one number is read.
pub(crate) fn grad_norm(grads: &[&Tensor]) -> Result<f64> {
    let squares = grads
        .iter()
        .map(|grad| grad.detach().sqr()?.sum_all())
        .collect::<Result<Vec<_>>>()?;
    let total = Tensor::stack(&squares, 0)?.sum_all()?;
    Ok(total
        .to_dtype(DType::F32)?
        .to_scalar::<f32>()
        .map(f64::from)?
        .sqrt())
}
