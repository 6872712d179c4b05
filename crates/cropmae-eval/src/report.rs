//! The report of an evaluation: `report.json`, and tables with the column names of the official toolkits.

mod measure;
mod scores;
mod table;

use std::collections::BTreeMap;
use std::path::Path;

use cropmae_config::{ComputeDtype, Protocol};
use cropmae_model::FeatureExtractor;
use serde::{Deserialize, Serialize};

use crate::error::EvalError;
use crate::files::replace_json;

pub use measure::{Measure, Unit};
pub use scores::Scores;
pub use table::{TOOLKIT_DECIMALS, Table};

/// The results of an evaluation on videos, and everything they depend on.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The name of the benchmark.
    pub task: String,
    /// The name of the encoder.
    pub encoder: String,
    /// The SHA-256 of its weight file, if there is one.
    pub weights_sha256: Option<String>,
    /// The type of the operands of the encoder's matrix products. Propagation is always f32.
    #[serde(default)]
    pub compute: ComputeDtype,
    /// The width and height of a cell of the grid, in pixels.
    pub patch_size: usize,
    /// The number of sequences for each height and width of the encoder's input, which are those of the protocol rounded
    /// to multiples of the patch size.
    pub input_sizes: BTreeMap<String, usize>,
    /// A SHA-256 over the names and sizes of the frames and annotations of all sequences, which identifies the data.
    pub data_fingerprint: String,
    /// The protocol of the evaluation.
    pub protocol: Protocol,
    /// The scores over the sequences that could be evaluated.
    pub scores: Box<dyn Scores>,
    /// The sequences that are missing from the scores. The scores are comparable only if there are none.
    pub failures: Vec<Failure>,
}

/// A sequence that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The name of the sequence.
    pub sequence: String,
    /// The error message, on one line.
    pub message: String,
}

impl TaskReport {
    /// Writes `report.json` and the tables into the folder `out`.
    ///
    /// # Errors
    /// Returns [`EvalError::Write`] with the path if a file cannot be written.
    pub fn write(&self, out: &Path) -> Result<(), EvalError> {
        replace_json(&out.join("report.json"), self)?;
        let tables = self.scores.tables();
        tables.iter().try_for_each(|table| table.write(out))
    }
}

/// Returns the name of the encoder's number type in a report.
pub(crate) fn compute_of(encoder: &dyn FeatureExtractor) -> ComputeDtype {
    match encoder.compute() {
        cropmae_model::Compute::F32 => ComputeDtype::F32,
        cropmae_model::Compute::Bf16 => ComputeDtype::Bf16,
    }
}
