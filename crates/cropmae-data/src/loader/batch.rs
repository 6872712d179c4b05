//! One batch: which samples it holds, and how all workers fill it together.

use std::sync::atomic::{AtomicBool, Ordering};

use cropmae_config::Stream;
use rayon::prelude::*;

use super::Shared;
use crate::patchify::patchify;
use crate::{BadFile, Order, masks};

/// Samples as the model takes them.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Samples, B.
    pub size: usize,
    /// One buffer per view (1 or 2) of normalised patches, each `(B, N, P*P*3)`.
    pub views: Vec<Vec<f32>>,
    /// Patches of the masked (last) view in order of increasing mask noise, `(B, N)`.
    pub ids_shuffle: Vec<u32>,
    /// Position of the first sample in the epoch, over all processes.
    pub first_index: u64,
    /// Samples replaced because their file was unusable.
    pub bad_files: usize,
}

/// A batch with the unusable files met on the way, in the order of the samples.
pub(super) struct Built {
    pub(super) batch: Batch,
    pub(super) found: Vec<BadFile>,
    /// Whether every unusable file had a stand-in.
    pub(super) complete: bool,
}

/// One sample's part of the batch buffers.
struct Slot<'a> {
    views: Vec<&'a mut [f32]>,
    ids_shuffle: &'a mut [u32],
}

impl Shared {
    /// Builds batch `number` of `epoch`, its samples in parallel.
    pub(super) fn build(&self, epoch: u64, number: usize, stop: &AtomicBool) -> Built {
        let config = &self.config;
        let num_patches = config.num_patches();
        let values = config.image_size.pow(2) * 3;
        let first = (number * config.world_size + config.rank) * config.batch_size;
        let mut batch = Batch {
            size: config.batch_size,
            views: vec![vec![0.0; config.batch_size * values]; self.dataset.recipe().views.count()],
            ids_shuffle: vec![0; config.batch_size * num_patches],
            first_index: first as u64,
            bad_files: 0,
        };
        let mut slots: Vec<Slot> = batch
            .ids_shuffle
            .chunks_exact_mut(num_patches)
            .map(|ids_shuffle| Slot {
                views: Vec::new(),
                ids_shuffle,
            })
            .collect();
        for view in &mut batch.views {
            for (slot, patches) in slots.iter_mut().zip(view.chunks_exact_mut(values)) {
                slot.views.push(patches);
            }
        }
        let order = Order::new(config.seed, epoch, self.dataset.len());
        let outcomes: Vec<Outcome> = slots
            .into_par_iter()
            .enumerate()
            // Samples differ in cost by an order of magnitude: hand them out one by one.
            .with_max_len(1)
            .map(|(offset, slot)| {
                if stop.load(Ordering::Relaxed) {
                    return Outcome::default();
                }
                self.fill(epoch, order.index((first + offset) as u64), slot)
            })
            .collect();
        batch.bad_files = outcomes
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

    /// Fills a slot with sample `index`, or with the first usable stand-in.
    ///
    /// Whichever picture it is, its draws stay keyed by `index`: a stand-in that also has its own place
    /// in the epoch shows other crops there.
    fn fill(&self, epoch: u64, index: usize, slot: Slot) -> Outcome {
        let config = &self.config;
        let noise = masks::noise(config.seed, epoch, index as u64, config.num_patches());
        slot.ids_shuffle
            .copy_from_slice(&masks::ids_shuffle(&noise));

        let samples = self.dataset.len();
        let stand_ins = Order::of_replacements(config.seed, epoch, samples);
        let start = stand_ins.index(index as u64);
        let others = (start..start + samples).map(|position| stand_ins.index(position as u64));
        let mut found = Vec::new();
        for candidate in std::iter::once(index).chain(others.filter(|&other| other != index)) {
            let mut rng = config.seed.rng(Stream::Views, epoch, index as u64);
            match self.dataset.draw(candidate, &self.sampler, &mut rng) {
                Ok(views) => {
                    for (view, patches) in views.iter().zip(slot.views) {
                        patchify(&view.pixels, config.patch_size, view.flip, patches);
                    }
                    return Outcome {
                        found,
                        filled: true,
                    };
                }
                Err(bad) => found.push(bad),
            }
            // All different, so the verdict is already certain.
            if found.len() > self.allowed_bad_files {
                break;
            }
        }
        Outcome {
            found,
            filled: false,
        }
    }
}

/// How filling one slot went.
#[derive(Default)]
struct Outcome {
    found: Vec<BadFile>,
    filled: bool,
}
