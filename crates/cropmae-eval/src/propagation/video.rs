//! One video's propagation: frame 0, the recent frames, and their soft labels.

use std::collections::VecDeque;

use cropmae_config::Protocol;

use super::{Grid, PackedFeatures, Propagator, Source};

/// A frame with its soft labels (h*w, L).
#[derive(Debug)]
struct KeyFrame {
    features: PackedFeatures,
    labels: Vec<f32>,
}

/// Propagates labels through a video frame by frame.
///
/// It keeps frame 0 and the `context_frames` frames before the current one. The reference puts that many
/// copies of frame 0 in front of the video; here frame 0 is counted as often as its copies are within the
/// context: at frame t once without a radius and `max(0, context_frames + 1 - t)` times within it.
#[derive(Debug)]
pub struct VideoPropagation {
    propagator: Propagator,
    classes: usize,
    context: usize,
    first: KeyFrame,
    /// Oldest first, at most `context`, without frame 0.
    recent: VecDeque<KeyFrame>,
}

impl VideoPropagation {
    /// Starts with frame 0's features and soft labels (h*w, L), L = `classes`.
    pub fn new(
        protocol: &Protocol,
        features: PackedFeatures,
        labels: Vec<f32>,
        classes: usize,
    ) -> Self {
        Self {
            propagator: Propagator::new(features.grid, protocol),
            classes,
            context: protocol.context_frames,
            first: KeyFrame { features, labels },
            recent: VecDeque::with_capacity(protocol.context_frames.max(1)),
        }
    }

    /// Grid of the feature maps.
    pub fn grid(&self) -> Grid {
        self.propagator.grid()
    }

    /// Frame 0's soft labels (h*w, L): its own prediction.
    pub fn first_labels(&self) -> &[f32] {
        &self.first.labels
    }

    /// Soft labels (h*w, L) of the next frame, which becomes a source for those after it.
    pub fn advance(&mut self, features: PackedFeatures) -> &[f32] {
        let mut sources = Vec::with_capacity(1 + self.recent.len());
        sources.push(Source {
            features: &self.first.features,
            labels: &self.first.labels,
            unrestricted: 1,
            restricted: self.context.saturating_sub(self.recent.len()),
        });
        // Newest first: they are the most alike, and a high k-th best early saves insertions.
        sources.extend(
            self.recent
                .iter()
                .rev()
                .take(self.context)
                .map(|frame| Source {
                    features: &frame.features,
                    labels: &frame.labels,
                    unrestricted: 0,
                    restricted: 1,
                }),
        );
        let labels = self.propagator.propagate(&features, &sources, self.classes);
        if self.recent.len() >= self.context {
            self.recent.pop_front();
        }
        self.recent.push_back(KeyFrame { features, labels });
        self.recent.back().map_or(&[], |frame| &frame.labels)
    }
}
