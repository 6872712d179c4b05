//! The table `[loss]`: the target of the reconstruction.

use serde::{Deserialize, Serialize};

/// The target of the reconstruction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Whether each target patch is normalized by its own mean and standard deviation.
    pub norm_pix: bool,
}
