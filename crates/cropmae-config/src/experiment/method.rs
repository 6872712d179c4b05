//! `method`: which member of the family is trained.

use serde::{Deserialize, Serialize};

/// Members of the family. They differ by a sampler of views and a decoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Two crops of one image, cross-attention decoder (Eymaël et al., ECCV 2024).
    CropMae,
    /// Two frames of one video, cross-attention decoder (Gupta et al., NeurIPS 2023).
    SiamMae,
    /// One view, self-attention decoder (He et al., CVPR 2022).
    Mae,
}
