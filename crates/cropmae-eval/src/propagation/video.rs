//! The propagation through one video, with the search on the CPU.

use std::sync::Arc;

use cropmae_config::Protocol;

use super::memory::{Listed, Memory};
use super::sketch::{Basis, Sketch};
use super::{Grid, PackedFeatures, Propagator, Query, Source};

/// A frame with its soft labels (h*w, L).
#[derive(Debug)]
struct KeyFrame {
    features: Arc<PackedFeatures>,
    /// The sketch, if upper bounds are used in this video.
    sketch: Option<Arc<Sketch>>,
    labels: Vec<f32>,
}

impl KeyFrame {
    fn source<'a>(listed: &Listed<'a, Self>) -> Source<'a> {
        let Listed {
            frame,
            unrestricted,
            restricted,
        } = *listed;
        Source {
            sketch: frame.sketch.as_deref(),
            ..Source::new(&frame.features, &frame.labels, unrestricted, restricted)
        }
    }
}

/// The propagation of labels through a video, frame by frame.
///
/// It keeps frame 0, the `context_frames` frames before the current one, and the long-term frames.
#[derive(Debug)]
pub struct VideoPropagation {
    propagator: Propagator,
    /// The basis for the sketches of all frames, fitted to frame 0.
    basis: Option<Basis>,
    classes: usize,
    memory: Memory<KeyFrame>,
    /// The soft labels that the caller receives for the newest frame, if they are not those that are propagated because
    /// they are stretched to 0..1.
    stretched: Option<Vec<f32>>,
}

impl VideoPropagation {
    /// Starts with the features and the soft labels (h*w, L) of frame 0, where L is `classes`.
    pub fn new(
        protocol: &Protocol,
        features: impl Into<Arc<PackedFeatures>>,
        labels: Vec<f32>,
        classes: usize,
    ) -> Self {
        let features = features.into();
        let basis = Basis::of(&features);
        let sketch = basis
            .as_ref()
            .map(|basis| Arc::new(Sketch::of(&features, basis)));
        // As in the reference, only the long-term copy is stretched in place.
        let long_term = protocol.normalize_labels.then(|| KeyFrame {
            features: Arc::clone(&features),
            sketch: sketch.clone(),
            labels: stretched(&labels, classes),
        });
        Self {
            propagator: Propagator::new(features.grid, protocol),
            classes,
            stretched: protocol.normalize_labels.then(Vec::new),
            memory: Memory::new(
                protocol,
                KeyFrame {
                    sketch,
                    features,
                    labels,
                },
                long_term,
            ),
            basis,
        }
    }

    /// Returns the grid of the feature maps.
    pub fn grid(&self) -> Grid {
        self.propagator.grid()
    }

    /// Returns the soft labels (h*w, L) of frame 0, which are its prediction.
    pub fn first_labels(&self) -> &[f32] {
        &self.memory.first().labels
    }

    /// Returns the soft labels (h*w, L) of the next frame, which becomes a source for later frames.
    pub fn advance(&mut self, features: impl Into<Arc<PackedFeatures>>) -> &[f32] {
        let features = features.into();
        let sketch = self
            .basis
            .as_ref()
            .map(|basis| Arc::new(Sketch::of(&features, basis)));
        let query = Query {
            features: &features,
            sketch: sketch.as_deref(),
        };
        let sources: Vec<Source<'_>> = self.memory.sources().iter().map(KeyFrame::source).collect();
        let labels = self.propagator.average(query, &sources, self.classes);
        if let Some(newest) = &mut self.stretched {
            *newest = stretched(&labels, self.classes);
        }
        self.memory.push(KeyFrame {
            features,
            sketch,
            labels,
        });
        match &self.stretched {
            Some(newest) => newest,
            None => &self.memory.newest().labels,
        }
    }

    /// Returns `true` if upper bounds are computed before affinities.
    #[cfg(test)]
    pub(crate) fn is_bounded(&self) -> bool {
        self.basis.is_some()
    }
}

/// Subtracts the smallest label in every cell and scales the largest to 1.
///
/// If all labels of a cell are equal, they become 0.
pub(crate) fn stretched(labels: &[f32], classes: usize) -> Vec<f32> {
    let mut stretched = labels.to_vec();
    for cell in stretched.chunks_exact_mut(classes) {
        let lowest = cell.iter().copied().fold(f32::INFINITY, f32::min);
        let range = cell.iter().fold(0.0, |range: f32, v| range.max(v - lowest));
        for value in cell {
            *value = if range > 0.0 {
                (*value - lowest) / range
            } else {
                0.0
            };
        }
    }
    stretched
}
