//! Measures training time, throughput, and the share of the time spent waiting for data.

use std::time::Instant;

/// A stopwatch with one lap per batch, which sums up the laps since the last report.
pub(crate) struct Clock {
    lap: Instant,
    since_report: Sums,
}

#[derive(Default)]
struct Sums {
    seconds: f64,
    waited: f64,
    images: usize,
}

/// The throughput since the previous report.
pub(crate) struct Rate {
    pub images_per_s: f64,
    pub data_wait_share: f64,
}

impl Clock {
    /// Starts the first lap.
    pub(crate) fn start() -> Self {
        Self {
            lap: Instant::now(),
            since_report: Sums::default(),
        }
    }

    /// Restarts the lap, so that the time since it began does not count as training time.
    pub(crate) fn skip(&mut self) {
        self.lap = Instant::now();
    }

    /// Runs `wait` and counts its time as waiting.
    pub(crate) fn waiting<T>(&mut self, wait: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let value = wait();
        self.since_report.waited += start.elapsed().as_secs_f64();
        value
    }

    /// Ends the lap of a batch of `images` and returns its length in seconds.
    pub(crate) fn lap(&mut self, images: usize) -> f64 {
        let now = Instant::now();
        let seconds = (now - self.lap).as_secs_f64();
        self.lap = now;
        self.since_report.seconds += seconds;
        self.since_report.images += images;
        seconds
    }

    /// Reports on the laps since the previous report.
    pub(crate) fn report(&mut self) -> Rate {
        let sums = std::mem::take(&mut self.since_report);
        let seconds = sums.seconds.max(1e-9);
        Rate {
            images_per_s: sums.images as f64 / seconds,
            data_wait_share: sums.waited / seconds,
        }
    }
}
