//! Reports the progress of evaluations and training runs.

use cropmae_eval::Measure;

use crate::score::Score;

/// Receives the start and the end of evaluations and, as an [`Observer`](cropmae_eval::Observer), sequences and frames.
///
/// All methods do nothing by default.
pub trait Watch: cropmae_eval::Observer {
    /// Called at the beginning of an evaluation. `label` contains the names of the benchmark and the encoder.
    fn evaluation_started(&mut self, label: &str) {
        let _ = label;
    }

    /// Called by encoding threads after `done` of `total` images of an evaluation on images.
    fn images_done(&self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// Called at the end of an evaluation, even if it failed.
    fn evaluation_finished(&mut self) {}
}

/// A watch that ignores all events.
impl Watch for () {}

/// Receives the events of a training run as an [`Observer`](cropmae_train::Observer), and those of its evaluations.
pub trait JobWatch: cropmae_train::Observer {
    /// Called after the encoder was scored after `epochs` epochs. Each score comes with its main measure.
    fn scored(&mut self, epochs: u64, scores: &[(Score, Measure)]) {
        let _ = (epochs, scores);
    }

    /// Returns the watch for the evaluation that runs now.
    fn evaluations(&mut self) -> &mut (dyn Watch + Sync);
}
