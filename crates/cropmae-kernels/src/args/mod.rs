//! What ops take besides tensors. The backends know these types, not the ops.

mod adamw;
mod dropout;
mod weights;

pub use adamw::{AdamWStep, AdamWUpdate};
pub use dropout::Dropout;
pub(crate) use dropout::MIX;
pub(crate) use weights::{AttentionWeights, MlpWeights};
pub use weights::{BlockWeights, Norm};
