//! The run folder: the configuration of a run, its metrics, and the state to resume it from.
//!
//! | file | content |
//! |---|---|
//! | `config.json` | the experiment, with every key |
//! | `run.json` | the data, and for each session the version, the device and the start |
//! | `metrics.jsonl` | one JSON object per logged update |
//! | `checkpoints/`, `last.safetensors`, `snapshots/` | see [`checkpoint`] |

mod comparison;
mod lock;
mod metrics;
mod sessions;
mod traces;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use cropmae_kernels::PatchPixels;
use cropmae_model::tensor_file;
use serde::Serialize;
use serde_json::Value;

use crate::{
    BatchTensors, Checkpoint, Fault, RunIdentity, RunState, StepStats, TrainError, checkpoint,
};

use comparison::same_experiment;
use lock::lock;
use metrics::{METRICS, Metrics};
use sessions::RUN_RECORD;
pub use sessions::{Session, SessionEnd, sessions};
use traces::Traces;

const CONFIG: &str = "config.json";

/// A run folder that is locked for this process.
pub struct RunFolder {
    dir: PathBuf,
    identity: RunIdentity,
    metrics: Metrics,
    /// The state of the run in its newest checkpoint.
    saved: RunState,
    /// The files and folders that were created for a run that has not begun.
    traces: Option<Traces>,
    _lock: File,
}

impl RunFolder {
    /// Opens or creates `dir` for the run `identity`, and returns the checkpoint to continue from, if there is one.
    ///
    /// # Errors
    /// - [`TrainError::OtherExperiment`] or [`TrainError::OtherData`] if the folder contains another run,
    /// - [`TrainError::InUse`] if another process trains in it,
    /// - [`TrainError::Damaged`] if a file in it is damaged or was not written by this program,
    /// - [`TrainError::Io`] if a file cannot be read or written.
    ///
    /// On an error, the folder is unchanged. If it did not exist, it does not exist afterwards.
    pub fn open(
        dir: &Path,
        identity: RunIdentity,
        device: &Device,
    ) -> Result<(Self, Option<Checkpoint>), TrainError> {
        let mut traces = Traces::of_folder(dir).map_err(TrainError::io(dir, "create"))?;
        let lock = lock(dir, &mut traces).inspect_err(|_| traces.remove())?;
        for path in [CONFIG, RUN_RECORD, METRICS].map(|name| dir.join(name)) {
            if !path.exists() {
                traces.add_file(path);
            }
        }
        let (metrics, resumed) =
            start_or_resume(dir, &identity, device).inspect_err(|_| traces.remove())?;
        let folder = Self {
            dir: dir.to_owned(),
            identity,
            metrics,
            saved: resumed
                .as_ref()
                .map(|checkpoint| checkpoint.progress.state.clone())
                .unwrap_or_default(),
            traces: resumed.is_none().then_some(traces),
            _lock: lock,
        };
        Ok((folder, resumed))
    }

    /// Marks the run as begun. From now on, its folder stays even if the run fails.
    pub fn begin(&mut self) {
        self.traces = None;
    }

    /// Returns `true` if the run has begun, in this session or in an earlier one.
    pub fn has_begun(&self) -> bool {
        self.traces.is_none()
    }

    /// Removes the files and the empty folders that were created for a run that has not begun.
    pub fn undo(self) {
        if let Some(traces) = &self.traces {
            traces.remove();
        }
    }

    /// Returns the state of the run in its newest checkpoint, or the initial state if there is none.
    pub fn saved(&self) -> &RunState {
        &self.saved
    }

    /// Writes a checkpoint of the run at `state` and returns the path of its weights.
    pub(crate) fn save(
        &mut self,
        state: &RunState,
        contents: &checkpoint::Contents<'_>,
    ) -> Result<PathBuf, TrainError> {
        self.begin();
        // A resumed run does not repeat these updates, so their lines must be on disk before the checkpoint.
        self.metrics.sync()?;
        checkpoint::save(&self.dir, &self.identity, state, contents)?;
        self.saved = state.clone();
        Ok(checkpoint::last_weights(&self.dir))
    }

    /// Saves the batch at `at` for inspection, because its `what` is the non-finite `value`.
    ///
    /// Returns the error that ends the run.
    pub(crate) fn keep_bad_batch(
        &mut self,
        batch: &BatchTensors,
        fault: &Fault,
    ) -> Result<TrainError, TrainError> {
        let Fault { at, what, value } = *fault;
        self.begin();
        let step = at.step + 1;
        let saved = self.dir.join(format!("nonfinite-step{step}.safetensors"));
        let about = format!(
            "{what} {value} at step {step}, epoch {}, batch {}",
            at.epoch, at.batch
        );
        let entries = BTreeMap::from([("fault".to_owned(), about)]);
        let ids_shuffle = batch.ids_shuffle()?;
        let views: Vec<Tensor> = batch
            .views
            .iter()
            .map(PatchPixels::normalized)
            .collect::<candle_core::Result<_>>()
            .map_err(TrainError::compute("reading the batch"))?;
        let tensors = views
            .iter()
            .enumerate()
            .map(|(i, view)| (format!("view{}", i + 1), view))
            .chain([("ids_shuffle".to_owned(), &ids_shuffle)]);
        tensor_file::write(&saved, tensors, &entries)?;
        Ok(TrainError::NonFinite {
            what,
            value,
            step,
            epoch: at.epoch,
            saved,
        })
    }

    /// Appends a line to `metrics.jsonl`.
    ///
    /// # Errors
    /// Returns [`TrainError::Io`] if the file cannot be written.
    pub fn log(&mut self, line: &StepStats) -> Result<(), TrainError> {
        self.metrics.add(line)
    }
}

/// Checks the content of the locked folder `dir`, and opens its `metrics.jsonl` and the checkpoint to continue from.
fn start_or_resume(
    dir: &Path,
    identity: &RunIdentity,
    device: &Device,
) -> Result<(Metrics, Option<Checkpoint>), TrainError> {
    let experiment = &identity.experiment;
    checkpoint::tidy(dir)?;
    let found = read_json(&dir.join(CONFIG))?;
    if let Some(found) = &found {
        same_experiment(dir, found, experiment)?;
    }
    let resumed = checkpoint::load(dir, device)?;
    if let Some(Checkpoint { progress, .. }) = &resumed {
        let found = serde_json::to_value(&progress.run.experiment).unwrap_or_default();
        same_experiment(dir, &found, experiment)?;
        if progress.run.data_fingerprint != identity.data_fingerprint {
            return Err(TrainError::OtherData {
                dir: dir.to_owned(),
                found: progress.run.data_fingerprint.clone(),
                expected: identity.data_fingerprint.clone(),
            });
        }
    }
    let metrics = dir.join(METRICS);
    if found.is_none() && resumed.is_none() && metrics.exists() {
        return Err(TrainError::Damaged {
            path: metrics,
            problem: "expected a config.json in the same folder, found none".to_owned(),
            remedy: "choose another run folder",
        });
    }
    write_json(&dir.join(CONFIG), experiment)?;
    let mut step = 0;
    if let Some(Checkpoint { progress, .. }) = &resumed {
        step = progress.state.cursor.step;
        // The session that wrote the checkpoint may have been killed before it published the weights.
        checkpoint::publish(dir, identity, progress.state.cursor)?;
    }
    Ok((Metrics::open(metrics, step)?, resumed))
}

/// Reads the JSON in `path`, or returns `None` if there is no such file.
fn read_json(path: &Path) -> Result<Option<Value>, TrainError> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(TrainError::io(path, "read")(error)),
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|error| TrainError::Damaged {
            path: path.to_owned(),
            problem: format!("expected valid JSON ({error})"),
            remedy: "choose another run folder",
        })
}

/// Writes `value` to `path` as indented JSON.
fn write_json(path: &Path, value: &impl Serialize) -> Result<(), TrainError> {
    let write = TrainError::io(path, "write");
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| write(error.into()))?;
    text.push(b'\n');
    cropmae_files::write(path, &text).map_err(write)
}

#[cfg(test)]
mod tests {
    use cropmae_config::Experiment;

    use super::*;

    fn experiment(overrides: &[&str]) -> Experiment {
        let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
        Experiment::demo(&overrides).unwrap()
    }

    fn open(dir: &Path, experiment: &Experiment) -> Result<RunFolder, TrainError> {
        let identity = RunIdentity::new(experiment, "data".to_owned(), None);
        RunFolder::open(dir, identity, &Device::Cpu).map(|(folder, _)| folder)
    }

    #[test]
    fn another_experiment_is_refused_with_its_key() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), &experiment(&[])).unwrap();
        let error = open(dir.path(), &experiment(&["optim.blr=0.5"]))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("optim.blr = 0.002, expected 0.5"), "{error}");
        let error = open(dir.path(), &experiment(&["optim.clip_grad_norm=1.0"]))
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("optim.clip_grad_norm = nothing"), "{error}");
    }

    #[test]
    fn keys_that_change_no_update_may_differ() {
        let dir = tempfile::tempdir().unwrap();
        open(dir.path(), &experiment(&[])).unwrap();
        let changed = [
            "train.max_steps=9",
            "checkpoint.every_epochs=3",
            "about.name=other",
        ];
        open(dir.path(), &experiment(&changed)).unwrap();
        let config = read_json(&dir.path().join(CONFIG)).unwrap().unwrap();
        assert_eq!(config["train"]["max_steps"], 9);
    }

    #[test]
    fn a_folder_serves_one_process_at_a_time() {
        let dir = tempfile::tempdir().unwrap();
        let held = open(dir.path(), &experiment(&[])).unwrap();
        for _ in 0..2 {
            assert!(matches!(
                open(dir.path(), &experiment(&[])),
                Err(TrainError::InUse { .. })
            ));
        }
        drop(held);
        open(dir.path(), &experiment(&[])).unwrap();
    }

    #[test]
    fn foreign_files_are_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("metrics.jsonl"), "precious\n").unwrap();
        assert!(matches!(
            open(dir.path(), &experiment(&[])),
            Err(TrainError::Damaged { .. })
        ));
        let text = std::fs::read_to_string(dir.path().join("metrics.jsonl")).unwrap();
        assert_eq!(text, "precious\n");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
