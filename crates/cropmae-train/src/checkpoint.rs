//! A whole run on the disk: weights, optimizer state and position, in two files.
//!
//! `last.safetensors` is a plain weight file, which anything that reads weights can read; its provenance
//! holds [`Progress`] as JSON under `training`. The optimizer's state, twice as large and of no use to
//! anyone else, stands beside it in a file named after the position, `optim-epochE-batchB.safetensors`:
//! `exp_avg.NAME`, `exp_avg_sq.NAME` and, in the middle of an update, `grad.NAME`.
//!
//! The optimizer's file is complete before `last.safetensors` is replaced, and the one before is removed
//! afterwards. So whenever a crash or a full disk comes, `last.safetensors` and its optimizer file are there.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use candle_nn::VarMap;
use cropmae_config::Experiment;
use cropmae_model::weights::{self, Part, WeightsInfo};
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize};

use crate::{AdamW, TrainError, files};

/// Version of the two files' layout; raised when an older program could misread them.
const FORMAT: u32 = 1;

/// Where [`Progress`] stands in the files' metadata.
const KEY: &str = "training";

const LAST: &str = "last.safetensors";
const OPTIMIZER_PREFIX: &str = "optim-";

/// The next batch of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Updates made.
    pub step: u64,
    /// Epoch of the next batch, from 0.
    pub epoch: u64,
    /// Index of the next batch in its epoch, from 0.
    pub batch: usize,
}

/// Where a run stands and what it is a run of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Version of the files' layout.
    pub format: u32,
    /// The next batch.
    pub cursor: Cursor,
    /// Batches whose gradients wait for the next update.
    pub accumulated: usize,
    /// Their losses, as far as they were read.
    pub losses: Vec<f64>,
    /// Training time so far, all sessions together, in seconds.
    pub seconds: f64,
    /// What is being trained.
    pub experiment: Experiment,
    /// [`Experiment::fingerprint`] of it.
    pub experiment_fingerprint: String,
    /// Fingerprint of the data.
    pub data_fingerprint: String,
    /// Revision of the program, where known.
    pub git_revision: Option<String>,
}

impl Progress {
    /// The start of a run.
    pub fn new(
        experiment: &Experiment,
        data_fingerprint: &str,
        git_revision: Option<String>,
    ) -> Self {
        Self {
            format: FORMAT,
            cursor: Cursor::default(),
            accumulated: 0,
            losses: Vec::new(),
            seconds: 0.0,
            experiment: experiment.clone(),
            experiment_fingerprint: experiment.fingerprint(),
            data_fingerprint: data_fingerprint.to_owned(),
            git_revision,
        }
    }

    /// Goes on where `before` stood.
    pub(crate) fn resume(&mut self, before: &Self) {
        self.cursor = before.cursor;
        self.accumulated = before.accumulated;
        self.losses.clone_from(&before.losses);
        self.seconds = before.seconds;
    }

    fn optimizer_file(&self) -> String {
        format!(
            "{OPTIMIZER_PREFIX}epoch{}-batch{}.safetensors",
            self.cursor.epoch, self.cursor.batch
        )
    }
}

/// A checkpoint in memory.
pub struct Checkpoint {
    /// Where the run stands.
    pub progress: Progress,
    /// The model's tensors.
    pub weights: VarMap,
    /// The optimizer's, as [`AdamW::state`] names them.
    pub optimizer: BTreeMap<String, Tensor>,
}

/// Where the newest weights of the run in `dir` are.
pub fn last_weights(dir: &Path) -> PathBuf {
    dir.join(LAST)
}

/// Writes a checkpoint into the run folder `dir` in place of the one before.
///
/// # Errors
/// [`TrainError::Io`] or [`TrainError::Model`] when it cannot be written; the one before is then intact.
pub fn save(
    dir: &Path,
    progress: &Progress,
    vars: &VarMap,
    optimizer: &AdamW,
) -> Result<(), TrainError> {
    let path = last_weights(dir);
    let training = serde_json::to_string(progress)
        .map_err(|error| TrainError::io(&path, "write")(error.into()))?;
    let state = dir.join(progress.optimizer_file());
    let metadata = HashMap::from([(KEY.to_owned(), training.clone())]);
    files::replace_tensors(&state, optimizer.state(), metadata)?;

    let Progress {
        cursor, experiment, ..
    } = progress;
    let mut provenance = BTreeMap::from([
        ("data".to_owned(), progress.data_fingerprint.clone()),
        ("epoch".to_owned(), cursor.epoch.to_string()),
        (
            "experiment".to_owned(),
            progress.experiment_fingerprint.clone(),
        ),
        ("step".to_owned(), cursor.step.to_string()),
        (KEY.to_owned(), training),
    ]);
    provenance.extend(
        progress
            .git_revision
            .clone()
            .map(|it| ("git_revision".to_owned(), it)),
    );
    let info = WeightsInfo {
        method: experiment.method,
        model: experiment.model.clone(),
        provenance,
    };
    let saved = weights::save(&path, &info, vars).map_err(TrainError::from);
    let saved = saved.and_then(|()| files::sync_folder(dir).map_err(TrainError::io(dir, "write")));
    if let Err(error) = saved {
        // Useless without its weights, unless they belong to the old ones already.
        let _ = load_progress(dir).map(|old| remove_states_but(dir, &old.optimizer_file()));
        return Err(error);
    }
    remove_states_but(dir, &progress.optimizer_file());
    Ok(())
}

/// Reads the checkpoint in the run folder `dir` onto `device`; none when there is none yet.
///
/// # Errors
/// [`TrainError::Io`] or [`TrainError::Model`] when a file cannot be read, [`TrainError::Damaged`] when it
/// is not part of a checkpoint of this version.
pub fn load(dir: &Path, device: &Device) -> Result<Option<Checkpoint>, TrainError> {
    let path = last_weights(dir);
    if !path.exists() {
        return Ok(None);
    }
    let weights = weights::load(&path, Part::Whole, device)?;
    let progress = parse_progress(&path, weights.info.provenance.get(KEY))?;
    let state = dir.join(progress.optimizer_file());
    let bytes = std::fs::read(&state).map_err(TrainError::io(&state, "read"))?;
    // Checks that the tensors fill the file exactly: one that was cut off is refused here.
    let (_, header) = SafeTensors::deserialize(&bytes)
        .and_then(|_| SafeTensors::read_metadata(&bytes))
        .map_err(|error| damaged(&state, format!("not a whole safetensors file ({error})")))?;
    let training = header
        .metadata()
        .as_ref()
        .and_then(|metadata| metadata.get(KEY));
    if parse_progress(&state, training)? != progress {
        return Err(damaged(
            &state,
            format!("written with other weights than {LAST}"),
        ));
    }
    let optimizer = candle_core::safetensors::load_buffer(&bytes, device)
        .map_err(TrainError::compute("loading the optimizer's state"))?;
    Ok(Some(Checkpoint {
        progress,
        weights: weights.into_vars()?,
        optimizer: optimizer.into_iter().collect(),
    }))
}

fn damaged(path: &Path, problem: String) -> TrainError {
    TrainError::Damaged {
        path: path.to_owned(),
        problem,
        remedy: "restore the file from a copy, or start in another run folder",
    }
}

/// What the checkpoint in `dir` says about itself.
fn load_progress(dir: &Path) -> Result<Progress, TrainError> {
    let path = last_weights(dir);
    parse_progress(&path, weights::load_info(&path)?.provenance.get(KEY))
}

fn parse_progress(path: &Path, json: Option<&String>) -> Result<Progress, TrainError> {
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
    let unreadable = |error| damaged(path, format!("metadata `{KEY}` cannot be read ({error})"));
    let Version { format } = serde_json::from_str(json).map_err(unreadable)?;
    if format != FORMAT {
        return Err(damaged(
            path,
            format!("checkpoint format {format}, expected {FORMAT}"),
        ));
    }
    serde_json::from_str(json).map_err(unreadable)
}

/// Removes the optimizer files of other checkpoints. One that cannot be removed only takes up room.
fn remove_states_but(dir: &Path, keep: &str) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let ours = name.starts_with(OPTIMIZER_PREFIX) && name.ends_with(".safetensors");
        if ours
            && name != keep
            && let Err(error) = std::fs::remove_file(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove an old optimizer state");
        }
    }
}
