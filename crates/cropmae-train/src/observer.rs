//! What a run tells its caller while it goes on.

use std::path::Path;

use cropmae_config::Experiment;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::{Cursor, RunState, Step, TrainError, Trainer};

/// The size of a run, known before its first batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Epochs of the whole run.
    pub epochs: u64,
    /// Batches that the source gives per epoch.
    pub batches_per_epoch: usize,
    /// Batches used per epoch: those of an incomplete last update are left out, unless
    /// `schedule.compat` carries their gradients into the next epoch.
    pub batches_used: usize,
    /// Updates per epoch. With `schedule.compat` too, as the reference counts batches anew in each epoch.
    pub updates_per_epoch: u64,
    /// Updates of the whole run, `train.max_steps` respected.
    pub total_updates: u64,
    /// Images per update.
    pub images_per_update: usize,
    /// Learning rate at the end of warm-up.
    pub peak_lr: f64,
}

impl Plan {
    /// The plan of `experiment` on `batches_per_epoch` batches.
    ///
    /// # Errors
    /// [`TrainError::EpochTooShort`] when an epoch has not enough batches for one update.
    pub fn new(experiment: &Experiment, batches_per_epoch: usize) -> Result<Self, TrainError> {
        let train = &experiment.train;
        let updates_per_epoch = batches_per_epoch / train.accum_iter;
        if updates_per_epoch == 0 {
            return Err(TrainError::EpochTooShort {
                accum_iter: train.accum_iter,
                batches: batches_per_epoch,
                batch_size: train.batch_size,
            });
        }
        let epochs = u64::from(train.epochs);
        let updates_per_epoch = updates_per_epoch as u64;
        Ok(Self {
            epochs,
            batches_per_epoch,
            batches_used: if experiment.schedule.compat {
                batches_per_epoch
            } else {
                batches_per_epoch - batches_per_epoch % train.accum_iter
            },
            updates_per_epoch,
            total_updates: (epochs * updates_per_epoch).min(train.max_steps.unwrap_or(u64::MAX)),
            images_per_update: experiment.effective_batch(),
            peak_lr: experiment.optim.peak_lr(experiment.effective_batch()),
        })
    }
}

/// One update as it went; also one line of `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepStats {
    /// Updates made, this one included.
    pub step: u64,
    /// Epoch, from 0.
    pub epoch: u64,
    /// Mean loss over the batches of this update.
    pub loss: f64,
    /// Learning rate of this update.
    pub lr: f64,
    /// L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Images per second since the update reported before.
    pub images_per_s: f64,
    /// Share of that time spent waiting for images.
    pub data_wait_share: f64,
    /// Training time so far, all sessions together.
    pub seconds: f64,
}

impl StepStats {
    /// The update `done` that led to `state`; none where its loss was not read.
    pub(crate) fn new(state: &RunState, done: &Step, clock: &mut Clock) -> Option<Self> {
        let Step::Updated {
            mean_loss: Some(loss),
            grad_norm: Some(grad_norm),
            lr,
            ..
        } = *done
        else {
            return None;
        };
        let rate = clock.report();
        Some(Self {
            step: state.cursor.step,
            epoch: state.cursor.epoch,
            loss,
            lr,
            grad_norm,
            images_per_s: rate.images_per_s,
            data_wait_share: rate.data_wait_share,
            seconds: state.seconds,
        })
    }
}

/// An error of the caller's own.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// Whoever watches a run. Every method has a default that does nothing.
pub trait Observer {
    /// The run is about to start or to continue with `trainer`. A session that starts at the beginning of an
    /// epoch may follow one that was killed in [`Self::on_epoch_end`]: what that session owes is made up for
    /// here.
    ///
    /// # Errors
    /// Any error stops the run with [`TrainError::EpochHook`].
    fn on_start(&mut self, _plan: &Plan, _trainer: &Trainer) -> Result<(), HookError> {
        Ok(())
    }

    /// The run failed before its first update, and its folder is cleared: what [`Self::on_start`] wrote there
    /// has to go.
    fn on_undo(&mut self) {}

    /// An update was made and its loss read: every update on a CPU, the logged ones elsewhere, since
    /// reading waits for the device.
    fn on_step(&mut self, _stats: &StepStats) {}

    /// A checkpoint was written.
    fn on_checkpoint(&mut self, _path: &Path, _at: Cursor) {}

    /// An epoch ended; its checkpoint, if one was due, is written. The cursor of `trainer` stands at the
    /// beginning of the next epoch. Evaluations and pictures belong here.
    ///
    /// # Errors
    /// Any error stops the run with [`TrainError::EpochHook`].
    fn on_epoch_end(&mut self, _trainer: &Trainer) -> Result<(), HookError> {
        Ok(())
    }
}

/// Watches nothing.
impl Observer for () {}
