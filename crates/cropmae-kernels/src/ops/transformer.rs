//! Pre-norm transformer blocks in a row as one op: each x + attention(LN(x)), then x + mlp(LN(x)).
//!
//! Sequences of several lengths go through as one matrix of tokens: only attention tells them apart, and a
//! short one (the few visible patches of a masked view) adds rows to products instead of products.

use candle_core::{Result, Tensor, bail};

use crate::args::BlockWeights;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, gpu, reference};

/// `blocks` one after the other on the tokens `x` (T, D) -> (T, D). `segments` says how the tokens divide into
/// sequences, as pairs of their number and the tokens in each: tokens attend inside of their sequence.
///
/// # Errors
/// If a shape does not fit, a tensor is not f32, a weight is the result of an op, or the device cannot do what
/// a block's policy asks.
pub fn transformer(
    x: &Tensor,
    segments: &[(usize, usize)],
    blocks: &[BlockWeights],
) -> Result<Tensor> {
    const OP: &str = "transformer";
    let inputs = Inputs::new(OP, "x", x)?;
    let d = inputs.last_dim("x", x)?;
    let tokens: usize = segments.iter().map(|(b, n)| b * n).sum();
    inputs.shape("x", x, &[tokens, d])?;
    if blocks.is_empty() {
        bail!("{OP}: expected at least one block");
    }
    for block in blocks {
        block.attention().check(OP, &inputs, segments, d)?;
        block.mlp().check(&inputs, d)?;
        inputs.policy(block.policy)?;
    }
    match inputs.backend {
        Backend::Cpu => cpu::transformer(x, segments, blocks),
        Backend::Gpu => gpu::transformer(x, segments, blocks),
        Backend::Reference => reference::transformer(x, segments, blocks),
    }
}
