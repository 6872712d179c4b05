//! `[train]`: batches and epochs.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    validate::{positive, require},
};

/// Batches and epochs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
            self.max_steps != Some(0),
            "train.max_steps",
            0,
            "at least 1, or leave the key out for all epochs",
        )
    }
}
