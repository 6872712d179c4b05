//! `[train]`: batches and epochs.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{positive, require},
};

/// Number type of matrix products. Weights, moments, reductions and the loss are f32 either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ComputeDtype {
    /// 32-bit floats.
    #[default]
    F32,
    /// Operands rounded to bfloat16, sums in f32.
    Bf16,
}

/// Batches and epochs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Passes over the data.
    pub epochs: u32,
    /// Images per forward pass and process.
    pub batch_size: usize,
    /// Forward passes per update.
    #[serde(default = "default_one")]
    pub accum_iter: usize,
    /// Stop after this many updates; the schedule keeps the length that `epochs` gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_steps: Option<u64>,
    /// Number type of matrix products. A processor without bf16 instructions runs f32.
    #[serde(default)]
    pub compute: ComputeDtype,
    /// That many blocks, the encoder's first, then the decoder's, keep only their input and compute the rest
    /// again in the backward pass: less memory for up to a third more work.
    #[serde(default)]
    pub recompute_blocks: usize,
    /// Keep an exponential moving average of the weights with this decay, 0 to 1; none when absent. The
    /// average after update t is d * average + (1 - d) * weights, d = min(decay, (1 + t) / (10 + t)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ema_decay: Option<f64>,
    /// Updates between two lines of `metrics.jsonl`.
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
            "0 up to below 1, or leave the key out",
        )?;
        require(
            self.max_steps != Some(0),
            "train.max_steps",
            0,
            "at least 1, or leave the key out for all epochs",
        )
    }
}
