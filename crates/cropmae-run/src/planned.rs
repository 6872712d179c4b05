//! The settings of an evaluation.

use std::path::{Path, PathBuf};

use cropmae_config::Protocol;
use cropmae_eval::{Benchmark, benchmarks};

/// A benchmark with its data set and the settings of its evaluation.
#[derive(Debug, Clone)]
pub struct PlannedEvaluation {
    /// The benchmark.
    pub benchmark: &'static dyn Benchmark,
    /// The folder of the data set, in the official layout.
    pub data: PathBuf,
    /// The settings of the evaluation.
    pub protocol: Protocol,
}

impl PlannedEvaluation {
    /// Creates an evaluation of `benchmark` on the data set in `data`, with the settings of the reference.
    #[must_use]
    pub fn new(benchmark: &'static dyn Benchmark, data: PathBuf) -> Self {
        Self {
            benchmark,
            data,
            protocol: benchmark.protocol(),
        }
    }

    /// Returns an evaluation for each benchmark folder (`DAVIS`, `VIP`, ..) in `folder`, with the settings of the
    /// reference.
    #[must_use]
    pub fn all_in(folder: &Path) -> Vec<Self> {
        benchmarks::VIDEO
            .into_iter()
            .map(|benchmark| Self::new(benchmark, folder.join(benchmark.folder())))
            .filter(|planned| planned.data.is_dir())
            .collect()
    }
}
