//! `[loss]`: what the decoder is asked to predict.

use serde::{Deserialize, Serialize};

/// What the decoder is asked to predict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Normalise each target patch by its own mean and standard deviation.
    pub norm_pix: bool,
}
