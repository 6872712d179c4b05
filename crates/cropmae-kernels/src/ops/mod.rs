//! The public ops, one file each, with their definitions, checks and dispatch to a backend. All checks run before the
//! dispatch, so that backends differ only in speed and rounding.

mod adamw;
mod attention;
mod attention_block;
mod dropout;
mod ema;
mod grad_norm;
mod guard;
mod layer_norm;
mod linear;
mod mlp;
mod mlp_block;
mod patch_embed;
mod pixel_loss;
mod propagate;
mod transformer;

pub use adamw::{adamw, adamw_all};
pub use attention::{attention_map, cross_attention, self_attention};
pub use attention_block::attention_block;
pub use dropout::dropout;
pub use ema::ema_all;
pub use grad_norm::grad_norm;
pub use guard::{Guard, NonFinite};
pub use layer_norm::{layer_norm, residual_layer_norm};
pub use linear::linear;
pub use mlp::mlp;
pub use mlp_block::mlp_block;
pub use patch_embed::patch_embed;
pub use pixel_loss::{masked_pixel_loss, pixel_loss};
pub use propagate::propagate;
pub use transformer::transformer;
