//! Scores of the encoder while it is in training: `evals.jsonl`, the points of the learning-speed curves.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use cropmae_config::Experiment;
use cropmae_eval::{EvalOptions, Measure, benchmarks, evaluate};
use cropmae_model::{Encoder, FeatureExtractor, VitFeatures, parameters};
use cropmae_scenes::ScenesPaths;
use cropmae_train::{Cursor, Trainer};
use serde::{Deserialize, Serialize};

use super::{
    eval::{Planned, scenes_tasks, task_folder},
    overlays::Overlays,
    runs,
};
use crate::{args::video_folders, console::Console};

/// The file of all scores in a run folder.
const FILE: &str = "evals.jsonl";

/// One encoder on one task after one epoch; a line of the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Epochs done; 0 for the initial weights, where a curve starts.
    pub epoch: u64,
    /// Updates made.
    pub step: u64,
    /// `weights`, or `ema` for their moving average.
    pub weights: String,
    /// The name of the benchmark.
    pub task: String,
    /// Name of the task's main measure.
    pub measure: String,
    /// Its value as the task's evaluation gives it: J&F and mIoU as shares of 1, PCK in percent.
    pub value: Option<f64>,
    /// All measures of the task's table.
    pub scores: Vec<(String, Option<f64>)>,
    /// Sequences that could not be evaluated.
    pub failures: usize,
    /// Fingerprint of the videos.
    pub data_fingerprint: String,
}

/// The tasks that `eval.every_epochs` asks for: those of the folder `given`, else those that come with the
/// procedural data set.
pub fn planned(
    experiment: &Experiment,
    given: Option<&Path>,
    scenes: Option<&ScenesPaths>,
) -> Result<Vec<Planned>> {
    if experiment.eval.every_epochs.is_none() {
        ensure!(
            given.is_none(),
            "--eval-data does nothing by itself: say how often with --set eval.every_epochs=N"
        );
        return Ok(Vec::new());
    }
    let tasks = match (given, scenes) {
        (Some(folder), _) => benchmarks::VIDEO
            .map(|benchmark| Planned {
                benchmark,
                data: task_folder(folder, benchmark, true),
                protocol: benchmark.protocol(),
            })
            .into_iter()
            .filter(|planned| planned.data.is_dir())
            .collect(),
        (None, Some(scenes)) => scenes_tasks(scenes),
        (None, None) => Vec::new(),
    };
    ensure!(
        !tasks.is_empty(),
        "eval.every_epochs needs videos: give --eval-data DIR, where DIR holds at least one of {}",
        video_folders()
    );
    Ok(tasks)
}

/// All scores of the run in `dir`, in the order of the epochs.
pub fn read(dir: &Path) -> Result<Vec<Score>> {
    let path = dir.join(FILE);
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text =
        fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .map(|line| {
            serde_json::from_str(line)
                .with_context(|| format!("{}: not a score: {line}", path.display()))
        })
        .collect()
}

/// Evaluates the encoder as the config says.
pub struct Evaluations<'a> {
    experiment: &'a Experiment,
    tasks: Vec<Planned>,
    dir: PathBuf,
    scores: Vec<Score>,
    written: bool,
}

impl<'a> Evaluations<'a> {
    /// Evaluations of the run in `dir`, on `tasks`.
    pub fn new(experiment: &'a Experiment, tasks: Vec<Planned>, dir: &Path) -> Self {
        Self {
            experiment,
            tasks,
            dir: dir.to_owned(),
            scores: Vec::new(),
            written: false,
        }
    }

    /// Takes up the scores of earlier sessions. Those beyond `done` epochs are of updates that run again.
    pub fn resume(&mut self, done: u64) -> Result<()> {
        let mut scores = read(&self.dir)?;
        scores.retain(|score| score.epoch <= done);
        self.scores = scores;
        Ok(())
    }

    /// Whether an evaluation is due after `done` epochs and was not made yet.
    pub fn owed(&self, done: u64) -> bool {
        let epochs = self.experiment.train.epochs.into();
        let made = self.scores.iter().any(|score| score.epoch == done);
        !self.tasks.is_empty() && self.experiment.eval.is_due(done, epochs) && !made
    }

    /// Evaluates the weights of `trainer` at the end of an epoch, and their moving average where there is one.
    /// What cannot be evaluated is logged: hours of training are worth more than a point of a curve.
    pub fn run(&mut self, trainer: &Trainer, console: &Console) -> Result<()> {
        let Cursor {
            epoch: done, step, ..
        } = trainer.state().cursor;
        let model = &self.experiment.model;
        let mut found = Vec::new();
        for (name, vars) in [("weights", Some(trainer.weights())), ("ema", trainer.ema())] {
            let Some(vars) = vars else {
                continue;
            };
            let device = trainer.model().encoder().pos_embed().device();
            let encoder = Encoder::new(model, &parameters::frozen(vars, device))?;
            let encoder = VitFeatures::new(name, encoder);
            for planned in &self.tasks {
                match self.score((done, step), name, &encoder, planned, console) {
                    Ok(score) => found.push(score),
                    Err(error) => {
                        tracing::warn!(task = planned.benchmark.name(), "not evaluated: {error:#}");
                    }
                }
            }
        }
        let told: Vec<String> = found
            .iter()
            .map(|(score, main)| {
                let of = if score.weights == "ema" { " (ema)" } else { "" };
                format!("{} {} {:.1}{of}", score.task, main.name, main.in_percent())
            })
            .collect();
        console.say(format!("eval  {done:>4}  {}", told.join("  ")));
        self.scores
            .extend(found.into_iter().map(|(score, _)| score));
        let mut text = String::new();
        for score in &self.scores {
            text += &serde_json::to_string(score)?;
            text.push('\n');
        }
        self.written = true;
        runs::replace(&self.dir.join(FILE), text.as_bytes())
    }

    /// Removes the scores that this session has written: its run came to nothing.
    pub fn undo(&mut self) {
        if self.written {
            // What cannot be removed is replaced by the next session's.
            let _ = fs::remove_file(self.dir.join(FILE));
        }
    }

    fn score(
        &self,
        (epoch, step): (u64, u64),
        weights: &str,
        encoder: &dyn FeatureExtractor,
        planned: &Planned,
        console: &Console,
    ) -> Result<(Score, Measure)> {
        let options = EvalOptions {
            max_sequences: self.experiment.eval.max_sequences,
            ..EvalOptions::default()
        };
        let Planned {
            benchmark,
            data,
            protocol,
        } = planned;
        let label = format!("{} {weights}", benchmark.name());
        let mut observer = Overlays::new(&label, None, console);
        let report = evaluate(*benchmark, data, encoder, protocol, &options, &mut observer);
        observer.finish()?;
        let report = report?;
        let headline = report.scores.headline();
        let main = headline
            .first()
            .cloned()
            .context("a task without measures")?;
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
}
