//! Watches a run: the bar, a line per epoch, and pictures at ten points of it.

use std::path::Path;

use cropmae_config::Experiment;
use cropmae_train::{Cursor, EpochEnd, HookError, Observer, Plan, StepStats, Trainer};
use indicatif::ProgressBar;

use super::pictures::Pictures;
use crate::console::Console;

/// Points of a run at which reconstructions are drawn.
const PICTURES: u64 = 10;

/// The observer of a run in a terminal.
pub struct Watch<'a> {
    console: &'a Console,
    bar: ProgressBar,
    epochs: u64,
    pictures: Pictures<'a>,
    epoch_losses: Vec<f64>,
}

impl<'a> Watch<'a> {
    /// An observer that draws on `console` and through `pictures`.
    pub fn new(experiment: &Experiment, pictures: Pictures<'a>, console: &'a Console) -> Self {
        Self {
            console,
            bar: console.bar(0, "updates").with_prefix("training"),
            epochs: experiment.train.epochs.into(),
            pictures,
            epoch_losses: Vec::new(),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Watch<'_> {
    fn on_start(&mut self, plan: &Plan, trainer: &Trainer) -> Result<(), HookError> {
        let [decayed, not_decayed] = trainer.optimizer().group_sizes();
        self.bar.set_length(plan.total_updates);
        self.bar.set_position(plan.start.step);
        self.bar.reset_eta();
        if plan.start.step > 0 {
            self.console.say(format!(
                "resume  after update {} of {}",
                plan.start.step, plan.total_updates
            ));
        }
        self.console.say(format!(
            "train   {} updates of {} images, peak learning rate {:.2e}; weight decay on {} tensors, none on {}",
            plan.total_updates,
            plan.images_per_update,
            plan.peak_lr,
            decayed.tensors,
            not_decayed.tensors
        ));
        Ok(())
    }

    fn on_step(&mut self, stats: &StepStats) {
        self.epoch_losses.push(stats.loss);
        self.bar.set_position(stats.step);
        self.bar.set_message(format!(
            "loss {:.4}  lr {:.1e}  {:.0} images/s",
            stats.loss, stats.lr, stats.images_per_s
        ));
        if stats.step.is_multiple_of(50) {
            tracing::debug!(
                step = stats.step,
                data_wait_share = stats.data_wait_share,
                "waiting for data"
            );
        }
    }

    fn on_checkpoint(&mut self, path: &Path, at: Cursor) {
        tracing::debug!(path = %path.display(), step = at.step, "checkpoint written");
    }

    fn on_epoch_end(&mut self, end: &EpochEnd<'_>) -> Result<(), HookError> {
        let (done, losses) = (end.epoch + 1, std::mem::take(&mut self.epoch_losses));
        let mean = losses.iter().sum::<f64>() / losses.len() as f64;
        self.console.say(format!(
            "epoch {done:>4}/{}  update {:>6}  mean loss {mean:.4}",
            self.epochs, end.step
        ));
        let spacing = self.epochs.div_ceil(PICTURES);
        if done.is_multiple_of(spacing) || done == self.epochs {
            self.pictures.draw(end.model, done)?;
        }
        Ok(())
    }
}
