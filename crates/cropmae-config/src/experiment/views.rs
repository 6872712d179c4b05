//! `data.views`: how one sample becomes its views.

use serde::{Deserialize, Serialize};

/// How one sample becomes its views. View 1 is seen whole, view 2 is masked and reconstructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// View 2 is a crop of view 1 (the published CropMAE).
    GlobalToLocal,
    /// View 1 is a crop of view 2.
    LocalToGlobal,
    /// Two independent global crops of the image.
    RandomViews,
    /// One global crop used twice.
    SameViews,
    /// Two frames of a video under one crop box and one flip (SiamMAE).
    FramePair,
    /// One crop (MAE).
    Single,
}

impl Views {
    /// Views per sample: 1 for MAE, otherwise 2.
    pub fn count(self) -> usize {
        if self == Self::Single { 1 } else { 2 }
    }
}
