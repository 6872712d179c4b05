//! Where a run stands, and what it is a run of.

use cropmae_config::Experiment;
use serde::{Deserialize, Serialize};

/// The next batch of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Updates made.
    pub step: u64,
    /// Epoch of the next batch, from 0.
    pub epoch: u64,
    /// Index of the next batch in its epoch, from 0.
    pub batch: usize,
}

/// Where a run stands: all of its state beside the tensors. All randomness is a function of the seed and of
/// the position, so there is no generator among it.
///
/// The [`Trainer`](crate::Trainer) owns it and moves it on; a checkpoint holds a copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// The next batch.
    pub cursor: Cursor,
    /// Batches whose gradients wait for the next update.
    pub accumulated: usize,
    /// Their losses, as far as they were read.
    pub losses: Vec<f64>,
    /// Training time so far, in seconds, of all sessions together.
    pub seconds: f64,
}

/// What a run is a run of; it stays the same while the run goes on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunIdentity {
    /// What is being trained, its seed included.
    pub experiment: Experiment,
    /// The experiment's [`Experiment::fingerprint`].
    pub experiment_fingerprint: String,
    /// Fingerprint of the data.
    pub data_fingerprint: String,
    /// Revision of the program, where known.
    pub git_revision: Option<String>,
}

impl RunIdentity {
    /// A run of `experiment` on the data of `data_fingerprint`, by the program of `git_revision`.
    pub fn new(
        experiment: &Experiment,
        data_fingerprint: String,
        git_revision: Option<String>,
    ) -> Self {
        Self {
            experiment: experiment.clone(),
            experiment_fingerprint: experiment.fingerprint(),
            data_fingerprint,
            git_revision,
        }
    }
}
