//! The propagation through one video, with its long-term frames, its recent frames and their soft labels.

use std::collections::VecDeque;
use std::sync::Arc;

use cropmae_config::Protocol;

use super::sketch::{Basis, Sketch};
use super::{Grid, PackedFeatures, Propagator, Query, Source};

/// A frame with its soft labels (h*w, L).
#[derive(Debug)]
struct KeyFrame {
    features: Arc<PackedFeatures>,
    /// The sketch, if upper bounds are used in this video.
    sketch: Option<Sketch>,
    labels: Vec<f32>,
}

impl KeyFrame {
    fn source<'a>(
        &'a self,
        labels: &'a [f32],
        unrestricted: usize,
        restricted: usize,
    ) -> Source<'a> {
        Source {
            sketch: self.sketch.as_ref(),
            ..Source::new(&self.features, labels, unrestricted, restricted)
        }
    }
}

/// A long-term source other than frame 0.
#[derive(Debug)]
struct LongTerm {
    /// The frame.
    frame: usize,
    /// The labeled frame, once the propagation has reached it.
    kept: Option<Arc<KeyFrame>>,
}

/// The propagation of labels through a video, frame by frame.
///
/// It keeps frame 0, the `context_frames` frames before the current one, and the long-term frames. The reference puts
/// copies of frame 0 in front of the video. Here, frame 0 is counted as often as its copies are in the context. At frame
/// t it counts `max(0, context_frames + 1 - t)` times within the radius, and without a radius once for every long-term
/// frame that is frame 0 or not in use yet.
#[derive(Debug)]
pub struct VideoPropagation {
    propagator: Propagator,
    /// The basis for the sketches of all frames, fitted to frame 0.
    basis: Option<Basis>,
    classes: usize,
    context: usize,
    first: KeyFrame,
    /// The number of entries of the long-term list that are frame 0.
    first_kept: usize,
    long_term: Vec<LongTerm>,
    /// The recent frames, oldest first, without frame 0. There are at most `context`.
    recent: VecDeque<Arc<KeyFrame>>,
    /// The number of the next frame.
    next: usize,
    /// The soft labels that the caller receives for the newest frame, and of frame 0 as a long-term source, if they
    /// differ from those that are propagated because they are stretched to 0..1.
    stretched: Option<Stretched>,
}

#[derive(Debug)]
struct Stretched {
    first: Vec<f32>,
    newest: Vec<f32>,
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
        let long_term = protocol.long_term_frames.iter();
        let basis = Basis::of(&features);
        Self {
            propagator: Propagator::new(features.grid, protocol),
            classes,
            context: protocol.context_frames,
            first_kept: long_term.clone().filter(|&&entry| entry == 0).count(),
            long_term: long_term
                .filter(|&&entry| entry > 0)
                .map(|&entry| LongTerm {
                    frame: entry + 1,
                    kept: None,
                })
                .collect(),
            recent: VecDeque::with_capacity(protocol.context_frames.max(1)),
            next: 1,
            stretched: protocol.normalize_labels.then(|| Stretched {
                first: stretched(&labels, classes),
                newest: Vec::new(),
            }),
            first: KeyFrame {
                sketch: basis.as_ref().map(|basis| Sketch::of(&features, basis)),
                features,
                labels,
            },
            basis,
        }
    }

    /// Returns the grid of the feature maps.
    pub fn grid(&self) -> Grid {
        self.propagator.grid()
    }

    /// Returns the soft labels (h*w, L) of frame 0, which are its prediction.
    pub fn first_labels(&self) -> &[f32] {
        match &self.stretched {
            Some(stretched) => &stretched.first,
            None => &self.first.labels,
        }
    }

    /// Returns the soft labels (h*w, L) of the next frame, which becomes a source for later frames.
    pub fn advance(&mut self, features: impl Into<Arc<PackedFeatures>>) -> &[f32] {
        let features = features.into();
        let sketch = self
            .basis
            .as_ref()
            .map(|basis| Sketch::of(&features, basis));
        let query = Query {
            features: &features,
            sketch: sketch.as_ref(),
        };
        let labels = self
            .propagator
            .average(query, &self.sources(), self.classes);
        if let Some(stretched) = &mut self.stretched {
            stretched.newest = self::stretched(&labels, self.classes);
        }
        let frame = Arc::new(KeyFrame {
            features,
            sketch,
            labels,
        });
        for long_term in &mut self.long_term {
            if long_term.frame == self.next {
                long_term.kept = Some(Arc::clone(&frame));
            }
        }
        if self.recent.len() >= self.context {
            self.recent.pop_front();
        }
        self.recent.push_back(frame);
        self.next += 1;
        match (&self.stretched, self.recent.back()) {
            (Some(stretched), _) => &stretched.newest,
            (None, Some(frame)) => &frame.labels,
            (None, None) => &[],
        }
    }

    /// Returns `true` if upper bounds are computed before affinities.
    #[cfg(test)]
    pub(crate) fn is_bounded(&self) -> bool {
        self.basis.is_some()
    }

    /// Returns the sources of the next frame.
    fn sources(&self) -> Vec<Source<'_>> {
        let in_use = |long_term: &&LongTerm| self.next >= long_term.frame + self.context;
        let waiting = self.long_term.len() - self.long_term.iter().filter(in_use).count();
        let mut sources = Vec::with_capacity(2 + self.long_term.len() + self.recent.len());
        // The newest frames come first. They are the most similar, and a high k-th best early saves work.
        let recent = self.recent.iter().rev().take(self.context);
        sources.extend(recent.map(|frame| frame.source(&frame.labels, 0, 1)));
        let kept = self.long_term.iter().filter(in_use);
        let kept = kept.filter_map(|long_term| long_term.kept.as_deref());
        sources.extend(kept.map(|frame| frame.source(&frame.labels, 1, 0)));
        let unrestricted = self.first_kept + waiting;
        let copies = self.context.saturating_sub(self.recent.len());
        match &self.stretched {
            None => sources.push(self.first.source(&self.first.labels, unrestricted, copies)),
            Some(stretched) => {
                // As in the reference, only the long-term copy is stretched in place.
                sources.push(self.first.source(&stretched.first, unrestricted, 0));
                sources.push(self.first.source(&self.first.labels, 0, copies));
            }
        }
        sources.retain(|source| source.unrestricted + source.restricted > 0);
        sources
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
