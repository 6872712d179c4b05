//! What the files of a checkpoint say about the run that wrote them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{KEY, damaged};
use crate::{RunIdentity, RunState, TrainError};

/// Version of the checkpoints' layout; raised when an older program could misread them.
const FORMAT: u32 = 2;

/// Where a run stands and what it is a run of: the JSON in the metadata of a checkpoint's files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    format: u32,
    /// Where the run stands.
    #[serde(flatten)]
    pub state: RunState,
    /// What it is a run of.
    #[serde(flatten)]
    pub run: RunIdentity,
}

impl Progress {
    /// The run `run` at `state`.
    pub(super) fn new(run: RunIdentity, state: RunState) -> Self {
        Self {
            format: FORMAT,
            state,
            run,
        }
    }

    /// What a weight file written now says about its origin.
    pub(super) fn provenance(&self) -> BTreeMap<String, String> {
        let (run, cursor) = (&self.run, self.state.cursor);
        let entries = [
            ("data", run.data_fingerprint.clone()),
            ("epoch", cursor.epoch.to_string()),
            ("experiment", run.experiment_fingerprint.clone()),
            ("step", cursor.step.to_string()),
        ];
        let revision = run.git_revision.clone();
        entries
            .into_iter()
            .chain(revision.map(|revision| ("git_revision", revision)))
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }

    /// Reads `json`, the entry [`KEY`] in the metadata of the file at `path`.
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
