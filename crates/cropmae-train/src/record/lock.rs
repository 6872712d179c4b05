//! The lock that lets only one process at a time train in a run folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::traces::Traces;
use crate::TrainError;

const LOCK: &str = ".lock";

/// Locks `dir` for this process until the returned file is dropped.
///
/// Only the process that holds the lock may remove the file.
pub(super) fn lock(dir: &Path, traces: &mut Traces) -> Result<File, TrainError> {
    let path = dir.join(LOCK);
    let open = |new: bool| {
        let mut options = OpenOptions::new();
        options
            .write(true)
            .create(true)
            .create_new(new)
            .truncate(false);
        options.open(&path)
    };
    let (file, new) = match open(true) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => (open(false), false),
        file => (file, true),
    };
    let file = file.map_err(TrainError::io(&path, "create"))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(TrainError::InUse {
                dir: dir.to_owned(),
            });
        }
        // Some network file systems have no locks, but training there should still work.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(path = %path.display(), %error, "the run folder cannot be locked");
        }
    }
    if new {
        traces.add_file(path);
    }
    Ok(file)
}
