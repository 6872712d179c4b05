//! The global gradient norm for clipping and for the log, which is the root of the sum of all squares.

use candle_core::{Result, Tensor};

use crate::args::GradNorm;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, gpu, reference};

/// Returns the L2 norm over all `grads` together, which can have any shapes. Nothing is read from a device with kernels.
///
/// # Errors
/// Returns an error if a tensor is not f32 or devices differ.
pub fn grad_norm(grads: &[&Tensor]) -> Result<GradNorm> {
    const OP: &str = "grad_norm";
    let Some(first) = grads.first() else {
        return Ok(GradNorm::Known(0.0));
    };
    let inputs = Inputs::new(OP, "grad", first)?;
    for grad in grads {
        inputs.float("grad", grad)?;
    }
    match inputs.backend {
        Backend::Cpu => cpu::grad_norm(grads).map(GradNorm::Known),
        Backend::Gpu => gpu::grad_norm(grads).map(|squares| GradNorm::OnDevice { squares }),
        Backend::Reference => reference::grad_norm(grads).map(GradNorm::Known),
    }
}
