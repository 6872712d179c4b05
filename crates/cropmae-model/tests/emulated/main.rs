//! Compares the models once more, with the kernels of accelerators in the emulator.

#[path = "../common/mod.rs"]
mod common;
mod emulated;

/// The kernels that are compared.
const KERNELS: cropmae_kernels::Backend = cropmae_kernels::Backend::Gpu;
