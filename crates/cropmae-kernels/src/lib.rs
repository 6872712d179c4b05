//! Differentiable fused operations on candle tensors for vision transformers.
//!
//! Each file of `ops` describes and checks one public op and calls a [`Backend`]. `cpu` has fused kernels, and
//! `reference` composes the op from candle's operations on any device. In shapes, B is the batch size, N the number of
//! tokens, M the number of tokens of the other sequence, D the width, H the number of heads, Dh = D / H, and F the
//! hidden width.
//!
//! - Differentiate with [`backward`] or [`Gradients`], which accumulate the gradients of weights. `Tensor::backward`
//!   would lose them and returns an error.
//! - Tensors are f32. Strided inputs are made contiguous first.
//! - A weight must be a variable or a constant. [`linear`] and [`layer_norm`] also accept results of other ops, such as
//!   a slice of a packed projection. The other ops return an error for them.
//! - On the CPU, results are bit for bit the same for any number of threads. All parallel work runs in the current rayon
//!   pool.
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
mod upload;

pub use args::{
    AdamWStep, AdamWUpdate, BlockWeights, Dropout, GradNorm, GradScale, HostValues, LabelSource,
    Norm, PatchPixels, Propagation, Ties,
};
pub use backend::Backend;
pub use compute::{Compute, Policy};
pub use cpu::product_seconds;
#[cfg(feature = "emulated")]
pub use gpu::{Emulation, Fragments, Work};
pub use gradients::{Gradients, backward};
pub use memory::{keep_freed_memory, peak_device_bytes};
pub use ops::{
    Guard, NonFinite, adamw, adamw_all, attention_block, attention_map, cross_attention, dropout,
    ema_all, grad_norm, layer_norm, linear, masked_pixel_loss, mlp, mlp_block, patch_embed,
    pixel_loss, propagate, residual_layer_norm, self_attention, transformer,
};
pub use upload::{BatchUpload, Lease, Upload};
