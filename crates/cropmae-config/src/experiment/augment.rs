//! `[data.augment]`: what is done to a view beyond cropping and flipping.

use serde::{Deserialize, Serialize};

/// The reference's optional augmentations of the view that is cut first, all off in the published runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Brightness, contrast and saturation times 0.6 to 1.4, hue turned by up to a tenth of the circle.
    pub color_jitter: bool,
    /// A blur of 13 taps with a standard deviation of 0.1 to 2 pixels.
    pub gaussian_blur: bool,
    /// A smooth random displacement of all pixels.
    pub elastic: bool,
}

impl AugmentConfig {
    /// Whether nothing is to be done.
    pub fn is_off(&self) -> bool {
        *self == Self::default()
    }
}
