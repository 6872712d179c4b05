//! The output of a training run: a progress bar, and a line for each epoch and each evaluation.

use std::{
    io::{IsTerminal, stderr},
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use anyhow::Result;
use cropmae_config::Experiment;
use cropmae_eval::Measure;
use cropmae_run::{
    Finished, Job, JobWatch, Score, Watch as EvalWatch,
    units::{gib, spoken},
};
use cropmae_train::{
    Cursor, GroupSize, HookError, Observer, Outcome, Plan, StepStats, Trainer, peak_rss_bytes,
};
use indicatif::ProgressBar;

use crate::{console::Console, progress::EvalProgress};

/// The time between two lines of progress where no bar can be drawn, as in a log file.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Prints the progress of a run.
pub struct Watch<'a> {
    console: &'a Console,
    experiment: &'a Experiment,
    bar: ProgressBar,
    epochs: u64,
    evaluations: EvalProgress,
    epoch_losses: Vec<f64>,
    /// The training time of this session, in seconds.
    trained: f64,
    /// The part of it that was spent waiting for data.
    waited: f64,
    last: Option<StepStats>,
    /// The time of the last line of progress, or `None` in a terminal, where the bar is drawn.
    last_line: Option<Instant>,
}

impl<'a> Watch<'a> {
    /// Runs `job` and prints its progress on `console`.
    pub fn run(job: &Job<'a>, stop: &Arc<AtomicBool>, console: &'a Console) -> Result<Outcome> {
        let mut watch = Self::new(job.experiment, console);
        let finished = job.run(stop, &mut watch);
        watch.bar.finish_and_clear();
        let Finished { outcome, replaced } = finished?;
        if replaced > 0 {
            console.say(format!(
                "data    {replaced} unusable, replaced by others (named in the log)"
            ));
        }
        watch.say_end(&outcome);
        Ok(outcome)
    }

    fn new(experiment: &'a Experiment, console: &'a Console) -> Self {
        Self {
            console,
            experiment,
            bar: console.bar(0, "updates").with_prefix("training"),
            epochs: experiment.train.epochs.into(),
            evaluations: EvalProgress::new(console),
            epoch_losses: Vec::new(),
            trained: 0.0,
            waited: 0.0,
            last: None,
            last_line: (!stderr().is_terminal()).then(Instant::now),
        }
    }

    /// Prints a summary of the session.
    fn say_end(&self, outcome: &Outcome) {
        let (word, at) = match outcome {
            Outcome::Finished(at) => ("done", at),
            Outcome::Interrupted(at) => ("stopped", at),
        };
        let mut text = format!("{word:<8}update {}", at.step);
        if let Some(last) = &self.last {
            text += &format!(
                ", loss {:.4}, {} of training; waited for data {:.1} % of this session",
                last.loss,
                spoken(last.seconds),
                100.0 * self.waited / self.trained.max(1e-9)
            );
        }
        if let Some(bytes) = peak_rss_bytes() {
            text += &format!("; peak memory {}", gib(bytes));
        }
        self.console.say(text);
    }
}

impl Observer for Watch<'_> {
    fn on_start(&mut self, plan: &Plan, trainer: &Trainer) -> Result<(), HookError> {
        self.bar.set_length(plan.total_updates);
        let step = trainer.state().cursor.step;
        self.bar.set_position(step);
        self.bar.reset_eta();
        let (say, train) = (|text| self.console.say(text), &self.experiment.train);
        if step > 0 {
            say(format!(
                "resume  after update {step} of {}",
                plan.total_updates
            ));
        }
        say(format!(
            "train   {} updates of {} images, peak learning rate {:.2e}",
            plan.total_updates, plan.images_per_update, plan.peak_lr,
        ));
        let [decayed, not_decayed] = trainer.optimizer().group_sizes().map(counted);
        let decay = self.experiment.optim.weight_decay;
        say(format!(
            "groups  weight decay {decay} on {decayed}; none on {not_decayed}"
        ));
        if let Some(decay) = train.ema_decay {
            say(format!(
                "ema     moving average of the weights, decay {decay}"
            ));
        }
        Ok(())
    }

    fn on_step(&mut self, stats: &StepStats) {
        self.epoch_losses.push(stats.loss);
        let images = self.experiment.effective_batch() as f64;
        let seconds = images / stats.images_per_s.max(1e-9);
        self.trained += seconds;
        self.waited += seconds * stats.data_wait_share;
        self.last = Some(*stats);
        self.bar.set_position(stats.step);
        let told = format!(
            "loss {:.4}  lr {:.1e}  {:.0} images/s  waiting {:.0} %",
            stats.loss,
            stats.lr,
            stats.images_per_s,
            100.0 * stats.data_wait_share
        );
        if self.last_line.is_some_and(|it| it.elapsed() >= LINE_EVERY) {
            self.last_line = Some(Instant::now());
            let (total, left) = (self.bar.length().unwrap_or(0), self.bar.eta());
            let left = spoken(left.as_secs_f64());
            self.console.say(format!(
                "update {}/{total}  {told}  {left} left",
                stats.step
            ));
        }
        self.bar.set_message(told);
    }

    fn on_checkpoint(&mut self, path: &Path, at: Cursor) {
        tracing::debug!(path = %path.display(), step = at.step, "checkpoint written");
    }

    fn on_epoch_end(&mut self, trainer: &Trainer) -> Result<(), HookError> {
        let Cursor {
            epoch: done, step, ..
        } = trainer.state().cursor;
        let losses = std::mem::take(&mut self.epoch_losses);
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        self.console.say(format!(
            "epoch {done:>4}/{}  update {step:>6}  mean loss {mean:.4}",
            self.epochs
        ));
        Ok(())
    }
}

impl JobWatch for Watch<'_> {
    fn scored(&mut self, epochs: u64, scores: &[(Score, Measure)]) {
        let told: Vec<String> = scores
            .iter()
            .map(|(score, main)| {
                let of = if score.weights == "ema" { " (ema)" } else { "" };
                format!("{} {} {:.1}{of}", score.task, main.name, main.in_percent())
            })
            .collect();
        self.console
            .say(format!("eval  {epochs:>4}  {}", told.join("  ")));
    }

    fn evaluations(&mut self) -> &mut (dyn EvalWatch + Sync) {
        &mut self.evaluations
    }
}

/// Describes a group as `57 tensors (28.06 M values)`.
fn counted(group: GroupSize) -> String {
    format!(
        "{} tensors ({:.2} M values)",
        group.tensors,
        group.values as f64 / 1e6
    )
}
