//! Differentiable fused operations on candle tensors for vision transformers.
//!
//! One file an op, with its maths; under them `cpu` has matrix products and vectorised loops. Shapes:
//! B batch, N tokens, M tokens of the other sequence, D width, H heads, Dh = D / H, F hidden width.
//!
//! - Differentiate with [`backward`] or [`Gradients`]: ops add weight gradients to buffers of theirs, and
//!   `Tensor::backward` alone fails rather than lose them.
//! - Tensors are f32. Strided inputs are made contiguous first.
//! - A weight must be a variable or a constant. `linear` and `layer_norm` also take results of other ops
//!   (a slice of a packed projection); the rest refuse them.
//! - Results are the same bits for any number of threads; all parallel work runs in the current rayon
//!   pool.
//! - NaN in an input reaches the loss.
#![allow(
    unsafe_code,
    reason = "products on pointers and vector registers, outputs whose parts interleave"
)]

mod adamw;
mod attention;
mod backward;
mod ceiling;
mod check;
mod compute;
mod cpu;
mod dropout;
mod ema;
mod grad_norm;
mod layer_norm;
mod linear;
mod memory;
mod mlp;
mod patch_embed;
mod pixel_loss;
mod portable;
mod pre_norm;
mod transformer;

pub use adamw::{AdamWStep, AdamWUpdate, adamw, adamw_all};
pub use attention::{attention_block, attention_map, cross_attention, self_attention};
pub use backward::{Gradients, backward};
pub use ceiling::product_seconds;
pub use compute::{Compute, Policy};
pub use dropout::{Dropout, dropout};
pub use ema::ema_all;
pub use grad_norm::grad_norm;
pub use layer_norm::{layer_norm, residual_layer_norm};
pub use linear::linear;
pub use memory::keep_freed_memory;
pub use mlp::{mlp, mlp_block};
pub use patch_embed::patch_embed;
pub use pixel_loss::{masked_pixel_loss, pixel_loss};
pub use pre_norm::Norm;
pub use transformer::{Block, transformer};
