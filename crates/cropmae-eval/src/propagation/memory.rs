//! The frames of a video that are sources of the next one.

use std::collections::VecDeque;
use std::sync::Arc;

use cropmae_config::Protocol;

/// A frame of type `F` that is a source, and the number of times that it is listed.
#[derive(Debug)]
pub(super) struct Listed<'a, F> {
    pub frame: &'a F,
    /// Without a radius.
    pub unrestricted: usize,
    /// Within the radius.
    pub restricted: usize,
}

/// A long-term source other than frame 0.
#[derive(Debug)]
struct LongTerm<F> {
    /// The frame.
    frame: usize,
    /// The labeled frame, once the propagation has reached it.
    kept: Option<Arc<F>>,
}

/// Frame 0, the recent frames and the long-term frames of a video, with their features and labels.
///
/// The reference puts copies of frame 0 in front of the video. Here, frame 0 is counted as often as its copies are in
/// the context. At frame t it counts `max(0, context_frames + 1 - t)` times within the radius, and without a radius once
/// for every long-term frame that is frame 0 or not in use yet.
#[derive(Debug)]
pub(super) struct Memory<F> {
    context: usize,
    first: F,
    /// Frame 0 as a long-term source, if its labels differ from those of its copies.
    first_long_term: Option<F>,
    /// The number of entries of the long-term list that are frame 0.
    first_kept: usize,
    long_term: Vec<LongTerm<F>>,
    /// The recent frames, oldest first, without frame 0. There are at most `context`, but at least the newest.
    recent: VecDeque<Arc<F>>,
    /// The number of the next frame.
    next: usize,
}

impl<F> Memory<F> {
    /// Starts with frame 0, which as a long-term source is `first_long_term` if that is given.
    pub fn new(protocol: &Protocol, first: F, first_long_term: Option<F>) -> Self {
        let long_term = protocol.long_term_frames.iter();
        Self {
            context: protocol.context_frames,
            first,
            first_long_term,
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
        }
    }

    /// Returns frame 0 with the labels that are its prediction.
    pub fn first(&self) -> &F {
        self.first_long_term.as_ref().unwrap_or(&self.first)
    }

    /// Returns the newest frame.
    pub fn newest(&self) -> &F {
        self.recent.back().map_or(&self.first, Arc::as_ref)
    }

    /// Adds the next frame.
    pub fn push(&mut self, frame: F) {
        let frame = Arc::new(frame);
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
    }

    /// Returns the sources of the next frame.
    pub fn sources(&self) -> Vec<Listed<'_, F>> {
        let listed = |frame, unrestricted, restricted| Listed {
            frame,
            unrestricted,
            restricted,
        };
        let in_use = |long_term: &&LongTerm<F>| self.next >= long_term.frame + self.context;
        let waiting = self.long_term.len() - self.long_term.iter().filter(in_use).count();
        let mut sources = Vec::with_capacity(2 + self.long_term.len() + self.recent.len());
        // The newest frames come first. They are the most similar, and a high k-th best early saves work.
        let recent = self.recent.iter().rev().take(self.context);
        sources.extend(recent.map(|frame| listed(frame.as_ref(), 0, 1)));
        let kept = self.long_term.iter().filter(in_use);
        let kept = kept.filter_map(|long_term| long_term.kept.as_deref());
        sources.extend(kept.map(|frame| listed(frame, 1, 0)));
        let unrestricted = self.first_kept + waiting;
        let copies = self.context.saturating_sub(self.recent.len());
        match &self.first_long_term {
            None => sources.push(listed(&self.first, unrestricted, copies)),
            Some(long_term) => {
                sources.push(listed(long_term, unrestricted, 0));
                sources.push(listed(&self.first, 0, copies));
            }
        }
        sources.retain(|source| source.unrestricted + source.restricted > 0);
        sources
    }
}
