//! Where a run stands, as its checkpoints say it.

use std::collections::BTreeMap;
use std::path::Path;

use cropmae_config::Experiment;
use serde::{Deserialize, Serialize};

use super::{KEY, damaged};
use crate::TrainError;

/// Version of the checkpoints' layout; raised when an older program could misread them.
const FORMAT: u32 = 2;

/// The next batch of a run. All randomness is a function of the seed and this position, so there is no
/// generator state beside it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Updates made.
    pub step: u64,
    /// Epoch of the next batch, from 0.
    pub epoch: u64,
    /// Index of the next batch in its epoch, from 0.
    pub batch: usize,
}

/// Where a run stands and what it is a run of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of the checkpoints' layout.
    pub format: u32,
    /// The next batch.
    pub cursor: Cursor,
    /// Batches whose gradients wait for the next update.
    pub accumulated: usize,
    /// Their losses, as far as they were read.
    pub losses: Vec<f64>,
    /// Training time so far, all sessions together, in seconds.
    pub seconds: f64,
    /// What is being trained, its seed included.
    pub experiment: Experiment,
    /// [`Experiment::fingerprint`] of it.
    pub experiment_fingerprint: String,
    /// Fingerprint of the data.
    pub data_fingerprint: String,
    /// Revision of the program, where known.
    pub git_revision: Option<String>,
}

impl Progress {
    /// The start of a run.
    pub fn new(
        experiment: &Experiment,
        data_fingerprint: &str,
        git_revision: Option<String>,
    ) -> Self {
        Self {
            format: FORMAT,
            cursor: Cursor::default(),
            accumulated: 0,
            losses: Vec::new(),
            seconds: 0.0,
            experiment: experiment.clone(),
            experiment_fingerprint: experiment.fingerprint(),
            data_fingerprint: data_fingerprint.to_owned(),
            git_revision,
        }
    }

    /// Goes on where `before` stood.
    pub(crate) fn resume(&mut self, before: &Self) {
        self.cursor = before.cursor;
        self.accumulated = before.accumulated;
        self.losses.clone_from(&before.losses);
        self.seconds = before.seconds;
    }

    /// What a weight file written now says about its origin.
    pub(super) fn provenance(&self) -> BTreeMap<String, String> {
        let revision = self.git_revision.clone();
        let entries = [
            ("data", self.data_fingerprint.clone()),
            ("epoch", self.cursor.epoch.to_string()),
            ("experiment", self.experiment_fingerprint.clone()),
            ("step", self.cursor.step.to_string()),
        ];
        entries
            .into_iter()
            .chain(revision.map(|revision| ("git_revision", revision)))
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// What the file at `path` says in its metadata.
    pub(super) fn parse(path: &Path, json: Option<&str>) -> Result<Self, TrainError> {
        let json = json.ok_or_else(|| {
            damaged(
                path,
                format!("no metadata `{KEY}`, expected a checkpoint, not bare weights"),
            )
        })?;
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable =
            |error| damaged(path, format!("metadata `{KEY}` cannot be read ({error})"));
        let Version { format } = serde_json::from_str(json).map_err(unreadable)?;
        if format != FORMAT {
            return Err(TrainError::Format {
                path: path.to_owned(),
                found: format,
                expected: FORMAT,
            });
        }
        serde_json::from_str(json).map_err(unreadable)
    }
}
