//! Learning rate per update: linear warm-up, then half a cosine (Loshchilov and Hutter, ICLR 2017, arXiv
//! 1608.03983, without restarts), evaluated per batch as in MAE (He et al., CVPR 2022, appendix A.1).
//!
//! [`Schedule::lr`] is a pure function of the position in the run, so a resumed run needs no state for it.
//!
//! Two orders exist. By default the rate is set before the update it is meant for. The CropMAE reference
//! updates first and sets the rate afterwards, so each of its updates runs with the rate of the update
//! before and its very first one with the full peak: `schedule.compat = true` reproduces that.

use cropmae_config::Experiment;

/// The learning rate of every update of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    peak_lr: f64,
    min_lr: f64,
    /// End of warm-up, in epochs.
    warmup: f64,
    /// Where the half cosine ends, in epochs.
    end: f64,
    batches_per_epoch: usize,
    accum_iter: usize,
    compat: bool,
}

impl Schedule {
    /// The schedule of `experiment` on a data set of `batches_per_epoch` forward passes.
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

    /// The rate that warm-up rises to.
    pub fn peak_lr(&self) -> f64 {
        self.peak_lr
    }

    /// The rate after `epoch` epochs; fractions are positions inside an epoch.
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

    /// The rate after the batch of index `batch` in `epoch` (both from 0).
    fn after_batch(&self, epoch: u64, batch: usize) -> f64 {
        self.at(epoch as f64 + batch as f64 / self.batches_per_epoch as f64)
    }

    /// The rate of the update that follows the batch of index `last_batch` (from 0) of `epoch`, the last
    /// of its `accum_iter` batches.
    pub fn lr(&self, epoch: u64, last_batch: usize) -> f64 {
        let accum = self.accum_iter;
        if !self.compat {
            return self.after_batch(epoch, (last_batch + 1).saturating_sub(accum));
        }
        // The reference counts batches anew in each epoch: the update before this one came `accum`
        // batches earlier or, for the first of an epoch, after the last full group of the epoch before.
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

/// Where update `step` (from 0) starts, in epochs. The batches left over at an epoch's end, too few for an
/// update, are why this is not just a share.
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
        // Seven batches make three updates an epoch; one is left over.
        let of = |warmup: Option<u64>, decay: Option<u64>| {
            let mut experiment = experiment.clone();
            experiment.schedule.warmup_steps = warmup;
            experiment.schedule.decay_steps = decay;
            Schedule::new(&experiment, 7)
        };
        let schedule = of(Some(3), Some(12));
        assert_eq!((schedule.warmup, schedule.end), (1.0, 4.0));
        assert_eq!(schedule.lr(1, 1), schedule.peak_lr());
        // From the twelfth update on, the floor.
        assert!(schedule.lr(3, 5) > schedule.min_lr);
        for (epoch, batch) in [(4, 1), (4, 3), (5, 5)] {
            assert_eq!(schedule.lr(epoch, batch), schedule.min_lr);
        }
        let schedule = of(Some(4), None);
        assert_eq!((schedule.warmup, schedule.end), (1.0 + 2.0 / 7.0, 6.0));
        assert_eq!(schedule.lr(1, 3), schedule.peak_lr());
    }
}
