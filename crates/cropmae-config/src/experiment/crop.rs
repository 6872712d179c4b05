//! How a crop is drawn and resampled.

use serde::{Deserialize, Serialize};

/// How a crop box is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// Ten tries, then a centre crop: what the published runs executed.
    Rejection,
    /// One try, clipped to the image: the paper's text.
    Uniform,
}

/// Resampling filter, always antialiased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// Triangle filter.
    Bilinear,
    /// Cubic filter with a = -0.5.
    Bicubic,
}
