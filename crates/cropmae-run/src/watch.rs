//! What evaluations and training runs tell while they go on.

use cropmae_eval::Measure;

use crate::score::Score;

/// Is told about evaluations: which one begins and ends, and, as an [`Observer`](cropmae_eval::Observer), about the
/// sequences and frames in between. All methods do nothing unless they are implemented.
pub trait Watch: cropmae_eval::Observer {
    /// An evaluation begins; `label` names the benchmark and the encoder.
    fn evaluation_started(&mut self, label: &str) {
        let _ = label;
    }

    /// `done` of `total` images of an evaluation on images are encoded. Encoding threads call this.
    fn images_done(&self, done: usize, total: usize) {
        let _ = (done, total);
    }

    /// The evaluation has ended, whether it worked or not.
    fn evaluation_finished(&mut self) {}
}

/// A watch that ignores everything.
impl Watch for () {}

/// Is told about a training run: as an [`Observer`](cropmae_train::Observer) about its updates and epochs, and about
/// the evaluations on the way.
pub trait JobWatch: cropmae_train::Observer {
    /// The encoder was scored after `epochs` epochs. Each score comes with the main measure that it holds.
    fn scored(&mut self, epochs: u64, scores: &[(Score, Measure)]) {
        let _ = (epochs, scores);
    }

    /// Is told about the evaluation that runs now.
    fn evaluations(&mut self) -> &mut (dyn Watch + Sync);
}
