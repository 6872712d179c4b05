//! The key `method`: the training method.

use serde::{Deserialize, Serialize};

/// A training method. The methods differ in the views and the decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// CropMAE: two crops of one image, cross-attention decoder (Eymaël et al., ECCV 2024).
    CropMae,
    /// SiamMAE: two frames of one video, cross-attention decoder (Gupta et al., NeurIPS 2023).
    SiamMae,
    /// MAE: one view, self-attention decoder (He et al., CVPR 2022).
    Mae,
}
