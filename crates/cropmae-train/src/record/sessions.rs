//! The file `run.json`, which records each start of the program in a run folder and how it ended.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use candle_core::Device;
use cropmae_kernels::Backend;
use serde::{Deserialize, Serialize};

use super::{RunFolder, read_json, write_json};
use crate::{RunState, TrainError, peak_rss_bytes};

/// The name of the file.
pub(super) const RUN_RECORD: &str = "run.json";

/// The content of `run.json`: everything except the experiment that results may depend on.
#[derive(Debug, Serialize, Deserialize)]
struct RunRecord {
    experiment_fingerprint: String,
    data_fingerprint: String,
    sessions: Vec<Session>,
}

/// One start of the program in a run folder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Session {
    /// The version of the program.
    pub version: String,
    /// The revision of the program, if known.
    pub git_revision: Option<String>,
    /// The training device.
    pub device: String,
    /// The number of threads of the machine.
    pub threads: usize,
    /// The start of the session, in seconds since 1970.
    pub started_unix_s: u64,
    /// The number of updates made before the session.
    pub from_step: u64,
    /// The end of the session. It is absent while the session runs and if it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<SessionEnd>,
}

/// The end of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionEnd {
    /// The number of updates made so far.
    pub step: u64,
    /// The training time of all sessions so far, in seconds.
    pub seconds: f64,
    /// The largest resident set of the process in bytes, if the system reports it.
    pub peak_rss_bytes: Option<u64>,
}

/// Returns the sessions of the run in `dir`, oldest first. The list is empty if there is no `run.json`.
///
/// # Errors
/// Returns [`TrainError::Io`] or [`TrainError::Damaged`] if `run.json` cannot be read.
pub fn sessions(dir: &Path) -> Result<Vec<Session>, TrainError> {
    let path = dir.join(RUN_RECORD);
    let Some(value) = read_json(&path)? else {
        return Ok(Vec::new());
    };
    serde_json::from_value::<RunRecord>(value)
        .map(|record| record.sessions)
        .map_err(|error| TrainError::Damaged {
            path,
            problem: format!("expected the sessions of a run ({error})"),
            remedy: "remove this file, which only loses the history of the sessions",
        })
}

impl RunFolder {
    /// Adds a session that starts at `state` to `run.json`.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the file cannot be written.
    pub fn start_session(&self, state: &RunState, device: &Device) -> Result<(), TrainError> {
        let session = Session {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            git_revision: self.identity.git_revision.clone(),
            device: place(device),
            threads: std::thread::available_parallelism().map_or(1, usize::from),
            started_unix_s: SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |elapsed| elapsed.as_secs()),
            from_step: state.cursor.step,
            end: None,
        };
        self.write_sessions(|sessions| sessions.push(session))
    }

    /// Records in `run.json` that the last session ended at `state`.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the file cannot be written.
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
        // Earlier sessions are only history, so a run continues even if they cannot be read.
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

/// Returns where tensors lie and, if that is not the same, what computes with them.
fn place(device: &Device) -> String {
    match device {
        Device::Cpu if Backend::of(device) == Backend::Gpu => "Emulated".to_owned(),
        _ => format!("{:?}", device.location()),
    }
}
