//! The learning rate of each update.
//!
//! The rate rises linearly during warm-up and then follows half a cosine (Loshchilov and Hutter, ICLR 2017, arXiv
//! 1608.03983, without restarts). It is evaluated per batch as in MAE (He et al., CVPR 2022, appendix A.1).
//!
//! [`Schedule::lr`] is a pure function of the position in the run, so a resumed run needs no state for it.
//!
//! By default the rate is set before the update that it belongs to. The CropMAE reference updates first and sets the
//! rate afterwards, so each update has the rate of the previous update, and the first one has the full peak rate.
//! `schedule.compat = true` reproduces that.

use cropmae_config::Experiment;

/// The learning rate of every update of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    peak_lr: f64,
    min_lr: f64,
    /// The end of warm-up, in epochs.
    warmup: f64,
    /// The end of the half cosine, in epochs.
    end: f64,
    batches_per_epoch: usize,
    accum_iter: usize,
    compat: bool,
}

impl Schedule {
    /// Creates the schedule of `experiment` on a source of `batches_per_epoch` batches.
    pub fn new(experiment: &Experiment, batches_per_epoch: usize) -> Self {
        let config = &experiment.schedule;
        let accum_iter = experiment.train.accum_iter;
        let in_epochs = |epochs: Option<f64>, steps: Option<u64>| {
            epochs.or(steps.map(|steps| position(steps, batches_per_epoch, accum_iter)))
        };
        Self {
            peak_lr: experiment.optim.peak_lr(experiment.effective_batch()),
            min_lr: config.min_lr,
            warmup: in_epochs(config.warmup_epochs, config.warmup_steps).unwrap_or(0.0),
            end: in_epochs(config.decay_epochs, config.decay_steps)
                .unwrap_or_else(|| experiment.train.epochs.into()),
            batches_per_epoch,
            accum_iter,
            compat: config.compat,
        }
    }

    /// Returns the rate at the end of warm-up.
    pub fn peak_lr(&self) -> f64 {
        self.peak_lr
    }

    /// Returns the rate after `epoch` epochs, where a fraction is a position inside an epoch.
    pub fn at(&self, epoch: f64) -> f64 {
        if epoch < self.warmup {
            return self.peak_lr * epoch / self.warmup;
        }
        if epoch >= self.end {
            return self.min_lr;
        }
        let progress = (epoch - self.warmup) / (self.end - self.warmup);
        self.min_lr
            + (self.peak_lr - self.min_lr) * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos())
    }

    /// Returns the rate after the batch with index `batch` in `epoch` (both from 0).
    fn after_batch(&self, epoch: u64, batch: usize) -> f64 {
        self.at(epoch as f64 + batch as f64 / self.batches_per_epoch as f64)
    }

    /// Returns the rate of the update whose last batch has the index `last_batch` (from 0) in `epoch` (from 0).
    pub fn lr(&self, epoch: u64, last_batch: usize) -> f64 {
        let accum = self.accum_iter;
        if !self.compat {
            return self.after_batch(epoch, (last_batch + 1).saturating_sub(accum));
        }
        // The reference starts to count batches again in each epoch. The previous update was `accum` batches
        // earlier or, before the first update of an epoch, after the last full group of the previous epoch.
        match (last_batch.checked_sub(accum), epoch.checked_sub(1)) {
            (Some(before), _) => self.after_batch(epoch, before),
            (None, Some(epoch)) => {
                let full = self.batches_per_epoch - self.batches_per_epoch % accum;
                self.after_batch(epoch, full.saturating_sub(1))
            }
            (None, None) => self.peak_lr,
        }
    }
}

/// Returns the position where update `step` (from 0) starts, in epochs.
///
/// It is not proportional to `step` if an epoch ends with batches that are too few for an update.
fn position(step: u64, batches_per_epoch: usize, accum_iter: usize) -> f64 {
    let updates = (batches_per_epoch / accum_iter).max(1) as u64;
    let batch = step % updates * accum_iter as u64;
    (step / updates) as f64 + batch as f64 / batches_per_epoch as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(accum_iter: usize, compat: bool) -> Schedule {
        Schedule {
            peak_lr: 1e-3,
            min_lr: 1e-5,
            warmup: 1.5,
            end: 6.0,
            batches_per_epoch: 7,
            accum_iter,
            compat,
        }
    }

    #[test]
    fn the_default_order_starts_at_zero_and_never_exceeds_the_peak() {
        let schedule = schedule(2, false);
        assert_eq!(schedule.lr(0, 1), 0.0);
        assert_eq!(schedule.lr(0, 3), schedule.at(2.0 / 7.0));
        let rates: Vec<f64> = (0..6)
            .flat_map(|epoch| [1, 3, 5].map(|batch| schedule.lr(epoch, batch)))
            .collect();
        let top = rates.iter().copied().fold(0.0, f64::max);
        assert!(top <= 1e-3 && top > 0.9e-3, "{top}");
        assert!(rates.last().is_some_and(|&last| last > 1e-5 && last < 1e-4));
    }

    #[test]
    fn the_reference_order_lags_by_one_update_and_starts_at_the_peak() {
        let (lagging, direct) = (schedule(2, true), schedule(2, false));
        assert_eq!(lagging.lr(0, 1), direct.peak_lr());
        assert_eq!(lagging.lr(0, 3), direct.at(1.0 / 7.0));
        assert_eq!(lagging.lr(1, 1), direct.at(5.0 / 7.0));
    }

    #[test]
    fn warm_up_may_be_absent_or_never_end() {
        let none = Schedule {
            warmup: 0.0,
            ..schedule(1, false)
        };
        assert_eq!(none.lr(0, 0), 1e-3);
        let long = Schedule {
            warmup: 9.0,
            ..schedule(1, false)
        };
        assert!(long.lr(5, 6) < 1e-3 && long.lr(5, 6).is_finite());
    }

    #[test]
    fn lengths_in_steps_are_those_in_epochs() {
        let overrides = |keys: &[&str]| -> Vec<String> {
            let base = ["train.accum_iter=2", "train.epochs=6"];
            base.iter()
                .chain(keys)
                .map(|key| (*key).to_owned())
                .collect()
        };
        let mut experiment = Experiment::demo(&overrides(&[])).unwrap();
        experiment.schedule.warmup_epochs = None;
        // Seven batches make three updates per epoch, and one batch is left over.
        let of = |warmup: Option<u64>, decay: Option<u64>| {
            let mut experiment = experiment.clone();
            experiment.schedule.warmup_steps = warmup;
            experiment.schedule.decay_steps = decay;
            Schedule::new(&experiment, 7)
        };
        let schedule = of(Some(3), Some(12));
        assert_eq!((schedule.warmup, schedule.end), (1.0, 4.0));
        assert_eq!(schedule.lr(1, 1), schedule.peak_lr());
        // From the twelfth update on, the rate is the minimum.
        assert!(schedule.lr(3, 5) > schedule.min_lr);
        for (epoch, batch) in [(4, 1), (4, 3), (5, 5)] {
            assert_eq!(schedule.lr(epoch, batch), schedule.min_lr);
        }
        let schedule = of(Some(4), None);
        assert_eq!((schedule.warmup, schedule.end), (1.0 + 2.0 / 7.0, 6.0));
        assert_eq!(schedule.lr(1, 3), schedule.peak_lr());
    }
}
