//! `[checkpoint]`: when checkpoints are written and which are kept.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{non_negative, positive},
};

/// When checkpoints are written and which are kept. Nothing here changes what is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Epochs between two checkpoints; the end of the run always writes one.
    pub every_epochs: u32,
    /// Longest training time without a checkpoint, in minutes, inside an epoch too; 0 for no limit.
    pub every_minutes: f64,
    /// Newest checkpoints kept whole, optimizer state included. A second one is the way back when the
    /// newest is damaged.
    pub keep_last: usize,
    /// Keep the weights of every so many epochs for good, in `snapshots`; none when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_every: Option<u32>,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self {
            every_epochs: 1,
            every_minutes: 15.0,
            keep_last: 2,
            keep_every: None,
        }
    }
}

impl CheckpointConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        positive("checkpoint.every_epochs", self.every_epochs as usize)?;
        non_negative("checkpoint.every_minutes", self.every_minutes)?;
        positive("checkpoint.keep_last", self.keep_last)?;
        match self.keep_every {
            Some(epochs) => positive("checkpoint.keep_every", epochs as usize),
            None => Ok(()),
        }
    }
}
