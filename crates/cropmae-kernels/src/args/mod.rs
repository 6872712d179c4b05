//! The arguments of ops other than tensors. Backends depend on these types, but not on the ops.

mod adamw;
mod dropout;
mod propagation;
mod weights;

pub use adamw::{AdamWStep, AdamWUpdate};
pub use dropout::Dropout;
pub(crate) use dropout::MIX;
pub use propagation::{LabelSource, Propagation, Ties};
pub(crate) use weights::{AttentionWeights, MlpWeights};
pub use weights::{BlockWeights, Norm};
