//! The table `[train]`: batches and epochs.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{positive, require},
};

/// The number type of the operands of matrix products. Weights, moments, reductions and the loss are always f32.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputeDtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// Operands are rounded to bfloat16 and sums are f32.
    Bf16,
}

/// The length of a training run, its batches and how they are computed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The number of passes over the data.
    pub epochs: u32,
    /// The number of images per forward pass in each process.
    pub batch_size: usize,
    /// The number of forward passes per update.
    #[serde(default = "default_one")]
    pub accum_iter: usize,
    /// The number of updates after which training stops, or `None` for all epochs. The schedule does not depend on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// The number type of the operands of matrix products. A processor without bf16 instructions computes in f32.
    #[serde(default)]
    pub compute: ComputeDtype,
    /// The number of blocks, counted from the first of the encoder through the decoder, that keep only their input and
    /// compute the rest again in the backward pass. This takes less memory and up to a third more work.
    #[serde(default)]
    pub recompute_blocks: usize,
    /// The decay of an exponential moving average of the weights, at least 0 and less than 1, or `None` for no average.
    /// The average after update t is d * average + (1 - d) * weights, with d = min(decay, (1 + t) / (10 + t)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// The number of updates between two lines of `metrics.jsonl`.
    #[serde(default = "default_log_every_steps")]
    pub log_every_steps: u64,
}

fn default_one() -> usize {
    1
}
fn default_log_every_steps() -> u64 {
    10
}

impl TrainConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        positive("train.epochs", self.epochs as usize)?;
        positive("train.batch_size", self.batch_size)?;
        positive("train.accum_iter", self.accum_iter)?;
        positive("train.log_every_steps", self.log_every_steps as usize)?;
        require(
            self.ema_decay
                .is_none_or(|decay| (0.0..1.0).contains(&decay)),
            "train.ema_decay",
            self.ema_decay.unwrap_or_default(),
            "at least 0, less than 1 (or omit the key)",
        )?;
        require(
            self.max_steps != Some(0),
            "train.max_steps",
            0,
            "at least 1 (or omit the key to train all epochs)",
        )
    }
}
