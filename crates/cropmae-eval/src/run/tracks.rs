//! Propagates labels through one video with each setting.

use std::sync::Arc;

use cropmae_config::Protocol;

use crate::error::EvalError;
use crate::propagation::{DevicePropagation, FrameFeatures, VideoPropagation};

/// The soft labels of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftLabels {
    /// The values (h*w, L), row-major.
    pub values: Vec<f32>,
    /// The number L of classes.
    pub classes: usize,
}

/// The propagation of the labels of frame 0 through a video, with each setting, where its features are.
#[derive(Debug)]
pub struct Tracks<'a> {
    settings: &'a [Protocol],
    first: SoftLabels,
    /// The propagations, one for each setting. There are none before frame 0.
    tracks: Vec<Track>,
}

/// The propagation with one setting.
#[derive(Debug)]
enum Track {
    Cpu(VideoPropagation),
    Device(DevicePropagation),
}

impl<'a> Tracks<'a> {
    /// Creates the propagation before frame 0, whose labels are `first`.
    pub fn new(settings: &'a [Protocol], first: SoftLabels) -> Self {
        Self {
            settings,
            first,
            tracks: Vec::with_capacity(settings.len()),
        }
    }

    /// Returns the soft labels (h*w, L) of the next frame with each setting. The first call returns those of frame 0.
    ///
    /// # Errors
    /// Returns [`EvalError::Numerics`] if the features are not where those of frame 0 are, or if their device fails.
    pub fn advance(&mut self, features: &FrameFeatures) -> Result<Vec<&[f32]>, EvalError> {
        let failed = |error: candle_core::Error| EvalError::Numerics {
            what: "label propagation",
            message: error.to_string(),
        };
        if self.tracks.is_empty() {
            for setting in self.settings {
                let track = Track::new(setting, features, &self.first).map_err(failed)?;
                self.tracks.push(track);
            }
            return Ok(self.tracks.iter().map(Track::first_labels).collect());
        }
        let tracks = self.tracks.iter_mut();
        tracks
            .map(|track| track.advance(features).map_err(failed))
            .collect()
    }
}

impl Track {
    fn new(
        setting: &Protocol,
        features: &FrameFeatures,
        labels: &SoftLabels,
    ) -> candle_core::Result<Self> {
        let SoftLabels { values, classes } = labels;
        Ok(match features {
            FrameFeatures::Packed(features) => {
                let features = Arc::clone(features);
                Self::Cpu(VideoPropagation::new(
                    setting,
                    features,
                    values.clone(),
                    *classes,
                ))
            }
            FrameFeatures::Device(features) => Self::Device(DevicePropagation::new(
                setting,
                features,
                values.clone(),
                *classes,
            )?),
        })
    }

    fn first_labels(&self) -> &[f32] {
        match self {
            Self::Cpu(video) => video.first_labels(),
            Self::Device(video) => video.first_labels(),
        }
    }

    fn advance(&mut self, features: &FrameFeatures) -> candle_core::Result<&[f32]> {
        match (self, features) {
            (Self::Cpu(video), FrameFeatures::Packed(features)) => {
                Ok(video.advance(Arc::clone(features)))
            }
            (Self::Device(video), FrameFeatures::Device(features)) => video.advance(features),
            _ => candle_core::bail!("a frame has its features on another device than frame 0"),
        }
    }
}
