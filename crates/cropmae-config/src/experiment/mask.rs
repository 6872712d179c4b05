//! `[mask]`: what the decoder does not see.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, require::require};

/// Masking of the reconstructed view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// Share of patches removed.
    pub ratio: f64,
}

impl MaskConfig {
    /// Visible patches of `num_patches`: `trunc(N * (1 - ratio))`, the product taken in f64.
    ///
    /// The order of operations is the reference's and matters: `N - trunc(N * ratio)` and f32
    /// arithmetic give other counts.
    ///
    /// ```
    /// let mask = cropmae_config::MaskConfig { ratio: 0.985 };
    /// assert_eq!(mask.len_keep(196), 2);
    /// ```
    pub fn len_keep(&self, num_patches: usize) -> usize {
        (num_patches as f64 * (1.0 - self.ratio)) as usize
    }
}

impl MaskConfig {
    pub(crate) fn validate(&self, num_patches: usize) -> Result<(), ConfigError> {
        require(
            (0.0..1.0).contains(&self.ratio),
            "mask.ratio",
            self.ratio,
            "0 up to below 1",
        )?;
        require(
            self.len_keep(num_patches) < num_patches,
            "mask.ratio",
            self.ratio,
            format!("a ratio that removes at least one of the {num_patches} patches"),
        )
    }
}
