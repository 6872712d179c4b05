//! The training loop.
//!
//! CropMAE, SiamMAE and MAE share the loop. They differ in the views that the source returns and in the decoder of the
//! model.
//!
//! Each run has a folder. The same call with the same folder continues from the last checkpoint, even in the middle of
//! an epoch or of an update. Losses and weights are exactly those of an uninterrupted run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use cropmae_config::Experiment;

use crate::clock::Clock;
use crate::{
    BatchSource, BatchTensors, Checkpoint, Cursor, Observer, Plan, RunFolder, RunIdentity, Step,
    StepStats, TrainError, Trainer,
};

/// Options of a run that do not change its results.
#[derive(Debug, Clone)]
pub struct PretrainOptions {
    /// The run folder.
    pub run_dir: PathBuf,
    /// The training device.
    pub device: Device,
    /// A flag that the caller sets, for example on Ctrl-C, to stop the run after the current batch with a checkpoint.
    pub stop: Arc<AtomicBool>,
    /// The revision of the program, if known, to be recorded.
    pub git_revision: Option<String>,
}

/// The way in which a run ended. In both cases a checkpoint of its last state exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All updates were made.
    Finished(Cursor),
    /// The stop flag was set. The same call continues the run.
    Interrupted(Cursor),
}

/// Trains `experiment` on `source`, or continues the run in the run folder.
///
/// # Errors
/// Returns a [`TrainError`] if the run cannot start or continue. The last intact checkpoint always stays. A run that
/// fails before its first update leaves no files behind.
pub fn pretrain(
    experiment: &Experiment,
    source: &dyn BatchSource,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let revision = options.git_revision.clone();
    let identity = RunIdentity::new(experiment, source.fingerprint(), revision);
    let (mut run, resumed) = RunFolder::open(&options.run_dir, identity, &options.device)?;
    let outcome = train(experiment, source, options, resumed, &mut run, observer);
    if outcome.is_err() && !run.has_begun() {
        observer.on_undo();
        run.undo();
    }
    outcome
}

/// Trains in the folder `run`, starting from `resumed`.
fn train(
    experiment: &Experiment,
    source: &dyn BatchSource,
    options: &PretrainOptions,
    resumed: Option<Checkpoint>,
    run: &mut RunFolder,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let device = &options.device;
    let plan = Plan::new(experiment, source.batches_per_epoch())?;
    let mut trainer = match resumed {
        None => Trainer::new(experiment, plan.batches_per_epoch, device)?,
        Some(checkpoint) => {
            Trainer::resume(experiment, plan.batches_per_epoch, checkpoint, device)?
        }
    };
    run.start_session(trainer.state(), device)?;
    observer
        .on_start(&plan, &trainer)
        .map_err(|source| TrainError::EpochHook {
            epoch: trainer.state().cursor.epoch,
            source,
        })?;

    let (every, config) = (&experiment.checkpoint, &experiment.train);
    let max_steps = config.max_steps.unwrap_or(u64::MAX);
    let mut clock = Clock::start();
    loop {
        let Cursor { epoch, batch, step } = trainer.state().cursor;
        if epoch >= plan.epochs || step >= max_steps {
            break;
        }
        let mut batches = source.epoch(epoch, batch);
        loop {
            let at = trainer.state().cursor;
            if at.batch == plan.batches_used || at.step >= max_steps {
                break;
            }
            let stopping = options.stop.load(Ordering::Relaxed);
            let batch = clock
                .waiting(|| batches.next())
                .ok_or(TrainError::EpochCutShort {
                    epoch,
                    found: at.batch,
                    expected: plan.batches_per_epoch,
                })??;
            let images = batch.size;
            let batch = trainer.tensors(batch)?;

            // Reading the loss waits for the device, which a device that watches its numbers need not do for each batch.
            // A checkpoint is only written after a batch whose loss was read, so that no unchecked values get into it.
            let step = at.step + 1;
            let logged = step.is_multiple_of(config.log_every_steps);
            let last = stopping || at.batch + 1 == plan.batches_used || step >= max_steps;
            let read = !trainer.can_wait() || logged || last;
            let done = trainer.step(&batch, read)?;
            trainer.add_seconds(clock.lap(images));
            match done {
                Step::Accumulated { .. } => {}
                Step::NonFinite(fault) => {
                    let batch = if fault.at == at {
                        batch
                    } else {
                        batch_again(source, &mut trainer, fault.at)?
                    };
                    return Err(run.keep_bad_batch(&batch, &fault)?);
                }
                Step::Updated { .. } => {
                    run.begin();
                    if let Some(stats) = StepStats::new(trainer.state(), &done, &mut clock) {
                        observer.on_step(&stats);
                        if logged {
                            run.log(&stats)?;
                        }
                    }
                }
            }
            if stopping {
                save(run, &trainer, observer)?;
                run.end_session(trainer.state())?;
                return Ok(Outcome::Interrupted(trainer.state().cursor));
            }
            let unsaved = trainer.state().seconds - run.saved().seconds;
            let overdue = every.every_minutes > 0.0 && unsaved >= 60.0 * every.every_minutes;
            if read && overdue && at.batch + 1 < plan.batches_used {
                save(run, &trainer, observer)?;
            }
        }
        if trainer.state().cursor.batch == plan.batches_used {
            trainer.end_epoch();
            let at = trainer.state().cursor;
            let due = |epochs: u32| at.epoch.is_multiple_of(u64::from(epochs));
            let ends = at.epoch == plan.epochs || at.step >= max_steps;
            if due(every.every_epochs) || every.keep_every.is_some_and(due) || ends {
                save(run, &trainer, observer)?;
            }
            trainer.add_seconds(clock.lap(0));
            observer
                .on_epoch_end(&trainer)
                .map_err(|source| TrainError::EpochHook { epoch, source })?;
            // The work of the observer does not count as training time.
            clock.skip();
        }
    }
    if run.saved().cursor != trainer.state().cursor {
        save(run, &trainer, observer)?;
    }
    run.end_session(trainer.state())?;
    Ok(Outcome::Finished(trainer.state().cursor))
}

/// Reads the batch at `at` once more.
fn batch_again(
    source: &dyn BatchSource,
    trainer: &mut Trainer,
    at: Cursor,
) -> Result<BatchTensors, TrainError> {
    match source.epoch(at.epoch, at.batch).next() {
        Some(batch) => trainer.tensors(batch?),
        None => Err(TrainError::EpochCutShort {
            epoch: at.epoch,
            found: at.batch,
            expected: source.batches_per_epoch(),
        }),
    }
}

/// Writes a checkpoint and notifies `observer`.
fn save(
    run: &mut RunFolder,
    trainer: &Trainer,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    let path = run.save(trainer.state(), &trainer.contents())?;
    observer.on_checkpoint(&path, trainer.state().cursor);
    Ok(())
}
