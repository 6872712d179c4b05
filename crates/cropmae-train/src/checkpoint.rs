//! Checkpoints: all of a run on the disk, its weights, the state of its optimizer, and where it stands.
//!
//! | path in the run folder | content |
//! |---|---|
//! | `checkpoints/epochE-batchB/weights.safetensors` | the weights; [`Progress`] as JSON in their provenance |
//! | `checkpoints/epochE-batchB/optimizer.safetensors` | `exp_avg.NAME`, `exp_avg_sq.NAME`, inside an update `grad.NAME` |
//! | `checkpoints/epochE-batchB/ema.safetensors` | the weights' moving average, with `train.ema_decay` |
//! | `last.safetensors`, `last-ema.safetensors` | the newest weights, plain weight files for any reader |
//! | `snapshots/epochE.safetensors`, `-ema` | those of every `checkpoint.keep_every` epochs |
//!
//! A checkpoint is written into a hidden folder, synced and renamed ([`NewFolder`](cropmae_files::NewFolder)),
//! and older ones are removed afterwards: whenever a crash or a full disk comes, a complete one is there. Its
//! files carry checksums ([`tensor_file`]). One that was damaged later is passed over, with a warning, for the
//! one before; training then repeats the updates between them, bit for bit.
//! `last` and `snapshots` are hard links, which take no room, or copies where the file system has no links.

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

/// The tensors of a checkpoint that is to be written.
pub(crate) struct Contents<'a> {
    pub(crate) weights: &'a VarMap,
    pub(crate) ema: Option<&'a VarMap>,
    pub(crate) optimizer: &'a AdamW,
}

/// A checkpoint in memory.
pub struct Checkpoint {
    /// Where the run stands, and what it is a run of.
    pub progress: Progress,
    /// The model's tensors.
    pub weights: VarMap,
    /// Their moving average, where there is one.
    pub ema: Option<VarMap>,
    /// The optimizer's tensors, as [`AdamW::state`] names them.
    pub optimizer: BTreeMap<String, Tensor>,
}

/// The file of the newest weights of the run in `dir`.
pub fn last_weights(dir: &Path) -> PathBuf {
    dir.join("last.safetensors")
}

/// Writes a checkpoint of `run` at `state` into the run folder `dir` and removes those that
/// `checkpoint.keep_last` lets go.
///
/// # Errors
/// [`TrainError::NotSaved`] when it cannot be written; those before are then intact.
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

/// Reads the newest intact checkpoint in the run folder `dir` onto `device`; none when there is none yet.
/// Damaged ones before it are named in the log.
///
/// # Errors
/// [`TrainError::Damaged`] when there are checkpoints but none can be used.
pub fn load(dir: &Path, device: &Device) -> Result<Option<Checkpoint>, TrainError> {
    let mut newest_error = None;
    for (_, folder) in keep::list(dir)?.into_iter().rev() {
        match read(&folder, device) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            // Lack of memory and files of a newer program are no damage.
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
            remedy: "restore one from a copy, or start in another run folder",
        }),
        // Somebody's weights without the state that goes with them: nothing to continue, nothing to lose.
        None if last_weights(dir).exists() => Err(TrainError::Damaged {
            path: last_weights(dir),
            problem: "weights without a checkpoint".to_owned(),
            remedy: "restore the folder checkpoints beside it, or start in another run folder",
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
        return Err(damaged(&path, "no checksum".to_owned()));
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

/// Checks that the file at `path`, whose metadata say `training`, was written with weights at `progress`.
fn belongs(path: &Path, training: Option<&str>, progress: &Progress) -> Result<(), TrainError> {
    if Progress::parse(path, training)? == *progress {
        return Ok(());
    }
    Err(damaged(
        path,
        format!("written with other weights than {WEIGHTS} beside it"),
    ))
}

fn damaged(path: &Path, problem: String) -> TrainError {
    TrainError::Damaged {
        path: path.to_owned(),
        problem,
        remedy: "remove its folder to continue from the checkpoint before",
    }
}
