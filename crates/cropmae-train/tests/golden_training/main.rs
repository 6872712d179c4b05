//! Compares training with golden values of the reference implementation.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
#![allow(
    clippy::print_stdout,
    reason = "shows what was compared and what was skipped"
)]

mod compare;
mod fixtures;
mod replay;

/// The kernels that are compared.
const KERNELS: cropmae_kernels::Backend = cropmae_kernels::Backend::Cpu;
