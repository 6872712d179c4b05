//! A training run with intermediate scores and pictures, and with a page at the end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use cropmae_config::Experiment;
use cropmae_data::{Dataset, LoaderConfig, Pixels};
use cropmae_kernels::Backend;
use cropmae_train::{
    BatchSource, Cursor, DatasetSource, HookError, Observer, Outcome, Plan, PretrainOptions,
    RepeatFirstBatch, StepStats, Trainer, pretrain,
};

use crate::error::RunError;
use crate::page::write_page;
use crate::planned::PlannedEvaluation;
use crate::reconstructions::Reconstructions;
use crate::training_scores::TrainingScores;
use crate::watch::JobWatch;

/// The number of times that reconstructions are drawn in a run.
const PICTURES: u64 = 10;

/// The settings of a training run.
#[derive(Clone)]
pub struct Job<'a> {
    /// The experiment.
    pub experiment: &'a Experiment,
    /// The images or videos to train on.
    pub dataset: Arc<Dataset>,
    /// The training device.
    pub device: Device,
    /// The run folder.
    pub out: &'a Path,
    /// `true` to train only on the first batch, as a test. The loss must then fall to almost zero.
    pub overfit_one_batch: bool,
    /// The evaluations to run every `eval.every_epochs` epochs.
    pub evaluations: Vec<PlannedEvaluation>,
    /// The revision of the program, if known, to be recorded.
    pub git_revision: Option<String>,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The way in which the training ended.
    pub outcome: Outcome,
    /// The files that could not be used and were replaced by others.
    pub replaced: usize,
}

impl Job<'_> {
    /// Starts or continues the run in the run folder until it ends or `stop` is set, and then writes the page.
    ///
    /// # Errors
    /// Returns [`RunError::Train`] if training fails. The last intact checkpoint stays. Otherwise returns the errors of
    /// [`write_page`].
    pub fn run(
        &self,
        stop: &Arc<AtomicBool>,
        watch: &mut dyn JobWatch,
    ) -> Result<Finished, RunError> {
        let Self {
            experiment, out, ..
        } = *self;
        let on_disk = self.source()?;
        let repeated = RepeatFirstBatch(&on_disk);
        let source: &dyn BatchSource = if self.overfit_one_batch {
            &repeated
        } else {
            &on_disk
        };
        let options = PretrainOptions {
            run_dir: out.to_owned(),
            device: self.device.clone(),
            stop: Arc::clone(stop),
            git_revision: self.git_revision.clone(),
        };
        let mut companions = Companions {
            epochs: experiment.train.epochs.into(),
            reconstructions: Reconstructions::new(experiment, &self.dataset, &self.device, out),
            scores: TrainingScores::new(experiment, &self.evaluations, out),
            watch,
        };
        let outcome = pretrain(experiment, source, &options, &mut companions)?;
        write_page(experiment, out, &self.dataset.describe())?;
        Ok(Finished {
            outcome,
            replaced: on_disk.loader().bad_files().len(),
        })
    }

    /// Creates the source of batches, with one loader thread for each compute thread. Accelerators receive bytes.
    ///
    /// # Errors
    /// Returns [`RunError::Data`] if the data set is too small for a batch.
    pub fn source(&self) -> Result<DatasetSource, RunError> {
        let mut config = LoaderConfig::of(self.experiment, rayon::current_num_threads());
        if Backend::of(&self.device) != Backend::Cpu {
            config.pixels = Pixels::Bytes;
        }
        Ok(DatasetSource::new(Arc::clone(&self.dataset), config)?)
    }
}

/// The observer of a training run, which draws and scores when it is due and forwards all events to the watch.
struct Companions<'a> {
    epochs: u64,
    reconstructions: Reconstructions<'a>,
    scores: TrainingScores<'a>,
    watch: &'a mut dyn JobWatch,
}

impl Companions<'_> {
    /// Scores the encoder if a score is due and does not exist yet.
    fn evaluate(&mut self, trainer: &Trainer) -> Result<(), HookError> {
        let epochs = trainer.state().cursor.epoch;
        if self.scores.is_owed(epochs) {
            let found = self.scores.run(trainer, self.watch.evaluations())?;
            self.watch.scored(epochs, &found);
        }
        Ok(())
    }
}

impl Observer for Companions<'_> {
    fn on_start(&mut self, plan: &Plan, trainer: &Trainer) -> Result<(), HookError> {
        self.watch.on_start(plan, trainer)?;
        let Cursor { epoch, batch, .. } = trainer.state().cursor;
        self.scores.resume(epoch)?;
        if batch == 0 {
            // This is the start of the curve, or a session was killed after its checkpoint and before the scores.
            self.evaluate(trainer)?;
        }
        Ok(())
    }

    fn on_undo(&mut self) {
        self.scores.undo();
        self.watch.on_undo();
    }

    fn on_step(&mut self, stats: &StepStats) {
        self.watch.on_step(stats);
    }

    fn on_checkpoint(&mut self, path: &Path, at: Cursor) {
        self.watch.on_checkpoint(path, at);
    }

    fn on_epoch_end(&mut self, trainer: &Trainer) -> Result<(), HookError> {
        self.watch.on_epoch_end(trainer)?;
        let done = trainer.state().cursor.epoch;
        let spacing = self.epochs.div_ceil(PICTURES);
        if done.is_multiple_of(spacing) || done == self.epochs {
            self.reconstructions.draw(trainer.model(), done)?;
        }
        self.evaluate(trainer)
    }
}
