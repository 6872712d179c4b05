//! Tests every op on every backend. The kernels and the reference in f32 are compared with the reference in f64, whose
//! gradients are compared with finite differences. Other tests check thread counts, NaN and messages.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use cropmae_kernels::Backend;

/// The kernels that are compared with the reference.
const KERNELS: Backend = Backend::Cpu;

mod attention;
mod dropout;
mod errors;
mod first_layer;
mod gradients;
mod layers;
mod loss;
mod optimizer;
mod pixels;
mod policy;
mod propagate;
mod support;
mod threads;
mod transformer;
