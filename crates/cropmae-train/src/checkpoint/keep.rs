//! Adds checkpoints to a run folder, and removes old ones.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use cropmae_files::{NewFolder, remove_folder, remove_leftovers};

use super::{EMA, WEIGHTS, last_weights};
use crate::{Cursor, RunIdentity, TrainError};

/// The name of a checkpoint while it is being removed.
const REMOVED: &str = ".removed";

/// The epoch and batch of a checkpoint, by which the checkpoints of a run are ordered.
type Position = (u64, usize);

/// Returns the folder of all checkpoints of the run in `dir`.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join("checkpoints")
}

/// Returns the folder name of the checkpoint at `at`.
fn name(at: Cursor) -> String {
    format!("epoch{:05}-batch{:07}", at.epoch, at.batch)
}

/// Parses the epoch and batch from the folder name of a checkpoint.
fn position(name: &str) -> Option<Position> {
    let (epoch, batch) = name.strip_prefix("epoch")?.split_once("-batch")?;
    Some((epoch.parse().ok()?, batch.parse().ok()?))
}

/// Returns the checkpoints in the run folder `dir`, oldest first.
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

/// Creates a temporary folder for the files of the checkpoint at `at`.
pub(super) fn create(dir: &Path, at: Cursor) -> Result<NewFolder, TrainError> {
    let path = folder(dir).join(name(at));
    NewFolder::create(&path).map_err(TrainError::io(&path, "create"))
}

/// Makes the finished folder `new` the checkpoint at `at`.
pub(super) fn commit(new: NewFolder, dir: &Path, at: Cursor) -> Result<(), TrainError> {
    let path = folder(dir).join(name(at));
    // A checkpoint at the same position must be a damaged one that was skipped.
    remove_folder(&path).map_err(TrainError::io(&path, "remove"))?;
    new.commit().map_err(TrainError::io(&path, "write"))
}

/// Links the weights of the checkpoint at `at` as the `last` ones of the run, and as a snapshot if
/// `checkpoint.keep_every` is set and divides the epoch.
///
/// Calling it again has no effect.
///
/// # Errors
/// Returns [`TrainError::Io`] if a file cannot be written.
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

/// Removes all but the newest `checkpoint.keep_last` checkpoints up to `at`, and all later ones.
///
/// Later checkpoints were damaged, and this run will write them again. A checkpoint that cannot be removed is
/// logged and ignored, because it only takes up space.
pub(super) fn remove_old(dir: &Path, run: &RunIdentity, at: Cursor) {
    let now = (at.epoch, at.batch);
    let all = list(dir).unwrap_or_default();
    let (mut past, mut gone): (Vec<_>, Vec<_>) = all.into_iter().partition(|(at, _)| *at <= now);
    let surplus = past
        .len()
        .saturating_sub(run.experiment.checkpoint.keep_last);
    gone.extend(past.drain(..surplus));
    for (_, path) in gone {
        // Rename it first, so that a half-removed folder is never taken for a checkpoint.
        let removed = folder(dir).join(REMOVED);
        let done = remove_folder(&removed)
            .and_then(|()| fs::rename(&path, &removed))
            .and_then(|()| remove_folder(&removed));
        if let Err(error) = done {
            tracing::warn!(path = %path.display(), %error, "cannot remove an old checkpoint");
        }
    }
}

/// Removes half-written and half-removed files that a killed session left in the run folder `dir`.
pub(crate) fn tidy(dir: &Path) -> Result<(), TrainError> {
    let removed = folder(dir).join(REMOVED);
    remove_folder(&removed).map_err(TrainError::io(&removed, "remove"))?;
    for folder in [&folder(dir), dir] {
        remove_leftovers(folder).map_err(TrainError::io(folder, "clean up"))?;
    }
    Ok(())
}
