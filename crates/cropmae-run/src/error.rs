//! The errors of whole runs.

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
    /// A model cannot be created or read.
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
        /// The purpose of the operation.
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
    /// A line of a log in the run folder is invalid.
    #[error("{}, line {line}: expected {expected}: {source}", path.display())]
    LogLine {
        /// The log.
        path: PathBuf,
        /// The number of the line, from 1.
        line: usize,
        /// A description of a valid line.
        expected: &'static str,
        /// The error of the JSON.
        source: serde_json::Error,
    },
    /// A value cannot be written as JSON.
    #[error("cannot write {what} as JSON: {source}")]
    Json {
        /// A description of the value.
        what: &'static str,
        /// The error of the JSON.
        source: serde_json::Error,
    },
    /// A prediction or a report is incomplete.
    #[error("{0}")]
    Incomplete(&'static str),
}

impl RunError {
    /// Returns a function that maps an error of the file system. `verb` is `read`, `write` or `make`.
    pub(crate) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            verb,
            path: path.to_owned(),
            source,
        }
    }

    /// Returns a function that maps an error of a picture. `verb` is `read` or `write`.
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

    /// Returns a function that maps an error of a tensor operation for `what`.
    pub(crate) fn compute(what: &'static str) -> impl Fn(candle_core::Error) -> Self {
        move |source| Self::Compute { what, source }
    }

    /// Returns a function that maps an error of writing `what` as JSON.
    pub(crate) fn json(what: &'static str) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { what, source }
    }
}
