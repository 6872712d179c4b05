//! The table `[data.scenes]`: the procedural data set.

use serde::{Deserialize, Serialize};

use crate::{
    ConfigError,
    require::{positive, require},
};

/// The size of the procedural data set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenesConfig {
    /// The number of training images.
    pub images: usize,
    /// The width and height of a training image in pixels.
    pub image_px: u32,
    /// The number of evaluation videos per task.
    pub videos: usize,
    /// The number of frames of an evaluation video.
    pub video_frames: usize,
}

impl ScenesConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        positive("data.scenes.images", self.images)?;
        positive("data.scenes.videos", self.videos)?;
        require(
            self.video_frames >= 2,
            "data.scenes.video_frames",
            self.video_frames,
            "at least 2",
        )?;
        require(
            (32..=4096).contains(&self.image_px),
            "data.scenes.image_px",
            self.image_px,
            "32 to 4096",
        )
    }
}
