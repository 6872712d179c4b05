//! One video's propagation: the long-term frames, the recent frames, and their soft labels.

use std::collections::VecDeque;
use std::sync::Arc;

use cropmae_config::Protocol;

use super::sketch::{Basis, Sketch};
use super::{Grid, PackedFeatures, Propagator, Query, Source};

/// A frame with its soft labels (h*w, L).
#[derive(Debug)]
struct KeyFrame {
    features: Arc<PackedFeatures>,
    /// Present if the video's affinities are bounded.
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
    /// Present once the video has come to it.
    kept: Option<Arc<KeyFrame>>,
}

/// Propagates labels through a video frame by frame.
///
/// It keeps frame 0, the `context_frames` frames before the current one and the long-term frames. The
/// reference puts copies of frame 0 in front of the video; here frame 0 is counted as often as its copies
/// are within the context: at frame t `max(0, context_frames + 1 - t)` times within the radius, and without
/// a radius once for every long-term frame that is frame 0 or not in use yet.
#[derive(Debug)]
pub struct VideoPropagation {
    propagator: Propagator,
    /// For sketches of all frames, fitted to frame 0.
    basis: Option<Basis>,
    classes: usize,
    context: usize,
    first: KeyFrame,
    /// Entries of the long-term list that are frame 0 itself.
    first_kept: usize,
    long_term: Vec<LongTerm>,
    /// Oldest first, at most `context`, without frame 0.
    recent: VecDeque<Arc<KeyFrame>>,
    /// The next frame.
    next: usize,
    /// What the caller sees of the newest frame, and of frame 0 as a long-term source, where that is not
    /// what propagates: stretched to 0..1.
    stretched: Option<Stretched>,
}

#[derive(Debug)]
struct Stretched {
    first: Vec<f32>,
    newest: Vec<f32>,
}

impl VideoPropagation {
    /// Starts with frame 0's features and soft labels (h*w, L), L = `classes`.
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
            stretched: protocol.normalise_labels.then(|| Stretched {
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

    /// Grid of the feature maps.
    pub fn grid(&self) -> Grid {
        self.propagator.grid()
    }

    /// Frame 0's soft labels (h*w, L): its own prediction.
    pub fn first_labels(&self) -> &[f32] {
        match &self.stretched {
            Some(stretched) => &stretched.first,
            None => &self.first.labels,
        }
    }

    /// Soft labels (h*w, L) of the next frame, which becomes a source for those after it.
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

    /// Whether affinities are bounded before they are computed.
    #[cfg(test)]
    pub(crate) fn is_bounded(&self) -> bool {
        self.basis.is_some()
    }

    /// What the next frame takes its labels from.
    fn sources(&self) -> Vec<Source<'_>> {
        let in_use = |long_term: &&LongTerm| self.next >= long_term.frame + self.context;
        let waiting = self.long_term.len() - self.long_term.iter().filter(in_use).count();
        let mut sources = Vec::with_capacity(2 + self.long_term.len() + self.recent.len());
        // Newest first: they are the most alike, and a high k-th best early saves work.
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
                // As in the reference, where only the long-term copy is stretched in place.
                sources.push(self.first.source(&stretched.first, unrestricted, 0));
                sources.push(self.first.source(&self.first.labels, 0, copies));
            }
        }
        sources.retain(|source| source.unrestricted + source.restricted > 0);
        sources
    }
}

/// In every cell the smallest label subtracted and the largest made 1; a cell whose labels are all equal
/// becomes 0.
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
