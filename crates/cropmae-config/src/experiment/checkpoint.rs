//! The table `[checkpoint]`: when checkpoints are written and which are kept.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{non_negative, positive},
};

/// When checkpoints are written and which are kept. Nothing here affects what is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// The number of epochs between two checkpoints. The end of a run always writes one.
    pub every_epochs: u32,
    /// The longest training time without a checkpoint in minutes, also within an epoch. 0 means no limit.
    pub every_minutes: f64,
    /// The number of newest checkpoints that are kept with their optimizer state. A second one is a fallback if the
    /// newest is damaged.
    pub keep_last: usize,
    /// The number of epochs between two sets of weights that are kept permanently in `snapshots`, or `None` to keep
    /// none.
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
