//! The exponential moving average of weights (Polyak and Juditsky, 1992): s = d s + (1 - d) p, in place.

use candle_core::{Result, Tensor, Var};

use super::Guard;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, gpu, reference};

/// Moves each average of `pairs` toward its value: `average = decay * average + (1 - decay) * value`.
///
/// The averages must be distinct variables. The tensors of a pair have the same shape. Nothing is read from the device.
/// If `guard` has noted a fault, nothing is changed.
///
/// # Errors
/// Returns an error, and writes nothing, if shapes or devices differ or a tensor is not f32.
pub fn ema_all(pairs: &[(&Var, &Tensor)], decay: f64, guard: Option<&Guard>) -> Result<()> {
    const OP: &str = "ema";
    let Some((first, _)) = pairs.first() else {
        return Ok(());
    };
    let inputs = Inputs::new(OP, "average", first)?;
    for (average, value) in pairs {
        inputs.float("average", average)?;
        inputs.shape("value", value, average.dims())?;
    }
    match inputs.backend {
        Backend::Cpu => cpu::ema(pairs, decay),
        Backend::Gpu => gpu::ema(pairs, decay, guard.map(Guard::first)),
        Backend::Reference => reference::ema(pairs, decay),
    }
}
