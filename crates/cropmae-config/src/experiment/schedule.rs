//! `[schedule]`: the learning rate over a run.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, validate::non_negative};

/// Warm-up and decay of the learning rate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Linear warm-up, in epochs (fractions allowed).
    pub warmup_epochs: f64,
    /// Where the half cosine ends.
    pub min_lr: f64,
    /// Run each update with the rate of the update before, as the reference does.
    #[serde(default)]
    pub compat: bool,
}

impl ScheduleConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        non_negative("schedule.min_lr", self.min_lr)?;
        non_negative("schedule.warmup_epochs", self.warmup_epochs)
    }
}
