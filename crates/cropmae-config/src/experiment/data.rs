//! The table `[data]`: how samples become views.

use serde::{Deserialize, Serialize};

use super::{AugmentConfig, Interpolation, Sampler, ScenesConfig, Views};
use crate::{
    ConfigError,
    require::{positive, require, unit},
};

/// How samples become views.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// The views of a sample. They must fit the method.
    pub views: Views,
    /// The range of the area of a global crop, as a fraction of the image area.
    pub global_scale: [f64; 2],
    /// The range of the area of a local crop, as a fraction of the area of the global crop. It applies only to views
    /// with a local crop.
    pub local_scale: [f64; 2],
    /// The range of the aspect ratio (width / height) of crops. The ratio is drawn log-uniformly.
    pub aspect_ratio: [f64; 2],
    /// How crop boxes are drawn.
    pub sampler: Sampler,
    /// The filter that resizes crops to the input size of the model.
    pub interpolation: Interpolation,
    /// The probability of a horizontal flip, drawn separately for each view.
    pub flip_prob: f64,
    /// The augmentations of the view that is cut first. They are available only for the views of CropMAE.
    #[serde(default, skip_serializing_if = "AugmentConfig::is_off")]
    pub augment: AugmentConfig,
    /// What counts as one sample.
    #[serde(default)]
    pub samples: Samples,
    /// The number of samples that are taken from each decoded image or video. A batch of `batch_size` samples holds
    /// `batch_size / repeated_sampling` images or videos.
    #[serde(default = "default_repeated_sampling")]
    pub repeated_sampling: usize,
    /// The inclusive range of the distance between the two frames of a pair, in frames.
    #[serde(default = "default_frame_gap")]
    pub frame_gap: [u32; 2],
    /// The largest accepted image in megapixels. Larger images are refused as decompression bombs.
    #[serde(default = "default_max_megapixels")]
    pub max_megapixels: u32,
    /// Whether images are rotated as their EXIF data says. The reference ignores the EXIF data.
    #[serde(default)]
    pub exif_orientation: bool,
    /// The fraction of unreadable files above which a run stops.
    #[serde(default = "default_max_bad_fraction")]
    pub max_bad_fraction: f64,
    /// The number of batches that are decoded ahead of the model.
    #[serde(default = "default_prefetch_batches")]
    pub prefetch_batches: usize,
    /// The procedural data set that is generated when no folder is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenes: Option<ScenesConfig>,
    /// Accepts the values of a former key that mean today's behavior, so that older runs can be resumed.
    #[serde(default, skip_serializing, rename = "decoder")]
    _decoder: FormerDecoder,
}

/// What counts as one sample of a data set.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Samples {
    /// Each video if the views are pairs of frames or the source holds video files, otherwise each image.
    #[default]
    Auto,
    /// Each image in any folder.
    Images,
    /// Each video: a video file or a folder of frames. Each epoch uses one frame or one pair of frames of a video.
    Videos,
}

/// The former key `data.decoder`, which chose between this project's JPEG decoder and libjpeg-turbo.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct FormerDecoder;

impl TryFrom<String> for FormerDecoder {
    type Error = &'static str;

    fn try_from(value: String) -> Result<Self, Self::Error> {
        match value.as_str() {
            "auto" | "rust" => Ok(Self),
            "turbo" => Err(
                "\"turbo\" is no longer a choice: remove this key; the built-in decoder gives the same pixels of baseline JPEGs and is faster",
            ),
            _ => Err("this key is no longer used: remove it"),
        }
    }
}

fn default_repeated_sampling() -> usize {
    1
}
fn default_frame_gap() -> [u32; 2] {
    [4, 47]
}
fn default_max_megapixels() -> u32 {
    200
}
fn default_max_bad_fraction() -> f64 {
    0.01
}
fn default_prefetch_batches() -> usize {
    4
}

impl DataConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        for (field, [low, high]) in [
            ("data.global_scale", self.global_scale),
            ("data.local_scale", self.local_scale),
        ] {
            require(
                0.0 < low && low <= high && high <= 1.0,
                field,
                format!("[{low}, {high}]"),
                "0 < low <= high <= 1",
            )?;
        }
        let [low, high] = self.aspect_ratio;
        require(
            0.0 < low && low <= high && high.is_finite(),
            "data.aspect_ratio",
            format!("[{low}, {high}]"),
            "0 < low <= high",
        )?;
        let [low, high] = self.frame_gap;
        require(
            1 <= low && low <= high,
            "data.frame_gap",
            format!("[{low}, {high}]"),
            "1 <= low <= high",
        )?;
        unit("data.flip_prob", self.flip_prob)?;
        unit("data.max_bad_fraction", self.max_bad_fraction)?;
        positive("data.repeated_sampling", self.repeated_sampling)?;
        require(
            !(self.views == Views::FramePair && self.samples == Samples::Images),
            "data.samples",
            "images",
            "videos with views = \"frame_pair\"",
        )?;
        require(
            self.augment.is_off() || !matches!(self.views, Views::FramePair | Views::Single),
            "data.augment",
            "on",
            "off with views = \"frame_pair\" or \"single\"",
        )?;
        positive("data.max_megapixels", self.max_megapixels as usize)?;
        positive("data.prefetch_batches", self.prefetch_batches)?;
        match &self.scenes {
            Some(scenes) => scenes.validate(),
            None => Ok(()),
        }
    }
}
