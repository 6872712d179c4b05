//! Propagates labels through one video with each setting.

use std::sync::Arc;

use cropmae_config::Protocol;

use crate::propagation::{PackedFeatures, VideoPropagation};

/// The soft labels of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftLabels {
    /// The values (h*w, L), row-major.
    pub values: Vec<f32>,
    /// The number L of classes.
    pub classes: usize,
}

/// The propagation of the labels of frame 0 through a video, with each setting.
#[derive(Debug)]
pub struct Tracks<'a> {
    settings: &'a [Protocol],
    first: SoftLabels,
    /// The propagations, one for each setting. There are none before frame 0.
    videos: Vec<VideoPropagation>,
}

impl<'a> Tracks<'a> {
    /// Creates the propagation before frame 0, whose labels are `first`.
    pub fn new(settings: &'a [Protocol], first: SoftLabels) -> Self {
        Self {
            settings,
            first,
            videos: Vec::with_capacity(settings.len()),
        }
    }

    /// Returns the soft labels (h*w, L) of the next frame with each setting. The first call returns those of frame 0.
    pub fn advance(&mut self, features: PackedFeatures) -> Vec<&[f32]> {
        let features = Arc::new(features);
        if self.videos.is_empty() {
            let SoftLabels { values, classes } = &self.first;
            let start = |setting| {
                VideoPropagation::new(setting, Arc::clone(&features), values.clone(), *classes)
            };
            self.videos.extend(self.settings.iter().map(start));
            let videos = self.videos.iter();
            return videos.map(VideoPropagation::first_labels).collect();
        }
        let videos = self.videos.iter_mut();
        videos
            .map(|video| video.advance(Arc::clone(&features)))
            .collect()
    }
}
