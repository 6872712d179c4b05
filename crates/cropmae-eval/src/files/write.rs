//! Writes files, and creates their folders.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::EvalError;

/// Writes one of the many files of a data set or of a prediction.
///
/// # Errors
/// Returns [`EvalError::Write`] with the path if the file cannot be written.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), EvalError> {
    make_folder(path)
        .and_then(|()| fs::write(path, bytes))
        .map_err(|source| failed(path, source))
}

/// Writes a file of a report, which is never visible half-written.
///
/// # Errors
/// Returns [`EvalError::Write`] with the path if the file cannot be written.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), EvalError> {
    make_folder(path)
        .and_then(|()| cropmae_files::write(path, bytes))
        .map_err(|source| failed(path, source))
}

/// Writes `value` as indented JSON with [`replace`].
///
/// # Errors
/// Returns the errors of [`replace`].
pub(crate) fn replace_json(path: &Path, value: &impl Serialize) -> Result<(), EvalError> {
    let json = serde_json::to_vec_pretty(value).map_err(|error| failed(path, error.into()))?;
    replace(path, &json)
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn failed(path: &Path, source: std::io::Error) -> EvalError {
    EvalError::Write {
        path: path.into(),
        source,
    }
}
