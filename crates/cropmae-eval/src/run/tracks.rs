//! Labels on their way through one video, under each setting.

use std::sync::Arc;

use cropmae_config::Protocol;

use crate::propagation::{PackedFeatures, VideoPropagation};

/// Soft labels of one frame.
#[derive(Debug, Clone, PartialEq)]
pub struct SoftLabels {
    /// (h*w, L) values, row-major.
    pub values: Vec<f32>,
    /// The number L of classes.
    pub classes: usize,
}

/// The labels of frame 0 on their way through a video, under each of some settings.
#[derive(Debug)]
pub struct Tracks<'a> {
    settings: &'a [Protocol],
    first: SoftLabels,
    /// One for each setting; none before frame 0.
    videos: Vec<VideoPropagation>,
}

impl<'a> Tracks<'a> {
    /// Starts before frame 0, whose labels are `first`.
    pub fn new(settings: &'a [Protocol], first: SoftLabels) -> Self {
        Self {
            settings,
            first,
            videos: Vec::with_capacity(settings.len()),
        }
    }

    /// The soft labels (h*w, L) of the next frame under each setting; of frame 0 at the first call.
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
