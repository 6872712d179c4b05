//! What can go wrong in a run, worded so that the user can mend it.

use std::path::{Path, PathBuf};

/// A run that cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A tensor operation failed: out of memory, a lost device, a shape that does not fit.
    #[error("{action} failed: {source}")]
    Compute {
        /// What was being computed.
        action: &'static str,
        /// The backend's own words.
        source: candle_core::Error,
    },
    /// Images could not be read.
    #[error(transparent)]
    Data(#[from] cropmae_data::DataError),
    /// The model could not be built or run.
    #[error(transparent)]
    Model(#[from] cropmae_model::ModelError),
    /// A file of the run folder could not be read or written.
    #[error("{path}: cannot {action}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// `read`, `write`, ...
        action: &'static str,
        /// Why the system refused.
        source: std::io::Error,
    },
    /// A file of the run folder is damaged or not ours.
    #[error("{path}: {problem}; {remedy}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found and what was expected.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A checkpoint of another version of the program.
    #[error(
        "{path}: checkpoint format {found}, expected {expected}: continue this run with the program that wrote it, or choose another run folder"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// Format of the file.
        found: u32,
        /// Format of this program.
        expected: u32,
    },
    /// A checkpoint cannot be written.
    #[error(
        "{dir}: cannot save update {step} ({source}); the checkpoints before are intact: make room or mend the cause, and run the same command again to continue from them"
    )]
    NotSaved {
        /// The run folder.
        dir: PathBuf,
        /// Updates made.
        step: u64,
        /// What failed.
        source: Box<TrainError>,
    },
    /// The run folder belongs to another experiment.
    #[error(
        "{dir}: holds a run with {key} = {found}, this one has {expected}: choose another run folder, or set {key} back to continue that run"
    )]
    OtherExperiment {
        /// The run folder.
        dir: PathBuf,
        /// First differing key of the experiment, dotted.
        key: String,
        /// Its value in the run folder.
        found: String,
        /// Its value now.
        expected: String,
    },
    /// The run folder belongs to a run on other data.
    #[error(
        "{dir}: holds a run on data {found}, this data is {expected}: give the data folder of that run unchanged, or choose another run folder"
    )]
    OtherData {
        /// The run folder.
        dir: PathBuf,
        /// Fingerprint recorded there.
        found: String,
        /// Fingerprint of the data given now.
        expected: String,
    },
    /// Another process writes to the run folder.
    #[error(
        "{dir}: another process is training in this run folder: wait for it, or choose another folder"
    )]
    InUse {
        /// The run folder.
        dir: PathBuf,
    },
    /// A parameter does not influence the loss.
    #[error(
        "{tensor}: no gradient reached this tensor, expected one for every trainable tensor: the model's forward pass does not use it differentiably"
    )]
    NoGradient {
        /// Name of the tensor.
        tensor: String,
    },
    /// A checkpoint lacks a tensor.
    #[error(
        "{tensor}: not in the checkpoint, expected one tensor of this name: it was written for another model"
    )]
    MissingTensor {
        /// Name of the tensor.
        tensor: String,
    },
    /// An epoch is too short for a single update.
    #[error(
        "train.accum_iter = {accum_iter}: expected at most {batches}, the batches of an epoch (of {batch_size} images each): lower train.accum_iter or train.batch_size, or add images"
    )]
    EpochTooShort {
        /// Batches per update.
        accum_iter: usize,
        /// Batches of an epoch.
        batches: usize,
        /// Images per batch.
        batch_size: usize,
    },
    /// The source ended an epoch early.
    #[error(
        "epoch {epoch}: the data ended after {found} batches, expected {expected}: the data changed while it was read"
    )]
    EpochCutShort {
        /// The epoch, from 0.
        epoch: u64,
        /// Batches seen.
        found: usize,
        /// Batches announced.
        expected: usize,
    },
    /// The loss or the gradient is no longer a finite number.
    #[error(
        "step {step}, epoch {epoch}: the {what} is {value}, expected a finite number: its batch is in {saved}; lower optim.blr or set optim.clip_grad_norm in another run folder, or look for broken images"
    )]
    NonFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// `NaN` or an infinity.
        value: f64,
        /// The update that was not made, from 1.
        step: u64,
        /// The epoch, from 0.
        epoch: u64,
        /// Where the batch was written.
        saved: PathBuf,
    },
    /// The work that the caller does after an epoch failed; the epoch's checkpoint is safe.
    #[error("after epoch {epoch}: {source}")]
    EpochHook {
        /// The epoch, from 0.
        epoch: u64,
        /// The caller's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TrainError {
    /// For `map_err` on tensor operations.
    pub(crate) fn compute(action: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |source| Self::Compute { action, source }
    }

    /// For `map_err` on file operations.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }
}
