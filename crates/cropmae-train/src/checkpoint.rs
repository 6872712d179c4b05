//! Checkpoints: the weights of a run, the state of its optimizer, and its progress, on disk.
//!
//! | path in the run folder | content |
//! |---|---|
//! | `checkpoints/epochE-batchB/weights.safetensors` | the weights, with [`Progress`] as JSON in their provenance |
//! | `checkpoints/epochE-batchB/optimizer.safetensors` | `exp_avg.NAME`, `exp_avg_sq.NAME`, and within an update `grad.NAME` |
//! | `checkpoints/epochE-batchB/ema.safetensors` | the moving average of the weights, if `train.ema_decay` is set |
//! | `last.safetensors`, `last-ema.safetensors` | the newest weights, as plain weight files |
//! | `snapshots/epochE.safetensors`, `-ema` | the weights of every `checkpoint.keep_every` epochs |
//!
//! A checkpoint is written into a hidden folder, synced and renamed ([`NewFolder`](cropmae_files::NewFolder)).
//! Older ones are removed afterwards, so a complete checkpoint survives a crash or a full disk. Its files have
//! checksums ([`tensor_file`]). A checkpoint that was damaged later is skipped with a warning, and the previous
//! one is used. Training then repeats the updates between them, bit for bit.
//!
//! `last` and `snapshots` are hard links, which take no space, or copies if the file system has no links.

mod keep;
mod progress;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use cropmae_model::tensor_file::{self, TensorFile};
use cropmae_model::weights::{self, Part, WeightsInfo};

use crate::{AdamW, RunIdentity, RunState, TrainError};

pub(crate) use keep::{publish, tidy};
pub use progress::Progress;

const WEIGHTS: &str = "weights.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const EMA: &str = "ema.safetensors";

/// The entry of the files' metadata that holds the [`Progress`].
const KEY: &str = "training";

/// The tensors to write into a checkpoint.
pub(crate) struct Contents<'a> {
    pub(crate) weights: &'a VarMap,
    pub(crate) ema: Option<&'a VarMap>,
    pub(crate) optimizer: &'a AdamW,
}

/// A checkpoint in memory.
pub struct Checkpoint {
    /// The identity and the state of the run.
    pub progress: Progress,
    /// The tensors of the model.
    pub weights: VarMap,
    /// The moving average of the weights, if the run keeps one.
    pub ema: Option<VarMap>,
    /// The tensors of the optimizer, under the names that [`AdamW::state`] gives them.
    pub optimizer: BTreeMap<String, Tensor>,
}

/// Returns the path of the newest weights of the run in `dir`.
pub fn last_weights(dir: &Path) -> PathBuf {
    dir.join("last.safetensors")
}

/// Writes a checkpoint of `run` at `state` into the run folder `dir`.
///
/// Afterwards only the newest `checkpoint.keep_last` checkpoints remain.
///
/// # Errors
/// Returns [`TrainError::NotSaved`] if the checkpoint cannot be written. Earlier ones are then intact.
pub(crate) fn save(
    dir: &Path,
    run: &RunIdentity,
    state: &RunState,
    contents: &Contents<'_>,
) -> Result<(), TrainError> {
    let progress = Progress::new(run.clone(), state.clone());
    let write_all = || {
        let folder = keep::create(dir, state.cursor)?;
        write(folder.path(), &progress, contents)?;
        keep::commit(folder, dir, state.cursor)?;
        keep::publish(dir, run, state.cursor)
    };
    write_all().map_err(|source| TrainError::NotSaved {
        dir: dir.to_owned(),
        step: state.cursor.step,
        source: Box::new(source),
    })?;
    keep::remove_old(dir, run, state.cursor);
    Ok(())
}

/// Writes all files of a checkpoint into the new folder `folder`.
fn write(folder: &Path, progress: &Progress, contents: &Contents<'_>) -> Result<(), TrainError> {
    let training = serde_json::to_string(progress)
        .map_err(|error| TrainError::io(folder, "write")(error.into()))?;
    let entries = BTreeMap::from([(KEY.to_owned(), training.clone())]);
    tensor_file::write(
        &folder.join(OPTIMIZER),
        contents.optimizer.state(),
        &entries,
    )?;
    let mut provenance = progress.provenance();
    provenance.insert(KEY.to_owned(), training);
    let info = |average: &str| {
        let mut provenance = provenance.clone();
        provenance.insert("weights".to_owned(), average.to_owned());
        WeightsInfo {
            method: Some(progress.run.experiment.method),
            model: progress.run.experiment.model.clone(),
            provenance,
        }
    };
    if let Some(ema) = contents.ema {
        weights::save(&folder.join(EMA), &info("moving average"), ema)?;
    }
    weights::save(&folder.join(WEIGHTS), &info("as trained"), contents.weights)?;
    Ok(())
}

/// Reads the newest intact checkpoint in the run folder `dir` onto `device`.
///
/// Returns `None` if there is no checkpoint yet. Damaged checkpoints are skipped and logged.
///
/// # Errors
/// Returns [`TrainError::Damaged`] if there are checkpoints but none can be used.
pub fn load(dir: &Path, device: &Device) -> Result<Option<Checkpoint>, TrainError> {
    let mut newest_error = None;
    for (_, folder) in keep::list(dir)?.into_iter().rev() {
        match read(&folder, device) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            // Too little memory, or a file from another version of the program, is not damage.
            Err(error @ (TrainError::Compute { .. } | TrainError::Format { .. })) => {
                return Err(error);
            }
            Err(error) => {
                tracing::warn!(folder = %folder.display(), %error, "cannot use this checkpoint");
                newest_error.get_or_insert((folder, error));
            }
        }
    }
    match newest_error {
        Some((folder, error)) => Err(TrainError::Damaged {
            path: folder,
            problem: format!("no checkpoint of this run can be used ({error})"),
            remedy: "restore one from a backup, or choose another run folder",
        }),
        // These weights cannot be continued without their optimizer state, and must not be overwritten.
        None if last_weights(dir).exists() => Err(TrainError::Damaged {
            path: last_weights(dir),
            problem: "weights without a checkpoint".to_owned(),
            remedy: "restore the folder `checkpoints` next to it, or choose another run folder",
        }),
        None => Ok(None),
    }
}

/// Reads the checkpoint in `folder`.
fn read(folder: &Path, device: &Device) -> Result<Checkpoint, TrainError> {
    let path = folder.join(WEIGHTS);
    let weights = weights::load(&path, Part::Whole, device)?;
    let training = weights.info.provenance.get(KEY).map(String::as_str);
    let progress = Progress::parse(&path, training)?;
    let ema = match progress.run.experiment.train.ema_decay {
        Some(_) => {
            let path = folder.join(EMA);
            let ema = weights::load(&path, Part::Whole, device)?;
            belongs(
                &path,
                ema.info.provenance.get(KEY).map(String::as_str),
                &progress,
            )?;
            Some(ema.into_vars()?)
        }
        None => None,
    };
    let path = folder.join(OPTIMIZER);
    let file = TensorFile::open(&path)?;
    if !file.is_sealed() {
        return Err(damaged(&path, "the checksum is missing".to_owned()));
    }
    belongs(&path, file.entry(KEY), &progress)?;
    let optimizer = file.read(|_| true, device)?;
    Ok(Checkpoint {
        progress,
        weights: weights.into_vars()?,
        ema,
        optimizer: optimizer.into_iter().collect(),
    })
}

/// Checks that the file at `path`, with `training` in its metadata, was written together with weights at `progress`.
fn belongs(path: &Path, training: Option<&str>, progress: &Progress) -> Result<(), TrainError> {
    if Progress::parse(path, training)? == *progress {
        return Ok(());
    }
    Err(damaged(
        path,
        format!("it was not written together with {WEIGHTS} in the same folder"),
    ))
}

fn damaged(path: &Path, problem: String) -> TrainError {
    TrainError::Damaged {
        path: path.to_owned(),
        problem,
        remedy: "remove its folder to continue from the previous checkpoint",
    }
}
