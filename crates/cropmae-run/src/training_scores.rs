//! Scores the encoder during training. The file `evals.jsonl` contains the points of the curves over the epochs.

use std::fs;
use std::path::{Path, PathBuf};

use cropmae_config::Experiment;
use cropmae_eval::{EvalOptions, Measure, evaluate};
use cropmae_model::{Encoder, FeatureExtractor, VitFeatures, parameters};
use cropmae_train::{Cursor, Trainer};

use crate::error::RunError;
use crate::json_lines;
use crate::planned::PlannedEvaluation;
use crate::score::Score;
use crate::suite::label;
use crate::watch::Watch;

/// The file of all scores in a run folder.
const FILE: &str = "evals.jsonl";

/// The scores of the encoder of a run, which are computed as often as its config says and written to the log.
pub struct TrainingScores<'a> {
    experiment: &'a Experiment,
    evaluations: &'a [PlannedEvaluation],
    path: PathBuf,
    scores: Vec<Score>,
    written: bool,
}

impl<'a> TrainingScores<'a> {
    /// Creates the scores of the run in the folder `run`, which runs `evaluations` every `eval.every_epochs` epochs.
    #[must_use]
    pub fn new(
        experiment: &'a Experiment,
        evaluations: &'a [PlannedEvaluation],
        run: &Path,
    ) -> Self {
        Self {
            experiment,
            evaluations,
            path: run.join(FILE),
            scores: Vec::new(),
            written: false,
        }
    }

    /// Returns all scores of the run in the folder `run`, in the order of the epochs.
    ///
    /// # Errors
    /// Returns [`RunError::Io`] if the log cannot be read, and [`RunError::LogLine`] if a line is invalid.
    pub fn read(run: &Path) -> Result<Vec<Score>, RunError> {
        let path = run.join(FILE);
        if !path.exists() {
            return Ok(Vec::new());
        }
        json_lines::read(&path, "a score")
    }

    /// Reads the scores of earlier sessions.
    ///
    /// Scores after more than `epochs` epochs are dropped, because their updates run again.
    ///
    /// # Errors
    /// Returns the errors of [`Self::read`].
    pub fn resume(&mut self, epochs: u64) -> Result<(), RunError> {
        let run = self.path.parent().unwrap_or(Path::new(""));
        self.scores = Self::read(run)?;
        self.scores.retain(|score| score.epoch <= epochs);
        Ok(())
    }

    /// Returns `true` if an evaluation is due after `epochs` epochs and does not exist yet.
    #[must_use]
    pub fn is_owed(&self, epochs: u64) -> bool {
        let all = self.experiment.train.epochs.into();
        let made = self.scores.iter().any(|score| score.epoch == epochs);
        !self.evaluations.is_empty() && self.experiment.eval.is_due(epochs, all) && !made
    }

    /// Evaluates the weights of `trainer` at the end of an epoch, and their moving average if there is one.
    ///
    /// Returns each score with its main measure. A failed evaluation is only logged as a warning, so that the training
    /// continues.
    ///
    /// # Errors
    /// Returns [`RunError::Model`] if the encoder cannot be created, and [`RunError::Io`] if the log cannot be written.
    pub fn run(
        &mut self,
        trainer: &Trainer,
        watch: &mut dyn Watch,
    ) -> Result<Vec<(Score, Measure)>, RunError> {
        let Cursor { epoch, step, .. } = trainer.state().cursor;
        let device = trainer.model().encoder().pos_embed().device();
        let mut found = Vec::new();
        for (name, vars) in [("weights", Some(trainer.weights())), ("ema", trainer.ema())] {
            let Some(vars) = vars else {
                continue;
            };
            let encoder = Encoder::new(&self.experiment.model, &parameters::frozen(vars, device))?;
            let encoder = VitFeatures::new(name, encoder);
            for planned in self.evaluations {
                match self.score((epoch, step), name, &encoder, planned, watch) {
                    Ok(score) => found.push(score),
                    Err(error) => {
                        tracing::warn!(task = planned.benchmark.name(), "not evaluated: {error}");
                    }
                }
            }
        }
        self.scores
            .extend(found.iter().map(|(score, _)| score.clone()));
        self.write()?;
        Ok(found)
    }

    /// Removes the scores of this session, for a run that failed before its first update.
    pub fn undo(&mut self) {
        if self.written {
            // If the file cannot be removed, the next session replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Evaluates the encoder with one set of weights on one benchmark.
    fn score(
        &self,
        (epoch, step): (u64, u64),
        weights: &str,
        encoder: &dyn FeatureExtractor,
        planned: &PlannedEvaluation,
        watch: &mut dyn Watch,
    ) -> Result<(Score, Measure), RunError> {
        let options = EvalOptions {
            max_sequences: self.experiment.eval.max_sequences,
            ..EvalOptions::default()
        };
        watch.evaluation_started(&label(planned, weights));
        let report = evaluate(
            planned.benchmark,
            &planned.data,
            encoder,
            &planned.protocol,
            &options,
            watch,
        );
        watch.evaluation_finished();
        let report = report?;
        let headline = report.scores.headline();
        let main = headline.first().cloned();
        let main = main.ok_or(RunError::Incomplete("a benchmark has no measure"))?;
        let known = |value: f64| value.is_finite().then_some(value);
        let scores = headline.into_iter().map(|it| (it.name, known(it.value)));
        let score = Score {
            epoch,
            step,
            weights: weights.to_owned(),
            task: report.task,
            measure: main.name.clone(),
            value: known(main.value),
            scores: scores.collect(),
            failures: report.failures.len(),
            data_fingerprint: report.data_fingerprint,
        };
        Ok((score, main))
    }

    fn write(&mut self) -> Result<(), RunError> {
        let mut text = String::new();
        for score in &self.scores {
            text += &serde_json::to_string(score).map_err(RunError::json("a score"))?;
            text.push('\n');
        }
        self.written = true;
        cropmae_files::write(&self.path, text.as_bytes()).map_err(RunError::io("write", &self.path))
    }
}
