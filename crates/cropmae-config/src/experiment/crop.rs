//! How crops are drawn and resampled.

use serde::{Deserialize, Serialize};

/// How a crop box is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sampler {
    /// Boxes are drawn up to ten times until one fits, then a center crop is taken. The published runs did this.
    Rejection,
    /// One box is drawn and clipped to the image, as the text of the paper says.
    Uniform,
}

/// The resampling filter for crops. It is always antialiased.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// The triangle filter.
    Bilinear,
    /// The cubic filter with a = -0.5.
    Bicubic,
}
