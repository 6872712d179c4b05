//! The progress bar of an evaluation.

use cropmae_eval::{EvalError, FrameDone, Observer, SequenceInfo};
use cropmae_run::Watch;
use indicatif::ProgressBar;

use crate::console::Console;

/// Shows the progress of an evaluation.
pub struct EvalProgress {
    console: Console,
    label: String,
    bar: ProgressBar,
}

impl EvalProgress {
    /// Makes a hidden bar, which appears when an evaluation starts.
    pub fn new(console: &Console) -> Self {
        Self {
            console: console.clone(),
            label: String::new(),
            bar: ProgressBar::hidden(),
        }
    }

    /// Shows a new bar over items that are called `unit`.
    fn show(&mut self, unit: &str, prefix: String) {
        self.bar.finish_and_clear();
        self.bar = self.console.bar(0, unit).with_prefix(prefix);
    }
}

impl Observer for EvalProgress {
    fn sequence_started(&mut self, sequence: &SequenceInfo<'_>) {
        let (index, total) = (sequence.index + 1, sequence.sequences);
        let prefix = format!("{} {index}/{total} {}", self.label, sequence.name);
        self.show("frames", prefix);
    }

    fn frame_done(&mut self, frame: &FrameDone<'_>) {
        self.bar.set_length(frame.frames as u64);
        self.bar.set_position(frame.index as u64 + 1);
    }

    fn sequence_finished(&mut self, sequence: &str, outcome: Result<(), &EvalError>) {
        if let Err(error) = outcome {
            tracing::warn!("{}: {sequence} is not scored: {error}", self.label);
        }
    }
}

impl Watch for EvalProgress {
    fn evaluation_started(&mut self, label: &str) {
        label.clone_into(&mut self.label);
        self.show("images", label.to_owned());
    }

    fn images_done(&self, done: usize, total: usize) {
        self.bar.set_length(total as u64);
        self.bar.set_position(done as u64);
    }

    fn evaluation_finished(&mut self) {
        self.bar.finish_and_clear();
    }
}
