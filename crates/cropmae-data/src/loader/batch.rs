//! The samples of one batch, and how all workers fill it together.

use std::sync::atomic::{AtomicBool, Ordering};

use cropmae_config::Stream;
use rayon::prelude::*;

use super::epoch::EpochPlan;
use super::patches::Place;
use super::{Patches, Shared};
use crate::stages::Stage;
use crate::{BadFile, masks};

/// A batch of samples for the model.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// The number of samples, B.
    pub size: usize,
    /// The patches of each view (1 or 2 views), each of shape `(B, N, P*P*3)`.
    pub views: Vec<Patches>,
    /// The patch indices of the masked (last) view in order of increasing mask noise, `(B, N)`.
    pub ids_shuffle: Vec<u32>,
    /// The position of the first sample in the epoch, counted over all processes.
    pub first_index: u64,
    /// The number of samples that were replaced because their file was unusable.
    pub bad_files: usize,
}

/// A batch with the unusable files that were found, in the order of the samples.
pub(super) struct Built {
    pub(super) batch: Batch,
    pub(super) found: Vec<BadFile>,
    /// Whether every unusable file could be replaced.
    pub(super) complete: bool,
}

/// The part of the batch buffers that belongs to one sample.
struct Slot<'a> {
    views: Vec<Place<'a>>,
    ids_shuffle: &'a mut [u32],
}

impl Shared {
    /// Builds batch `number` of an epoch in parallel, image by image.
    pub(super) fn build(&self, plan: &EpochPlan, number: usize, stop: &AtomicBool) -> Built {
        let config = &self.config;
        let num_patches = config.num_patches();
        let values = config.image_size.pow(2) * 3;
        let first = (number * config.world_size + config.rank) * config.batch_size;
        let mut batch = self.clock.time(Stage::HandOver, || Batch {
            size: config.batch_size,
            views: (0..self.dataset.recipe().views.count())
                .map(|_| self.memory.take())
                .collect(),
            ids_shuffle: vec![0; config.batch_size * num_patches],
            first_index: first as u64,
            bad_files: 0,
        });
        let mut slots: Vec<Slot> = batch
            .ids_shuffle
            .chunks_exact_mut(num_patches)
            .map(|ids_shuffle| Slot {
                views: Vec::new(),
                ids_shuffle,
            })
            .collect();
        for view in &mut batch.views {
            for (slot, place) in slots.iter_mut().zip(view.places(values)) {
                slot.views.push(place);
            }
        }
        let repeats = self.repeats();
        let outcomes: Vec<Outcome> = slots
            .par_chunks_exact_mut(repeats)
            .enumerate()
            // The cost of images differs by an order of magnitude, so they are distributed one by one.
            .with_max_len(1)
            .map(|(offset, slots)| {
                if stop.load(Ordering::Relaxed) {
                    return Outcome::default();
                }
                let position = first / repeats + offset;
                self.fill(plan, plan.order.index(position as u64), slots)
            })
            .collect();
        batch.bad_files = repeats
            * outcomes
                .iter()
                .filter(|outcome| !outcome.found.is_empty())
                .count();
        let complete = outcomes.iter().all(|outcome| outcome.filled);
        let found = outcomes
            .into_iter()
            .flat_map(|outcome| outcome.found)
            .collect();
        Built {
            batch,
            found,
            complete,
        }
    }

    /// Fills the slots of image (or video) `index` with itself or with the first usable replacement.
    ///
    /// The draws are always keyed by `index`, so a replacement that also has its own place in the epoch shows other
    /// crops there.
    fn fill(&self, plan: &EpochPlan, index: usize, slots: &mut [Slot]) -> Outcome {
        let (config, epoch) = (&self.config, plan.epoch);
        let samples = self.dataset.len();
        // Each draw of each image has its own counter. That of the first draw is the number of the image.
        let counter = |repeat: usize| (index + repeat * samples) as u64;
        self.clock.time(Stage::HandOver, || {
            for (repeat, slot) in slots.iter_mut().enumerate() {
                let noise = masks::noise(config.seed, epoch, counter(repeat), config.num_patches());
                slot.ids_shuffle
                    .copy_from_slice(&masks::ids_shuffle(&noise));
            }
        });
        let replacements = &plan.replacements;
        let start = replacements.index(index as u64);
        let others = (start..start + samples).map(|position| replacements.index(position as u64));
        let mut found = Vec::new();
        for candidate in std::iter::once(index).chain(others.filter(|&other| other != index)) {
            let mut rngs: Vec<_> = (0..slots.len())
                .map(|repeat| config.seed.rng(Stream::Views, epoch, counter(repeat)))
                .collect();
            match self
                .dataset
                .draw(candidate, &self.sampler, &mut rngs, &self.clock)
            {
                Ok(draws) => {
                    self.clock.time(Stage::Patchify, || {
                        for (views, slot) in draws.iter().zip(slots) {
                            for (view, place) in views.iter().zip(&mut slot.views) {
                                place.fill(view, config.patch_size);
                            }
                        }
                    });
                    return Outcome {
                        found,
                        filled: true,
                    };
                }
                Err(bad) => found.push(bad),
            }
            // The files are all different, so the limit is certainly exceeded.
            if found.len() > self.tolerance.allowed {
                break;
            }
        }
        Outcome {
            found,
            filled: false,
        }
    }
}

/// The result of filling the slots of one image.
#[derive(Default)]
struct Outcome {
    found: Vec<BadFile>,
    filled: bool,
}
