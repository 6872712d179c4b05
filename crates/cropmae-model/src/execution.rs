//! How a model runs: choices that change speed and memory, not what is computed.

use cropmae_config::{ComputeDtype, TrainConfig};
use cropmae_kernels::{Compute, Policy};

/// Speed and memory of a model. The default is f32 with every activation kept.
///
/// ```
/// use cropmae_model::{Compute, Execution};
///
/// let execution = Execution { compute: Compute::Bf16, recompute_blocks: 4 };
/// # let _ = execution;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Execution {
    /// Type of the operands of matrix products. A device that has no bfloat16 computes in f32:
    /// [`Compute::available_on`] tells.
    pub compute: Compute,
    /// That many blocks, the encoder's first, then the decoder's, keep only their input and compute the
    /// rest again in the backward pass. Devices without kernels refuse any but 0 when a block runs.
    pub recompute_blocks: usize,
}

impl Execution {
    /// The policy of block `index`, counted through encoder and decoder.
    pub(crate) fn block(self, index: usize) -> Policy {
        Policy {
            compute: self.compute,
            recompute: index < self.recompute_blocks,
        }
    }
}

/// What the table `[train]` of an experiment asks for.
impl From<&TrainConfig> for Execution {
    fn from(train: &TrainConfig) -> Self {
        Self {
            compute: match train.compute {
                ComputeDtype::F32 => Compute::F32,
                ComputeDtype::Bf16 => Compute::Bf16,
            },
            recompute_blocks: train.recompute_blocks,
        }
    }
}
