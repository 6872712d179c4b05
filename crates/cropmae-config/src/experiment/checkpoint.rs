//! `[checkpoint]`: when checkpoints are written.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, validate::positive};

/// When checkpoints are written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckpointConfig {
    /// Epochs between two checkpoints; the last epoch always writes one.
    pub every_epochs: u32,
}

impl Default for CheckpointConfig {
    fn default() -> Self {
        Self { every_epochs: 1 }
    }
}

impl CheckpointConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        positive("checkpoint.every_epochs", self.every_epochs as usize)
    }
}
