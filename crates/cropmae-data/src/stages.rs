//! The time that the workers spend on each stage.
//!
//! A sample costs five pairs of clock readings, less than a thousandth of the time to decode it, so the clock always
//! runs.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use serde::Serialize;

/// The seconds of work by stage, summed over all workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct StageSeconds {
    /// Reading bytes from the source.
    pub read: f64,
    /// Decoding bytes to pixels.
    pub decode: f64,
    /// Cropping and resizing, and augmenting if the recipe does.
    pub crop: f64,
    /// Normalizing into patches.
    pub patchify: f64,
    /// Drawing masks, allocating a batch and passing it to the consumer.
    pub hand_over: f64,
}

impl StageSeconds {
    /// Returns the names and the seconds of the stages, in the order of the work.
    pub fn named(&self) -> [(&'static str, f64); 5] {
        [
            ("read", self.read),
            ("decode", self.decode),
            ("crop and resize", self.crop),
            ("normalize, patchify", self.patchify),
            ("hand-over", self.hand_over),
        ]
    }

    /// Returns the seconds of all stages together.
    pub fn total(&self) -> f64 {
        self.named().iter().map(|(_, seconds)| seconds).sum()
    }
}

impl std::ops::Sub for StageSeconds {
    type Output = Self;

    /// Returns the seconds since an earlier reading.
    fn sub(self, earlier: Self) -> Self {
        Self {
            read: self.read - earlier.read,
            decode: self.decode - earlier.decode,
            crop: self.crop - earlier.crop,
            patchify: self.patchify - earlier.patchify,
            hand_over: self.hand_over - earlier.hand_over,
        }
    }
}

/// A stage in the work on a sample.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    Read,
    Decode,
    Crop,
    Patchify,
    HandOver,
}

/// A counter of nanoseconds by [`Stage`], shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct StageClock([AtomicU64; 5]);

impl StageClock {
    /// Runs `work` and adds its time to `stage`.
    pub(crate) fn time<T>(&self, stage: Stage, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = work();
        let nanos = start.elapsed().as_nanos() as u64;
        self.0[stage as usize].fetch_add(nanos, Ordering::Relaxed);
        value
    }

    pub(crate) fn seconds(&self) -> StageSeconds {
        let of = |stage: Stage| self.0[stage as usize].load(Ordering::Relaxed) as f64 * 1e-9;
        StageSeconds {
            read: of(Stage::Read),
            decode: of(Stage::Decode),
            crop: of(Stage::Crop),
            patchify: of(Stage::Patchify),
            hand_over: of(Stage::HandOver),
        }
    }
}
