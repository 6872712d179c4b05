//! Compares the models with golden values of the reference implementation.

#[path = "../common/mod.rs"]
mod common;
mod mae;
mod model;
mod pos_embed;
mod shapes;

/// The kernels that are compared.
const KERNELS: cropmae_kernels::Backend = cropmae_kernels::Backend::Cpu;
