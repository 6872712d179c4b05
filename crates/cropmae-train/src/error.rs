//! The errors of a run. Each message says what the user can do.

use std::path::{Path, PathBuf};

/// The reason why a run cannot start or continue.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A tensor operation failed, for example for lack of memory or because of a wrong shape.
    #[error("{action} failed: {source}")]
    Compute {
        /// The computation that failed.
        action: &'static str,
        /// The error of the backend.
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
        /// The action that failed, such as `read` or `write`.
        action: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A file of the run folder is damaged or was not written by this program.
    #[error("{path}: {problem}; {remedy}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The difference between what was expected and what was found.
        problem: String,
        /// What the user can do.
        remedy: &'static str,
    },
    /// A checkpoint was written by another version of the program.
    #[error(
        "{path}: checkpoint format {found}, expected {expected}: continue this run with the program that wrote it, or choose another run folder"
    )]
    Format {
        /// The file.
        path: PathBuf,
        /// The format of the file.
        found: u32,
        /// The format of this program.
        expected: u32,
    },
    /// A checkpoint cannot be written.
    #[error(
        "{dir}: cannot save update {step} ({source}); the earlier checkpoints are intact: free disk space or fix the cause, then run the same command again to continue from the newest one"
    )]
    NotSaved {
        /// The run folder.
        dir: PathBuf,
        /// The number of updates made.
        step: u64,
        /// The cause.
        source: Box<TrainError>,
    },
    /// The run folder belongs to another experiment.
    #[error(
        "{dir}: contains a run with {key} = {found}, expected {expected}: choose another run folder, or change {key} back to continue that run"
    )]
    OtherExperiment {
        /// The run folder.
        dir: PathBuf,
        /// The first key of the experiment that differs, with dots.
        key: String,
        /// The value in the run folder.
        found: String,
        /// The value now.
        expected: String,
    },
    /// The run folder belongs to a run on other data.
    #[error(
        "{dir}: contains a run on data {found}, expected {expected}: use the unchanged data of that run, or choose another run folder"
    )]
    OtherData {
        /// The run folder.
        dir: PathBuf,
        /// The fingerprint of the data in the run folder.
        found: String,
        /// The fingerprint of the data now.
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
        "{tensor}: this tensor has no gradient, expected one for every trainable tensor: use it in the model's forward pass through differentiable operations"
    )]
    NoGradient {
        /// The name of the tensor.
        tensor: String,
    },
    /// A checkpoint lacks a tensor.
    #[error(
        "{tensor}: the checkpoint has no tensor with this name, so it belongs to another model: choose another run folder"
    )]
    MissingTensor {
        /// The name of the tensor.
        tensor: String,
    },
    /// An epoch is too short for a single update.
    #[error(
        "train.accum_iter = {accum_iter}: expected at most {batches}, the number of batches in an epoch (with {batch_size} images each): lower train.accum_iter or train.batch_size, or add images"
    )]
    EpochTooShort {
        /// The number of batches per update.
        accum_iter: usize,
        /// The number of batches per epoch.
        batches: usize,
        /// The number of images per batch.
        batch_size: usize,
    },
    /// The source ended an epoch early.
    #[error(
        "epoch {epoch}: the data ended after {found} batches, expected {expected}: do not change the data during a run"
    )]
    EpochCutShort {
        /// The epoch, from 0.
        epoch: u64,
        /// The number of batches that the source returned.
        found: usize,
        /// The number of batches that the source had announced.
        expected: usize,
    },
    /// The loss or the gradient is no longer a finite number.
    #[error(
        "step {step}, epoch {epoch}: the {what} is {value}, expected a finite number: the batch is saved in {saved}; check its images, or start in another run folder with a lower optim.blr or with optim.clip_grad_norm"
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
        /// The file that contains the batch.
        saved: PathBuf,
    },
    /// A method of the observer failed. The checkpoint of the epoch is intact.
    #[error("after epoch {epoch}: {source}")]
    EpochHook {
        /// The epoch, from 0.
        epoch: u64,
        /// The caller's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TrainError {
    /// Returns a function for `map_err` on tensor operations.
    pub(crate) fn compute(action: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |source| Self::Compute { action, source }
    }

    /// Returns a function for `map_err` on file operations.
    pub(crate) fn io(path: &Path, action: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io {
            path: path.to_owned(),
            action,
            source,
        }
    }
}
