//! The score of an encoder during training.

use serde::{Deserialize, Serialize};

/// The score of one encoder on one benchmark after one epoch, which is a line of `evals.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// The number of completed epochs. It is 0 for the initial weights, where a curve starts.
    pub epoch: u64,
    /// The number of updates made.
    pub step: u64,
    /// `weights`, or `ema` for their moving average.
    pub weights: String,
    /// The name of the benchmark.
    pub task: String,
    /// The name of the benchmark's main measure.
    pub measure: String,
    /// The value of the main measure in its own unit: J&F and mIoU from 0 to 1, PCK in percent.
    pub value: Option<f64>,
    /// The names and values of all measures of the benchmark's table.
    pub scores: Vec<(String, Option<f64>)>,
    /// The number of sequences that could not be evaluated.
    pub failures: usize,
    /// The fingerprint of the videos.
    pub data_fingerprint: String,
}
