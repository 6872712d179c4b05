//! Differentiable fused operations on candle tensors for vision transformers.
//!
//! Each file of `ops` describes and checks one public op and hands it to a [`Backend`]: `cpu` has fused
//! kernels, `reference` composes the op from candle's own operations on any device. Shapes: B batch, N tokens,
//! M tokens of the other sequence, D width, H heads, Dh = D / H, F hidden width.
//!
//! - Differentiate with [`backward`] or [`Gradients`]: ops add the gradients of weights to tensors there, and
//!   `Tensor::backward` alone fails rather than lose them.
//! - Tensors are f32. Strided inputs are made contiguous first.
//! - A weight must be a variable or a constant. [`linear`] and [`layer_norm`] also take results of other ops
//!   (a slice of a packed projection); the other ops refuse them.
//! - On the CPU results are the same bits for any number of threads; all parallel work runs in the current
//!   rayon pool.
//! - A NaN in an input reaches the loss.
#![allow(
    unsafe_code,
    reason = "products on pointers and vector registers, outputs whose parts interleave"
)]

mod args;
mod backend;
mod check;
mod compute;
mod cpu;
mod gpu;
mod gradients;
mod memory;
mod ops;
mod reference;

pub use args::{AdamWStep, AdamWUpdate, BlockWeights, Dropout, Norm};
pub use backend::Backend;
pub use compute::{Compute, Policy};
pub use cpu::product_seconds;
#[cfg(feature = "emulated")]
pub use gpu::{Emulation, Fragments};
pub use gradients::{Gradients, backward};
pub use memory::keep_freed_memory;
pub use ops::{
    adamw, adamw_all, attention_block, attention_map, cross_attention, dropout, ema_all, grad_norm,
    layer_norm, linear, masked_pixel_loss, mlp, mlp_block, patch_embed, pixel_loss,
    residual_layer_norm, self_attention, transformer,
};
