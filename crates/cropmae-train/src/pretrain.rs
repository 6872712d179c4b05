//! The training loop: the same for CropMAE, SiamMAE and MAE, which differ by the views that the source
//! gives and by the model's decoder.
//!
//! A run lives in its folder. The same call on the same folder continues where the last checkpoint stands,
//! in the middle of an epoch or of an update, with the very losses and weights of an uninterrupted run.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use cropmae_config::Experiment;
use cropmae_model::tensor_file;

use crate::batch_tensors::BatchTensors;
use crate::meter::Meter;
use crate::trainer::{Effect, Fault};
use crate::{
    BatchSource, Checkpoint, Cursor, EpochEnd, Observer, Plan, Progress, RunFolder, StepStats,
    TrainError, Trainer, checkpoint,
};

/// How a run is carried out; nothing here changes its result.
#[derive(Debug, Clone)]
pub struct PretrainOptions {
    /// The run folder.
    pub run_dir: PathBuf,
    /// Where tensors live.
    pub device: Device,
    /// Raised from outside (Ctrl-C) to stop after the batch in hand, with a checkpoint.
    pub stop: Arc<AtomicBool>,
    /// Revision of the program for the record, where known.
    pub git_revision: Option<String>,
}

/// How a run ended. Either way its checkpoint holds everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All updates are made.
    Finished(Cursor),
    /// The stop flag was raised; the same call continues.
    Interrupted(Cursor),
}

/// Trains `experiment` on `source`, or continues the run in the run folder.
///
/// # Errors
/// [`TrainError`]; the last good checkpoint stays in place whatever happens. A run that fails before its
/// first update leaves nothing behind.
pub fn pretrain(
    experiment: &Experiment,
    source: &dyn BatchSource,
    options: &PretrainOptions,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let data = source.fingerprint();
    let progress = Progress::new(experiment, &data, options.git_revision.clone());
    let (mut run, resumed) = RunFolder::open(&options.run_dir, experiment, &data, &options.device)?;
    let outcome = train(
        experiment, source, options, progress, resumed, &mut run, observer,
    );
    if outcome.is_err() && !run.has_begun() {
        observer.on_undo();
        run.undo();
    }
    outcome
}

/// Trains in the folder `run`, from `resumed` on.
fn train(
    experiment: &Experiment,
    source: &dyn BatchSource,
    options: &PretrainOptions,
    mut progress: Progress,
    resumed: Option<Checkpoint>,
    run: &mut RunFolder,
    observer: &mut dyn Observer,
) -> Result<Outcome, TrainError> {
    let device = &options.device;
    let mut plan = Plan::new(experiment, source.batches_per_epoch())?;
    let mut trainer = match resumed {
        None => Trainer::new(experiment, plan.batches_per_epoch, device)?,
        Some(checkpoint) => {
            progress.resume(&checkpoint.progress);
            Trainer::resume(experiment, plan.batches_per_epoch, checkpoint, device)?
        }
    };
    if progress.cursor != Cursor::default() {
        // A session that was killed may have got no further than the checkpoint itself.
        checkpoint::publish(run.path(), &progress)?;
    }
    run.start_session(&progress, device)?;
    plan.start = progress.cursor;
    let epoch = progress.cursor.epoch;
    observer
        .on_start(&plan, &trainer)
        .map_err(|source| TrainError::EpochHook { epoch, source })?;

    let mut meter = Meter::start(progress.seconds);
    let mut saved_at = meter.seconds();
    let max_steps = experiment.train.max_steps.unwrap_or(u64::MAX);
    let log_every = experiment.train.log_every_steps;
    let every_seconds = 60.0 * experiment.checkpoint.every_minutes;
    let mut at = progress.cursor;
    while at.epoch < plan.epochs && at.step < max_steps {
        let mut batches = source.epoch(at.epoch, at.batch);
        while at.batch < plan.batches_used && at.step < max_steps {
            let stopping = options.stop.load(Ordering::Relaxed);
            let batch = meter
                .waiting(|| batches.next())
                .ok_or(TrainError::EpochCutShort {
                    epoch: at.epoch,
                    found: at.batch,
                    expected: plan.batches_per_epoch,
                })??;
            meter.count(batch.size);
            let batch = trainer.tensors(batch)?;

            // Reading the loss waits for the device, so only a CPU does it each time; and nothing
            // unchecked may get into a checkpoint.
            let step = at.step + 1;
            let logged = step.is_multiple_of(log_every);
            let last = stopping || at.batch + 1 == plan.batches_used || step >= max_steps;
            let read = device.is_cpu() || logged || last;
            let effect = trainer.micro_step(&batch, at, read)?.effect;
            at.batch += 1;
            match effect {
                Effect::Accumulated => {}
                Effect::Faulty(fault) => {
                    return Err(save_bad_batch(run, &batch, step, at, fault)?);
                }
                Effect::Updated(update) => {
                    run.begin();
                    at.step = step;
                    if let Some(read) = update.read {
                        let stats = StepStats::new(at, update.lr, read, &mut meter);
                        observer.on_step(&stats);
                        if logged {
                            run.log(&stats)?;
                        }
                    }
                }
            }
            if stopping {
                save_checkpoint(run, &trainer, &mut progress, at, &meter, observer)?;
                run.end_session(&progress)?;
                return Ok(Outcome::Interrupted(at));
            }
            let overdue = every_seconds > 0.0 && meter.seconds() - saved_at >= every_seconds;
            if read && overdue && at.batch < plan.batches_used {
                save_checkpoint(run, &trainer, &mut progress, at, &meter, observer)?;
                saved_at = meter.seconds();
            }
        }
        if at.batch == plan.batches_used {
            let epoch = at.epoch;
            at = Cursor {
                epoch: epoch + 1,
                batch: 0,
                ..at
            };
            let due = |every: u32| at.epoch.is_multiple_of(u64::from(every));
            let config = &experiment.checkpoint;
            let ends = at.epoch == plan.epochs || at.step >= max_steps;
            if due(config.every_epochs) || config.keep_every.is_some_and(due) || ends {
                save_checkpoint(run, &trainer, &mut progress, at, &meter, observer)?;
                saved_at = meter.seconds();
            }
            let seconds = meter.seconds();
            let (model, weights) = (trainer.model(), trainer.weights());
            observer
                .on_epoch_end(&EpochEnd {
                    epoch,
                    step: at.step,
                    model,
                    weights,
                    ema: trainer.ema(),
                })
                .map_err(|source| TrainError::EpochHook { epoch, source })?;
            // The caller's evaluations are not training time.
            meter = Meter::start(seconds);
        }
    }
    if progress.cursor != at {
        save_checkpoint(run, &trainer, &mut progress, at, &meter, observer)?;
    }
    run.end_session(&progress)?;
    Ok(Outcome::Finished(at))
}

/// Writes the state at `at` into the run folder.
fn save_checkpoint(
    run: &mut RunFolder,
    trainer: &Trainer,
    progress: &mut Progress,
    at: Cursor,
    meter: &Meter,
    observer: &mut dyn Observer,
) -> Result<(), TrainError> {
    progress.cursor = at;
    progress.seconds = meter.seconds();
    trainer.describe(progress);
    run.begin();
    // Lines of updates that the checkpoint holds are never written again.
    run.sync_log()?;
    checkpoint::save(run.path(), progress, &trainer.state())?;
    observer.on_checkpoint(&checkpoint::last_weights(run.path()), at);
    Ok(())
}

/// Keeps the batch behind `fault` for inspection and words the error.
fn save_bad_batch(
    run: &mut RunFolder,
    batch: &BatchTensors,
    step: u64,
    at: Cursor,
    fault: Fault,
) -> Result<TrainError, TrainError> {
    run.begin();
    let saved = run.bad_batch_path(step);
    let views = batch
        .views
        .iter()
        .enumerate()
        .map(|(i, view)| (format!("view{}", i + 1), view));
    let tensors = views.chain([("ids_shuffle".to_owned(), &batch.ids_shuffle)]);
    let about = format!(
        "{} {} at step {step}, epoch {}, batch {}",
        fault.what,
        fault.value,
        at.epoch,
        at.batch - 1
    );
    let entries = BTreeMap::from([("fault".to_owned(), about)]);
    tensor_file::write(&saved, tensors, &entries)?;
    let Fault { what, value } = fault;
    Ok(TrainError::NonFinite {
        what,
        value,
        step,
        epoch: at.epoch,
        saved,
    })
}
