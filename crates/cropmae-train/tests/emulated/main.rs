//! Compares training once more, with the kernels of accelerators in the emulator.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "shows what was compared and what was skipped"
)]

#[path = "../golden_training/compare.rs"]
mod compare;
mod emulated;
#[path = "../golden_training/fixtures.rs"]
mod fixtures;
#[path = "../runs/support.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod support;

/// The kernels that are compared.
const KERNELS: cropmae_kernels::Backend = cropmae_kernels::Backend::Gpu;
