//! Reads the logs of a run folder, which have a JSON object on each line.

use std::fs;
use std::path::Path;

use serde::de::DeserializeOwned;

use crate::error::RunError;

/// Reads all lines of the log at `path`. `expected` describes a line in errors.
pub(crate) fn read<T: DeserializeOwned>(
    path: &Path,
    expected: &'static str,
) -> Result<Vec<T>, RunError> {
    let text = fs::read_to_string(path).map_err(RunError::io("read", path))?;
    let lines = text.lines().enumerate();
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| RunError::LogLine {
                path: path.to_owned(),
                line: index + 1,
                expected,
                source,
            })
        })
        .collect()
}
