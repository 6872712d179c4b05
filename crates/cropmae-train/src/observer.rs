//! Reports the progress of a run to its caller.

use std::path::Path;

use cropmae_config::Experiment;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::{Cursor, RunState, Step, TrainError, Trainer};

/// The length of a run, known before its first batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// The number of epochs of the whole run.
    pub epochs: u64,
    /// The number of batches per epoch that the source returns.
    pub batches_per_epoch: usize,
    /// The number of batches per epoch that are used. Those of an incomplete last update are left out, unless
    /// `schedule.compat` carries their gradients into the next epoch.
    pub batches_used: usize,
    /// The number of updates per epoch. It does not depend on `schedule.compat`, because the reference starts to count
    /// batches again in each epoch.
    pub updates_per_epoch: u64,
    /// The number of updates of the whole run, limited by `train.max_steps`.
    pub total_updates: u64,
    /// The number of images per update.
    pub images_per_update: usize,
    /// The learning rate at the end of warm-up.
    pub peak_lr: f64,
}

impl Plan {
    /// Creates the plan of `experiment` on a source of `batches_per_epoch` batches.
    ///
    /// # Errors
    /// Returns [`TrainError::EpochTooShort`] if an epoch has too few batches for one update.
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

/// The measurements of one update, which are also one line of `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct StepStats {
    /// The number of updates made, including this one.
    pub step: u64,
    /// The epoch, from 0.
    pub epoch: u64,
    /// The mean loss over the batches of this update.
    pub loss: f64,
    /// The learning rate of this update.
    pub lr: f64,
    /// The L2 norm of the gradient, before clipping.
    pub grad_norm: f64,
    /// Images per second since the previous reported update.
    pub images_per_s: f64,
    /// The share of that time spent waiting for images, from 0 to 1.
    pub data_wait_share: f64,
    /// The training time of all sessions so far, in seconds.
    pub seconds: f64,
}

impl StepStats {
    /// Describes the update `done` that led to `state`, or returns `None` if its loss was not read.
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

/// An error that an [`Observer`] returns.
pub type HookError = Box<dyn std::error::Error + Send + Sync>;

/// Receives the events of a run. Every method does nothing by default.
pub trait Observer {
    /// Called before a run starts or continues with `trainer`.
    ///
    /// If the cursor is at the beginning of an epoch, the previous session may have been killed within
    /// [`Self::on_epoch_end`]. An observer can complete that work here.
    ///
    /// # Errors
    /// An error stops the run with [`TrainError::EpochHook`].
    fn on_start(&mut self, _plan: &Plan, _trainer: &Trainer) -> Result<(), HookError> {
        Ok(())
    }

    /// Called if the run failed before its first update, before its folder is cleared.
    ///
    /// An observer must remove the files that [`Self::on_start`] wrote into the folder.
    fn on_undo(&mut self) {}

    /// Called after an update whose loss was read.
    ///
    /// On a CPU this is every update. On other devices it is every logged update, because reading the loss waits for
    /// the device.
    fn on_step(&mut self, _stats: &StepStats) {}

    /// Called after a checkpoint was written. `path` is the file of its weights.
    fn on_checkpoint(&mut self, _path: &Path, _at: Cursor) {}

    /// Called at the end of an epoch, after its checkpoint was written if one was due.
    ///
    /// The cursor of `trainer` is at the beginning of the next epoch. This is the place for evaluations and pictures.
    ///
    /// # Errors
    /// An error stops the run with [`TrainError::EpochHook`].
    fn on_epoch_end(&mut self, _trainer: &Trainer) -> Result<(), HookError> {
        Ok(())
    }
}

/// An observer that ignores all events.
impl Observer for () {}
