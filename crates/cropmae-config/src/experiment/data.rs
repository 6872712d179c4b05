//! `[data]`: how images become views.

use serde::{Deserialize, Serialize};

use super::{AugmentConfig, Interpolation, Sampler, ScenesConfig, Views};
use crate::{
    ConfigError,
    require::{positive, require, unit},
};

/// How images become views.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// View strategy; must suit the method.
    pub views: Views,
    /// Range of the global crop's share of the image area.
    pub global_scale: [f64; 2],
    /// Range of the local crop's share of the global crop's area; only for the strategies that cut one.
    pub local_scale: [f64; 2],
    /// Range of the crops' width / height, drawn log-uniformly.
    pub aspect_ratio: [f64; 2],
    /// How boxes are drawn.
    pub sampler: Sampler,
    /// Filter for resizing crops to the model's input.
    pub interpolation: Interpolation,
    /// Chance of a horizontal flip, drawn for each view on its own.
    pub flip_prob: f64,
    /// What is done to the view that is cut first; only for the strategies of CropMAE.
    #[serde(default, skip_serializing_if = "AugmentConfig::is_off")]
    pub augment: AugmentConfig,
    /// What counts as one sample.
    #[serde(default)]
    pub samples: Samples,
    /// Samples taken of each picture or video that is decoded; a batch then holds that many fewer of them.
    #[serde(default = "default_repeated_sampling")]
    pub repeated_sampling: usize,
    /// Inclusive range of the distance between two frames of a pair, in frames.
    #[serde(default = "default_frame_gap")]
    pub frame_gap: [u32; 2],
    /// Images with more pixels than this are refused as decompression bombs, in megapixels.
    #[serde(default = "default_max_megapixels")]
    pub max_megapixels: u32,
    /// Whether pictures are turned as their EXIF data says; the reference takes them as they are stored.
    #[serde(default)]
    pub exif_orientation: bool,
    /// Share of unreadable files above which a run stops.
    #[serde(default = "default_max_bad_fraction")]
    pub max_bad_fraction: f64,
    /// Batches decoded ahead of the model.
    #[serde(default = "default_prefetch_batches")]
    pub prefetch_batches: usize,
    /// A procedural data set made on the spot when no folder is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scenes: Option<ScenesConfig>,
    /// Accepts the values of the former key that mean today's behavior, so that older runs can be resumed.
    #[serde(default, skip_serializing, rename = "decoder")]
    _decoder: FormerDecoder,
}

/// What counts as one sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Samples {
    /// Videos for pairs of frames and where the source holds video files, images otherwise.
    #[default]
    Auto,
    /// Every image, whatever folder it lies in.
    Images,
    /// Every video: a video file or a folder of frames, of which each epoch sees one frame or pair.
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
