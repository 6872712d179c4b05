//! The table `[mask]`: the masking of the reconstructed view.

use serde::{Deserialize, Serialize};

use crate::{ConfigError, require::require};

/// The masking of the reconstructed view.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskConfig {
    /// The fraction of patches that are removed.
    pub ratio: f64,
}

impl MaskConfig {
    /// Returns the number of visible patches out of N = `num_patches`: `trunc(N * (1 - ratio))`, computed in f64.
    ///
    /// The order of operations is that of the reference. `N - trunc(N * ratio)` or f32 arithmetic would give other
    /// numbers.
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
            "at least 0, less than 1",
        )?;
        require(
            self.len_keep(num_patches) < num_patches,
            "mask.ratio",
            self.ratio,
            format!("a ratio that removes at least one of the {num_patches} patches"),
        )
    }
}
