//! The checkpoints that a run folder holds: how one gets there complete, which stay and which are removed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cropmae_files::{NewFolder, remove_folder, remove_leftovers};

use super::{EMA, WEIGHTS, last_weights};
use crate::{Cursor, RunIdentity, TrainError};

/// Name of the checkpoint that is being removed.
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
    let failed = TrainError::io(&folder, "read");
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(&failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if let Some(position) = position(&name) {
            found.push((position, path));
        }
    }
    found.sort();
    Ok(found)
}

/// A folder to write the checkpoint at `at` into.
pub(super) fn create(dir: &Path, at: Cursor) -> Result<NewFolder, TrainError> {
    let path = folder(dir).join(name(at));
    NewFolder::create(&path).map_err(TrainError::io(&path, "create"))
}

/// Makes the complete `new` the checkpoint at `at`.
pub(super) fn commit(new: NewFolder, dir: &Path, at: Cursor) -> Result<(), TrainError> {
    let path = folder(dir).join(name(at));
    // One of the same position can only be a damaged one that was passed over.
    remove_folder(&path).map_err(TrainError::io(&path, "remove"))?;
    new.commit().map_err(TrainError::io(&path, "write"))
}

/// Makes the weights of the checkpoint at `at` the run's `last` ones and, where `checkpoint.keep_every` says
/// so, a snapshot. Does nothing that is done already.
///
/// # Errors
/// [`TrainError::Io`].
pub(crate) fn publish(dir: &Path, run: &RunIdentity, at: Cursor) -> Result<(), TrainError> {
    let config = &run.experiment.checkpoint;
    let from = folder(dir).join(name(at));
    let averaged = run.experiment.train.ema_decay.is_some();
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
        cropmae_files::link(&from.join(file), &to).map_err(TrainError::io(&to, "write"))?;
    }
    Ok(())
}

/// Removes all but the newest `checkpoint.keep_last` checkpoints up to `at`, and any beyond it: they
/// were damaged, and this run will make them again. One that cannot be removed only takes up room.
pub(super) fn remove_old(dir: &Path, run: &RunIdentity, at: Cursor) {
    let now = (at.epoch, at.batch);
    let all = list(dir).unwrap_or_default();
    let (mut past, mut gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| *at <= now);
    let surplus = past
        .len()
        .saturating_sub(run.experiment.checkpoint.keep_last);
    gone.extend(past.drain(..surplus));
    for (_, path) in gone {
        // Renamed first, so that half of it never passes for a checkpoint.
        let removed = folder(dir).join(REMOVED);
        let done = remove_folder(&removed)
            .and_then(|()| fs::rename(&path, &removed))
            .and_then(|()| remove_folder(&removed));
        if let Err(error) = done {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old checkpoint");
        }
    }
}

/// Removes what a session that was killed left half-written or half-removed in the run folder `dir`.
pub(crate) fn tidy(dir: &Path) -> Result<(), TrainError> {
    let removed = folder(dir).join(REMOVED);
    remove_folder(&removed).map_err(TrainError::io(&removed, "remove"))?;
    for folder in [&folder(dir), dir] {
        remove_leftovers(folder).map_err(TrainError::io(folder, "tidy"))?;
    }
    Ok(())
}
