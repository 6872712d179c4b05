//! What an evaluation found: `report.json`, and tables with the official toolkits' column names.

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

/// Everything an evaluation on videos found, and what decided it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskReport {
    /// The name of the benchmark.
    pub task: String,
    /// What the encoder calls itself.
    pub encoder: String,
    /// SHA-256 of its weight file, where there is one.
    pub weights_sha256: Option<String>,
    /// Type of the operands of its matrix products, as they ran; propagation is f32 with either.
    #[serde(default)]
    pub compute: ComputeDtype,
    /// Width and height of a cell of its grid, in pixels.
    pub patch_size: usize,
    /// Sequences by the height and width of the encoder's input: the protocol's, to the nearest multiples of
    /// the patch size.
    pub input_sizes: BTreeMap<String, usize>,
    /// Identifies the data: SHA-256 over names and sizes of the frames and annotations of all sequences.
    pub data_fingerprint: String,
    /// The protocol that was run.
    pub protocol: Protocol,
    /// Scores over the sequences that could be evaluated.
    pub scores: Box<dyn Scores>,
    /// The sequences that are missing from the scores. A number is comparable only if there are none.
    pub failures: Vec<Failure>,
}

/// A sequence that could not be evaluated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Its name.
    pub sequence: String,
    /// What went wrong, on one line.
    pub message: String,
}

impl TaskReport {
    /// Writes `report.json` and the tables into the folder `out`.
    ///
    /// # Errors
    /// [`EvalError::Write`], naming the file.
    pub fn write(&self, out: &Path) -> Result<(), EvalError> {
        replace_json(&out.join("report.json"), self)?;
        let tables = self.scores.tables();
        tables.iter().try_for_each(|table| table.write(out))
    }
}

/// The encoder's number type, as a report names it.
pub(crate) fn compute_of(encoder: &dyn FeatureExtractor) -> ComputeDtype {
    match encoder.compute() {
        cropmae_model::Compute::F32 => ComputeDtype::F32,
        cropmae_model::Compute::Bf16 => ComputeDtype::Bf16,
    }
}
