//! How a model is computed: settings that change speed and memory, but not the model.

use cropmae_config::{ComputeDtype, TrainConfig};
use cropmae_kernels::{Compute, Policy};

/// The settings for the speed and memory use of a model. The default computes in f32 and keeps every activation.
///
/// ```
/// use cropmae_model::{Compute, Execution};
///
/// let execution = Execution { compute: Compute::Bf16, recompute_blocks: 4 };
/// # let _ = execution;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Execution {
    /// The type of the operands of matrix products. A device without bfloat16 computes in f32, see
    /// [`Compute::available_on`].
    pub compute: Compute,
    /// The number of blocks, counted from the first of the encoder through the decoder, that keep only their input and
    /// compute the rest again in the backward pass. On devices without kernels, a block fails unless this is 0.
    pub recompute_blocks: usize,
}

impl Execution {
    /// Returns the policy of block `index`, counted through the encoder and the decoder.
    pub(crate) fn block(self, index: usize) -> Policy {
        Policy {
            compute: self.compute,
            recompute: index < self.recompute_blocks,
        }
    }
}

/// Takes the settings from the table `[train]` of an experiment.
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
