//! `run.json`: each start of the program in a run folder, and how it ended.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use candle_core::Device;
use serde::{Deserialize, Serialize};

use super::{RunFolder, read_json, write_json};
use crate::{RunState, TrainError, peak_rss_bytes};

/// The file of sessions.
pub(super) const RUN_RECORD: &str = "run.json";

/// What `run.json` holds: everything beside the experiment that a number may depend on.
#[derive(Debug, Serialize, Deserialize)]
struct RunRecord {
    experiment_fingerprint: String,
    data_fingerprint: String,
    sessions: Vec<Session>,
}

/// One start of the program in a run folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// Version of the program.
    pub version: String,
    /// Its revision, where known.
    pub git_revision: Option<String>,
    /// Where tensors lived.
    pub device: String,
    /// Threads of the machine.
    pub threads: usize,
    /// Start of the session, in seconds since 1970.
    pub started_unix_s: u64,
    /// Updates made before it.
    pub from_step: u64,
    /// How it ended; absent while it runs, and for one that was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SessionEnd>,
}

/// How a session ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// Updates made by then.
    pub step: u64,
    /// Training time by then, all sessions together, in seconds.
    pub seconds: f64,
    /// Largest resident set of the process, in bytes, where the system tells.
    pub peak_rss_bytes: Option<u64>,
}

/// The sessions of the run in `dir`, oldest first; none when there is no record of them.
///
/// # Errors
/// [`TrainError::Io`] or [`TrainError::Damaged`] when the record cannot be read.
pub fn sessions(dir: &Path) -> Result<Vec<Session>, TrainError> {
    let path = dir.join(RUN_RECORD);
    let Some(value) = read_json(&path)? else {
        return Ok(Vec::new());
    };
    serde_json::from_value::<RunRecord>(value)
        .map(|record| record.sessions)
        .map_err(|error| TrainError::Damaged {
            path,
            problem: format!("not a record of a run ({error})"),
            remedy: "remove it: only the history of the sessions is lost",
        })
}

impl RunFolder {
    /// Adds a session that starts at `state` to `run.json`.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn start_session(&self, state: &RunState, device: &Device) -> Result<(), TrainError> {
        let session = Session {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: self.identity.git_revision.clone(),
            device: format!("{:?}", device.location()),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            started_unix_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
            from_step: state.cursor.step,
            end: None,
        };
        self.write_sessions(|sessions| sessions.push(session))
    }

    /// Says in `run.json` that the last session has ended at `state`.
    ///
    /// # Errors
    /// [`TrainError::Io`].
    pub fn end_session(&self, state: &RunState) -> Result<(), TrainError> {
        let end = SessionEnd {
            step: state.cursor.step,
            seconds: state.seconds,
            peak_rss_bytes: peak_rss_bytes(),
        };
        self.write_sessions(|sessions| {
            if let Some(last) = sessions.last_mut() {
                last.end = Some(end);
            }
        })
    }

    fn write_sessions(&self, change: impl FnOnce(&mut Vec<Session>)) -> Result<(), TrainError> {
        // The sessions before are history: if they cannot be read they are not worth stopping for.
        let mut sessions = sessions(&self.dir).unwrap_or_default();
        change(&mut sessions);
        let record = RunRecord {
            experiment_fingerprint: self.identity.experiment_fingerprint.clone(),
            data_fingerprint: self.identity.data_fingerprint.clone(),
            sessions,
        };
        write_json(&self.dir.join(RUN_RECORD), &record)
    }
}
