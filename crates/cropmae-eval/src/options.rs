//! What to evaluate, and where the results go.

use std::path::PathBuf;

/// What to evaluate and where to write.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EvalOptions {
    /// Folder for predictions, `report.json` and tables. Nothing is written when it is absent.
    pub out: Option<PathBuf>,
    /// A file of sequence names, one per line, that takes the place of the data set's own list.
    pub list: Option<PathBuf>,
    /// The sequences of the list that are evaluated; all of them when absent.
    pub sequences: Option<Vec<String>>,
    /// The number of sequences that are evaluated at most: the first ones.
    pub max_sequences: Option<usize>,
    /// SHA-256 of the encoder's weight file, for the report.
    pub weights_sha256: Option<String>,
}
