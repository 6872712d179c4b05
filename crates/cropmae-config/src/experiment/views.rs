//! The key `data.views`: how one sample becomes its views.

use serde::{Deserialize, Serialize};

/// How one sample becomes its views. The encoder sees all of view 1. View 2 is masked and reconstructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Views {
    /// View 2 is a crop of view 1 (the published CropMAE).
    GlobalToLocal,
    /// View 1 is a crop of view 2.
    LocalToGlobal,
    /// The views are two independent global crops of the image.
    RandomViews,
    /// Both views are the same global crop.
    SameViews,
    /// The views are two frames of a video with the same crop box and the same flip (SiamMAE).
    FramePair,
    /// The only view is one crop, which is masked and reconstructed (MAE).
    Single,
}

impl Views {
    /// Returns the number of views per sample: 1 for [`Self::Single`], otherwise 2.
    pub fn count(self) -> usize {
        if self == Self::Single { 1 } else { 2 }
    }
}
