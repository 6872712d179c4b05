//! The tests of the ops once more, with the kernels of accelerators in the emulator.
#![allow(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use cropmae_kernels::Backend;

/// The kernels that are compared with the reference.
const KERNELS: Backend = Backend::Gpu;

#[path = "../ops/support.rs"]
mod support;

mod emulated;
