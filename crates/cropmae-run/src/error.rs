//! What can go wrong in whole runs.

use std::io;
use std::path::{Path, PathBuf};

use cropmae_data::DataError;
use cropmae_eval::EvalError;
use cropmae_model::ModelError;
use cropmae_report::ReportError;
use cropmae_train::TrainError;

/// An error of a whole run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data cannot be used.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A model cannot be made or read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// Training failed.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// An evaluation failed.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// A picture or a page cannot be drawn.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// A tensor operation failed.
    #[error("{what}: {source}")]
    Compute {
        /// What it was for.
        what: &'static str,
        /// The error of the operation.
        source: candle_core::Error,
    },
    /// A file or folder cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// `read`, `write` or `make`.
        verb: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The error of the file system.
        source: io::Error,
    },
    /// A picture cannot be read or written.
    #[error("cannot {verb} {}: {source}", path.display())]
    Picture {
        /// `read` or `write`.
        verb: &'static str,
        /// The picture.
        path: PathBuf,
        /// The error of the format.
        source: image::ImageError,
    },
    /// A line of a log in the run folder is not what the log holds.
    #[error("{}, line {line}: expected {expected}: {source}", path.display())]
    LogLine {
        /// The log.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// What each line of it is.
        expected: &'static str,
        /// The error of the JSON.
        source: serde_json::Error,
    },
    /// Something cannot be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Json {
        /// What it is.
        what: &'static str,
        /// The error of the JSON.
        source: serde_json::Error,
    },
    /// A prediction or a report lacks what every one has.
    #[error("{0}")]
    Incomplete(&'static str),
}

impl RunError {
    /// To map an error of the file system: `verb` is `read`, `write` or `make`.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }

    /// To map an error of a picture: `verb` is `read` or `write`.
    pub(crate) fn picture(
        verb: &'static str,
        path: &Path,
    ) -> impl FnOnce(image::ImageError) -> Self {
        move |source| Self::Picture {
            verb,
            path: path.to_owned(),
            source,
        }
    }

    /// To map an error of a tensor operation for `what`.
    pub(crate) fn compute(what: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |source| Self::Compute { what, source }
    }

    /// To map an error of writing `what` as JSON.
    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source }
    }
}
