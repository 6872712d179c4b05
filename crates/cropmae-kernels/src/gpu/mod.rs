//! Kernels for accelerators, a file an op, and what they share.
//!
//! `text` holds the kernels, written once for CUDA's run-time compiler, Metal's and the host's. An op is a sequence of
//! launches and matrix products on a [`queue::Queue`], whose driver is a device or, with the feature `emulated`, the
//! emulator on the CPU: what the tests see there is what runs on a device. Callers have checked the inputs.
#![cfg_attr(
    not(any(feature = "emulated", feature = "cuda")),
    allow(dead_code, reason = "only drivers look into launches")
)]

mod attention;
#[cfg(any(feature = "cuda", test))]
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "for its tests"))]
mod cache;
mod columns;
#[cfg(feature = "cuda")]
pub(crate) mod cuda;
mod dropout;
#[cfg(feature = "emulated")]
mod emulator;
mod grad;
mod graph;
mod layer_norm;
mod linear;
mod mlp;
mod optimizer;
mod patch_embed;
mod pixel_loss;
mod pixels;
mod propagate;
mod queue;
mod text;
mod transformer;

pub(crate) use attention::{attention_map, cross_attention, self_attention};
pub(crate) use dropout::dropout;
#[cfg(feature = "emulated")]
pub use emulator::{Emulation, Fragments, Work};
pub(crate) use layer_norm::{layer_norm, residual_layer_norm};
pub(crate) use linear::linear;
pub(crate) use mlp::mlp;
pub(crate) use optimizer::{adamw, check_finite, ema, grad_norm};
pub(crate) use patch_embed::patch_embed;
pub(crate) use pixel_loss::pixel_loss;
pub(crate) use propagate::propagate;
pub(crate) use transformer::{attention_block, mlp_block, transformer};

/// Threads of a block.
const THREADS: usize = 128;

/// Warps of a block.
const WARPS: usize = THREADS / 32;
