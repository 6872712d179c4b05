//! Fused kernels for CPUs, one file for each op, and their common parts: matrix products (`matrix`, `gemm`, `product`),
//! vectorized loops (`simd`), memory for outputs (`output`), temporary buffers (`scratch`), and tensors as slices
//! (`tensor`). Callers check the inputs.

mod adamw;
mod attention;
mod attention_block;
mod ceiling;
mod dropout;
mod ema;
mod gemm;
mod grad_norm;
mod layer_norm;
mod linear;
mod matrix;
mod mlp;
mod output;
mod patch_embed;
mod pixel_loss;
mod pre_norm;
mod product;
mod scratch;
mod shared;
mod simd;
mod sums;
mod tensor;
mod transformer;

pub(crate) use adamw::adamw;
pub(crate) use attention::{attention_map, cross_attention, self_attention};
pub(crate) use attention_block::attention_block;
pub use ceiling::product_seconds;
pub(crate) use dropout::dropout;
pub(crate) use ema::ema;
pub(crate) use grad_norm::grad_norm;
pub(crate) use layer_norm::{layer_norm, residual_layer_norm};
pub(crate) use linear::linear;
pub(crate) use mlp::{mlp, mlp_block};
pub(crate) use patch_embed::patch_embed;
pub(crate) use pixel_loss::pixel_loss;
pub(crate) use transformer::transformer;
#[cfg(feature = "emulated")]
pub(crate) use {
    gemm::{Threads, gemm},
    matrix::{Mat, MatMut},
    tensor::write,
};

use crate::compute::Compute;

/// The number of rows of one rayon task in row-wise passes.
///
/// Partial sums are computed per block and added in order, so that results do not depend on the number of threads.
const ROWS_PER_TASK: usize = 32;

/// The number of elements of one rayon task in elementwise passes over weights.
const CHUNK: usize = 16 * 1024;

/// Returns `true` if this machine has instructions for products of bfloat16.
pub(crate) fn has_bf16() -> bool {
    product::kernels(Compute::Bf16).is_some()
}
