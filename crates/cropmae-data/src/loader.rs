//! Batches of patches, which a pool of threads builds ahead of the model.
//!
//! The randomness of each sample is keyed by (seed, epoch, sample), the order of an epoch is a keyed permutation, and
//! batches are delivered in order. The stream therefore does not depend on the number of workers, and an epoch can be
//! entered at any batch.
//!
//! For W processes of B samples each, batch b of an epoch covers the positions `[b * W * B, (b + 1) * W * B)` of the
//! permutation, and process r takes the r-th block of B. A last incomplete batch is dropped, as in the reference.
//!
//! With `data.repeated_sampling` = k, the permutation is over images. Each image is decoded once and fills k
//! consecutive places, each with its own random draws.
//!
//! **Unusable files.** A sample whose file cannot be read is replaced by the next usable one of a second keyed
//! permutation, so batches keep their size and runs can be repeated exactly. Each such file is reported once
//! (`tracing::warn`). If the number of different unusable files exceeds `data.max_bad_fraction` of all files, the epoch
//! ends with an error. In data sets of 20 or more files, one file is always tolerated, unless the fraction is 0.

mod batch;
mod epoch;
mod patches;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cropmae_config::{Experiment, Seed};

pub use batch::Batch;
pub use epoch::Epoch;
pub use patches::{Buffer, Patches, Pixels};

use patches::Memory;

use crate::stages::{StageClock, StageSeconds};
use crate::tolerance::{Known, Tolerance};
use crate::views::ViewSampler;
use crate::{BadFile, DataError, Dataset};

/// The settings of a [`Loader`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoaderConfig {
    /// The number of samples per batch of this process, B.
    pub batch_size: usize,
    /// The width and height of a view, in pixels.
    pub image_size: usize,
    /// The width and height of a patch, in pixels. It must divide `image_size`.
    pub patch_size: usize,
    /// The type of the pixels: bytes if another device normalizes them.
    pub pixels: Pixels,
    /// The seed of all randomness.
    pub seed: Seed,
    /// The number of batches that are built ahead of the model.
    pub prefetch_batches: usize,
    /// The number of threads that decode images and build batches.
    pub workers: usize,
    /// The number of this process, from 0.
    pub rank: usize,
    /// The number of processes that share every epoch.
    pub world_size: usize,
}

impl LoaderConfig {
    /// Returns the settings of an experiment, for one process with `workers` threads.
    pub fn of(experiment: &Experiment, workers: usize) -> Self {
        Self {
            batch_size: experiment.train.batch_size,
            image_size: experiment.model.image_size,
            patch_size: experiment.model.patch_size,
            pixels: Pixels::default(),
            seed: experiment.seed,
            prefetch_batches: experiment.data.prefetch_batches,
            workers,
            rank: 0,
            world_size: 1,
        }
    }

    /// Returns the number of patches of a view, N.
    pub fn num_patches(&self) -> usize {
        (self.image_size / self.patch_size).pow(2)
    }

    /// Returns the number of samples per batch of all processes together.
    fn global_batch(&self) -> usize {
        self.batch_size * self.world_size
    }

    fn validate(&self) -> Result<(), DataError> {
        let expect = |holds, field, found, expected: &str| {
            let expected = expected.to_owned();
            if holds {
                Ok(())
            } else {
                Err(DataError::Setting {
                    field,
                    found,
                    expected,
                })
            }
        };
        for (field, found) in [
            ("batch_size", self.batch_size),
            ("patch_size", self.patch_size),
            ("prefetch_batches", self.prefetch_batches),
            ("workers", self.workers),
            ("world_size", self.world_size),
        ] {
            expect(found > 0, field, found, "at least 1")?;
        }
        expect(
            self.rank < self.world_size,
            "rank",
            self.rank,
            "less than world_size",
        )?;
        expect(
            self.image_size > 0 && self.image_size.is_multiple_of(self.patch_size),
            "image_size",
            self.image_size,
            "a multiple of patch_size",
        )
    }
}

/// A loader, which delivers the batches of any epoch.
pub struct Loader {
    shared: Arc<Shared>,
    pool: Arc<rayon::ThreadPool>,
}

/// The state that a loader, its epochs and its workers share.
struct Shared {
    dataset: Arc<Dataset>,
    config: LoaderConfig,
    sampler: ViewSampler,
    bad_files: Mutex<Known>,
    tolerance: Tolerance,
    clock: StageClock,
    memory: Memory,
}

impl Loader {
    /// Creates a loader over `dataset` and starts its threads.
    ///
    /// # Errors
    /// Returns [`DataError::TooFewSamples`] if the samples do not fill one batch, [`DataError::Setting`] if a setting
    /// is out of range, [`DataError::Workers`] if the threads cannot be started, or [`DataError::TooManyBadFiles`] if
    /// too many unusable files were found when the samples were listed.
    pub fn new(dataset: Arc<Dataset>, config: LoaderConfig) -> Result<Self, DataError> {
        config.validate()?;
        let repeats = dataset.recipe().repeated_sampling;
        if !config.batch_size.is_multiple_of(repeats) {
            return Err(DataError::Setting {
                field: "batch_size",
                found: config.batch_size,
                expected: format!("a multiple of data.repeated_sampling = {repeats}"),
            });
        }
        if dataset.len() * repeats < config.global_batch() {
            return Err(DataError::TooFewSamples {
                count: dataset.len() * repeats,
                batch_size: config.batch_size,
                world_size: config.world_size,
            });
        }
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(config.workers)
            .thread_name(|index| format!("loader-{index}"))
            // Without a handler, a panic would end the process. The epoch notices the missing batch.
            .panic_handler(|_| tracing::error!("a loader thread panicked"))
            .build()
            .map_err(|error| DataError::Workers {
                workers: config.workers,
                message: error.to_string(),
            })?;
        let recipe = dataset.recipe();
        let tolerance = Tolerance::new(recipe.max_bad_fraction, dataset.file_count());
        let mut bad_files = Known::new();
        tolerance.tolerate(&mut bad_files, dataset.bad_files().iter().cloned())?;
        let values = config.batch_size * config.image_size.pow(2) * 3;
        // The batches ahead, one at the consumer, and one that the consumer is returning.
        let pieces = recipe.views.count() * (config.prefetch_batches + 2);
        let memory = Memory::new(config.pixels, values, pieces);
        let shared = Shared {
            sampler: ViewSampler::new(recipe, config.image_size as u32),
            tolerance,
            dataset,
            config,
            bad_files: Mutex::new(bad_files),
            clock: StageClock::default(),
            memory,
        };
        Ok(Self {
            shared: Arc::new(shared),
            pool: Arc::new(pool),
        })
    }

    /// Returns the number of full batches of an epoch, which is at least 1.
    pub fn batches_per_epoch(&self) -> usize {
        self.shared.batches_per_epoch()
    }

    /// Returns the batches of `epoch` in order, starting with `first_batch`.
    ///
    /// The iterator ends early after an error. Dropping it stops the work on batches that are not delivered yet.
    pub fn epoch(&self, epoch: u64, first_batch: usize) -> Epoch {
        Epoch::start(self.shared.clone(), self.pool.clone(), epoch, first_batch)
    }

    /// Returns the time that the workers have spent on each stage so far.
    pub fn stage_seconds(&self) -> StageSeconds {
        self.shared.clock.seconds()
    }

    /// Returns the unusable files found so far, sorted by path.
    pub fn bad_files(&self) -> Vec<BadFile> {
        let files = self
            .shared
            .bad_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let entry = |(path, reason): (&PathBuf, &String)| BadFile {
            path: path.clone(),
            reason: reason.clone(),
        };
        files.iter().map(entry).collect()
    }
}

impl Shared {
    fn batches_per_epoch(&self) -> usize {
        self.dataset.len() * self.repeats() / self.config.global_batch()
    }

    /// Returns the number of samples that are drawn from each image or video.
    fn repeats(&self) -> usize {
        self.dataset.recipe().repeated_sampling
    }

    /// Records unusable files, in the order of delivery, and returns an error if the run must not continue.
    fn report(&self, found: Vec<BadFile>, replaceable: bool) -> Result<(), DataError> {
        if found.is_empty() {
            return Ok(());
        }
        let mut known = self
            .bad_files
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.tolerance.tolerate(&mut known, found)?;
        if replaceable {
            Ok(())
        } else {
            Err(self.tolerance.refusal(&known))
        }
    }
}

#[cfg(test)]
mod tests;
