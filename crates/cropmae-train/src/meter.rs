//! Throughput, and how much of the time went into waiting for data.

use std::time::{Duration, Instant};

/// Counts from one report to the next.
pub(crate) struct Meter {
    before: f64,
    start: Instant,
    since: Instant,
    waited: Duration,
    images: usize,
}

/// What happened since the report before.
pub(crate) struct Rate {
    pub images_per_s: f64,
    pub data_wait_share: f64,
    pub seconds: f64,
}

impl Meter {
    /// Starts after `before` seconds of earlier sessions.
    pub(crate) fn start(before: f64) -> Self {
        let now = Instant::now();
        Self {
            before,
            start: now,
            since: now,
            waited: Duration::ZERO,
            images: 0,
        }
    }

    /// Runs `wait` and counts its time as waiting.
    pub(crate) fn waiting<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = wait();
        self.waited += start.elapsed();
        value
    }

    /// Counts `images` as done.
    pub(crate) fn count(&mut self, images: usize) {
        self.images += images;
    }

    /// Training time so far, all sessions together.
    pub(crate) fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    /// Reports and starts anew.
    pub(crate) fn read(&mut self) -> Rate {
        let elapsed = self.since.elapsed().as_secs_f64().max(1e-9);
        let reading = Rate {
            images_per_s: self.images as f64 / elapsed,
            data_wait_share: self.waited.as_secs_f64() / elapsed,
            seconds: self.seconds(),
        };
        *self = Self {
            before: self.before,
            start: self.start,
            ..Self::start(0.0)
        };
        reading
    }
}
