//! The table `[data.augment]`: augmentations other than crops and flips.

use serde::{Deserialize, Serialize};

/// The reference's optional augmentations of the view that is cut first. The published runs use none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Whether brightness, contrast and saturation are multiplied by 0.6 to 1.4 and the hue is rotated by up to a tenth
    /// of the circle.
    pub color_jitter: bool,
    /// Whether the view is blurred by 13 taps with a standard deviation of 0.1 to 2 pixels.
    pub gaussian_blur: bool,
    /// Whether all pixels are displaced by a smooth random field.
    pub elastic: bool,
}

impl AugmentConfig {
    /// Returns whether all augmentations are off.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}
