//! The options of an evaluation.

use std::path::PathBuf;

/// The choice of sequences to evaluate, and the output folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvalOptions {
    /// The folder for predictions, `report.json` and tables. If it is `None`, no files are written.
    pub out: Option<PathBuf>,
    /// A file with one sequence name per line, which replaces the list of the data set.
    pub list: Option<PathBuf>,
    /// The sequences of the list to evaluate. If it is `None`, all are evaluated.
    pub sequences: Option<Vec<String>>,
    /// The maximum number of sequences to evaluate, from the beginning of the list.
    pub max_sequences: Option<usize>,
    /// The SHA-256 of the encoder's weight file, for the report.
    pub weights_sha256: Option<String>,
}
