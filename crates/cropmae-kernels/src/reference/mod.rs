//! The ops composed of candle's operations, one file each.
//!
//! Devices without kernels use them, and the tests compare the kernels with them. They are slower and keep more for the
//! backward pass, which is that of candle. They accept any float type, and callers check the inputs.

mod attention;
mod dropout;
mod layer_norm;
mod linear;
mod mlp;
mod optimizer;
mod patch_embed;
mod pixel_loss;
mod product;
mod propagate;
mod transformer;

pub(crate) use attention::{attention_map, cross_attention, self_attention};
pub(crate) use dropout::dropout;
pub(crate) use layer_norm::{layer_norm, residual_layer_norm};
pub(crate) use linear::linear;
pub(crate) use mlp::mlp;
pub(crate) use optimizer::{adamw, ema, grad_norm};
pub(crate) use patch_embed::patch_embed;
pub(crate) use pixel_loss::pixel_loss;
pub(crate) use propagate::propagate;
pub(crate) use transformer::{attention_block, mlp_block, transformer};

use candle_core::{Result, Tensor};

/// Selects rows `ids` (B, K) of `x` (B, N, D) -> (B, K, D).
fn gather_rows(x: &Tensor, ids: &Tensor) -> Result<Tensor> {
    let (b, k) = ids.dims2()?;
    let index = ids
        .unsqueeze(2)?
        .broadcast_as((b, k, x.dim(2)?))?
        .contiguous()?;
    x.contiguous()?.gather(&index, 1)
}
