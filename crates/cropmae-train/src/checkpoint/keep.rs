//! Which checkpoints a run folder holds: how one comes in whole, which stay, which go.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{Cursor, EMA, Progress, WEIGHTS, last_weights};
use crate::{TrainError, files};

/// The checkpoint being written.
pub(super) const PARTIAL: &str = ".partial";
/// The checkpoint being removed.
const REMOVED: &str = ".removed";

/// Epoch and batch of a checkpoint: checkpoints of a run are ordered by it.
type Position = (u64, usize);

/// The folder of all checkpoints of the run in `dir`.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join("checkpoints")
}

/// Name of the checkpoint at `at`.
fn name(at: Cursor) -> String {
    format!("epoch{:05}-batch{:07}", at.epoch, at.batch)
}

/// Epoch and batch in the name of a checkpoint.
fn position(name: &str) -> Option<Position> {
    let (epoch, batch) = name.strip_prefix("epoch")?.split_once("-batch")?;
    Some((epoch.parse().ok()?, batch.parse().ok()?))
}

/// The checkpoints in the run folder `dir`, oldest first.
pub(super) fn list(dir: &Path) -> Result<Vec<(Position, PathBuf)>, TrainError> {
    let folder = folder(dir);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(TrainError::io(&folder, "read")(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(TrainError::io(&folder, "read"))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(position) = position(&name) {
            found.push((position, path));
        }
    }
    found.sort();
    Ok(found)
}

/// Makes `folder`, in place of what an interrupted session may have left there.
pub(super) fn make_empty(folder: &Path) -> Result<(), TrainError> {
    remove(folder).map_err(TrainError::io(folder, "remove"))?;
    fs::create_dir_all(folder).map_err(TrainError::io(folder, "create"))
}

fn remove(folder: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Gives the complete folder `partial` its name as the checkpoint at `at`.
pub(super) fn commit(dir: &Path, partial: &Path, at: Cursor) -> Result<(), TrainError> {
    let folder = folder(dir);
    let path = folder.join(name(at));
    // One of the same position can only be a damaged one that was passed over.
    remove(&path).map_err(TrainError::io(&path, "remove"))?;
    fs::rename(partial, &path)
        .and_then(|()| files::sync_folder(&folder))
        .map_err(TrainError::io(&path, "write"))
}

/// Makes the weights of the checkpoint at `progress` the run's `last` ones and, where
/// `checkpoint.keep_every` says so, a snapshot. Does nothing that is done already.
///
/// # Errors
/// [`TrainError::Io`].
pub(crate) fn publish(dir: &Path, progress: &Progress) -> Result<(), TrainError> {
    let (at, config) = (progress.cursor, &progress.experiment.checkpoint);
    let from = folder(dir).join(name(at));
    let averaged = progress.experiment.train.ema_decay.is_some();
    let mut links = vec![(WEIGHTS, last_weights(dir))];
    if averaged {
        links.push((EMA, dir.join("last-ema.safetensors")));
    }
    let kept = |every| at.batch == 0 && at.epoch > 0 && at.epoch.is_multiple_of(u64::from(every));
    if config.keep_every.is_some_and(kept) {
        let snapshots = dir.join("snapshots");
        fs::create_dir_all(&snapshots).map_err(TrainError::io(&snapshots, "create"))?;
        let snapshot = |kind| snapshots.join(format!("epoch{:05}{kind}.safetensors", at.epoch));
        links.push((WEIGHTS, snapshot("")));
        if averaged {
            links.push((EMA, snapshot("-ema")));
        }
    }
    for (file, to) in links {
        files::link(&from.join(file), &to).map_err(TrainError::io(&to, "write"))?;
    }
    Ok(())
}

/// Removes all but the newest `checkpoint.keep_last` checkpoints up to `progress`, and any beyond it: they
/// were damaged, and this run will make them again. One that cannot be removed only takes up room.
pub(super) fn remove_old(dir: &Path, progress: &Progress) {
    let now = (progress.cursor.epoch, progress.cursor.batch);
    let all = list(dir).unwrap_or_default();
    let (mut past, mut gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| *at <= now);
    let surplus = past
        .len()
        .saturating_sub(progress.experiment.checkpoint.keep_last);
    gone.extend(past.drain(..surplus));
    for (_, path) in gone {
        // Renamed first, so that half of it never passes for a checkpoint.
        let removed = folder(dir).join(REMOVED);
        let done = remove(&removed)
            .and_then(|()| fs::rename(&path, &removed))
            .and_then(|()| remove(&removed));
        if let Err(error) = done {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old checkpoint");
        }
    }
}

/// Removes what a session that was killed left half-written in the run folder `dir`.
pub(crate) fn tidy(dir: &Path) -> Result<(), TrainError> {
    for name in [PARTIAL, REMOVED] {
        let path = folder(dir).join(name);
        remove(&path).map_err(TrainError::io(&path, "remove"))?;
    }
    files::remove_temporary(dir).map_err(TrainError::io(dir, "tidy"))
}
