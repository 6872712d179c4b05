//! Dropout (Srivastava et al., JMLR 2014) as a separate op. Other ops contain it.

use candle_core::{Result, Tensor};

use crate::args::Dropout;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, gpu, reference};

/// Drops elements of `x` (.., D) by `dropout` -> (.., D).
///
/// # Errors
/// Returns an error if `x` is not f32 or has no dimension, or p is not in 0..1.
pub fn dropout(x: &Tensor, dropout: Dropout) -> Result<Tensor> {
    const OP: &str = "dropout";
    let inputs = Inputs::new(OP, "x", x)?;
    inputs.last_dim("x", x)?;
    inputs.dropout(Some(dropout))?;
    match inputs.backend {
        Backend::Cpu => cpu::dropout(x, dropout),
        Backend::Gpu => gpu::dropout(x, dropout),
        Backend::Reference => reference::dropout(x, dropout),
    }
}
