//! The metadata of checkpoint files, which describe the run that wrote them.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{KEY, damaged};
use crate::{RunIdentity, RunState, TrainError};

/// The version of the checkpoint layout. It increases when an older program could misread the files.
const FORMAT: u32 = 2;

/// The identity and the state of a run, stored as JSON in the metadata of checkpoint files.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    format: u32,
    /// The state of the run.
    #[serde(flatten)]
    pub state: RunState,
    /// The identity of the run.
    #[serde(flatten)]
    pub run: RunIdentity,
}

impl Progress {
    /// Creates the progress of `run` at `state`.
    pub(super) fn new(run: RunIdentity, state: RunState) -> Self {
        Self {
            format: FORMAT,
            state,
            run,
        }
    }

    /// Returns the provenance entries for a weight file that is written now.
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

    /// Parses `json`, the entry [`KEY`] in the metadata of the file at `path`.
    pub(super) fn parse(path: &Path, json: Option<&str>) -> Result<Self, TrainError> {
        let json = json.ok_or_else(|| {
            damaged(
                path,
                format!("expected a checkpoint with the metadata entry `{KEY}`, found none"),
            )
        })?;
        #[derive(Deserialize)]
        struct Version {
            format: u32,
        }
        let unreadable = |error| {
            damaged(
                path,
                format!("cannot parse the metadata entry `{KEY}` ({error})"),
            )
        };
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
