//! The state and the identity of a run.

use cropmae_config::Experiment;
use serde::{Deserialize, Serialize};

/// The position of the next batch of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// The number of updates made.
    pub step: u64,
    /// The epoch of the next batch, from 0.
    pub epoch: u64,
    /// The index of the next batch in its epoch, from 0.
    pub batch: usize,
}

/// The state of a run except its tensors.
///
/// All randomness is a function of the seed and of the position, so the state contains no random number generator.
/// The [`Trainer`](crate::Trainer) owns and updates it, and a checkpoint contains a copy.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    /// The position of the next batch.
    pub cursor: Cursor,
    /// The number of batches whose gradients wait for the next update.
    pub accumulated: usize,
    /// The losses of these batches that were read.
    pub losses: Vec<f64>,
    /// The training time of all sessions so far, in seconds.
    pub seconds: f64,
}

/// The identity of a run, which never changes while the run continues.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunIdentity {
    /// The experiment, including its seed.
    pub experiment: Experiment,
    /// The [`Experiment::fingerprint`] of the experiment.
    pub experiment_fingerprint: String,
    /// The fingerprint of the data.
    pub data_fingerprint: String,
    /// The revision of the program, if known.
    pub git_revision: Option<String>,
}

impl RunIdentity {
    /// Creates the identity of a run of `experiment` on the given data, by the given revision of the program.
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
