//! The arguments of ops other than tensors. Backends depend on these types, but not on the ops.

mod adamw;
mod dropout;
mod grad_norm;
mod host_values;
mod pixels;
mod propagation;
mod weights;

pub use adamw::{AdamWStep, AdamWUpdate};
pub use dropout::Dropout;
pub(crate) use dropout::MIX;
pub use grad_norm::{GradNorm, GradScale};
pub use host_values::HostValues;
pub use pixels::PatchPixels;
pub use propagation::{LabelSource, Propagation, Ties};
pub(crate) use weights::{AttentionWeights, MlpWeights};
pub use weights::{BlockWeights, Norm};
