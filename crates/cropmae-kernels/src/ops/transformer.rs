//! A sequence of pre-norm transformer blocks as one op. Each block is x + attention(LN(x)), then x + mlp(LN(x)).
//!
//! Token sequences of several lengths form one matrix of tokens. Only attention distinguishes them. A short sequence,
//! such as the few visible patches of a masked view, adds rows to existing products instead of further products.

use candle_core::{Result, Tensor, bail};

use crate::args::BlockWeights;
use crate::backend::Backend;
use crate::check::Inputs;
use crate::{cpu, gpu, reference};

/// Applies `blocks` one after the other to the tokens `x` (T, D) -> (T, D).
///
/// `segments` divides the tokens into sequences, as pairs of their number and the number of tokens in each. Tokens only
/// attend to tokens of their sequence.
///
/// # Errors
/// Returns an error if a shape does not fit, a tensor is not f32, a weight is the result of an op, or the device does
/// not support the policy of a block.
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
