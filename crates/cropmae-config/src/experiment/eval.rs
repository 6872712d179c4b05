//! The table `[eval]`: evaluation during training.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, require::positive};

/// The evaluation during training. Nothing here affects what is trained.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvalConfig {
    /// The number of epochs between two evaluations of the encoder, or `None` for no evaluation. The initial weights
    /// and the last epoch are also evaluated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_epochs: Option<u32>,
    /// The number of sequences per task, taken from the start of its list, or `None` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sequences: Option<usize>,
}

impl EvalConfig {
    /// Returns whether the encoder is evaluated after `done` of `epochs` epochs.
    pub fn is_due(&self, done: u64, epochs: u64) -> bool {
        self.every_epochs
            .is_some_and(|every| done.is_multiple_of(every.into()) || done == epochs)
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        positive("eval.every_epochs", self.every_epochs.unwrap_or(1) as usize)?;
        positive("eval.max_sequences", self.max_sequences.unwrap_or(1))
    }
}
