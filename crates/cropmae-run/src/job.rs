//! A training run with scores and pictures on the way and a page at the end.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;
use cropmae_config::Experiment;
use cropmae_data::{Dataset, LoaderConfig, Pixels};
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

/// Points of a run at which reconstructions are drawn.
const PICTURES: u64 = 10;

/// A training run, ready to start.
#[derive(Clone)]
pub struct Job<'a> {
    /// What to train.
    pub experiment: &'a Experiment,
    /// The images or videos to train on.
    pub dataset: Arc<Dataset>,
    /// Where tensors live.
    pub device: Device,
    /// The run folder.
    pub out: &'a Path,
    /// Train on the first batch again and again: the loss of a model that learns at all falls to almost nothing.
    pub overfit_one_batch: bool,
    /// What to evaluate on, as often as `eval.every_epochs` says.
    pub evaluations: Vec<PlannedEvaluation>,
    /// Revision of the program for the record, where known.
    pub git_revision: Option<String>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// How the training ended.
    pub outcome: Outcome,
    /// Files that could not be used and were replaced by others.
    pub replaced: usize,
}

impl Job<'_> {
    /// Trains until the end or until `stop` is raised, or continues the run in the run folder. Then writes the page.
    ///
    /// # Errors
    /// [`RunError::Train`] if training fails; the last good checkpoint stays in place. Otherwise as [`write_page`].
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

    /// The batches of the data set, loaded by as many threads as compute. Accelerators get bytes.
    ///
    /// # Errors
    /// [`RunError::Data`] if the data set gives no batch.
    pub fn source(&self) -> Result<DatasetSource, RunError> {
        let mut config = LoaderConfig::of(self.experiment, rayon::current_num_threads());
        if !self.device.is_cpu() {
            config.pixels = Pixels::Bytes;
        }
        Ok(DatasetSource::new(Arc::clone(&self.dataset), config)?)
    }
}

/// What goes along with a training run: it is told about the run, draws and scores when it is time, and passes on
/// everything to the watch.
struct Companions<'a> {
    epochs: u64,
    reconstructions: Reconstructions<'a>,
    scores: TrainingScores<'a>,
    watch: &'a mut dyn JobWatch,
}

impl Companions<'_> {
    /// Scores the encoder if that is due and was not done yet.
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
            // The start of the curve, or what a session owes that was killed between its checkpoint and the
            // scores.
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
